/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a restart, by ptrace: each thread, parked in the blob, gets back
 * its registers, extended state and signal mask; interrupted timed calls are
 * begun again with what was left of their time, so that the kernel's restart
 * state is there; the leader unmaps the plan area through the vdso.  Then all
 * are detached, and the program runs.
 */
#include "config.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restore/go.h"
#include "util/fault.h"

#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#define OPTIONS (unsigned long)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)
#define XSTATE_MAX 65536
#define XSTATE_BV 512 /* offset of the xsave header */

static int trouble(const struct cri_rthread *th, int code, const char *what,
		   struct cri_err *err)
{
	return cri_fail(err, code, "thread %u of process %u (%s): %s",
			th->rec->tid, th->task->rec->pid, th->task->rec->comm,
			what);
}

int cri_takeover_seize(struct cri_restore *rs, struct cri_err *err)
{
	unsigned long options;
	uint32_t i;

	for (i = 0; i < rs->n_threads; i++) {
		struct cri_rthread *th = &rs->threads[i];

		th->tid = (pid_t)th->prog->pid;
		options = OPTIONS;
		if (cri_task_filtered(th->task->rec))
			options |= PTRACE_O_SUSPEND_SECCOMP;
		if (ptrace(PTRACE_SEIZE, th->tid, NULL, (void *)options))
			return trouble(th, errno, "cannot be traced", err);
		th->seized = true;
	}
	return 0;
}

/* Wait for the stop that event says (0: a syscall stop). */
static int stopped(struct cri_rthread *th, int event, struct cri_err *err)
{
	int status;

	for (;;) {
		if (waitpid(th->tid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return trouble(th, errno, "lost", err);
		}
		if (!WIFSTOPPED(status))
			return trouble(th, ESRCH, "died", err);
		if (event ? status >> 16 == event :
			    WSTOPSIG(status) == (SIGTRAP | 0x80))
			return 0;
		if (ptrace(event ? PTRACE_CONT : PTRACE_SYSCALL, th->tid, NULL,
			   NULL))
			return trouble(th, errno, "cannot go on", err);
	}
}

static int interrupt_all(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t i;
	int ret;

	for (i = 0; i < rs->n_threads; i++)
		if (ptrace(PTRACE_INTERRUPT, rs->threads[i].tid, NULL, NULL))
			return trouble(&rs->threads[i], errno,
				       "cannot be interrupted", err);
	for (i = 0; i < rs->n_threads; i++) {
		ret = stopped(&rs->threads[i], PTRACE_EVENT_STOP, err);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Let the thread make one system call at the vdso's instruction and stop it
 * again on its way out (or, of a call that waits, in it).
 */
static int call(struct cri_restore *rs, struct cri_rthread *th,
		struct user_regs_struct *regs, long *result,
		struct cri_err *err)
{
	uint64_t vdso =
		cri_vdso_place(rs, th->task) + (rs->vdso - rs->parts[0].start);
	struct iovec iov = { regs, sizeof(*regs) };
	int ret;

	regs->rip = vdso + rs->vdso_syscall;
	regs->orig_rax = (unsigned long long)-1;
	if (ptrace(PTRACE_SETREGSET, th->tid, (void *)NT_PRSTATUS, &iov) ||
	    ptrace(PTRACE_SYSCALL, th->tid, NULL, NULL))
		return trouble(th, errno, "cannot be driven", err);
	ret = stopped(th, 0, err);
	if (ret)
		return ret;
	if (ptrace(PTRACE_INTERRUPT, th->tid, NULL, NULL) ||
	    ptrace(PTRACE_CONT, th->tid, NULL, NULL))
		return trouble(th, errno, "cannot be driven", err);
	ret = stopped(th, PTRACE_EVENT_STOP, err);
	if (ret)
		return ret;
	iov.iov_len = sizeof(*regs);
	if (ptrace(PTRACE_GETREGSET, th->tid, (void *)NT_PRSTATUS, &iov))
		return trouble(th, errno, "cannot be read", err);
	*result = (long)regs->rax;
	return 0;
}

/* Put the rest of the time where the call's argument asks for it. */
static void shorten(struct cri_restore *rs, const struct cri_rthread *th,
		    struct user_regs_struct *regs)
{
	const struct cri_rec_thread *rec = th->rec;
	struct timespec *ts;

	if (rec->sleep_kind == CRI_SLEEP_POLL) {
		regs->rdx = (rec->sleep_left + 999999) / 1000000;
		return;
	}
	ts = cri_area_alloc(rs, sizeof(*ts), 16);
	if (!ts)
		return;
	ts->tv_sec = (time_t)(rec->sleep_left / 1000000000);
	ts->tv_nsec = (long)(rec->sleep_left % 1000000000);
	if (rec->sleep_kind == CRI_SLEEP_FUTEX)
		regs->r10 = (uint64_t)ts;
	else if (regs->rax == SYS_clock_nanosleep)
		regs->rdx = (uint64_t)ts;
	else
		regs->rdi = (uint64_t)ts;
}

/* Begin a sleep again, so that the kernel knows how to go on with it. */
static int sleep_again(struct cri_restore *rs, struct cri_rthread *th,
		       struct user_regs_struct *final, struct cri_err *err)
{
	struct user_regs_struct regs = *final;
	long result = 0;
	int ret;

	regs.rax = final->orig_rax;
	shorten(rs, th, &regs);
	ret = call(rs, th, &regs, &result, err);
	if (ret)
		return ret;
	final->rax = (unsigned long long)result;
	if (result != -ERESTART_RESTARTBLOCK)
		final->orig_rax = (unsigned long long)-1;
	return 0;
}

static int sleeps(struct cri_restore *rs, struct cri_rthread *th,
		  struct user_regs_struct *regs, struct cri_err *err)
{
	uint32_t kind = th->rec->sleep_kind;

	/* A poll without an end has no rest: it begins anew as it was. */
	if (kind == CRI_SLEEP_NANOSLEEP || kind == CRI_SLEEP_FUTEX ||
	    (kind == CRI_SLEEP_POLL && (int)regs->rdx >= 0))
		return sleep_again(rs, th, regs, err);
	if (kind == CRI_SLEEP_POLL)
		regs->rax = (unsigned long long)-ERESTARTNOHAND;
	return 0;
}

static int drop_area(struct cri_restore *rs, struct cri_rtask *t,
		     struct cri_err *err)
{
	struct user_regs_struct regs;
	long result = 0;
	int ret;

	memset(&regs, 0, sizeof(regs));
	memcpy(&regs, t->threads->rec->regs.p, sizeof(regs));
	regs.rax = SYS_munmap;
	regs.rdi = (uint64_t)rs->area_base;
	regs.rsi = rs->area_size;
	ret = call(rs, t->threads, &regs, &result, err);
	if (!ret && result)
		ret = trouble(t->threads, (int)-result, "cannot unmap the plan",
			      err);
	return ret;
}

/* The area as the kernel here lays it out; bits it lacks were refused. */
static int set_xstate(struct cri_rthread *th, struct cri_err *err)
{
	const struct cri_bytes *x = &th->rec->xstate;
	char *buf = calloc(1, XSTATE_MAX);
	struct iovec iov = { buf, XSTATE_MAX };
	int ret = 0;

	if (!buf)
		return -ENOMEM;
	if (ptrace(PTRACE_GETREGSET, th->tid, (void *)NT_X86_XSTATE, &iov)) {
		ret = trouble(th, errno, "its extended state", err);
		goto out;
	}
	memset(buf + XSTATE_BV, 0, iov.iov_len - XSTATE_BV);
	memcpy(buf, x->p, x->len < iov.iov_len ? x->len : iov.iov_len);
	if (ptrace(PTRACE_SETREGSET, th->tid, (void *)NT_X86_XSTATE, &iov))
		ret = trouble(th, errno, "setting its extended state", err);
out:
	free(buf);
	return ret;
}

static int set_thread(struct cri_rthread *th, struct user_regs_struct *regs,
		      struct cri_err *err)
{
	struct iovec iov = { regs, sizeof(*regs) };
	uint64_t mask = th->rec->sigmask;

	if (ptrace(PTRACE_SETREGSET, th->tid, (void *)NT_PRSTATUS, &iov))
		return trouble(th, errno, "setting its registers", err);
	if (ptrace(PTRACE_SETSIGMASK, th->tid, (void *)sizeof(mask), &mask))
		return trouble(th, errno, "setting its signal mask", err);
	return set_xstate(th, err);
}

static int take_process(struct cri_restore *rs, struct cri_rtask *t,
			struct cri_err *err)
{
	struct user_regs_struct *regs;
	uint32_t i;
	int ret = 0;

	regs = calloc(t->n_threads, sizeof(*regs));
	if (!regs)
		return -ENOMEM;
	for (i = 0; i < t->n_threads && !ret; i++) {
		memcpy(&regs[i], t->threads[i].rec->regs.p, sizeof(*regs));
		ret = sleeps(rs, &t->threads[i], &regs[i], err);
	}
	if (!ret)
		ret = drop_area(rs, t, err);
	for (i = 0; i < t->n_threads && !ret; i++)
		ret = set_thread(&t->threads[i], &regs[i], err);
	free(regs);
	return ret;
}

/* Signals meant for the start, and the stop of those that stood. */
static void last_signals(struct cri_restore *rs, const struct cri_rtask *t)
{
	pid_t pid = t->threads->tid;

	if (t->rec->state == CRI_TASK_STOPPED)
		kill(pid,
		     t->rec->stop_signal ? (int)t->rec->stop_signal : SIGSTOP);
	if (rs->args->signal)
		kill(pid, rs->args->signal);
}

int cri_takeover(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t i;
	int ret;

	ret = interrupt_all(rs, err);
	for (i = 0; i < rs->n_tasks && !ret; i++)
		if (rs->tasks[i].n_threads)
			ret = take_process(rs, &rs->tasks[i], err);
	if (!ret)
		ret = cri_fault("restart-go");
	if (ret)
		return cri_fail(err, -ret, "taking the processes over");
	for (i = 0; i < rs->n_tasks; i++)
		if (rs->tasks[i].n_threads)
			last_signals(rs, &rs->tasks[i]);
	for (i = 0; i < rs->n_threads; i++)
		ptrace(PTRACE_DETACH, rs->threads[i].tid, NULL, NULL);
	return 0;
}
