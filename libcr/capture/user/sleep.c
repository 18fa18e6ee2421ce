/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of a sleep is left.  No interface tells when a call's time-out
 * ends, but the scheduler tells when the thread last ran (se.exec_start), and
 * a thread that has slept since began its call then.  So: before the stop,
 * note the call, the time and the count of runs of every blocked thread;
 * after it, one more run means that it is still the same sleep.
 * The scheduler's clock is compared with CLOCK_MONOTONIC by our own entry.
 */
#include "config.h"

#include "capture/user/user.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RED_ZONE 128
#define RESTARTBLOCK (-516)
#define NOHAND (-514)
#define ERESTARTSYS (-512)

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static bool timed(long nr)
{
	switch (nr) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
	case SYS_poll:
	case SYS_futex:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return true;
	default:
		return false;
	}
}

/* "   2956733.566610": milliseconds and the six digits of nanoseconds. */
static int64_t exec_start(struct cri_text *text, pid_t tid)
{
	char *s, *end;
	long long ms;

	if (cri_text_proc(text, tid, "sched"))
		return -1;
	s = strstr(text->p, "se.exec_start");
	s = s ? strchr(s, ':') : NULL;
	if (!s)
		return -1;
	ms = strtoll(s + 1, &end, 10);
	if (*end != '.')
		return -1;
	return ms * 1000000 + strtoll(end + 1, NULL, 10);
}

static uint64_t runs(struct cri_text *text, pid_t tid)
{
	unsigned long long a, b, c;

	if (cri_text_proc(text, tid, "schedstat") ||
	    sscanf(text->p, "%llu %llu %llu", &a, &b, &c) != 3)
		return 0;
	return c;
}

static int64_t calibrate(struct cri_text *text)
{
	int64_t best = INT64_MIN;
	int i;

	/* Our entry is brought up to date by a switch; late is too small. */
	for (i = 0; i < 3; i++) {
		int64_t mono, own;

		sched_yield();
		mono = clock_ns(CLOCK_MONOTONIC);
		own = exec_start(text, getpid());
		if (own < 0)
			return 0;
		if (own - mono > best)
			best = own - mono;
	}
	return best;
}

void cri_user_observe(struct cri_capture *cap)
{
	struct cri_text text = { 0 };
	int64_t offset = INT64_MIN;
	uint32_t i, k;

	for (i = 0; i < cap->n_procs; i++) {
		for (k = 0; k < cap->procs[i]->n_threads; k++) {
			struct cri_cthread *t = &cap->procs[i]->threads[k];
			struct usleep *s = &uthread(t)->sleep;
			long nr;

			s->nr = -1;
			if (cri_text_proc(&text, t->tid, "syscall") ||
			    text.p[0] < '0' || text.p[0] > '9')
				continue;
			nr = strtol(text.p, NULL, 10);
			if (!timed(nr))
				continue;
			if (offset == INT64_MIN)
				offset = calibrate(&text);
			s->runs = runs(&text, t->tid);
			s->since = exec_start(&text, t->tid) - offset;
			if (s->since + offset >= 0 && offset && s->runs)
				s->nr = nr;
		}
	}
	cri_text_fini(&text);
}

static bool same_sleep(struct cri_cthread *t)
{
	const struct usleep *s = &uthread(t)->sleep;
	struct cri_text text = { 0 };
	uint64_t now;

	if (s->nr < 0 || s->nr != (long)uthread(t)->regs.orig_rax)
		return false;
	now = runs(&text, t->tid);
	cri_text_fini(&text);
	return now == s->runs + 1;
}

/* The time-out the call was given, ns; -1 none or not relative. */
static int64_t given(struct cri_cproc *p, const struct user_regs_struct *r)
{
	uint64_t where = 0;
	struct timespec ts;

	switch (r->orig_rax) {
	case SYS_nanosleep:
		where = r->rdi;
		break;
	case SYS_clock_nanosleep:
		where = r->rdx;
		break;
	case SYS_futex:
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		where = r->r10;
		break;
	case SYS_rt_sigtimedwait:
		where = r->rdx;
		break;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		where = r->r8;
		break;
	case SYS_poll:
		return (int32_t)r->rdx < 0 ? -1 : (int32_t)r->rdx * 1000000LL;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int32_t)r->r10 < 0 ? -1 : (int32_t)r->r10 * 1000000LL;
	default:
		return -1;
	}
	if (!where || cri_user_peek(cri_live(p), where, &ts, sizeof(ts)) ||
	    ts.tv_sec < 0 || ts.tv_sec > INT32_MAX)
		return -1;
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Where nanosleep has already written its rest; 0 nowhere. */
static uint64_t rest_place(const struct user_regs_struct *r)
{
	return r->orig_rax == SYS_nanosleep	  ? r->rsi :
	       r->orig_rax == SYS_clock_nanosleep ? r->r10 :
						    0;
}

static enum cri_sleep kind_of(uint64_t nr)
{
	switch (nr) {
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return CRI_SLEEP_NANOSLEEP;
	case SYS_poll:
		return CRI_SLEEP_POLL;
	case SYS_futex:
		return CRI_SLEEP_FUTEX;
	default:
		return CRI_SLEEP_NONE;
	}
}

static bool absolute(const struct user_regs_struct *r)
{
	int op = (int)r->rsi & FUTEX_CMD_MASK;

	return r->orig_rax == SYS_futex && op != FUTEX_WAIT;
}

/*
 * Calls that begin their whole time-out again: give them the rest.  A struct
 * timespec goes below the red zone of the thread's stack, which nothing can
 * use before the call has read it.
 */
static void shorten(struct cri_cproc *p, struct uthread *u, int64_t left)
{
	struct user_regs_struct *r = &u->regs;
	struct timespec ts = { .tv_sec = left / 1000000000,
			       .tv_nsec = left % 1000000000 };
	uint64_t at = (r->rsp - RED_ZONE - sizeof(ts)) & ~15ULL;
	unsigned long long *arg = NULL;

	switch (r->orig_rax) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		r->r10 = (uint64_t)((left + 999999) / 1000000);
		u->changed = true;
		return;
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		arg = &r->r10;
		break;
	case SYS_rt_sigtimedwait:
		arg = &r->rdx;
		break;
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		arg = &r->r8;
		break;
	default:
		return;
	}
	if (cri_user_poke(cri_live(p), at, &ts, sizeof(ts)) == 0) {
		*arg = at;
		u->changed = true;
	}
}

void cri_user_sleep(struct cri_cproc *p, struct cri_cthread *t)
{
	struct uthread *u = uthread(t);
	struct user_regs_struct *r = &u->regs;
	int64_t ax = (int64_t)r->rax;
	int64_t whole, left;

	if ((int64_t)r->orig_rax < 0 || (ax != RESTARTBLOCK && ax != NOHAND) ||
	    !timed((long)r->orig_rax))
		return;
	whole = given(p, r);
	if (whole < 0 && ax != RESTARTBLOCK)
		return;
	u->sleep.left = whole;
	if (ax == RESTARTBLOCK)
		u->sleep.kind = absolute(r) ? CRI_SLEEP_OTHER :
					      kind_of(r->orig_rax);
	if (ax == RESTARTBLOCK && rest_place(r)) {
		struct timespec ts;

		if (cri_user_peek(cri_live(p), rest_place(r), &ts,
				  sizeof(ts)) == 0)
			u->sleep.left = ts.tv_sec * 1000000000LL + ts.tv_nsec;
		return;
	}
	if (absolute(r) || !same_sleep(t))
		return;
	left = whole - (clock_ns(CLOCK_MONOTONIC) - u->sleep.since);
	if (left < 1)
		left = 1;
	if (left > whole)
		left = whole;
	u->sleep.left = left;
	if (ax == NOHAND)
		shorten(p, u, left);
}

void cri_user_sleep_record(const struct uthread *u, struct cri_rec_thread *rec)
{
	rec->sleep_kind = u->sleep.kind;
	rec->sleep_left = u->sleep.left > 0 ? (uint64_t)u->sleep.left : 0;
	/* An absolute time-out is simply waited for again. */
	if (u->sleep.kind == CRI_SLEEP_OTHER) {
		struct user_regs_struct r = u->regs;

		r.rax = (uint64_t)ERESTARTSYS;
		memcpy((void *)(uintptr_t)rec->regs.p, &r, sizeof(r));
		rec->sleep_kind = CRI_SLEEP_NONE;
		rec->sleep_left = 0;
	}
}
