/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of signals and timers of a process: handlers with their flags and
 * masks, ignored ones, interval timers, POSIX timers with their ids, a
 * process-wide view of clocks that must not run backwards.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"

static volatile sig_atomic_t count[65];
static volatile int last_value;
static volatile int on_altstack;
static char altstack[32768];

static void on_signal(int sig)
{
	count[sig]++;
}

static void on_info(int sig, siginfo_t *si, void *uc)
{
	char here;

	(void)uc;
	count[sig]++;
	last_value = si->si_value.sival_int;
	on_altstack = &here >= altstack && &here < altstack + sizeof(altstack);
}

static void handlers_setup(struct conform *c)
{
	struct sigaction sa = { .sa_handler = on_signal };
	stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };

	c->eintr_ok = true;
	NEED(sigaltstack(&ss, NULL));
	sigfillset(&sa.sa_mask);
	NEED(sigaction(SIGHUP, &sa, NULL));
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGTERM);
	sa.sa_sigaction = on_info;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER;
	NEED(sigaction(SIGRTMIN + 9, &sa, NULL));
	sa.sa_handler = on_signal;
	sa.sa_flags = (int)SA_RESETHAND;
	NEED(sigaction(SIGUSR1, &sa, NULL));
	signal(SIGPIPE, SIG_IGN);
	signal(SIGWINCH, SIG_IGN);
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGALRM);
	sigaddset(&sa.sa_mask, SIGRTMAX);
	NEED(sigprocmask(SIG_SETMASK, &sa.sa_mask, NULL));
}

static void handlers_table(void)
{
	struct sigaction sa;

	NEED(sigaction(SIGHUP, NULL, &sa));
	CHECK(sa.sa_handler == on_signal && sigismember(&sa.sa_mask, SIGTERM),
	      "SIGHUP's action differs");
	NEED(sigaction(SIGRTMIN + 9, NULL, &sa));
	CHECK(sa.sa_sigaction == on_info, "handler differs");
	CHECK_EQ(sa.sa_flags & ~0x04000000,
		 SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER);
	CHECK(sigismember(&sa.sa_mask, SIGTERM) &&
		      !sigismember(&sa.sa_mask, SIGHUP),
	      "the handler's mask differs");
	NEED(sigaction(SIGPIPE, NULL, &sa));
	CHECK(sa.sa_handler == SIG_IGN, "SIGPIPE is not ignored");
	NEED(sigaction(SIGTERM, NULL, &sa));
	CHECK(sa.sa_handler == SIG_DFL, "SIGTERM is not default");
	NEED(sigaction(SIGWINCH, NULL, &sa));
	CHECK(sa.sa_handler == SIG_IGN, "SIGWINCH is not ignored");
}

static void handlers_after(struct conform *c)
{
	union sigval v = { .sival_int = (int)(c->nonce & 0xffffff) };
	struct sigaction sa;
	sigset_t mask, want;

	handlers_table();
	sigemptyset(&want);
	sigaddset(&want, SIGALRM);
	sigaddset(&want, SIGRTMAX);
	NEED(sigprocmask(SIG_BLOCK, NULL, &mask));
	CHECK(!memcmp(&mask, &want, 8), "the mask differs");
	CHECK(!count[SIGHUP] && !count[SIGUSR1] && !count[SIGRTMIN + 9], "a "
									 "handl"
									 "er "
									 "ran "
									 "unask"
									 "ed");
	NEED(raise(SIGHUP));
	NEED(sigqueue(getpid(), SIGRTMIN + 9, v));
	NEED(raise(SIGUSR1));
	CHECK_EQ(count[SIGHUP], 1);
	CHECK_EQ(count[SIGUSR1], 1);
	CHECK_EQ(count[SIGRTMIN + 9], 1);
	CHECK_EQ(last_value, v.sival_int);
	CHECK(on_altstack, "the handler was not on the alternate stack");
	NEED(sigaction(SIGUSR1, NULL, &sa));
	CHECK(sa.sa_handler == SIG_DFL, "SA_RESETHAND is lost");
}

/* --- a handler that runs while the checkpoint is taken --- */

static volatile int inside, leave;

static void on_long(int sig)
{
	char buf[2048];

	inside = sig;
	conform_fill(buf, sizeof(buf), 99);
	while (!leave)
		;
	CHECK_SAME(buf, sizeof(buf), 99);
	inside = 0;
}

static pid_t long_child;

static void on_leave(int sig)
{
	leave = sig;
}

static void long_main(struct conform *c, long arg)
{
	struct sigaction sa = { .sa_handler = on_long, .sa_flags = SA_ONSTACK };
	stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };

	(void)c;
	NEED(sigaltstack(&ss, NULL));
	NEED(sigaction(SIGUSR1, &sa, NULL));
	signal(SIGUSR2, on_leave);
	conform_child_ready();
	raise(SIGUSR1);
	CHECK(leave && !inside, "the handler did not come back");
	CHECK_EQ(arg, 4);
}

static void long_setup(struct conform *c)
{
	long_child = conform_child(c, long_main, 4);
}

static void long_after(struct conform *c)
{
	NEED(kill(long_child, SIGUSR2));
	conform_join(c, long_child, 4);
}

/* --- interval timers --- */

static void itimer_set(int which, long ms, long every_ms)
{
	struct itimerval it = {
		.it_value = { ms / 1000, (ms % 1000) * 1000 },
		.it_interval = { every_ms / 1000, (every_ms % 1000) * 1000 },
	};

	NEED(setitimer(which, &it, NULL));
}

static long itimer_left(int which, long *every)
{
	struct itimerval it;

	NEED(getitimer(which, &it));
	*every = it.it_interval.tv_sec * 1000 + it.it_interval.tv_usec / 1000;
	return it.it_value.tv_sec * 1000 + it.it_value.tv_usec / 1000;
}

static void itimer_setup(struct conform *c)
{
	c->eintr_ok = true;
	signal(SIGALRM, on_signal);
	signal(SIGVTALRM, on_signal);
	signal(SIGPROF, on_signal);
	itimer_set(ITIMER_REAL, 100000, 0);
	itimer_set(ITIMER_VIRTUAL, 70000, 5000);
	itimer_set(ITIMER_PROF, 80000, 6000);
}

static void itimer_after(struct conform *c)
{
	long every, left = itimer_left(ITIMER_REAL, &every);

	(void)c;
	CHECK(left > 90000 && left < 100000 && every == 0,
	      "ITIMER_REAL has %ld ms left, interval %ld", left, every);
	left = itimer_left(ITIMER_VIRTUAL, &every);
	CHECK(left > 69000 && left <= 70010 && every == 5000,
	      "ITIMER_VIRTUAL has %ld ms left, interval %ld", left, every);
	left = itimer_left(ITIMER_PROF, &every);
	CHECK(left > 79000 && left <= 80010 && every == 6000,
	      "ITIMER_PROF has %ld ms left, interval %ld", left, every);
	CHECK(!count[SIGALRM], "SIGALRM came early");
	itimer_set(ITIMER_REAL, 20, 0);
	conform_msleep(100);
	CHECK_EQ(count[SIGALRM], 1);
}

/* A fast periodic one: it must go on, whatever moment it was read in. */
static void tick_setup(struct conform *c)
{
	c->eintr_ok = true;
	signal(SIGALRM, on_signal);
	itimer_set(ITIMER_REAL, 2, 2);
}

static void tick_after(struct conform *c)
{
	int before = count[SIGALRM];

	(void)c;
	conform_msleep(200);
	CHECK(count[SIGALRM] > before + 3, "%d ticks in 200 ms, not 100",
	      count[SIGALRM] - before);
}

/* --- POSIX timers --- */

static int tid_gap[3]; /* kernel ids: the first of five stay 0, 2, 4 */

static int ktimer(clockid_t clock, int sig, int value)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL,
			       .sigev_signo = sig,
			       .sigev_value.sival_int = value };
	int id;

	NEED(syscall(SYS_timer_create, clock, &ev, &id));
	return id;
}

static void kset(int id, long ms, long every)
{
	struct itimerspec its = {
		.it_value = { ms / 1000, (ms % 1000) * 1000000 },
		.it_interval = { every / 1000, (every % 1000) * 1000000 },
	};

	NEED(syscall(SYS_timer_settime, id, 0, &its, NULL));
}

static void ptimer_setup(struct conform *c)
{
	struct sigaction sa = { .sa_sigaction = on_info,
				.sa_flags = SA_SIGINFO };
	int ids[5], i, value = (int)(c->nonce & 0xffffff);

	c->eintr_ok = true;
	NEED(sigaction(SIGRTMIN + 1, &sa, NULL));
	NEED(sigaction(SIGRTMIN + 2, &sa, NULL));
	for (i = 0; i < 5; i++)
		ids[i] = ktimer(i == 2 ? CLOCK_REALTIME : CLOCK_MONOTONIC,
				SIGRTMIN + 1 + (i == 4), value + i);
	NEED(syscall(SYS_timer_delete, ids[1]));
	NEED(syscall(SYS_timer_delete, ids[3]));
	for (i = 0; i < 3; i++)
		tid_gap[i] = ids[2 * i];
	kset(tid_gap[0], 100000, 0);
	kset(tid_gap[1], 90000, 7000);
	/* the last is not armed */
}

static void ptimer_after(struct conform *c)
{
	struct itimerspec its;

	NEED(syscall(SYS_timer_gettime, tid_gap[0], &its));
	CHECK(its.it_value.tv_sec >= 90 && its.it_value.tv_sec < 100,
	      "timer %d has %ld s left", tid_gap[0], its.it_value.tv_sec);
	NEED(syscall(SYS_timer_gettime, tid_gap[1], &its));
	CHECK(its.it_value.tv_sec >= 80 && its.it_interval.tv_sec == 7,
	      "timer %d has %ld s left, interval %ld", tid_gap[1],
	      its.it_value.tv_sec, its.it_interval.tv_sec);
	NEED(syscall(SYS_timer_gettime, tid_gap[2], &its));
	CHECK(!its.it_value.tv_sec && !its.it_value.tv_nsec, "a timer that was "
							     "off is on");
	CHECK(syscall(SYS_timer_gettime, tid_gap[0] + 1, &its) == -1, "a "
								      "deleted "
								      "timer "
								      "is "
								      "back");
	kset(tid_gap[2], 20, 0);
	conform_msleep(150);
	CHECK_EQ(count[SIGRTMIN + 2], 1);
	CHECK_EQ(last_value, (int)(c->nonce & 0xffffff) + 4);
	CHECK_EQ(count[SIGRTMIN + 1], 0);
}

/* SIGEV_THREAD of glibc: a helper thread and a SIGEV_THREAD_ID timer. */
static volatile int notified;

static void on_notify(union sigval v)
{
	notified = v.sival_int;
}

static timer_t thread_timer;

static void tthread_setup(struct conform *c)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD,
			       .sigev_value.sival_int =
				       (int)(c->nonce & 0xffffff) | 1 };

	ev.sigev_notify_function = on_notify;
	NEED(timer_create(CLOCK_MONOTONIC, &ev, &thread_timer));
}

static void tthread_after(struct conform *c)
{
	struct itimerspec its = { .it_value = { 0, 20000000 } };
	int i;

	NEED(timer_settime(thread_timer, 0, &its, NULL));
	for (i = 0; i < 400 && !notified; i++)
		conform_msleep(5);
	CHECK_EQ(notified, (int)(c->nonce & 0xffffff) | 1);
}

/* --- clocks --- */

static struct timespec was[3];
static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_BOOTTIME,
				    CLOCK_REALTIME };

static void clock_setup(struct conform *c)
{
	int i;

	(void)c;
	for (i = 0; i < 3; i++)
		NEED(clock_gettime(clocks[i], &was[i]));
}

static void clock_after(struct conform *c)
{
	struct timespec now, raw;
	int i;

	(void)c;
	for (i = 0; i < 3; i++) {
		NEED(clock_gettime(clocks[i], &now));
		NEED(syscall(SYS_clock_gettime, clocks[i], &raw));
		CHECK(now.tv_sec > was[i].tv_sec ||
			      (now.tv_sec == was[i].tv_sec &&
			       now.tv_nsec >= was[i].tv_nsec),
		      "clock %d went back", clocks[i]);
		CHECK(now.tv_sec - was[i].tv_sec < 60, "clock %d jumped",
		      clocks[i]);
		CHECK(raw.tv_sec - now.tv_sec <= 1 && raw.tv_sec >= now.tv_sec,
		      "the vdso and the system call disagree on clock %d",
		      clocks[i]);
	}
}

const struct conform_kind conform_kinds[] = {
	{ .name = "signal_handlers",
	  .setup = handlers_setup,
	  .continued = handlers_after },
	{ .name = "signal_in_handler",
	  .setup = long_setup,
	  .continued = long_after },
	{ .name = "itimers", .setup = itimer_setup, .continued = itimer_after },
	{ .name = "itimer_ticks",
	  .setup = tick_setup,
	  .continued = tick_after,
	  .before_ms = 30,
	  .flags = CONFORM_BUSY },
	{ .name = "posix_timers",
	  .setup = ptimer_setup,
	  .continued = ptimer_after },
	{ .name = "posix_timer_thread",
	  .setup = tthread_setup,
	  .continued = tthread_after,
	  .flags = CONFORM_BUSY },
	{ .name = "clocks",
	  .setup = clock_setup,
	  .continued = clock_after,
	  .dead_ms = 300 },
	{ .name = NULL },
};
