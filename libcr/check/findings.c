/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cr_checkpoint --check: what could not be saved or restored, found without
 * stopping anything.  Looks at the same things as the capture does, through
 * /proc and duplicates of descriptors; a program that runs on may change
 * while it is looked at, so what vanishes meanwhile is no finding.
 */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/capture.h"
#include "capture/files.h"
#include "capture/proctext.h"
#include "kind/kind.h"
#include "util/err.h"

struct look {
	struct cri_capture *cap;
	pid_t pid;
	char comm[65];
};

static void find(struct look *l, const char *what, const char *remedy,
		 int fatal)
{
	l->cap->finding(l->cap, l->pid, l->comm, what, remedy, fatal);
}

static void status(struct look *l, struct cri_text *text)
{
	struct cri_pstatus st;
	char what[128];

	if (cri_text_proc(text, l->pid, "status") ||
	    cri_pstatus_parse(text->p, &st))
		return;
	if (st.tracer) {
		snprintf(what, sizeof(what), "is traced by process %d",
			 st.tracer);
		find(l, what, "end the debugger, or use --ptraced-skip",
		     !(l->cap->flags & CR_EXT_PTRACED_SKIP));
	}
	if (!st.has_mm && st.state != 'Z')
		find(l, "is a kernel thread", "", 1);
}

static void mappings(struct look *l, struct cri_text *text)
{
	struct cri_mapline m;
	const char *at;
	struct cri_err err = { 0 };

	if (cri_text_proc(text, l->pid, "maps")) {
		find(l, "may not be looked at (another user's?)", "", 1);
		return;
	}
	for (at = text->p; cri_mapline_next(&at, &m) == 1;) {
		cri_err_clear(&err);
		if (cri_capture_map_refused(&m, &err))
			find(l, err.text, "", 1);
	}
}

static void one_fd(struct look *l, struct cri_cproc *p, int num,
		   struct cri_text *info)
{
	struct cri_probe probe = { .cap = l->cap, .set = l->cap->set,
				   .proc = p, .num = num };
	const struct cri_kind *kind;
	struct cri_err err = { 0 };
	struct cri_rec_ofd ofd = { 0 };
	char path[64];
	ssize_t n;

	probe.fd = (int)syscall(SYS_pidfd_getfd, p->pidfd, num, 0);
	if (probe.fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", p->pid, num);
	n = readlink(path, probe.link, sizeof(probe.link) - 1);
	snprintf(path, sizeof(path), "fdinfo/%d", num);
	if (fstat(probe.fd, &probe.st) == 0 && n > 0 &&
	    cri_text_proc(info, p->pid, path) == 0) {
		probe.link[n] = 0;
		probe.fdinfo = info->p;
		probe.ofd = &ofd;
		kind = cri_kind_match(&probe);
		if (!kind)
			(void)cri_capture_fd_story(&probe, -ENOTSUP, &err);
		else if (kind->check)
			(void)cri_capture_fd_story(
				&probe, kind->check(&probe, &err), &err);
		if (err.code == EAGAIN)
			find(l, err.text, "passes by itself", 0);
		else if (err.code)
			find(l, err.text, "close it, or leave it out", 1);
	}
	close(probe.fd);
}

static int process(struct look *l, struct cri_text *text)
{
	struct cri_cproc p = { .pid = l->pid, .inner_pid = l->pid,
			       .proc_fd = -1 };
	struct cri_pstat st;
	uint32_t n = 0, room = 0, i;
	int *nums = NULL;

	if (cri_text_proc(text, l->pid, "stat") ||
	    cri_pstat_parse(text->p, &st))
		return 0;
	memcpy(l->comm, st.comm, sizeof(l->comm));
	if (st.state == 'Z')
		return 0;
	status(l, text);
	mappings(l, text);
	p.pidfd = (int)syscall(SYS_pidfd_open, l->pid, 0);
	if (p.pidfd >= 0 && cri_procs_fds(l->pid, &nums, &n, &room) == 0)
		for (i = 0; i < n; i++)
			one_fd(l, &p, nums[i], text);
	if (p.pidfd >= 0)
		close(p.pidfd);
	free(nums);
	return 0;
}

/* The pids in scope, without holding any of them. */
static int scope(struct cri_capture *cap, pid_t **pids, uint32_t *n)
{
	uint32_t room = 0, k, i, m = 0, kroom = 0;
	pid_t *kids = NULL, *grown;
	int ret = 0;

	if (cap->scope == CR_EXT_SCOPE_PGRP || cap->scope == CR_EXT_SCOPE_SESS)
		return cri_procs_group(cap->target,
				       cap->scope == CR_EXT_SCOPE_PGRP ? 1 : 2,
				       pids, n, &room);
	*pids = malloc(sizeof(pid_t));
	if (!*pids)
		return -ENOMEM;
	(*pids)[0] = cap->target;
	*n = 1;
	for (i = 0; i < *n && cap->scope == CR_EXT_SCOPE_TREE; i++) {
		if (cri_procs_children((*pids)[i], &kids, &m, &kroom))
			continue;
		grown = realloc(*pids, (*n + m) * sizeof(pid_t));
		if (!grown) {
			ret = -ENOMEM;
			break;
		}
		*pids = grown;
		for (k = 0; k < m; k++)
			if (!cri_procs_omitted(cap, kids[k]))
				(*pids)[(*n)++] = kids[k];
	}
	free(kids);
	return ret;
}

/* The table of processes, by which kinds know who is in the tree. */
static int enlist(struct cri_capture *cap, const pid_t *pids, uint32_t n,
		  struct cri_text *text)
{
	struct cri_pstatus st;
	struct cri_cproc *p;
	uint32_t i;
	int ret;

	for (i = 0; i < n; i++) {
		if (cri_text_proc(text, pids[i], "status") ||
		    cri_pstatus_parse(text->p, &st))
			continue;
		ret = cri_procs_add(cap, pids[i], &p);
		if (ret)
			return ret;
		p->inner_pid = st.inner_pid;
		p->ppid = st.ppid;
		ret = cri_idmap_put(&cap->by_inner, (uint64_t)st.inner_pid, 0,
				    cap->n_procs);
		if (ret)
			return ret;
	}
	return 0;
}

int cri_capture_check(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_text text = { 0 };
	struct look l = { .cap = cap };
	pid_t *pids = NULL;
	uint32_t n = 0, i;
	int ret;

	cap->fatal = 0;
	cap->progress(cap, CR_EXT_PHASE_CHECK, 0, 0);
	ret = scope(cap, &pids, &n);
	if (!ret && (n == 0 || (n == 1 && kill(pids[0], 0) != 0 &&
				errno == ESRCH)))
		ret = cri_fail(err, ESRCH, "no process %d in scope",
			       cap->target);
	if (!ret)
		ret = enlist(cap, pids, n, &text);
	for (i = 0; !ret && i < n; i++) {
		l.pid = pids[i];
		ret = process(&l, &text);
	}
	cri_procs_clear(cap);
	if (!ret && cap->fatal)
		ret = cri_fail(err, ENOTSUP, "%u finding%s forbid%s a checkpoint",
			       cap->fatal, cap->fatal > 1 ? "s" : "",
			       cap->fatal > 1 ? "" : "s");
	cri_text_fini(&text);
	free(pids);
	return ret;
}
