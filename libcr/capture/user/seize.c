/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stop and let go.  Everything is seized first, which stops nothing; seized
 * tasks pass our tracing on to all they create, so once a look at a process
 * finds only seized threads nothing can escape.  Then all are interrupted.
 * SIGCHLD is blocked in the guardian: waits sleep in sigtimedwait().
 */
#include "config.h"

#include "api/channel.h"
#include "capture/user/user.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/err.h"

#define OPTIONS                                                                \
	(PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |      \
	 PTRACE_O_TRACESYSGOOD)
#define STOP_MS 10000 /* for a thread in an uninterruptible sleep */
#define VFORK_MS 3 /* then look whether it waits for a vfork child */

#define CR_EPTRACED 2360
#define CR_EPTRACER 2361

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int cri_user_wait(pid_t tid, int *status, unsigned int time_ms)
{
	uint64_t until = now_ns() + (uint64_t)time_ms * 1000000u;
	struct timespec nap = { .tv_nsec = 2000000 };
	sigset_t chld;
	pid_t got;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		got = waitpid(tid, status, __WALL | WNOHANG);
		if (got == tid)
			return 0;
		if (got < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		if (now_ns() > until)
			return -EAGAIN;
		(void)sigtimedwait(&chld, NULL, &nap);
	}
}

static int add_thread(struct cri_capture *cap, struct cri_cproc *p, pid_t tid)
{
	struct cri_cthread *t;
	int ret;

	if (cri_idmap_get(&cap->by_pid, (uint64_t)tid, 1))
		return 0;
	ret = cri_idmap_put(&cap->by_pid, (uint64_t)tid, 1, 1);
	if (ret)
		return ret;
	t = cri_procs_add_thread(p, tid);
	if (!t)
		return -ENOMEM;
	t->engine = calloc(1, sizeof(struct uthread));
	if (!t->engine) {
		p->n_threads--;
		return -ENOMEM;
	}
	if (t->leader && p->n_threads > 1) {
		struct cri_cthread first = p->threads[0];

		p->threads[0] = *t;
		*t = first;
	}
	cap->n_threads++;
	return 0;
}

static bool ours(pid_t tid)
{
	struct cri_text text = { 0 };
	struct cri_pstatus st = { 0 };
	bool yes = cri_text_proc(&text, tid, "status") == 0 &&
		   cri_pstatus_parse(text.p, &st) == 0 &&
		   st.tracer == getpid();

	cri_text_fini(&text);
	return yes;
}

static long options(const struct cri_cproc *p)
{
	return uproc(p)->seccomp_off ? OPTIONS | PTRACE_O_SUSPEND_SECCOMP :
				       OPTIONS;
}

/*
 * Under Yama the program itself must let us: ask it by its request channel
 * and try again until it has.
 */
static int seize_asking(struct cri_cproc *p, pid_t tid)
{
	const struct timespec ms = { 0, 1000000 };
	int i;

	if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options(p)) == 0)
		return 0;
	if (errno != EPERM || ours(tid) || cri_channel_arm(p->pid) != 0) {
		errno = errno == ESRCH ? ESRCH : EPERM;
		return -errno;
	}
	for (i = 0; i < 200; i++) {
		if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)options(p)) == 0)
			return 0;
		if (errno != EPERM)
			break;
		nanosleep(&ms, NULL);
	}
	return -errno;
}

/* 1: newly added, 0: known or gone, else -errno. */
static int seize_thread(struct cri_capture *cap, struct cri_cproc *p, pid_t tid,
			struct cri_err *err)
{
	int ret;

	if (cri_idmap_get(&cap->by_pid, (uint64_t)tid, 1))
		return 0;
	ret = seize_asking(p, tid);
	if (ret) {
		if (ret == -ESRCH)
			return 0;
		if (tid == p->pid && p->leaderless)
			return 0;
		if (!ours(tid)) {
			(void)cri_fail(err, -ret,
				       "may not be traced: %s (another user's, "
				       "set-id, or started without cr_run "
				       "where Yama is in force)",
				       strerror(-ret));
			return ret;
		}
	}
	ret = add_thread(cap, p, tid);
	return ret ? ret : 1;
}

static int seize_process(struct cri_capture *cap, struct cri_cproc *p,
			 struct cri_err *err)
{
	pid_t *tids = NULL;
	uint32_t n = 0, room = 0, i;
	bool found = true;
	int ret = 0;

	while (found) {
		found = false;
		ret = cri_procs_tids(p->pid, &tids, &n, &room);
		if (ret)
			break;
		for (i = 0; i < n; i++) {
			ret = seize_thread(cap, p, tids[i], err);
			if (ret < 0)
				goto out;
			found |= ret > 0;
		}
		ret = 0;
	}
out:
	free(tids);
	return ret;
}

/* What forbids it: set p->zombie and such.  1: leave it out. */
static int judge(struct cri_capture *cap, struct cri_cproc *p,
		 struct cri_err *err)
{
	struct cri_text text = { 0 };
	struct uproc *u = uproc(p);
	int ret;

	ret = cri_text_proc(&text, p->pid, "status");
	if (!ret)
		ret = cri_pstatus_parse(text.p, &u->status);
	cri_text_fini(&text);
	if (ret)
		return ret == -ENOENT ? -ESRCH : ret;
	u->status.groups = NULL;
	p->ppid = u->status.ppid;
	p->inner_pid = u->status.inner_pid;
	if (u->status.state == 'Z' || u->status.state == 'X') {
		p->zombie = u->status.threads <= 1;
		p->leaderless = !p->zombie;
		return 0;
	}
	p->stopped = u->status.state == 'T';
	if (u->status.tracer && u->status.tracer != getpid()) {
		if (cap->flags & CR_EXT_PTRACED_SKIP)
			return 1;
		return cri_fail(err, CR_EPTRACED,
				"is traced by process %d (a debugger?)",
				u->status.tracer);
	}
	if (!u->status.has_mm && (p->pid == 2 || p->ppid == 2))
		return cri_fail(err, EPERM, "is a kernel thread");
	if (!u->status.has_mm)
		return -ESRCH; /* on its way out */
	if (u->status.ns_depth !=
	    (cap->n_procs ? uproc(cap->procs[0])->status.ns_depth : 0))
		return cri_fail(err, ENOTSUP,
				"lives in a PID namespace of its own (not "
				"supported)");
	return cri_user_seccomp(cap, p, err);
}

static int add_process(struct cri_capture *cap, pid_t pid,
		       struct cri_cproc **out, struct cri_err *err)
{
	struct cri_cproc *p;
	int ret;

	*out = NULL;
	if (cri_procs_find(cap, pid) || cri_procs_omitted(cap, pid))
		return 0;
	ret = cri_procs_add(cap, pid, &p);
	if (ret)
		return ret;
	p->engine = calloc(1, sizeof(struct uproc));
	if (!p->engine)
		return -ENOMEM;
	ret = judge(cap, p, err);
	if (ret == 0 && !p->zombie)
		ret = seize_process(cap, p, err);
	/* It dies at this moment: settle_dead() sees what becomes of it. */
	if (ret == -ESRCH && !uproc(p)->status.tgid)
		ret = 1;
	else if (ret == -ESRCH)
		ret = 0;
	if (ret == 1) {
		cri_procs_drop(cap, p);
		return 0;
	}
	if (ret)
		return cri_procs_blame(p, ret, err);
	*out = p;
	return 0;
}

static int add_tree(struct cri_capture *cap, uint32_t from, struct cri_err *err)
{
	pid_t *pids = NULL;
	uint32_t n = 0, room = 0, i, k;
	struct cri_cproc *p;
	int ret = 0;

	for (i = from; i < cap->n_procs; i++) {
		if (cap->procs[i]->zombie)
			continue;
		ret = cri_procs_children(cap->procs[i]->pid, &pids, &n, &room);
		if (ret == -ESRCH)
			ret = 0;
		for (k = 0; !ret && k < n; k++)
			ret = add_process(cap, pids[k], &p, err);
		if (ret)
			break;
	}
	free(pids);
	return ret;
}

static int add_group(struct cri_capture *cap, int which, struct cri_err *err)
{
	pid_t *pids = NULL;
	uint32_t n = 0, room = 0, i, before;
	struct cri_cproc *p;
	int ret = 0;

	/* Forks between look and seizure: look again until nothing is new. */
	do {
		before = cap->n_procs;
		ret = cri_procs_group(cap->target, which, &pids, &n, &room);
		for (i = 0; !ret && i < n; i++)
			ret = add_process(cap, pids[i], &p, err);
	} while (!ret && cap->n_procs != before);
	free(pids);
	return ret;
}

static int discover(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_cproc *p;
	int ret;

	if (cap->scope == CR_EXT_SCOPE_PGRP)
		return add_group(cap, 1, err);
	if (cap->scope == CR_EXT_SCOPE_SESS)
		return add_group(cap, 2, err);
	ret = add_process(cap, cap->target, &p, err);
	if (!ret && cap->scope == CR_EXT_SCOPE_TREE)
		ret = add_tree(cap, 0, err);
	return ret;
}

/* A tracee told of a task it made: it is ours already. */
static int born(struct cri_capture *cap, struct cri_cproc *parent, pid_t tid,
		struct cri_err *err)
{
	struct cri_text text = { 0 };
	struct cri_pstatus st = { 0 };
	struct cri_cproc *p;
	int ret;

	ret = cri_text_proc(&text, tid, "status");
	if (!ret)
		ret = cri_pstatus_parse(text.p, &st);
	cri_text_fini(&text);
	if (ret)
		return 0; /* already gone; its wait status says so */
	if (st.tgid == parent->pid)
		return add_thread(cap, parent, tid);
	if (cap->scope == CR_EXT_SCOPE_PROC) {
		/* Not in scope: let it go as soon as it stands. */
		int status;

		if (cri_user_wait(tid, &status, STOP_MS) == 0)
			ptrace(PTRACE_DETACH, tid, NULL, NULL);
		return 0;
	}
	return add_process(cap, st.tgid, &p, err);
}

/* A leader that has ended while its threads live tells its tracer nothing. */
static bool is_zombie(pid_t tid)
{
	struct cri_text text = { 0 };
	struct cri_pstat st;
	bool yes = cri_text_proc(&text, tid, "stat") == 0 &&
		   cri_pstat_parse(text.p, &st) == 0 && st.state == 'Z';

	cri_text_fini(&text);
	return yes;
}

static bool waits_for_vfork(pid_t tid)
{
	struct cri_text text = { 0 };
	long nr = -1;

	if (cri_text_proc(&text, tid, "syscall") == 0)
		nr = strtol(text.p, NULL, 10);
	cri_text_fini(&text);
	return nr == 56 || nr == 58 || nr == 435;
}

static int wait_thread(struct cri_capture *cap, struct cri_cproc *p,
		       struct cri_cthread *t, int *status, struct cri_err *err)
{
	unsigned int waited = 0;
	int ret;

	for (;;) {
		ret = cri_user_wait(t->tid, status, VFORK_MS);
		if (ret != -EAGAIN)
			return ret;
		if (t->leader && p->n_threads > 1 && is_zombie(t->tid)) {
			p->leaderless = true;
			return -ECHILD;
		}
		if (waits_for_vfork(t->tid))
			return cri_fail(err, EAGAIN,
					"thread %d waits for a vfork child",
					t->tid);
		waited += VFORK_MS;
		ret = cri_capture_alive(cap, err);
		if (ret)
			return ret;
		if (waited > STOP_MS)
			return cri_fail(err, EBUSY,
					"thread %d does not stop (sleeps "
					"uninterruptibly)",
					t->tid);
	}
}

/*
 * Thread i of p: wait for its stop.  The arrays may move meanwhile (births),
 * so it is addressed by index.
 */
static int settle(struct cri_capture *cap, struct cri_cproc *p, uint32_t i,
		  struct cri_err *err)
{
	struct uthread *u = uthread(&p->threads[i]);
	pid_t tid = p->threads[i].tid;
	int status, event, sig, ret;
	unsigned long msg;

	while (u->state == UT_SEIZED) {
		ret = wait_thread(cap, p, &p->threads[i], &status, err);
		if (ret == -ECHILD) {
			u->state = UT_GONE;
			break;
		}
		if (ret)
			return ret;
		if (!WIFSTOPPED(status)) {
			u->state = UT_GONE;
			break;
		}
		event = status >> 16;
		sig = WSTOPSIG(status);
		if (event == PTRACE_EVENT_STOP) {
			u->state = UT_STOPPED;
			u->group_stop = sig != SIGTRAP ? sig : 0;
			break;
		}
		if (event != 0) {
			msg = 0;
			if (ptrace(PTRACE_GETEVENTMSG, tid, NULL, &msg) == 0)
				ret = born(cap, p, (pid_t)msg, err);
			sig = 0;
		}
		/* A signal is delivered as usual; the stop comes after it. */
		ptrace(PTRACE_CONT, tid, NULL, (void *)(long)sig);
		if (ret)
			return ret;
	}
	return 0;
}

static void drop_dead_threads(struct cri_capture *cap, struct cri_cproc *p)
{
	uint32_t k;

	for (k = 0; k < p->n_threads;) {
		if (uthread(&p->threads[k])->state == UT_GONE) {
			cri_procs_drop_thread(p, k);
			cap->n_threads--;
		} else {
			k++;
		}
	}
}

/* Is it a zombie that a process of ours has still to wait for? */
static bool unreaped(struct cri_capture *cap, struct cri_cproc *p)
{
	struct cri_text text = { 0 };
	struct cri_pstat st;
	bool yes = cri_text_proc(&text, p->pid, "stat") == 0 &&
		   cri_pstat_parse(text.p, &st) == 0 && st.state == 'Z' &&
		   cri_procs_find(cap, st.ppid);

	if (yes)
		p->ppid = st.ppid;
	cri_text_fini(&text);
	return yes;
}

/*
 * Now nothing moves any more: some have died since they were found, and some
 * of the dead were waited for.
 */
static void settle_dead(struct cri_capture *cap)
{
	uint32_t i;

	for (i = 0; i < cap->n_procs; i++)
		drop_dead_threads(cap, cap->procs[i]);
	for (i = 0; i < cap->n_procs;) {
		struct cri_cproc *p = cap->procs[i];

		if (p->n_threads == 0) {
			p->zombie = true;
			p->leaderless = false;
			if (!unreaped(cap, p)) {
				cri_procs_drop(cap, p);
				continue;
			}
		}
		i++;
	}
}

static int stop_all(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t i, k;
	int ret;

	cap->pause_from = now_ns();
	for (i = 0; i < cap->n_procs; i++)
		for (k = 0; k < cap->procs[i]->n_threads; k++)
			ptrace(PTRACE_INTERRUPT, cap->procs[i]->threads[k].tid,
			       NULL, NULL);
	for (i = 0; i < cap->n_procs; i++) {
		for (k = 0; k < cap->procs[i]->n_threads; k++) {
			ret = settle(cap, cap->procs[i], k, err);
			if (ret)
				return cri_procs_blame(cap->procs[i], ret, err);
		}
	}
	settle_dead(cap);
	return 0;
}

int cri_user_freeze(struct cri_capture *cap, struct cri_err *err)
{
	int ret;

	cap->frozen = true; /* from here on there is something to undo */
	ret = discover(cap, err);
	if (ret)
		return ret;
	if (cap->n_procs == 0)
		return cri_fail(err, ESRCH, "no process %d in scope",
				cap->target);
	cri_user_observe(cap);
	ret = stop_all(cap, err);
	if (ret)
		return ret;
	if (cap->n_procs == 0)
		return cri_fail(err, ESRCH, "process %d ended meanwhile",
				cap->target);
	return 0;
}

/* From whatever stop it is in, or running, to untraced. */
static void let_go(struct cri_cproc *p, struct cri_cthread *t)
{
	struct uthread *u = uthread(t);
	int status;

	if (u->state == UT_SEIZED) {
		ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
		for (;;) {
			int sig = 0;

			if (cri_user_wait(t->tid, &status, 1000) ||
			    !WIFSTOPPED(status))
				return;
			if (status >> 16 == PTRACE_EVENT_STOP)
				break;
			if (status >> 16 == 0)
				sig = WSTOPSIG(status);
			ptrace(PTRACE_CONT, t->tid, NULL, (void *)(long)sig);
		}
	}
	/* Given up early: the calls that were interrupted need repair. */
	if (u->state != UT_GONE)
		(void)cri_user_regs(p, t, NULL);
	if (u->state != UT_GONE)
		ptrace(PTRACE_DETACH, t->tid, NULL, NULL);
	u->state = UT_GONE;
}

int cri_user_thaw(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t i, k;

	(void)err;
	/* Children first: a parent that waits in vfork() needs its child. */
	for (i = cap->n_procs; i-- > 0;) {
		struct cri_cproc *p = cap->procs[i];

		if (p->zombie || !p->engine)
			continue;
		(void)cri_user_blob_out(p, NULL);
		for (k = 0; k < p->n_threads; k++)
			let_go(p, &p->threads[k]);
	}
	if (cap->frozen && cap->pause_from)
		cap->pause_ns = now_ns() - cap->pause_from;
	cap->frozen = false;
	return 0;
}

int cri_user_kill(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t i, k;
	int status;

	(void)err;
	for (i = 0; i < cap->n_procs; i++)
		if (!cap->procs[i]->zombie)
			kill(cap->procs[i]->pid, SIGKILL);
	for (i = 0; i < cap->n_procs; i++) {
		struct cri_cproc *p = cap->procs[i];

		/* The leader's status comes last, when the others are gone. */
		for (k = p->n_threads; k-- > 0;) {
			do {
				if (cri_user_wait(p->threads[k].tid, &status,
						  STOP_MS))
					break;
			} while (WIFSTOPPED(status));
			uthread(&p->threads[k])->state = UT_GONE;
		}
	}
	cap->frozen = false;
	return 0;
}
