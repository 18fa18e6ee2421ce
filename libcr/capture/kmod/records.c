/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * THREAD records from the module's: registers, vector state and all that only
 * the thread or the kernel knows; names and scheduling come from system calls
 * that anybody may make.
 */
#include "config.h"

#include "capture/kmod/kmod.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <time.h>
#include <unistd.h>

#include "capture/proctext.h"
#include "util/err.h"

#define ERESTARTSYS_ 512
#define RSEQ_CS_OFFSET 8
#define FLAGS_CLOCKRT 0x02 /* of the kernel's futex code */

struct sched {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

struct rseq_cs {
	uint32_t version;
	uint32_t flags;
	uint64_t start;
	uint64_t len;
	uint64_t abort;
};

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static const struct stasis_rec *next(const struct kproc *kp,
				     const struct stasis_rec *r)
{
	size_t at = (size_t)((const char *)r - kp->records) + r->size;

	return at < kp->len ? (const void *)(kp->records + at) : NULL;
}

static size_t body(const struct stasis_rec *r)
{
	return r->size - r->unused - sizeof(*r);
}

static int fetch(struct cri_capture *cap, struct kproc *kp)
{
	struct stasis_tasks a = { .size = sizeof(a),
				  .id = kp->id,
				  .flags = STASIS_TASKS_REPAIR };
	uint64_t room = 64 * 1024;
	int ret, i;

	for (i = 0; i < 8; i++) {
		free(kp->records);
		kp->records = malloc(room);
		if (!kp->records)
			return -ENOMEM;
		a.buf = (uintptr_t)kp->records;
		a.len = room;
		a.used = a.needed = 0;
		ret = cri_kmod_call(cap, STASIS_IOC_TASKS, &a);
		if (ret != -ENOSPC)
			break;
		room = a.needed + 65536;
	}
	kp->len = ret ? 0 : a.used;
	kp->clock = clock_ns(CLOCK_MONOTONIC);
	kp->realtime = clock_ns(CLOCK_REALTIME);
	return ret;
}

static int add_threads(struct cri_capture *cap, struct cri_cproc *p)
{
	struct kproc *kp = kproc(p);
	const struct stasis_rec *r;

	for (r = (void *)kp->records; r; r = next(kp, r)) {
		const struct stasis_rec_thread *k = (const void *)r;
		struct cri_cthread *t;

		if (r->type != STASIS_REC_THREAD)
			continue;
		t = cri_procs_add_thread(p, k->tid);
		if (!t)
			return -ENOMEM;
		t->inner_tid = k->inner_tid;
		t->leader = k->flags & STASIS_THREAD_LEADER;
		cap->n_threads++;
		if (t->leader && p->n_threads > 1) {
			struct cri_cthread first = p->threads[0];

			p->threads[0] = *t;
			*t = first;
		}
	}
	return p->n_threads ? 0 : -ESRCH;
}

int cri_kmod_tasks(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err)
{
	struct kproc *kp = kproc(p);
	int ret = fetch(cap, kp);

	if (!ret)
		ret = add_threads(cap, p);
	if (ret == -EBUSY || ret == -ESRCH)
		return cri_fail(err, EAGAIN, "pid %d moved meanwhile", p->pid);
	if (ret)
		return cri_fail(err, -ret, "state of pid %d: %s", p->pid,
				strerror(-ret));
	kp->rec = (const void *)kp->records;
	return 0;
}

/* Stopped inside a restartable sequence: the image has it aborted. */
static void repair_rseq(const struct kproc *kp,
			const struct stasis_rec_thread *k,
			struct user_regs_struct *regs)
{
	struct rseq_cs cs;
	uint64_t ptr = 0;

	if (!k->rseq ||
	    pread(kp->mem, &ptr, 8, (off_t)(k->rseq + RSEQ_CS_OFFSET)) != 8 ||
	    !ptr || pread(kp->mem, &cs, sizeof(cs), (off_t)ptr) != sizeof(cs))
		return;
	if (regs->rip - cs.start < cs.len)
		regs->rip = cs.abort;
}

/* What is left of an interrupted call, of the clock it was begun on. */
static void sleep_rest(const struct kproc *kp,
		       const struct stasis_rec_thread *k,
		       struct user_regs_struct *regs,
		       struct cri_rec_thread *rec)
{
	bool real = k->sleep_clock == CLOCK_REALTIME;
	uint64_t now;

	if (k->sleep_kind == STASIS_SLEEP_NONE)
		return;
	/* An absolute time-out is simply waited for again. */
	if (k->sleep_kind == STASIS_SLEEP_OTHER ||
	    (k->sleep_kind == STASIS_SLEEP_FUTEX &&
	     ((int)regs->rsi & FUTEX_CMD_MASK) != FUTEX_WAIT)) {
		regs->rax = (uint64_t)-ERESTARTSYS_;
		return;
	}
	if (k->sleep_kind == STASIS_SLEEP_FUTEX)
		real = k->sleep_flags & FLAGS_CLOCKRT;
	rec->sleep_kind = k->sleep_kind;
	if (k->sleep_expiry == ~0ull)
		return;
	now = real ? kp->realtime : kp->clock;
	rec->sleep_left = k->sleep_expiry > now ? k->sleep_expiry - now : 1;
}

static int names(struct cri_recset *set, struct cri_cproc *p,
		 struct cri_cthread *t, struct cri_rec_thread *rec)
{
	struct cri_text text = { 0 };
	char name[48];
	int ret;

	snprintf(name, sizeof(name), "task/%d/comm", t->tid);
	ret = cri_text_proc(&text, p->pid, name);
	if (!ret) {
		text.p[strcspn(text.p, "\n")] = 0;
		rec->comm = cri_recset_strdup(set, text.p);
		ret = rec->comm ? 0 : -ENOMEM;
	}
	cri_text_fini(&text);
	return ret;
}

static int scheduling(struct cri_recset *set, struct cri_cthread *t,
		      struct cri_rec_thread *rec)
{
	struct sched s = { .size = sizeof(s) };
	unsigned char mask[1024];
	long n;

	if (syscall(SYS_sched_getattr, t->tid, &s, sizeof(s), 0) != 0)
		return -errno;
	rec->sched_policy = s.policy;
	rec->sched_flags = (uint32_t)s.flags;
	rec->nice = getpriority(PRIO_PROCESS, (id_t)t->tid);
	rec->sched_prio = s.priority;
	rec->sched_runtime = s.runtime;
	rec->sched_deadline = s.deadline;
	rec->sched_period = s.period;
	n = syscall(SYS_ioprio_get, 1, t->tid);
	rec->ioprio = n > 0 ? (uint32_t)n : 0;
	n = syscall(SYS_sched_getaffinity, t->tid, sizeof(mask), mask);
	if (n < 0)
		return -errno;
	return cri_recset_bytes(set, &rec->affinity, mask, (size_t)n);
}

static int policy(struct cri_recset *set, const struct stasis_rec_thread *k,
		  struct cri_rec_thread *rec)
{
	uint32_t len = 0, i;

	rec->policy = k->policy;
	if (!k->policy)
		return 0;
	for (i = 0; i < 16; i++)
		if (k->nodes[i])
			len = (i + 1) * 8;
	return cri_recset_bytes(set, &rec->nodes, k->nodes, len);
}

static void plain(const struct stasis_rec_thread *k, struct cri_rec_thread *rec)
{
	rec->tid = (uint32_t)k->inner_tid;
	rec->sigmask = k->sigmask;
	rec->altstack_sp = k->altstack_sp;
	rec->altstack_size = k->altstack_size;
	rec->altstack_flags = k->altstack_flags;
	/* As sigaltstack(2) tells it: no stack is a disabled one. */
	if (!k->altstack_size)
		rec->altstack_flags |= 2;
	rec->clear_tid = k->clear_tid;
	rec->robust_list = k->robust_list;
	rec->robust_len = k->robust_len;
	rec->rseq = k->rseq;
	rec->rseq_size = k->rseq_size;
	rec->rseq_sig = k->rseq_sig;
	rec->timer_slack = k->timer_slack;
	rec->pdeathsig = k->pdeathsig;
	rec->keepcaps = !!(k->flags & STASIS_THREAD_KEEPCAPS);
	rec->flags = k->flags & STASIS_THREAD_LEADER ? CRI_THREAD_LEADER : 0;
}

static int registers(struct cri_recset *set, const struct kproc *kp,
		     const struct stasis_rec_thread *k,
		     const struct stasis_rec *r, struct cri_rec_thread *rec)
{
	struct user_regs_struct regs;

	if (body(r) != sizeof(regs))
		return -EPROTO;
	memcpy(&regs, r + 1, sizeof(regs));
	repair_rseq(kp, k, &regs);
	sleep_rest(kp, k, &regs, rec);
	return cri_recset_bytes(set, &rec->regs, &regs, sizeof(regs));
}

static int follow(struct cri_recset *set, const struct kproc *kp,
		  const struct stasis_rec_thread *k, struct cri_rec_thread *rec)
{
	const struct stasis_rec *r;
	struct cri_siginfo *si;
	int ret = 0;

	for (r = next(kp, &k->rec); !ret && r && r->type != STASIS_REC_THREAD;
	     r = next(kp, r)) {
		switch (r->type) {
		case STASIS_REC_REGS:
			ret = registers(set, kp, k, r, rec);
			break;
		case STASIS_REC_XSTATE:
			ret = cri_recset_bytes(set, &rec->xstate, r + 1,
					       body(r));
			break;
		case STASIS_REC_SIGINFO:
			si = CRI_GROW(set, rec->pending, rec->n_pending);
			ret = si ? cri_recset_bytes(set, &si->raw, r + 1,
						    body(r)) :
				   -ENOMEM;
			break;
		default:
			break;
		}
	}
	if (!ret && (!rec->regs.len || !rec->xstate.len))
		ret = -EPROTO;
	return ret;
}

int cri_kmod_thread(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_cthread *t, struct cri_rec_thread *rec,
		    struct cri_err *err)
{
	const struct kproc *kp = kproc(p);
	const struct stasis_rec *r;
	int ret = -ESRCH;

	for (r = (void *)kp->records; r; r = next(kp, r)) {
		const struct stasis_rec_thread *k = (const void *)r;

		if (r->type != STASIS_REC_THREAD || k->tid != t->tid)
			continue;
		plain(k, rec);
		ret = follow(cap->set, kp, k, rec);
		if (!ret)
			ret = policy(cap->set, k, rec);
		break;
	}
	if (!ret)
		ret = names(cap->set, p, t, rec);
	if (!ret)
		ret = scheduling(cap->set, t, rec);
	if (ret)
		return cri_fail(err, -ret, "thread %d: %s", t->tid,
				strerror(-ret));
	return 0;
}
