/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a subject reads of itself in /proc.  The texts live in a buffer of
 * the calling thread until its next call.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conform.h"

#define SLURP_SIZE (1 << 20)

const char *conform_slurp(const char *path)
{
	static __thread char *buf;
	size_t len = 0;
	ssize_t n;
	int fd;

	if (!buf)
		buf = malloc(SLURP_SIZE);
	CHECK(buf, "no memory");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %m", path);
	while (len < SLURP_SIZE - 1 &&
	       (n = read(fd, buf + len, SLURP_SIZE - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	buf[len] = 0;
	return buf;
}

long conform_field(const char *text, const char *name, int base)
{
	char key[64];
	const char *p;

	snprintf(key, sizeof(key), "\n%s:", name);
	p = strstr(text, key);
	CHECK(p, "no %s in a text of /proc", name);
	return (long)strtoull(p + strlen(key), NULL, base);
}

/* The smaps entry of the mapping that holds p, as a text of its own. */
static const char *smaps_entry(const void *p)
{
	char *text = (char *)(uintptr_t)conform_slurp("/proc/self/smaps");
	unsigned long lo, hi, at = (unsigned long)p;
	char *line = text, *next, *found = NULL;

	for (; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			next++;
		if (sscanf(line, "%lx-%lx ", &lo, &hi) != 2)
			continue;
		if (found) {
			line[0] = 0;
			return found;
		}
		if (at >= lo && at < hi)
			found = line;
	}
	CHECK(found, "no mapping at %p", p);
	return found;
}

const char *conform_vmflags(const void *p)
{
	const char *v = strstr(smaps_entry(p), "VmFlags:");

	CHECK(v, "no VmFlags at %p", p);
	return v;
}

long conform_smaps(const void *p, const char *name)
{
	return conform_field(smaps_entry(p), name, 10);
}
