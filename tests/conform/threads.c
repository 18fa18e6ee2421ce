/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of threads: many of them with tids, names, masks and alternate
 * stacks of their own; signals pending to one; robust mutexes whose owner dies
 * after the restart; scheduling; a leader that left before the others.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

#define MANY 200

struct worker {
	pthread_t thread;
	long i;
	pid_t tid;
	uint64_t seed;
	struct conform *c;
};

static struct worker many[MANY];
static pthread_barrier_t set, go;

static void many_mask(long i, sigset_t *mask)
{
	sigemptyset(mask);
	sigaddset(mask, SIGRTMIN + (int)(i % 20));
	if (i & 1)
		sigaddset(mask, SIGUSR2);
}

static void many_check(struct worker *w, const char *stack, void *alt)
{
	char name[16], want[16];
	sigset_t mask, now;
	stack_t ss;

	CHECK_SAME(stack, 4096, w->seed);
	CHECK_EQ(gettid(), w->tid);
	snprintf(want, sizeof(want), "w%ld", w->i);
	NEED(prctl(PR_GET_NAME, name));
	CHECK(!strcmp(name, want), "name is %s, not %s", name, want);
	many_mask(w->i, &mask);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	CHECK(!memcmp(&mask, &now, 8), "mask of thread %ld differs", w->i);
	NEED(sigaltstack(NULL, &ss));
	CHECK(ss.ss_sp == alt && ss.ss_size == 16384 && !ss.ss_flags,
	      "altstack of thread %ld differs", w->i);
}

static void *many_main(void *arg)
{
	struct worker *w = arg;
	char stack[4096], name[16];
	void *alt = malloc(16384);
	stack_t ss = { .ss_sp = alt, .ss_size = 16384 };
	sigset_t mask;

	w->tid = gettid();
	conform_fill(stack, sizeof(stack), w->seed);
	snprintf(name, sizeof(name), "w%ld", w->i);
	NEED(prctl(PR_SET_NAME, name));
	many_mask(w->i, &mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	NEED(sigaltstack(&ss, NULL));
	pthread_barrier_wait(&set);
	pthread_barrier_wait(&go);
	many_check(w, stack, alt);
	return w;
}

static void many_setup(struct conform *c)
{
	pthread_attr_t attr;
	long i;

	pthread_barrier_init(&set, NULL, MANY + 1);
	pthread_barrier_init(&go, NULL, MANY + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	for (i = 0; i < MANY; i++) {
		many[i].i = i;
		many[i].seed = conform_rand(c->nonce, 100 + (uint64_t)i);
		CHECK(!pthread_create(&many[i].thread, &attr, many_main,
				      &many[i]),
		      "thread %ld: %m", i);
	}
	pthread_barrier_wait(&set);
}

static void many_after(struct conform *c)
{
	void *ret;
	int i;

	(void)c;
	pthread_barrier_wait(&go);
	for (i = 0; i < MANY; i++) {
		CHECK(!pthread_join(many[i].thread, &ret), "join");
		CHECK(ret == &many[i], "thread %d returned another value", i);
	}
	/* New threads still start. */
	pthread_barrier_init(&set, NULL, 1);
	pthread_barrier_init(&go, NULL, 1);
	CHECK(!pthread_create(&many[0].thread, NULL, many_main, &many[0]),
	      "no new thread: %m");
	CHECK(!pthread_join(many[0].thread, NULL), "join");
}

/* --- signals pending to one thread --- */

static struct worker target;
static pthread_barrier_t pend_go;

static void expect_signal(int sig, int code, int value)
{
	struct timespec none = { 0, 0 };
	siginfo_t si;
	sigset_t set1;

	sigemptyset(&set1);
	sigaddset(&set1, sig);
	CHECK(sigtimedwait(&set1, &si, &none) == sig, "signal %d is lost", sig);
	CHECK(si.si_code == code, "signal %d has code %d, not %d", sig,
	      si.si_code, code);
	if (code == SI_QUEUE)
		CHECK(si.si_value.sival_int == value,
		      "signal %d has value %d, not %d", sig,
		      si.si_value.sival_int, value);
}

static void expect_none(int sig)
{
	struct timespec none = { 0, 0 };
	sigset_t set1;

	sigemptyset(&set1);
	sigaddset(&set1, sig);
	CHECK(sigtimedwait(&set1, NULL, &none) == -1 && errno == EAGAIN,
	      "one signal %d too many", sig);
}

static int pend_value(struct conform *c, int i)
{
	return (int)(conform_rand(c->nonce, 600 + (uint64_t)i) & 0xffffff);
}

static void *pend_main(void *arg)
{
	struct conform *c = arg;
	int i;

	target.tid = gettid();
	pthread_barrier_wait(&pend_go);
	pthread_barrier_wait(&pend_go);
	for (i = 0; i < 3; i++)
		expect_signal(SIGRTMIN + 3, SI_QUEUE, pend_value(c, i));
	expect_none(SIGRTMIN + 3);
	expect_signal(SIGUSR1, SI_USER, 0); /* glibc hides SI_TKILL */
	expect_none(SIGUSR1);
	return NULL;
}

static void queue_to(pid_t pid, pid_t tid, int sig, int value)
{
	siginfo_t si = { 0 };

	si.si_signo = sig;
	si.si_code = SI_QUEUE;
	si.si_pid = getpid();
	si.si_uid = getuid();
	si.si_value.sival_int = value;
	if (tid)
		NEED(syscall(SYS_rt_tgsigqueueinfo, pid, tid, sig, &si));
	else
		NEED(syscall(SYS_rt_sigqueueinfo, pid, sig, &si));
}

static void pend_setup(struct conform *c)
{
	sigset_t all;
	int i;

	sigemptyset(&all);
	sigaddset(&all, SIGUSR1);
	sigaddset(&all, SIGUSR2);
	for (i = 0; i < 8; i++)
		sigaddset(&all, SIGRTMIN + i);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_barrier_init(&pend_go, NULL, 2);
	CHECK(!pthread_create(&target.thread, NULL, pend_main, c), "thread");
	pthread_barrier_wait(&pend_go);
	for (i = 0; i < 3; i++)
		queue_to(getpid(), target.tid, SIGRTMIN + 3, pend_value(c, i));
	NEED(syscall(SYS_tgkill, getpid(), target.tid, SIGUSR1));
	for (i = 3; i < 7; i++)
		queue_to(getpid(), 0, SIGRTMIN + i % 2 + 5, pend_value(c, i));
	NEED(kill(getpid(), SIGUSR2));
}

static void pend_after(struct conform *c)
{
	pthread_barrier_wait(&pend_go);
	CHECK(!pthread_join(target.thread, NULL), "join");
	expect_signal(SIGRTMIN + 6, SI_QUEUE, pend_value(c, 3));
	expect_signal(SIGRTMIN + 5, SI_QUEUE, pend_value(c, 4));
	expect_signal(SIGRTMIN + 6, SI_QUEUE, pend_value(c, 5));
	expect_signal(SIGRTMIN + 5, SI_QUEUE, pend_value(c, 6));
	expect_none(SIGRTMIN + 5);
	expect_none(SIGRTMIN + 6);
	expect_signal(SIGUSR2, SI_USER, 0);
	expect_none(SIGUSR2);
}

/* --- robust mutexes --- */

static pthread_mutex_t *robust;
static pthread_t robust_thread;
static pid_t robust_child;

static void *robust_main(void *arg)
{
	CHECK(!pthread_mutex_lock(&robust[0]), "lock");
	pthread_barrier_wait(&set);
	pthread_barrier_wait(&go);
	return arg; /* with the mutex held */
}

static void robust_holder(struct conform *c, long arg)
{
	CHECK(!pthread_mutex_lock(&robust[1]), "lock in child");
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(arg, 1);
}

static void robust_setup(struct conform *c)
{
	pthread_mutexattr_t a;
	int i;

	robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	for (i = 0; i < 2; i++)
		pthread_mutex_init(&robust[i], &a);
	robust_child = conform_child(c, robust_holder, 1);
	pthread_barrier_init(&set, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	CHECK(!pthread_create(&robust_thread, NULL, robust_main, c), "thread");
	pthread_barrier_wait(&set);
}

static void robust_after(struct conform *c)
{
	CHECK_EQ(pthread_mutex_trylock(&robust[0]), EBUSY);
	pthread_barrier_wait(&go);
	pthread_join(robust_thread, NULL);
	CHECK_EQ(pthread_mutex_lock(&robust[0]), EOWNERDEAD);
	conform_join(c, robust_child, 1);
	CHECK_EQ(pthread_mutex_lock(&robust[1]), EOWNERDEAD);
}

/* --- scheduling --- */

static pthread_t sched_thread[3];

static int sched_cpu(void)
{
	cpu_set_t set1;
	int i, last = 0;

	NEED(sched_getaffinity(getpid(), sizeof(set1), &set1));
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set1))
			last = i;
	return last;
}

static int sched_last;

static void sched_set(long i)
{
	struct sched_param none = { 0 };
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_last, &one);
	if (i == 1)
		NEED(sched_setscheduler(0, SCHED_BATCH, &none));
	if (i == 2)
		NEED(sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK,
					&none));
	NEED(setpriority(PRIO_PROCESS, 0, 3 + (int)i));
	NEED(prctl(PR_SET_TIMERSLACK, 60000 + i));
	NEED(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		     IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 1 + i)));
	if (i)
		NEED(sched_setaffinity(0, sizeof(one), &one));
}

static void sched_check(long i)
{
	static const int policy[] = { SCHED_OTHER, SCHED_BATCH,
				      SCHED_IDLE | SCHED_RESET_ON_FORK };
	cpu_set_t set1;

	CHECK_EQ(sched_getscheduler(0), policy[i]);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3 + i);
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 60000 + i);
	CHECK_EQ(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0),
		 IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 1 + i));
	if (!i)
		return;
	NEED(sched_getaffinity(0, sizeof(set1), &set1));
	CHECK_EQ(CPU_COUNT(&set1), 1);
	CHECK(CPU_ISSET(sched_last, &set1), "another processor is in the mask");
}

static void *sched_main(void *arg)
{
	sched_set((long)arg);
	pthread_barrier_wait(&set);
	pthread_barrier_wait(&go);
	sched_check((long)arg);
	return NULL;
}

static void sched_setup(struct conform *c)
{
	long i;

	(void)c;
	sched_last = sched_cpu();
	pthread_barrier_init(&set, NULL, 4);
	pthread_barrier_init(&go, NULL, 4);
	for (i = 0; i < 3; i++)
		CHECK(!pthread_create(&sched_thread[i], NULL, sched_main,
				      (void *)i),
		      "thread");
	pthread_barrier_wait(&set);
}

static void sched_after(struct conform *c)
{
	int i;

	(void)c;
	pthread_barrier_wait(&go);
	for (i = 0; i < 3; i++)
		pthread_join(sched_thread[i], NULL);
}

static void fifo_setup(struct conform *c)
{
	struct sched_param p = { .sched_priority = 7 };

	(void)c;
	if (sched_setscheduler(0, SCHED_RR, &p))
		conform_skip("no real-time scheduling here: %m");
	NEED(setpriority(PRIO_PROCESS, 0, -5));
}

static void fifo_after(struct conform *c)
{
	struct sched_param p;

	(void)c;
	CHECK_EQ(sched_getscheduler(0), SCHED_RR);
	NEED(sched_getparam(0, &p));
	CHECK_EQ(p.sched_priority, 7);
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), -5);
}

/* --- the leader has left --- */

extern const struct conform_kind conform_leader_kind;
static struct worker left;

static void *left_main(void *arg)
{
	left.tid = gettid();
	pthread_join(left.thread, NULL);
	conform_after_ready(&conform_leader_kind);
	return arg;
}

static void leader_setup(struct conform *c)
{
	pthread_t t;

	left.c = c;
	left.thread = pthread_self();
	CHECK(!pthread_create(&t, NULL, left_main, NULL), "thread");
	pthread_exit(NULL);
}

static void leader_after(struct conform *c)
{
	(void)c;
	CHECK_EQ(gettid(), left.tid);
	CHECK(gettid() != getpid(), "the leader is here");
}

const struct conform_kind conform_leader_kind = {
	.name = "thread_leader_left",
	.setup = leader_setup,
	.continued = leader_after,
};

const struct conform_kind conform_kinds[] = {
	{ .name = "thread_many",
	  .setup = many_setup,
	  .continued = many_after,
	  .flags = CONFORM_BUSY },
	{ .name = "thread_pending",
	  .setup = pend_setup,
	  .continued = pend_after },
	{ .name = "thread_robust",
	  .setup = robust_setup,
	  .continued = robust_after },
	{ .name = "thread_sched",
	  .setup = sched_setup,
	  .continued = sched_after },
	{ .name = "thread_realtime",
	  .setup = fifo_setup,
	  .continued = fifo_after,
	  .flags = CONFORM_ROOT },
	{ .name = "thread_leader_left",
	  .setup = leader_setup,
	  .continued = leader_after },
	{ .name = NULL },
};
