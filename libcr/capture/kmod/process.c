/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TASK and MM fields of the module engine: signals, timers and flags from the
 * module's records; ids, limits and clocks from /proc and system calls.
 */
#include "config.h"

#include "capture/kmod/kmod.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "capture/proctext.h"
#include "util/err.h"

/* Fields that the program sees in its own pid namespace: the last column. */
static uint32_t last_of(const char *text, const char *key)
{
	const char *s = strstr(text, key);
	unsigned long v = 0;
	char *end;

	if (!s)
		return 0;
	s += strlen(key);
	while (*s && *s != '\n') {
		v = strtoul(s, &end, 10);
		if (end == s)
			break;
		s = end;
	}
	return (uint32_t)v;
}

static int ids(struct cri_capture *cap, struct cri_cproc *p,
	       struct cri_rec_task *rec)
{
	struct cri_cproc *parent = cri_procs_find(cap, p->ppid);
	struct cri_text text = { 0 };
	int ret = cri_text_proc(&text, p->pid, "status");

	if (!ret) {
		rec->pgid = last_of(text.p, "\nNSpgid:");
		rec->sid = last_of(text.p, "\nNSsid:");
		rec->pid = (uint32_t)p->inner_pid;
		rec->ppid = parent ? (uint32_t)parent->inner_pid :
			    p->inner_pid == p->pid ? (uint32_t)p->ppid :
						     0;
	}
	cri_text_fini(&text);
	return ret;
}

static int limits(struct cri_recset *set, struct cri_cproc *p,
		  struct cri_rec_task *rec)
{
	struct rlimit64 lim;
	struct cri_rlimit *l;
	uint32_t i;

	for (i = 0; i < 16; i++) {
		if (prlimit64(p->pid, (enum __rlimit_resource)i, NULL, &lim))
			return -errno;
		l = CRI_GROW(set, rec->rlimits, rec->n_rlimits);
		if (!l)
			return -ENOMEM;
		l->resource = i;
		l->cur = lim.rlim_cur;
		l->max = lim.rlim_max;
	}
	return 0;
}

static int personality_of(struct cri_cproc *p, struct cri_rec_task *rec)
{
	struct cri_text text = { 0 };
	int ret = cri_text_proc(&text, p->pid, "personality");

	if (!ret)
		rec->personality = strtoull(text.p, NULL, 16);
	cri_text_fini(&text);
	return ret;
}

/* Seconds and nanoseconds that a time namespace adds to a clock. */
static int64_t offset_of(const char *text, const char *clock)
{
	const char *s = text ? strstr(text, clock) : NULL;
	long long sec = 0, nsec = 0;

	if (!s || sscanf(s + strlen(clock), "%lld %lld", &sec, &nsec) != 2)
		return 0;
	return sec * 1000000000ll + nsec;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The clocks as the program sees them, once for the image. */
static void clocks(struct cri_capture *cap, struct cri_cproc *p)
{
	struct cri_rec_origin *o = cri_recset_at(cap->set, CRI_REC_ORIGIN, 0);
	struct cri_text its = { 0 }, ours = { 0 };
	const char *a, *b;

	if (!o || o->monotonic)
		return;
	/* A kernel without time namespaces has neither file. */
	a = cri_text_proc(&its, p->pid, "timens_offsets") ? NULL : its.p;
	b = cri_text_file(&ours, "/proc/self/timens_offsets") ? NULL : ours.p;
	o->realtime = clock_ns(CLOCK_REALTIME);
	o->monotonic =
		clock_ns(CLOCK_MONOTONIC) +
		(uint64_t)(offset_of(a, "monotonic") - offset_of(b, "monotoni"
								    "c"));
	o->boottime = clock_ns(CLOCK_BOOTTIME) +
		      (uint64_t)(offset_of(a, "boottime") - offset_of(b, "boott"
									 "im"
									 "e"));
	cri_text_fini(&its);
	cri_text_fini(&ours);
}

static int action_records(struct cri_recset *set, const struct stasis_rec *r,
			  struct cri_rec_task *rec)
{
	const struct stasis_sigaction *k = (const void *)(r + 1);
	size_t n = (r->size - r->unused - sizeof(*r)) / sizeof(*k);
	struct cri_sigaction *a;

	for (; n; n--, k++) {
		a = CRI_GROW(set, rec->actions, rec->n_actions);
		if (!a)
			return -ENOMEM;
		a->signo = k->signo;
		a->handler = k->handler;
		a->flags = k->flags;
		a->restorer = k->restorer;
		a->mask = k->mask;
	}
	return 0;
}

static int timer_record(struct cri_recset *set,
			const struct stasis_rec_ptimer *k,
			struct cri_rec_task *rec)
{
	struct cri_ptimer *t = CRI_GROW(set, rec->ptimers, rec->n_ptimers);

	if (!t)
		return -ENOMEM;
	t->timer = k->timer;
	t->clock = (uint32_t)k->clock;
	t->notify = k->notify;
	t->signo = k->signo;
	t->tid = (uint32_t)k->inner_tid;
	t->armed = k->armed;
	t->sigval = k->sigval;
	t->value = k->value;
	t->interval = k->interval;
	t->overrun = k->overrun;
	return 0;
}

/* Everything up to the first thread is the process's. */
static int shared_records(struct cri_recset *set, const struct kproc *kp,
			  struct cri_rec_task *rec)
{
	const char *end = kp->records + kp->len;
	const struct stasis_rec *r = &kp->rec->rec;
	struct cri_siginfo *si;
	int ret = 0;

	while (!ret && (const char *)r < end && r->type != STASIS_REC_THREAD) {
		if (r->type == STASIS_REC_SIGACTION)
			ret = action_records(set, r, rec);
		if (r->type == STASIS_REC_PTIMER)
			ret = timer_record(set, (const void *)r, rec);
		if (r->type == STASIS_REC_SIGINFO) {
			si = CRI_GROW(set, rec->pending, rec->n_pending);
			ret = si ? cri_recset_bytes(set, &si->raw, r + 1,
						    r->size - r->unused -
							    sizeof(*r)) :
				   -ENOMEM;
		}
		r = (const void *)((const char *)r + r->size);
	}
	return ret;
}

static int itimers(struct cri_recset *set, const struct stasis_rec_proc *k,
		   struct cri_rec_task *rec)
{
	struct cri_itimer *it;
	uint32_t i;

	for (i = 0; i < 3; i++) {
		if (!k->itimer[i].value && !k->itimer[i].interval)
			continue;
		it = CRI_GROW(set, rec->itimers, rec->n_itimers);
		if (!it)
			return -ENOMEM;
		it->which = i;
		it->value = k->itimer[i].value;
		it->interval = k->itimer[i].interval;
	}
	return 0;
}

static void flags(const struct cri_cproc *p, const struct stasis_rec_proc *k,
		  struct cri_rec_task *rec)
{
	rec->dumpable = k->dumpable;
	rec->subreaper = !!(k->flags & STASIS_PROC_SUBREAPER);
	rec->thp_disable = !!(k->flags & STASIS_PROC_NO_THP);
	if (k->flags & STASIS_PROC_MDWE)
		rec->mdwe |= 1;
	if (k->flags & STASIS_PROC_MDWE_NO_INHERIT)
		rec->mdwe |= 2;
	if (p->stopped || k->flags & STASIS_PROC_STOPPED) {
		rec->state = CRI_TASK_STOPPED;
		rec->stop_signal = k->stop_signal ? k->stop_signal : 19;
	}
}

static uint32_t securebits_of(const struct kproc *kp)
{
	const char *end = kp->records + kp->len;
	const struct stasis_rec *r = &kp->rec->rec;

	for (; (const char *)r < end;
	     r = (const void *)((const char *)r + r->size))
		if (r->type == STASIS_REC_THREAD)
			return ((const struct stasis_rec_thread *)(const void *)
					r)
				->securebits;
	return 0;
}

int cri_kmod_process(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err)
{
	const struct kproc *kp = kproc(p);
	int ret;

	p->inner_pid = kp->rec->inner_pid;
	ret = ids(cap, p, rec);
	if (!ret)
		ret = limits(cap->set, p, rec);
	if (!ret)
		ret = personality_of(p, rec);
	if (!ret)
		ret = shared_records(cap->set, kp, rec);
	if (!ret)
		ret = itimers(cap->set, kp->rec, rec);
	if (ret)
		return cri_fail(err, -ret, "its state: %s", strerror(-ret));
	flags(p, kp->rec, rec);
	rec->securebits = securebits_of(kp);
	clocks(cap, p);
	return 0;
}

int cri_kmod_memory(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_rec_mm *rec, struct cri_err *err)
{
	/* The kernel's MEMBARRIER_STATE_*, and how each was registered. */
	static const struct {
		uint32_t state, command;
	} member[] = {
		{ 1u << 1, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
		{ 1u << 3, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
		{ 1u << 5,
		  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
		{ 1u << 7, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
	};
	const struct stasis_rec_proc *k = kproc(p)->rec;
	size_t i;

	(void)cap;
	(void)err;
	rec->brk = k->brk;
	rec->lock_flags = k->lock_flags;
	rec->membarrier = 0;
	for (i = 0; i < sizeof(member) / sizeof(member[0]); i++)
		if (k->membarrier & member[i].state)
			rec->membarrier |= member[i].command;
	return 0;
}
