/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recognising omitted processes.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "api/omit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_READ 8192u
#define MAX_ENVIRON (4u << 20)

bool cri_omit_in_environ(const char *env, size_t len)
{
	static const char key[] = "LD_PRELOAD=";
	static const char lib[] = "libcr_omit.so";
	const char *end = env + len, *next;

	for (; env < end; env = next) {
		next = memchr(env, '\0', (size_t)(end - env));
		next = next ? next + 1 : end;
		if ((size_t)(next - env) <= sizeof(key) ||
		    memcmp(env, key, sizeof(key) - 1))
			continue;
		return memmem(env, (size_t)(next - env), lib,
			      sizeof(lib) - 1) != NULL;
	}
	return false;
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(fd, buf + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

bool cri_omit_marked(pid_t pid)
{
	char path[64], first[FIRST_READ];
	bool marked = false;
	char *all = NULL;
	ssize_t n, m;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read_all(fd, first, sizeof(first));
	if (n < (ssize_t)sizeof(first)) {
		marked = cri_omit_in_environ(first, (size_t)n);
		goto out;
	}
	all = malloc(MAX_ENVIRON);
	if (!all)
		goto out;
	memcpy(all, first, sizeof(first));
	m = read_all(fd, all + n, MAX_ENVIRON - (size_t)n);
	marked = cri_omit_in_environ(all, (size_t)(n + m));
out:
	free(all);
	close(fd);
	return marked;
}
