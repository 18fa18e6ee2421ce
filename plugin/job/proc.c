/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One pass over /proc makes a table; questions about ancestry are answered
 * from it.
 */
#include <config.h>

#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_one(struct sj_proc *p, const char *name)
{
	char path[64];
	char line[256];
	char *end;
	FILE *f;
	int ppid;

	snprintf(path, sizeof(path), "/proc/%.20s/status", name);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	memset(p, 0, sizeof(*p));
	p->pid = atoi(name);
	p->inner = p->pid;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "PPid: %d", &ppid) == 1)
			p->ppid = ppid;
		if (!strncmp(line, "State:", 6))
			sscanf(line, "State: %c", &p->state);
		if (strncmp(line, "NSpid:", 6))
			continue;
		end = strrchr(line, '\t');
		if (end)
			p->inner = atoi(end + 1);
		break;
	}
	fclose(f);
	return p->state ? 0 : -ESRCH;
}

int sj_procs_read(struct sj_procs *s)
{
	struct sj_proc *bigger;
	struct dirent *e;
	uint32_t room = 0;
	DIR *d;

	memset(s, 0, sizeof(*s));
	d = opendir("/proc");
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		if (s->n == room) {
			room = room ? 2 * room : 256;
			bigger = reallocarray(s->p, room, sizeof(*bigger));
			if (!bigger) {
				closedir(d);
				sj_procs_free(s);
				return -ENOMEM;
			}
			s->p = bigger;
		}
		if (!read_one(&s->p[s->n], e->d_name))
			s->n++;
	}
	closedir(d);
	return 0;
}

void sj_procs_free(struct sj_procs *s)
{
	free(s->p);
	memset(s, 0, sizeof(*s));
}

const struct sj_proc *sj_procs_find(const struct sj_procs *s, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < s->n; i++)
		if (s->p[i].pid == pid)
			return &s->p[i];
	return NULL;
}

int sj_procs_below(const struct sj_procs *s, pid_t pid, pid_t root)
{
	const struct sj_proc *p;
	int depth;

	for (depth = 0; pid > 1 && depth < 4096; depth++) {
		if (pid == root)
			return 1;
		p = sj_procs_find(s, pid);
		if (!p)
			return 0;
		pid = p->ppid;
	}
	return 0;
}

int sj_proc_runs(pid_t pid, const char *path)
{
	struct stat a;
	struct stat b;
	char exe[64];

	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	return !stat(exe, &a) && !stat(path, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static pid_t first_child(const struct sj_procs *s, pid_t pid)
{
	pid_t first = 0;
	uint32_t i;

	for (i = 0; i < s->n; i++)
		if (s->p[i].ppid == pid && s->p[i].state != 'Z' &&
		    (!first || s->p[i].pid < first))
			first = s->p[i].pid;
	return first;
}

pid_t sj_procs_eldest(const struct sj_procs *s, pid_t pid, const char *path)
{
	pid_t child = pid;
	int depth;

	/* cr_restart, and the init of a PID namespace that it may need. */
	for (depth = 0; depth < 3 && sj_proc_runs(child, path); depth++) {
		child = first_child(s, child);
		if (!child)
			return pid;
	}
	return child;
}

int sj_proc_pipe_bytes(pid_t pid, int fd)
{
	struct stat st;
	char path[64];
	int bytes = 0;
	int p;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	if (stat(path, &st) || !S_ISFIFO(st.st_mode))
		return 0;
	p = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (p < 0)
		return 0;
	if (ioctl(p, FIONREAD, &bytes))
		bytes = 0;
	close(p);
	return bytes;
}

uint64_t sj_proc_io(pid_t pid)
{
	unsigned long long v;
	uint64_t sum = 0;
	char path[64];
	char line[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%*[a-z_]: %llu", &v) == 1)
			sum = sum * 31 + v;
	fclose(f);
	return sum;
}
