/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshot of private memory: in every process helper A (shares all,
 * exit_signal 0) clones B, which drops descriptors and shared memory and then
 * stands, traced with EXITKILL, until it has been read.  A is reaped in the
 * same stop; B's parent is then init or a subreaper.  Where a clone fails
 * (limits on processes or memory) nothing is lost: the image is written while
 * the program stands.
 */
#include "config.h"

#include "capture/user/user.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "util/err.h"

#define HELPER_OPTIONS                                                         \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK)
#define STEP_MS 60000

/* B runs from its birth to the signal at the end of its clean-up. */
static int settle_snapshot(struct cri_cproc *p, pid_t b, struct cri_err *err)
{
	struct uproc *u = uproc(p);
	int how = u->end_signal ? PTRACE_CONT : PTRACE_SYSCALL;
	int status, ret;

	u->snap = b;
	for (;;) {
		ret = cri_user_wait(b, &status, STEP_MS);
		if (ret || !WIFSTOPPED(status)) {
			u->snap = 0;
			return cri_fail(err, ret ? -ret : ESRCH,
					"the snapshot is lost");
		}
		if (status >> 16 == PTRACE_EVENT_STOP)
			ptrace(PTRACE_SETOPTIONS, b, NULL,
			       (void *)(PTRACE_O_EXITKILL |
					PTRACE_O_TRACESYSGOOD));
		else if (u->end_signal && status >> 8 == u->end_signal)
			return 0;
		else if (!u->end_signal && status >> 8 == (SIGTRAP | 0x80)) {
			struct user_regs_struct r;

			/* Its kill() of itself: the end. */
			if (ptrace(PTRACE_GETREGS, b, NULL, &r) == 0 &&
			    r.orig_rax == 62)
				return 0;
		}
		ptrace(how, b, NULL, NULL);
	}
}

static int helper_loop(struct cri_cproc *p, pid_t a, struct cri_err *err)
{
	unsigned long msg;
	int status, ret;

	for (;;) {
		ret = cri_user_wait(a, &status, STEP_MS);
		if (ret)
			return cri_fail(err, -ret, "snapshot helper is lost");
		if (!WIFSTOPPED(status))
			return 0;
		if (status >> 16 == PTRACE_EVENT_STOP)
			ptrace(PTRACE_SETOPTIONS, a, NULL,
			       (void *)HELPER_OPTIONS);
		msg = 0;
		if (status >> 16 == PTRACE_EVENT_CLONE ||
		    status >> 16 == PTRACE_EVENT_FORK)
			ptrace(PTRACE_GETEVENTMSG, a, NULL, &msg);
		ptrace(PTRACE_CONT, a, NULL, NULL);
		if (msg) {
			ret = settle_snapshot(p, (pid_t)msg, err);
			if (ret)
				return ret;
		}
	}
}

/* The thread stands in its event; A is born and traced. */
static int on_event(struct cri_cproc *p, int event, pid_t msg,
		    struct cri_err *err)
{
	if (event != PTRACE_EVENT_VFORK || msg <= 0)
		return 0;
	return helper_loop(p, msg, err);
}

static int put_ranges(struct cri_cproc *p, struct cri_err *err)
{
	const struct cri_rec_mm *mm = p->mm;
	uint64_t at = uproc(p)->area + CB_AREA + sizeof(struct cb_area);
	uint64_t room = (uproc(p)->area_size - CB_STACK - 2 * CB_HELPER_STACK -
			 CB_AREA - sizeof(struct cb_area)) /
			sizeof(struct cb_range);
	struct cb_range *r = NULL;
	uint32_t i, n = 0;
	int ret;

	r = calloc(mm->n_vmas + 1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	for (i = 0; i < mm->n_vmas; i++) {
		const struct cri_vma *v = &mm->vmas[i];

		if (!(v->flags & CRI_VMA_SHARED))
			continue;
		if (n && r[n - 1].start + r[n - 1].len == v->start)
			r[n - 1].len += v->end - v->start;
		else
			r[n++] = (struct cb_range){ v->start,
						    v->end - v->start };
	}
	/* Rather keep some mapped than fail: it is only politeness. */
	if (n > room)
		n = (uint32_t)room;
	ret = cri_user_poke(p->pid, at, r, n * sizeof(*r));
	free(r);
	if (!n)
		ret = 0;
	if (!ret)
		ret = cri_user_poke(p->pid,
				    uproc(p)->area + CB_AREA +
					    offsetof(struct cb_area, ranges),
				    &n, sizeof(n));
	return ret ? cri_fail(err, -ret, "blob: %s", strerror(-ret)) : 0;
}

static int clone_one(struct cri_cproc *p, struct cri_err *err)
{
	struct cb_area a;
	int ret;

	ret = cri_user_blob_in(p, err);
	if (!ret)
		ret = put_ranges(p, err);
	if (!ret)
		ret = cri_user_blob_run(p, &p->threads[0], CB_SNAPSHOT,
					on_event, err);
	if (ret)
		return ret;
	ret = cri_user_peek(p->pid, uproc(p)->area + CB_AREA, &a,
			    offsetof(struct cb_area, thread));
	if (ret)
		return cri_fail(err, -ret, "blob's answer: %s",
				strerror(-ret));
	if (a.helper < 0)
		return a.helper;
	if (a.child < 0)
		return a.child;
	return uproc(p)->snap ? 0 : -EIO;
}

int cri_user_snapshot(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_err why = { 0 };
	uint32_t i;
	int ret;

	for (i = 0; i < cap->n_procs; i++) {
		struct cri_cproc *p = cap->procs[i];

		if (p->zombie || !p->owns_mm)
			continue;
		ret = clone_one(p, &why);
		if (ret == -ENOMEM || ret == -EAGAIN || ret == -ENOSPC) {
			cri_capture_logf(cap,
					 "no snapshot of pid %d (%s): writing "
					 "while it stands",
					 p->pid, strerror(-ret));
			cri_user_snapshot_drop(cap);
			cap->held_write = true;
			return 0;
		}
		if (ret) {
			(void)cri_fail(err, -ret, "%s",
				       why.text[0] ? why.text : "snapshot");
			return cri_procs_blame(p, ret, err);
		}
	}
	return 0;
}

void cri_user_snapshot_drop(struct cri_capture *cap)
{
	uint32_t i;
	int status;

	for (i = 0; i < cap->n_procs; i++) {
		struct uproc *u = uproc(cap->procs[i]);

		cri_user_pages_close(cap->procs[i]);
		if (u && u->snap)
			kill(u->snap, SIGKILL);
	}
	for (i = 0; i < cap->n_procs; i++) {
		struct uproc *u = uproc(cap->procs[i]);

		if (!u || !u->snap)
			continue;
		while (cri_user_wait(u->snap, &status, 5000) == 0 &&
		       WIFSTOPPED(status))
			continue;
		u->snap = 0;
	}
}
