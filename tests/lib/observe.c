/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The observer: a text of what /proc tells of a process tree from outside
 * (mappings, descriptors, threads, signal masks, children), so that before
 * and after a checkpoint, or before the kill and after the restart, can be
 * compared line by line.  Owns nothing but the text under construction.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conform_int.h"

#define MAX_TREE 4096

static int stat_fields(pid_t pid, char *state, pid_t *ppid)
{
	char path[64], buf[512], *p;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = 0;
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %c %d", state, ppid) != 2)
		return -1;
	return 0;
}

int observe_state(pid_t pid)
{
	char state;
	pid_t ppid;

	return stat_fields(pid, &state, &ppid) ? 0 : state;
}

static bool listed(pid_t pid, const pid_t *list, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

/* Repeated until nothing new: /proc is not ordered by age after a wrap. */
int observe_descendants(pid_t pid, pid_t *list, int max)
{
	struct dirent *de;
	int n = 0, old;
	DIR *dir;

	do {
		old = n;
		dir = opendir("/proc");
		if (!dir)
			return n;
		while ((de = readdir(dir)) && n < max) {
			pid_t p = atoi(de->d_name), ppid;
			char state;

			if (p <= 0 || stat_fields(p, &state, &ppid))
				continue;
			if ((ppid == pid || listed(ppid, list, n)) &&
			    !listed(p, list, n))
				list[n++] = p;
		}
		closedir(dir);
	} while (n != old);
	return n;
}

static void status_line(FILE *out, pid_t pid, const char *name, const char *as)
{
	char path[64], line[512];
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			fprintf(out, "%s %s", as, line);
	fclose(f);
}

static long status_number(pid_t pid, const char *name, bool last)
{
	char *text = NULL, *p;
	size_t size = 0;
	long v = -1;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -1;
	status_line(f, pid, name, "");
	fclose(f);
	p = text ? strchr(text, ':') : NULL;
	if (p && last)
		while (strrchr(text, '\n') == text + strlen(text) - 1 &&
		       strlen(text))
			text[strlen(text) - 1] = 0;
	if (p && last && strrchr(text, '\t'))
		p = strrchr(text, '\t');
	if (p)
		v = strtol(p + 1, NULL, 10);
	free(text);
	return v;
}

pid_t observe_tracer(pid_t pid)
{
	return (pid_t)status_number(pid, "TracerPid", false);
}

pid_t observe_find(pid_t top, pid_t pid)
{
	pid_t list[MAX_TREE];
	int i, n = observe_descendants(top, list, MAX_TREE);

	for (i = 0; i < n; i++)
		if (status_number(list[i], "NSpid", true) == pid)
			return list[i];
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	int x = atoi((*a)->d_name), y = atoi((*b)->d_name);

	return x < y ? -1 : x > y;
}

static int is_number(const struct dirent *de)
{
	return isdigit((unsigned char)de->d_name[0]);
}

static void free_names(struct dirent **names, int n)
{
	int i;

	for (i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

int observe_fds(pid_t pid)
{
	struct dirent **names;
	char path[64];
	int n;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	n = scandir(path, &names, is_number, by_name);
	if (n > 0)
		free_names(names, n);
	return n;
}

/* What a file without a name is called does not matter. */
static void strip_name(char *path)
{
	size_t len = strlen(path);

	if (path[0] == '/' && len > 10 &&
	    !strcmp(path + len - 10, " (deleted)"))
		strcpy(path, "(deleted)");
}

/* "pipe:[123]" has another number after a restart; a path has not. */
static void strip_number(char *link)
{
	char *p = strchr(link, '[');

	if (p && link[0] != '/' && isdigit((unsigned char)p[1]))
		strcpy(p, "[]");
	if (!strncmp(link, "/dev/pts/", 9))
		strcpy(link, "/dev/pts/");
	strip_name(link);
}

static void put_fds(FILE *out, pid_t pid, unsigned int flags)
{
	struct dirent **names;
	char path[64], one[400], link[512];
	int i, n;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	n = scandir(path, &names, is_number, by_name);
	for (i = 0; i < n; i++) {
		ssize_t len;

		snprintf(one, sizeof(one), "%s/%s", path, names[i]->d_name);
		len = readlink(one, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = 0;
		if (flags & OBSERVE_MOVED)
			strip_number(link);
		fprintf(out, "fd %s %s\n", names[i]->d_name, link);
	}
	if (n >= 0)
		free_names(names, n);
}

struct area {
	unsigned long lo, hi, off;
	char perm[8], dev[16], path[400];
	unsigned long ino;
};

static void put_area(FILE *out, const struct area *a, unsigned int flags)
{
	if (!a->hi)
		return;
	fprintf(out, "map %lx-%lx %s", a->lo, a->hi, a->perm);
	if (a->path[0] == '/' || a->path[0] == '(')
		fprintf(out, " %lx", a->off);
	if (!(flags & OBSERVE_MOVED))
		fprintf(out, " %s %lu", a->dev, a->ino);
	fprintf(out, " %s\n", a->path);
}

/* Neighbours that the kernel may merge or not count as one. */
static bool area_joins(const struct area *a, const struct area *b)
{
	return a->hi == b->lo && !strcmp(a->perm, b->perm) &&
	       a->path[0] != '/' && a->path[0] != '(' &&
	       !strcmp(a->path, b->path);
}

static void put_maps(FILE *out, pid_t pid, unsigned int flags)
{
	struct area last = { 0 }, a;
	char path[64], line[1024];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		memset(&a, 0, sizeof(a));
		if (sscanf(line, "%lx-%lx %7s %lx %15s %lu %399[^\n]", &a.lo,
			   &a.hi, a.perm, &a.off, a.dev, &a.ino, a.path) < 6)
			continue;
		if (flags & OBSERVE_MOVED)
			strip_name(a.path);
		if (area_joins(&last, &a)) {
			last.hi = a.hi;
			continue;
		}
		put_area(out, &last, flags);
		last = a;
	}
	put_area(out, &last, flags);
	fclose(f);
}

/* Ids as the process itself sees them: a restart may be in a namespace. */
static pid_t inner_id(pid_t pid)
{
	return (pid_t)status_number(pid, "NSpid", true);
}

struct member {
	pid_t pid, inner;
};

static int by_inner(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return x->inner < y->inner ? -1 : x->inner > y->inner;
}

static void put_threads(FILE *out, pid_t pid)
{
	static const char *const names[] = { "Name",	    "SigPnd",
					     "SigBlk",	    "NoNewPrivs",
					     "Seccomp",	    "TracerPid",
					     "Cpus_allowed" };
	struct member tids[MAX_TREE];
	struct dirent **list;
	char path[64], as[64];
	unsigned int j;
	int i, n;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	n = scandir(path, &list, is_number, by_name);
	for (i = 0; i < n && i < MAX_TREE; i++) {
		tids[i].pid = atoi(list[i]->d_name);
		tids[i].inner = inner_id(tids[i].pid);
	}
	if (n > 0)
		qsort(tids, (size_t)i, sizeof(tids[0]), by_inner);
	for (i = 0; i < n && i < MAX_TREE; i++) {
		snprintf(as, sizeof(as), "thread %d", (int)tids[i].inner);
		for (j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			status_line(out, tids[i].pid, names[j], as);
	}
	if (n >= 0)
		free_names(list, n);
}

static void put_process(FILE *out, pid_t pid, pid_t inner, unsigned int flags)
{
	static const char *const names[] = { "Umask",  "Uid",	 "Gid",
					     "FDSize", "ShdPnd", "SigIgn",
					     "SigCgt", "Threads" };
	char as[64];
	unsigned int j;
	int state = observe_state(pid);

	snprintf(as, sizeof(as), "process %d", (int)inner);
	fprintf(out, "%s %s\n", as,
		state == 'Z' ? "zombie" :
		state == 'T' ? "stopped" :
			       "alive");
	if (state == 'Z')
		return;
	for (j = 0; j < sizeof(names) / sizeof(names[0]); j++)
		if (strcmp(names[j], "FDSize") || !(flags & OBSERVE_MOVED))
			status_line(out, pid, names[j], as);
	put_threads(out, pid);
	put_fds(out, pid, flags);
	put_maps(out, pid, flags);
}

char *observe_tree(pid_t root, unsigned int flags)
{
	struct member tree[MAX_TREE];
	pid_t list[MAX_TREE];
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int i, n;

	if (!out)
		return NULL;
	n = observe_descendants(root, list, MAX_TREE - 1);
	list[n++] = root;
	for (i = 0; i < n; i++)
		tree[i] = (struct member){ list[i], inner_id(list[i]) };
	qsort(tree, (size_t)n, sizeof(tree[0]), by_inner);
	for (i = 0; i < n; i++)
		put_process(out, tree[i].pid, tree[i].inner, flags);
	fclose(out);
	return text;
}

char *observe_diff(const char *a, const char *b)
{
	char *out = NULL;

	while (*a || *b) {
		size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");

		if (la != lb || strncmp(a, b, la)) {
			if (asprintf(&out, "%.*s  became  %.*s", (int)la, a,
				     (int)lb, b) < 0)
				return NULL;
			return out;
		}
		a += la + (a[la] == '\n');
		b += lb + (b[lb] == '\n');
	}
	return NULL;
}
