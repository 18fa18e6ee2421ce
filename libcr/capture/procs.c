/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of processes of a capture, parents before children, and the ways
 * to find them in /proc.  Ids here are as the tool sees them.
 */
#include "config.h"

#include "api/omit.h"
#include "capture/capture.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/files.h"
#include "capture/proctext.h"

struct cri_cproc *cri_procs_find(struct cri_capture *cap, pid_t pid)
{
	uint64_t i = cri_idmap_get(&cap->by_pid, (uint64_t)pid, 0);

	return i ? cap->procs[i - 1] : NULL;
}

int cri_procs_add(struct cri_capture *cap, pid_t pid, struct cri_cproc **out)
{
	struct cri_cproc *p;
	int ret;

	if (cap->n_procs == cap->cap_procs) {
		uint32_t n = cap->cap_procs ? cap->cap_procs * 2 : 64;
		void *grown = realloc(cap->procs, n * sizeof(*cap->procs));

		if (!grown)
			return -ENOMEM;
		cap->procs = grown;
		cap->cap_procs = n;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->pid = pid;
	p->pidfd = -1;
	p->proc_fd = -1;
	ret = cri_idmap_put(&cap->by_pid, (uint64_t)pid, 0, cap->n_procs + 1);
	if (ret) {
		free(p);
		return ret;
	}
	cap->procs[cap->n_procs++] = p;
	*out = p;
	return 0;
}

/* Threads grow by doubling: n_threads alone tells the room there is. */
struct cri_cthread *cri_procs_add_thread(struct cri_cproc *p, pid_t tid)
{
	uint32_t n = p->n_threads;
	struct cri_cthread *t;

	if (n == 0 || (n & (n - 1)) == 0) {
		t = realloc(p->threads, (n ? n * 2 : 1) * sizeof(*t));
		if (!t)
			return NULL;
		p->threads = t;
	}
	t = &p->threads[p->n_threads++];
	*t = (struct cri_cthread){ .tid = tid,
				   .inner_tid = tid,
				   .leader = tid == p->pid };
	return t;
}

/* Order of the others does not matter but the leader stays first. */
void cri_procs_drop_thread(struct cri_cproc *p, uint32_t i)
{
	free(p->threads[i].engine);
	memmove(&p->threads[i], &p->threads[i + 1],
		(p->n_threads - i - 1) * sizeof(*p->threads));
	p->n_threads--;
	/* Keep room for the doubling rule of add. */
	if (p->n_threads && (p->n_threads & (p->n_threads - 1)) == 0) {
		struct cri_cthread *t = realloc(
			p->threads, p->n_threads * sizeof(*p->threads));

		if (t)
			p->threads = t;
	}
}

static void proc_free(struct cri_cproc *p)
{
	uint32_t i;

	for (i = 0; i < p->n_threads; i++)
		free(p->threads[i].engine);
	if (p->pidfd >= 0)
		close(p->pidfd);
	if (p->proc_fd >= 0)
		close(p->proc_fd);
	free(p->engine);
	free(p->threads);
	free(p);
}

static void reindex(struct cri_capture *cap)
{
	uint32_t i;

	cri_idmap_fini(&cap->by_pid);
	for (i = 0; i < cap->n_procs; i++)
		(void)cri_idmap_put(&cap->by_pid, (uint64_t)cap->procs[i]->pid,
				    0, i + 1);
}

/* It went away while the others were being stopped: rare. */
void cri_procs_drop(struct cri_capture *cap, struct cri_cproc *p)
{
	uint32_t i;

	for (i = 0; i < cap->n_procs; i++)
		if (cap->procs[i] == p)
			break;
	if (i == cap->n_procs)
		return;
	memmove(&cap->procs[i], &cap->procs[i + 1],
		(cap->n_procs - i - 1) * sizeof(struct cri_cproc *));
	cap->n_procs--;
	proc_free(p);
	reindex(cap);
}

void cri_procs_clear(struct cri_capture *cap)
{
	uint32_t i;

	for (i = 0; i < cap->n_procs; i++)
		proc_free(cap->procs[i]);
	free(cap->procs);
	cap->procs = NULL;
	cap->n_procs = 0;
	cap->cap_procs = 0;
	cap->n_threads = 0;
	cri_idmap_fini(&cap->by_pid);
	cri_idmap_fini(&cap->by_inner);
}

bool cri_procs_omitted(const struct cri_capture *cap, pid_t pid)
{
	uint32_t i;

	for (i = 0; i < cap->n_omit; i++)
		if (cap->omit[i] == pid)
			return true;
	return pid == getpid() || cri_omit_marked(pid);
}

static int pid_push(pid_t **v, uint32_t *n, uint32_t *cap, pid_t pid)
{
	if (*n == *cap) {
		uint32_t size = *cap ? *cap * 2 : 64;
		pid_t *grown = realloc(*v, size * sizeof(pid_t));

		if (!grown)
			return -ENOMEM;
		*v = grown;
		*cap = size;
	}
	(*v)[(*n)++] = pid;
	return 0;
}

/* The numbers that are names in /proc/PID/what. */
static int numbers(pid_t pid, const char *what, int **list, uint32_t *n,
		   uint32_t *cap)
{
	struct dirent *e;
	char path[64];
	int ret = 0;
	DIR *d;

	*n = 0;
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!ret && (e = readdir(d)) != NULL)
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			ret = pid_push(list, n, cap, atoi(e->d_name));
	closedir(d);
	return ret;
}

int cri_procs_tids(pid_t pid, pid_t **tids, uint32_t *n, uint32_t *cap)
{
	return numbers(pid, "task", tids, n, cap);
}

int cri_procs_fds(pid_t pid, int **nums, uint32_t *n, uint32_t *room)
{
	return numbers(pid, "fd", nums, n, room);
}

int cri_procs_children(pid_t pid, pid_t **pids, uint32_t *n, uint32_t *cap)
{
	struct cri_text text = { 0 };
	pid_t *tids = NULL;
	uint32_t n_tids = 0, cap_tids = 0, i;
	int ret;

	*n = 0;
	ret = cri_procs_tids(pid, &tids, &n_tids, &cap_tids);
	for (i = 0; !ret && i < n_tids; i++) {
		char name[64];
		char *s, *end;

		snprintf(name, sizeof(name), "task/%d/children", tids[i]);
		if (cri_text_proc(&text, pid, name))
			continue; /* that thread has just ended */
		for (s = text.p; !ret; s = end) {
			long v = strtol(s, &end, 10);

			if (end == s)
				break;
			ret = pid_push(pids, n, cap, (pid_t)v);
		}
	}
	free(tids);
	cri_text_fini(&text);
	return ret;
}

static int by_start(const void *a, const void *b)
{
	const struct cri_pstat *x = a, *y = b;

	if (x->start_time != y->start_time)
		return x->start_time < y->start_time ? -1 : 1;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* In order of their start, so that parents come before children. */
int cri_procs_group(pid_t id, int which, pid_t **pids, uint32_t *n,
		    uint32_t *cap)
{
	struct cri_text text = { 0 };
	struct cri_pstat st, *all = NULL;
	uint32_t n_all = 0, i;
	struct dirent *e;
	int ret = 0;
	DIR *d;

	*n = 0;
	d = opendir("/proc");
	if (!d)
		return -errno;
	while ((e = readdir(d)) != NULL) {
		struct cri_pstat *grown;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
		    cri_text_proc(&text, atoi(e->d_name), "stat") ||
		    cri_pstat_parse(text.p, &st) ||
		    (which == 1 ? st.pgrp : st.session) != id)
			continue;
		grown = realloc(all, (n_all + 1) * sizeof(*all));
		if (!grown) {
			ret = -ENOMEM;
			goto out;
		}
		all = grown;
		all[n_all++] = st;
	}
	qsort(all, n_all, sizeof(*all), by_start);
	for (i = 0; !ret && i < n_all; i++)
		ret = pid_push(pids, n, cap, all[i].pid);
out:
	closedir(d);
	free(all);
	cri_text_fini(&text);
	return ret;
}

struct cri_cproc *cri_capture_proc(struct cri_capture *cap, pid_t inner_pid)
{
	uint64_t i = cri_idmap_get(&cap->by_inner, (uint64_t)inner_pid, 0);

	return i ? cap->procs[i - 1] : NULL;
}

int cri_procs_blame(const struct cri_cproc *p, int ret, struct cri_err *err)
{
	struct cri_text text = { 0 };
	struct cri_pstat st;
	char comm[65] = "?";

	if (!err || strncmp(err->text, "pid ", 4) == 0)
		return ret;
	if (cri_text_proc(&text, p->pid, "stat") == 0 &&
	    cri_pstat_parse(text.p, &st) == 0)
		memcpy(comm, st.comm, sizeof(comm));
	cri_text_fini(&text);
	(void)cri_fail(err, -ret, "%s", strerror(-ret));
	cri_err_prefix(err, "pid %d (%.64s)", p->pid, comm);
	return ret;
}
