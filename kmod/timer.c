// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Timers of a process that stands: interval timers, POSIX timers, and the
 * absolute expiry of an interrupted call (restart_block), which user space
 * can see nowhere.
 */
#include <linux/alarmtimer.h>
#include <linux/hrtimer.h>
#include <linux/posix-timers.h>
#include <linux/pid_namespace.h>
#include <linux/time_namespace.h>
#include <linux/restart_block.h>

#include "stasis.h"

/* Left of an armed timer: due ones, also long due ones, have 1. */
static u64 left(s64 rest, u64 interval)
{
	if (rest > 0)
		return rest;
	if (interval)
		return interval - (u64)-rest % interval;
	return 1;
}

/* CPU time of the process, as its armed timers count it. */
static u64 cpu_now(struct task_struct *t, int which)
{
	struct task_cputime_atomic *c = &t->signal->cputimer.cputime_atomic;

	switch (which) {
	case CPUCLOCK_PROF:
		return atomic64_read(&c->utime) + atomic64_read(&c->stime);
	case CPUCLOCK_VIRT:
		return atomic64_read(&c->utime);
	default:
		return atomic64_read(&c->sum_exec_runtime);
	}
}

static void itimers(struct task_struct *t, struct stasis_rec_proc *rec)
{
	struct signal_struct *sig = t->signal;
	struct cpu_itimer *c;
	int i;

	rec->itimer[0].interval = ktime_to_ns(sig->it_real_incr);
	if (hrtimer_active(&sig->real_timer))
		rec->itimer[0].value = left(ktime_to_ns(__hrtimer_get_remaining(
						    &sig->real_timer, true)),
					    0);
	for (i = 1; i < 3; i++) {
		c = &sig->it[i == 1 ? CPUCLOCK_VIRT : CPUCLOCK_PROF];
		rec->itimer[i].interval = c->incr;
		if (c->expires)
			rec->itimer[i].value = left(
				c->expires - cpu_now(t, i == 1 ? CPUCLOCK_VIRT :
								 CPUCLOCK_PROF),
				0);
	}
}

static bool is_cpu_clock(clockid_t clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID ||
	       clock == CLOCK_THREAD_CPUTIME_ID;
}

static u64 thread_cpu(struct k_itimer *k, int which)
{
	struct task_struct *t;
	u64 now = 0;

	rcu_read_lock();
	t = pid_task(k->it.cpu.pid, PIDTYPE_PID);
	if (t)
		now = which == CPUCLOCK_SCHED ? t->se.sum_exec_runtime :
		      which == CPUCLOCK_VIRT  ? t->utime :
						t->utime + t->stime;
	rcu_read_unlock();
	return now;
}

static s64 remaining(struct task_struct *task, struct k_itimer *k)
{
	clockid_t c = k->it_clock;
	int which = c < 0 ? CPUCLOCK_WHICH(c) : CPUCLOCK_SCHED;

	if (is_cpu_clock(c)) {
		bool thread = c == CLOCK_THREAD_CPUTIME_ID ||
			      (c < 0 && CPUCLOCK_PERTHREAD(c));

		return k->it.cpu.node.expires -
		       (thread ? thread_cpu(k, which) : cpu_now(task, which));
	}
	if (c == CLOCK_REALTIME_ALARM || c == CLOCK_BOOTTIME_ALARM)
		return ktime_to_ns(
			alarm_expires_remaining(&k->it.alarm.alarmtimer));
	return ktime_to_ns(__hrtimer_get_remaining(&k->it.real.timer, true));
}

static void ptimer_add(struct stasis_out *o, struct task_struct *task,
		       struct k_itimer *k)
{
	struct stasis_rec_ptimer *rec;

	rec = stasis_out_add(o, STASIS_REC_PTIMER, sizeof(*rec));
	if (!rec)
		return;
	rec->timer = k->it_id;
	rec->clock = k->it_clock;
	rec->notify = k->it_sigev_notify;
	rec->signo = stasis_ptimer_info(k)->si_signo;
	rec->sigval = (unsigned long)stasis_ptimer_info(k)->si_value.sival_ptr;
	if (k->it_sigev_notify & SIGEV_THREAD_ID)
		rec->inner_tid = pid_nr_ns(k->it_pid, task_active_pid_ns(task));
	rec->interval = ktime_to_ns(k->it_interval);
	rec->armed = stasis_ptimer_armed(k);
	if (rec->armed)
		rec->value = left(remaining(task, k), rec->interval);
	rec->overrun = k->it_overrun_last;
}

void stasis_timers(struct stasis_out *o, struct task_struct *task,
		   struct stasis_rec_proc *rec)
{
	struct sighand_struct *sh;
	unsigned long flags;
	struct k_itimer *k;

	sh = stasis_sighand_lock(task, &flags);
	if (!sh)
		return;
	if (rec)
		itimers(task, rec);
	else
		stasis_for_each_ptimer(k, task->signal) ptimer_add(o, task, k);
	spin_unlock_irqrestore(&sh->siglock, flags);
}

/* The functions behind restart_block are private to the kernel's files. */
static u32 sleep_kind(const struct restart_block *b)
{
	char name[64];

	snprintf(name, sizeof(name), "%ps", b->fn);
	if (!strncmp(name, "hrtimer_nanosleep_restart", 25))
		return STASIS_SLEEP_NANOSLEEP;
	if (!strncmp(name, "do_restart_poll", 15))
		return STASIS_SLEEP_POLL;
	if (!strncmp(name, "futex_wait_restart", 18))
		return STASIS_SLEEP_FUTEX;
	if (!strncmp(name, "do_no_restart_syscall", 21))
		return STASIS_SLEEP_NONE;
	return STASIS_SLEEP_OTHER;
}

/* Called when ax is -ERESTART_RESTARTBLOCK: only then is the block alive. */
void stasis_sleep(struct task_struct *t, struct stasis_rec_thread *rec)
{
	const struct restart_block *b = &t->restart_block;

	rec->sleep_kind = sleep_kind(b);
	rec->sleep_expiry = ~0ull;
	rec->sleep_clock = CLOCK_MONOTONIC;
	switch (rec->sleep_kind) {
	case STASIS_SLEEP_NANOSLEEP:
		rec->sleep_clock = b->nanosleep.clockid;
		rec->sleep_expiry = b->nanosleep.expires;
		rec->sleep_uaddr = (unsigned long)b->nanosleep.rmtp;
		break;
	case STASIS_SLEEP_POLL:
		rec->sleep_expiry = stasis_poll_expiry(b);
		rec->sleep_uaddr = (unsigned long)b->poll.ufds;
		break;
	case STASIS_SLEEP_FUTEX:
		/* FLAGS_HAS_TIMEOUT is set whenever there is a block. */
		rec->sleep_expiry = b->futex.time;
		rec->sleep_flags = b->futex.flags;
		rec->sleep_uaddr = (unsigned long)b->futex.uaddr;
		break;
	default:
		break;
	}
}
