/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process tells of itself: one run of the blob on its first thread,
 * which serves that thread's record too.  The answer is hostile: it is copied
 * once and every count in it is our own.
 */
#include "config.h"

#include "capture/user/user.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "util/err.h"

/* The kernel lists the newest first; ids can only be made upwards. */
static int by_id(const void *a, const void *b)
{
	const struct cri_ptimer *x = a, *y = b;

	return x->timer < y->timer ? -1 : x->timer > y->timer;
}

/* Ids, clocks and ways of the POSIX timers, from /proc/PID/timers. */
static int list_timers(struct cri_recset *set, pid_t pid,
		       struct cri_rec_task *rec)
{
	struct cri_text text = { 0 };
	struct cri_ptimer *t = NULL;
	unsigned long long ptr;
	char *s, *next;
	int ret = 0;

	ret = cri_text_proc(&text, pid, "timers");
	if (ret == -ENOENT) /* a kernel without it */
		ret = 0;
	if (ret || text.len == 0)
		goto out;
	for (s = text.p; s && *s; s = next) {
		char way[32];
		int a, b;

		next = strchr(s, '\n');
		if (next)
			*next++ = 0;
		if (sscanf(s, "ID: %d", &a) == 1) {
			t = CRI_GROW(set, rec->ptimers, rec->n_ptimers);
			if (!t) {
				ret = -ENOMEM;
				goto out;
			}
			t->timer = (uint32_t)a;
		} else if (t && sscanf(s, "signal: %d/%llx", &a, &ptr) == 2) {
			t->signo = (uint32_t)a;
			t->sigval = ptr;
		} else if (t && sscanf(s, "notify: %31[a-z]/%3[a-z].%d", way,
				       (char[4]){ 0 }, &b) == 3) {
			t->notify = strcmp(way, "signal") == 0 ? 0 :
				    strcmp(way, "none") == 0   ? 1 :
								 2;
			if (strstr(s, "/tid.")) {
				t->notify |= 4;
				t->tid = (uint32_t)b;
			}
		} else if (t && sscanf(s, "ClockID: %d", &a) == 1) {
			t->clock = (uint32_t)a;
		}
	}
	if (rec->n_ptimers > 1)
		qsort(rec->ptimers, rec->n_ptimers, sizeof(*rec->ptimers),
		      by_id);
out:
	cri_text_fini(&text);
	return ret;
}

static uint64_t nanos(int64_t sec, int64_t nsec)
{
	return (uint64_t)sec * 1000000000u + (uint64_t)nsec;
}

static int tell(struct cri_cproc *p, struct cri_rec_task *rec,
		struct cri_err *err)
{
	struct uproc *u = uproc(p);
	struct uthread *t = uthread(&p->threads[0]);
	uint64_t base;
	uint32_t i;
	int ret;

	ret = cri_user_blob_in(p, err);
	if (ret)
		return ret;
	if (rec->n_ptimers > CB_MAX_TIMERS)
		return cri_fail(err, ENOTSUP, "has more than %d POSIX timers",
				CB_MAX_TIMERS);
	base = u->area + CB_AREA;
	if (rec->n_ptimers) {
		u->tell.n_timers = (int32_t)rec->n_ptimers;
		for (i = 0; i < rec->n_ptimers; i++)
			u->tell.timers[i].id = (int32_t)rec->ptimers[i].timer;
		ret = cri_user_poke(cri_live(p),
				    base + offsetof(struct cb_area, process),
				    &u->tell, sizeof(u->tell));
	}
	if (ret)
		return cri_fail(err, -ret, "blob: %s", strerror(-ret));
	ret = cri_user_blob_run(p, &p->threads[0], CB_THREAD | CB_PROCESS,
				NULL, err);
	if (ret)
		return ret;
	ret = cri_user_peek(cri_live(p),
			    base + offsetof(struct cb_area, thread),
			    &t->tell, sizeof(t->tell));
	if (!ret)
		ret = cri_user_peek(cri_live(p),
				    base + offsetof(struct cb_area, process),
				    &u->tell, sizeof(u->tell));
	if (ret)
		return cri_fail(err, -ret, "blob's answer: %s",
				strerror(-ret));
	u->told = true;
	t->told = true;
	return 0;
}

static int fill_timers(struct cri_recset *set, const struct cb_process *c,
		       struct cri_rec_task *rec)
{
	struct cri_itimer *it;
	uint32_t i;

	for (i = 0; i < 3; i++) {
		const int64_t *v = c->itimers[i];

		if (!(v[0] | v[1] | v[2] | v[3]))
			continue;
		it = CRI_GROW(set, rec->itimers, rec->n_itimers);
		if (!it)
			return -ENOMEM;
		it->which = i;
		it->interval = nanos(v[0], v[1] * 1000);
		it->value = nanos(v[2], v[3] * 1000);
		/* Just expired: its signal is pending, then it goes on. */
		if (i == 0 && it->interval && !it->value)
			it->value = 1000;
	}
	for (i = 0; i < rec->n_ptimers && i < CB_MAX_TIMERS; i++) {
		const struct cb_timer *v = &c->timers[i];
		struct cri_ptimer *t = &rec->ptimers[i];

		t->interval = nanos(v->value[0], v->value[1]);
		t->value = nanos(v->value[2], v->value[3]);
		t->armed = t->interval || t->value;
		t->overrun = v->overrun > 0 ? (uint32_t)v->overrun : 0;
	}
	return 0;
}

static int fill_signals(struct cri_recset *set, const struct cb_process *c,
			struct cri_rec_task *rec)
{
	struct cri_sigaction *a;
	uint32_t i;

	for (i = 0; i < 64; i++) {
		const uint64_t *v = c->actions[i];

		if (!(v[0] | v[1] | v[2] | v[3]))
			continue;
		a = CRI_GROW(set, rec->actions, rec->n_actions);
		if (!a)
			return -ENOMEM;
		a->signo = i + 1;
		a->handler = v[0];
		a->flags = v[1];
		a->restorer = v[2];
		a->mask = v[3];
	}
	return 0;
}

static int fill_limits(struct cri_recset *set, const struct cb_process *c,
		       struct cri_rec_task *rec)
{
	struct cri_rlimit *l;
	uint32_t i;

	for (i = 0; i < 16; i++) {
		l = CRI_GROW(set, rec->rlimits, rec->n_rlimits);
		if (!l)
			return -ENOMEM;
		l->resource = i;
		l->cur = c->rlimits[i][0];
		l->max = c->rlimits[i][1];
	}
	return 0;
}

/* The clocks as the program sees them, once for the image. */
static void fill_clocks(struct cri_recset *set, const struct cb_process *c)
{
	struct cri_rec_origin *o = cri_recset_at(set, CRI_REC_ORIGIN, 0);

	if (!o || o->monotonic)
		return;
	o->realtime = nanos(c->clocks[0][0], c->clocks[0][1]);
	o->monotonic = nanos(c->clocks[1][0], c->clocks[1][1]);
	o->boottime = nanos(c->clocks[2][0], c->clocks[2][1]);
}

int cri_user_process(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err)
{
	const struct cb_process *c = &uproc(p)->tell;
	int ret;

	ret = list_timers(cap->set, p->pid, rec);
	if (!ret)
		ret = tell(p, rec, err);
	if (!ret && c->pid <= 0)
		ret = cri_fail(err, EPROTO, "told nonsense of itself");
	if (!ret)
		ret = fill_timers(cap->set, c, rec);
	if (!ret)
		ret = fill_signals(cap->set, c, rec);
	if (!ret)
		ret = fill_limits(cap->set, c, rec);
	if (!ret)
		ret = cri_user_filters(cap, p, rec, err);
	if (!ret)
		ret = cri_user_pending(cap->set, p->threads[0].tid, true,
				       &rec->pending, &rec->n_pending, err);
	if (ret)
		return ret;
	fill_clocks(cap->set, c);
	p->inner_pid = c->pid;
	rec->pid = (uint32_t)c->pid;
	rec->ppid = (uint32_t)c->ppid;
	rec->pgid = c->pgid > 0 ? (uint32_t)c->pgid : 0;
	rec->sid = c->sid > 0 ? (uint32_t)c->sid : 0;
	rec->dumpable = (uint32_t)c->dumpable;
	rec->subreaper = c->subreaper != 0;
	rec->thp_disable = c->thp_disable > 0;
	rec->mdwe = c->mdwe > 0 ? (uint32_t)c->mdwe : 0;
	rec->securebits = c->securebits > 0 ? (uint32_t)c->securebits : 0;
	rec->personality = (uint32_t)c->personality;
	if (p->stopped) {
		rec->state = CRI_TASK_STOPPED;
		rec->stop_signal =
			(uint32_t)uthread(&p->threads[0])->group_stop;
	}
	return 0;
}

#define POLICY_BATCH 512u /* what fits behind the area */

/* Ask for the policy at the start of n mappings from vmas[first] on. */
static int policies(struct cri_recset *set, struct cri_cproc *p,
		    struct cri_rec_mm *rec, uint32_t first, uint32_t n,
		    struct cri_err *err)
{
	struct cb_policy *list = calloc(n, sizeof(*list));
	uint64_t area = uproc(p)->area + CB_AREA;
	uint32_t i, k, len;
	int ret;

	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		list[i].addr = rec->vmas[first + i].start;
	ret = cri_user_poke(cri_live(p), area + sizeof(struct cb_area), list,
			    n * sizeof(*list));
	uproc(p)->ranges = n;
	if (!ret)
		ret = cri_user_blob_run(p, &p->threads[0], CB_POLICY, NULL,
					err);
	if (!ret)
		ret = cri_user_peek(cri_live(p), area + sizeof(struct cb_area),
				    list, n * sizeof(*list));
	for (i = 0; !ret && i < n; i++) {
		if (list[i].mode <= 0)
			continue;
		rec->vmas[first + i].policy = (uint32_t)list[i].mode;
		for (k = 0, len = 0; k < CB_POLICY_WORDS; k++)
			if (list[i].nodes[k])
				len = (k + 1) * 8;
		ret = cri_recset_bytes(set, &rec->vmas[first + i].nodes,
				       list[i].nodes, len);
	}
	free(list);
	return ret;
}

int cri_user_memory(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_rec_mm *rec, struct cri_err *err)
{
	const struct cb_process *c = &uproc(p)->tell;
	uint32_t i, n;
	int ret = 0;

	rec->brk = c->brk;
	rec->membarrier = c->membarrier > 0 ? (uint32_t)c->membarrier : 0;
	for (i = 0; !ret && i < rec->n_vmas; i += n) {
		n = rec->n_vmas - i;
		n = n < POLICY_BATCH ? n : POLICY_BATCH;
		ret = policies(cap->set, p, rec, i, n, err);
	}
	return ret;
}
