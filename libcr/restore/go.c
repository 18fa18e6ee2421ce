/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the plan: starts the roots, watches the barriers, undoes everything on
 * a failure.  Until takeover.c has every thread traced with EXITKILL, a
 * planner that dies takes the tree with it by parent-death signals.
 */
#include "config.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kind/kind.h"
#include "restore/go.h"
#include "util/fault.h"

#define STALL_NS 120000000000ull

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The restored processes must not inherit glibc's registration. */
static void rseq_off(void)
{
	if (__rseq_size)
		syscall(SYS_rseq,
			(char *)__builtin_thread_pointer() + __rseq_offset, 32,
			RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

/* Nothing of C may run in the child: it leaves for the blob at once. */
static pid_t start(struct cri_restore *rs, struct rb_prog *prog, pid_t pid)
{
	void (*entry)(struct rb_prog *) = (void (*)(struct rb_prog *))rs->entry;
	struct clone_args ca;
	long ret;

	memset(&ca, 0, sizeof(ca));
	ca.flags = CLONE_CLEAR_SIGHAND;
	ca.exit_signal = SIGCHLD;
	if (pid) {
		ca.set_tid = (uint64_t)&pid;
		ca.set_tid_size = 1;
	}
	ret = syscall(SYS_clone3, &ca, sizeof(ca));
	if (ret == 0)
		entry(prog);
	return ret < 0 ? -errno : (pid_t)ret;
}

static int start_roots(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t i;
	pid_t pid;

	for (i = 0; i < rs->n_tasks; i++) {
		struct cri_rtask *t = &rs->tasks[i];

		if (t->parent)
			continue;
		pid = start(rs, t->threads->prog,
			    rs->fresh_pids ? 0 : (pid_t)t->rec->pid);
		if (pid < 0)
			return cri_fail(err, -pid, "creating process %u (%s)%s",
					t->rec->pid, t->rec->comm,
					pid == -EEXIST ? ": its pid is in use" :
							 "");
		if (!rs->eldest)
			rs->eldest = pid;
	}
	return 0;
}

static int failed(struct cri_restore *rs, struct cri_err *err)
{
	const struct rb_area *area = rs->area;
	const struct rb_op *op = (const struct rb_op *)area->err_op;
	const struct cri_rec_task *rec;
	const char *base = rs->area_base;

	while (__atomic_load_n(&area->failed, __ATOMIC_SEQ_CST) == 1)
		sched_yield();
	if ((const char *)op < base ||
	    (const char *)op >= base + rs->area_size ||
	    area->err_task >= rs->n_tasks)
		return cri_fail(err, EIO, "a restored process failed");
	rec = rs->tasks[area->err_task].rec;
	if (!area->err_no)
		return cri_fail(err, EBUSY,
				"process %u (%s): %s: got %ld instead of %ld",
				rec->pid, rec->comm, (const char *)op->label,
				(long)area->err_value, (long)op->expect);
	return cri_fail(err, area->err_no, "process %u (%s): %s (%#lx, %#lx)",
			rec->pid, rec->comm, (const char *)op->label,
			(long)op->arg[0], (long)op->arg[1]);
}

/* Is a task gone that should be working? */
static int lost(struct cri_restore *rs, struct cri_err *err)
{
	char path[64], line[512], *p;
	uint32_t i;
	FILE *f;

	for (i = 0; i < rs->n_tasks; i++) {
		const struct cri_rtask *t = &rs->tasks[i];
		const struct rb_prog *prog = t->threads->prog;

		if (!prog->pid || t->rec->state == CRI_TASK_ZOMBIE)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/stat", prog->pid);
		f = fopen(path, "re");
		p = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') :
							NULL;
		if (f)
			fclose(f);
		if (!p || p[2] == 'Z' || p[2] == 'X')
			return cri_fail(err, ESRCH,
					"process %u (%s) died while it was "
					"being restored",
					t->rec->pid, t->rec->comm);
	}
	return 0;
}

int cri_go_wait(struct cri_restore *rs, enum cri_stage stage, uint32_t n,
		struct cri_err *err)
{
	const struct timespec tick = { 1, 0 };
	struct rb_area *area = rs->area;
	uint64_t last = now();
	uint32_t seen;
	int ret;

	for (;;) {
		seen = __atomic_load_n(&area->arrived, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&area->failed, __ATOMIC_SEQ_CST))
			return failed(rs, err);
		if (__atomic_load_n(&area->count[stage], __ATOMIC_SEQ_CST) >= n)
			return 0;
		if (!syscall(SYS_futex, &area->arrived, FUTEX_WAIT, seen, &tick,
			     NULL, 0) ||
		    errno != ETIMEDOUT) {
			last = now();
			continue;
		}
		ret = lost(rs, err);
		if (ret)
			return ret;
		if (now() - last > STALL_NS)
			return cri_fail(err, ETIMEDOUT,
					"the restored processes stand still");
	}
}

void cri_go_open(struct cri_restore *rs, enum cri_stage stage)
{
	uint32_t *word = &rs->area->open[stage];

	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

/* Only what this restart created; twice, for those just being born. */
static void undo(struct cri_restore *rs)
{
	uint32_t i, pass;

	for (pass = 0; pass < 3; pass++) {
		for (i = 0; i < rs->n_tasks; i++) {
			const struct rb_prog *p = rs->tasks[i].threads->prog;

			if (p && p->pid)
				kill((pid_t)p->pid, SIGKILL);
		}
		usleep(1000);
	}
	for (i = 0; i < rs->n_tasks; i++) {
		const struct cri_rtask *t = &rs->tasks[i];

		if (!t->parent && t->threads->prog && t->threads->prog->pid)
			while (waitpid((pid_t)t->threads->prog->pid, NULL,
				       __WALL) < 0 &&
			       errno == EINTR)
				;
	}
}

/* What is set from outside, in /proc, while the task is parked. */
static int outside_attrs(struct cri_restore *rs, struct cri_err *err)
{
	char path[64], text[32];
	uint32_t i;
	FILE *f;
	int ret;

	for (i = 0; i < rs->n_tasks; i++) {
		const struct cri_rtask *t = &rs->tasks[i];

		if (!t->n_threads || t->rec->oom_score_adj == rs->oom_score_adj)
			continue;
		snprintf(path, sizeof(path), "/proc/%u/oom_score_adj",
			 t->threads->prog->pid);
		snprintf(text, sizeof(text), "%ld",
			 (long)t->rec->oom_score_adj);
		f = fopen(path, "we");
		ret = f ? 0 : -errno;
		if (f && (fputs(text, f) < 0 || fflush(f)))
			ret = -errno;
		if (f)
			fclose(f);
		/* Lower than the minimum needs a capability: say it, go on. */
		if (ret == -EACCES)
			cri_restore_log(rs,
					"warning: oom_score_adj of process %u "
					"stays %ld",
					t->rec->pid, (long)rs->oom_score_adj);
		else if (ret)
			return cri_fail(err, -ret, "%s", path);
	}
	return 0;
}

static void own_oom_score(struct cri_restore *rs)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "re");
	long adj;

	if (f && fscanf(f, "%ld", &adj) == 1)
		rs->oom_score_adj = adj;
	if (f)
		fclose(f);
}

static int stages(struct cri_restore *rs, struct cri_err *err)
{
	int ret;

	ret = start_roots(rs, err);
	if (ret)
		return ret;
	ret = cri_go_wait(rs, CRI_STAGE_BORN, rs->n_tasks + rs->n_ghosts, err);
	if (ret)
		return ret;
	cri_go_open(rs, CRI_STAGE_BORN);
	ret = cri_go_wait(rs, CRI_STAGE_JOINED, rs->n_tasks + rs->n_ghosts,
			  err);
	if (ret)
		return ret;
	cri_go_open(rs, CRI_STAGE_JOINED);
	ret = cri_go_wait(rs, CRI_STAGE_READY, rs->n_threads, err);
	if (ret)
		return ret;
	ret = cri_fault("restart-ready");
	if (ret)
		return cri_fail(err, -ret, "restart-ready: fault point");
	ret = cri_takeover_seize(rs, err);
	if (ret)
		return ret;
	ret = outside_attrs(rs, err);
	if (ret)
		return ret;
	ret = cri_restore_outside(rs, err);
	if (ret)
		return ret;
	ret = cri_restore_foreground(rs, err);
	if (ret)
		return ret;
	cri_go_open(rs, CRI_STAGE_READY);
	ret = cri_go_wait(rs, CRI_STAGE_IDS, rs->n_threads, err);
	if (ret)
		return ret;
	cri_go_open(rs, CRI_STAGE_IDS);
	ret = cri_go_wait(rs, CRI_STAGE_LAST, rs->n_threads, err);
	if (ret)
		return ret;
	return cri_takeover(rs, err);
}

int cri_restore_go(struct cri_restore *rs, struct cri_err *err)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	rseq_off();
	own_oom_score(rs);
	ret = stages(rs, err);
	if (ret)
		undo(rs);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return ret;
}
