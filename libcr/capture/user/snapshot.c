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

/* Filters hold for A and B too. */
static long suspend(const struct cri_cproc *p)
{
	return uproc(p)->seccomp_off ? PTRACE_O_SUSPEND_SECCOMP : 0;
}

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
					PTRACE_O_TRACESYSGOOD | suspend(p)));
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
			       (void *)(HELPER_OPTIONS | suspend(p)));
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
	ret = cri_user_poke(cri_live(p), at, r, n * sizeof(*r));
	free(r);
	if (!n)
		ret = 0;
	uproc(p)->ranges = n;
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
	ret = cri_user_peek(cri_live(p), uproc(p)->area + CB_AREA, &a,
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

/* Who gets B's zombie: init or a subreaper; one in the tree must not see it. */
static void note_reaper(struct cri_capture *cap, struct cri_cproc *p)
{
	struct cri_text text = { 0 };
	struct cri_pstatus st;

	if (cri_text_proc(&text, uproc(p)->snap, "status") == 0 &&
	    cri_pstatus_parse(text.p, &st) == 0 &&
	    cri_procs_find(cap, st.ppid))
		uproc(p)->reaped_by = st.ppid;
	cri_text_fini(&text);
}

int cri_user_snapshot(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_err why = { 0 };
	uint32_t i;
	int ret;

	if (!cri_user_headroom(cap)) {
		cri_capture_logf(cap, "too little memory for a snapshot: "
				      "writing while it stands");
		cap->held_write = true;
		return 0;
	}

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
		note_reaper(cap, p);
	}
	return 0;
}

static void end_snapshot(pid_t b)
{
	int status;

	kill(b, SIGKILL);
	while (cri_user_wait(b, &status, 5000) == 0 && WIFSTOPPED(status))
		continue;
}

/* This must be done even when the tool has gone. */
static bool never(struct cri_capture *cap)
{
	(void)cap;
	return false;
}

/*
 * B's parent is a subreaper of the program: stop that process, end B, let it
 * reap B by an injected wait4(), take back the SIGCHLD, go on.
 */
static void end_unseen(struct cri_capture *cap, pid_t reaper, pid_t b)
{
	struct cri_capture sub = *cap;
	uint32_t ops = CB_REAP;
	int32_t value = b;

	sub.scope = CR_EXT_SCOPE_PROC;
	sub.target = reaper;
	sub.procs = NULL;
	sub.n_procs = sub.cap_procs = sub.n_threads = 0;
	sub.by_pid = sub.by_inner = (struct cri_idmap){ 0 };
	sub.frozen = false;
	sub.set = NULL;
	sub.orphaned = never;
	sub.deadline = 0;
	if (cri_user_freeze(&sub, NULL) == 0 && !sub.procs[0]->zombie &&
	    cri_user_blob_in(sub.procs[0], NULL) == 0 &&
	    cri_user_poke(reaper,
			  uproc(sub.procs[0])->area + CB_AREA +
				  offsetof(struct cb_area, thread),
			  &value, sizeof(value)) == 0) {
		if (uproc(sub.procs[0])->status.shd_pnd & 1UL << (SIGCHLD - 1))
			ops |= CB_KEEP_CHLD;
		end_snapshot(b);
		(void)cri_user_blob_run(sub.procs[0], &sub.procs[0]->threads[0],
					ops, NULL, NULL);
	} else {
		end_snapshot(b);
	}
	(void)cri_user_thaw(&sub, NULL);
	cri_procs_clear(&sub);
}

void cri_user_snapshot_drop(struct cri_capture *cap)
{
	uint32_t i;

	for (i = 0; i < cap->n_procs; i++) {
		struct uproc *u = uproc(cap->procs[i]);

		cri_user_pages_close(cap->procs[i]);
		if (u && u->snap && !u->reaped_by)
			kill(u->snap, SIGKILL);
	}
	for (i = 0; i < cap->n_procs; i++) {
		struct uproc *u = uproc(cap->procs[i]);

		if (!u || !u->snap)
			continue;
		if (u->reaped_by)
			end_unseen(cap, u->reaped_by, u->snap);
		else
			end_snapshot(u->snap);
		u->snap = 0;
	}
}
