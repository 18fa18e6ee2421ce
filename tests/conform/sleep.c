/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of interrupted system calls with a time limit.  A ticker thread
 * counts the time that the program is alive (a gap counts as at most 250 ms);
 * a sleep of 1.5 s must take that much of it, however long the program was
 * dead in between, and must end by time-out, never by EINTR.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"

#define SLEEP_MS 1500

struct sleeper {
	const char *name;
	long (*sleep)(void);
	long want;
	int want_errno;
	long got;
	int err;
	uint64_t from, to; /* on the live clock */
	volatile int done;
	pthread_t thread;
};

#define S(n, f, w, e)                                                          \
	{                                                                      \
		.name = n, .sleep = f, .want = w, .want_errno = e              \
	}

static atomic_uint_least64_t live_ms;
static atomic_int ticker_stop;
static pthread_t ticker_thread;
static struct timespec whole = { SLEEP_MS / 1000,
				 (long)(SLEEP_MS % 1000) * 1000000 };

static void *ticker(void *arg)
{
	uint64_t last = conform_now(), now;

	while (!ticker_stop) {
		conform_msleep(3);
		now = conform_now();
		live_ms += now - last > 250 ? 250 : now - last;
		last = now;
	}
	return arg;
}

static void *sleeper_main(void *arg)
{
	struct sleeper *s = arg;

	s->from = live_ms;
	errno = 0;
	s->got = s->sleep();
	s->err = errno;
	s->to = live_ms;
	s->done = 1;
	return NULL;
}

static void sleepers_start(struct sleeper *s)
{
	CHECK(!pthread_create(&ticker_thread, NULL, ticker, NULL), "thread");
	for (; s->name; s++)
		CHECK(!pthread_create(&s->thread, NULL, sleeper_main, s),
		      "sleeper");
}

static void sleepers_end(struct sleeper *list, unsigned int max_ms)
{
	uint64_t end = conform_now() + 8000;
	struct sleeper *s;
	uint64_t took;

	for (s = list; s->name; s++) {
		while (!s->done) {
			CHECK(conform_now() < end, "%s never ended", s->name);
			conform_msleep(2);
		}
		pthread_join(s->thread, NULL);
		CHECK(s->got == s->want &&
			      (!s->want_errno || s->err == s->want_errno),
		      "%s gave %ld (%s), not %ld (%s)", s->name, s->got,
		      strerror(s->err), s->want, strerror(s->want_errno));
		took = s->to - s->from;
		CHECK(took >= SLEEP_MS - 200 && took <= max_ms,
		      "%s took %lu ms of life, not %d", s->name,
		      (unsigned long)took, SLEEP_MS);
	}
	ticker_stop = 1;
	pthread_join(ticker_thread, NULL);
}

static long do_nanosleep(void)
{
	struct timespec rest;

	return nanosleep(&whole, &rest);
}

static long do_nanosleep_norem(void)
{
	return nanosleep(&whole, NULL);
}

static long do_clock(void)
{
	return clock_nanosleep(CLOCK_MONOTONIC, 0, &whole, NULL);
}

static long do_clock_real(void)
{
	return clock_nanosleep(CLOCK_REALTIME, 0, &whole, NULL);
}

static long do_poll(void)
{
	return poll(NULL, 0, SLEEP_MS);
}

static long do_futex(void)
{
	static uint32_t word;

	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &whole, NULL, 0);
}

static struct sleeper restarts[] = {
	S("nanosleep", do_nanosleep, 0, 0),
	S("nanosleep without rest", do_nanosleep_norem, 0, 0),
	S("clock_nanosleep", do_clock, 0, 0),
	S("clock_nanosleep of CLOCK_REALTIME", do_clock_real, 0, 0),
	S("poll", do_poll, 0, 0),
	S("futex", do_futex, -1, ETIMEDOUT),
	{ .name = NULL },
};

static long do_select(void)
{
	struct timeval tv = { 1, 500000 };

	return select(0, NULL, NULL, NULL, &tv);
}

static long do_ppoll(void)
{
	return ppoll(NULL, 0, &whole, NULL);
}

static struct sleeper selects[] = {
	S("select", do_select, 0, 0),
	S("ppoll", do_ppoll, 0, 0),
	{ .name = NULL },
};

static long do_epoll(void)
{
	struct epoll_event ev;
	int ep = (int)NEED(epoll_create1(0));
	long ret = epoll_wait(ep, &ev, 1, SLEEP_MS);

	close(ep);
	return ret;
}

static long do_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigtimedwait(&set, NULL, &whole);
}

static long do_recv(void)
{
	struct timeval tv = { 1, 500000 };
	char byte;
	int sk[2];

	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, sk));
	NEED(setsockopt(sk[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	return recv(sk[0], &byte, 1, 0);
}

static long do_semtimedop(void)
{
	struct sembuf op = { 0, -1, 0 };
	int err, id = (int)NEED(semget(IPC_PRIVATE, 1, 0600));
	long ret = semtimedop(id, &op, 1, &whole);

	err = errno;
	semctl(id, 0, IPC_RMID);
	errno = err;
	return ret;
}

/* These start anew after an interruption unless the engine shortens them. */
static struct sleeper epolls[] = {
	S("epoll_wait", do_epoll, 0, 0),
	{ .name = NULL },
};
static struct sleeper sigwaits[] = {
	S("sigtimedwait", do_sigtimedwait, -1, EAGAIN),
	{ .name = NULL },
};
static struct sleeper recvs[] = {
	S("recv with a time-out", do_recv, -1, EAGAIN),
	{ .name = NULL },
};
static struct sleeper semops[] = {
	S("semtimedop", do_semtimedop, -1, EAGAIN),
	{ .name = NULL },
};

static long do_timerfd(void)
{
	struct itimerspec its = { .it_value = whole };
	int fd = (int)NEED(timerfd_create(CLOCK_MONOTONIC, 0));
	uint64_t n = 0;

	NEED(timerfd_settime(fd, 0, &its, NULL));
	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return -1;
	return (long)n;
}

static struct sleeper timerfds[] = {
	S("read of a timerfd", do_timerfd, 1, 0),
	{ .name = NULL },
};

/* --- a point in time: it may pass while the program is dead --- */

static struct timespec abs_at;
static pthread_t abs_thread;
static volatile int abs_got = -1;

static void *abs_main(void *arg)
{
	abs_got =
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &abs_at, NULL);
	return arg;
}

static void absolute_setup(struct conform *c)
{
	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &abs_at);
	abs_at.tv_sec += 2;
	CHECK(!pthread_create(&abs_thread, NULL, abs_main, NULL), "thread");
}

static void absolute_after(struct conform *c)
{
	struct timespec now;

	(void)c;
	pthread_join(abs_thread, NULL);
	clock_gettime(CLOCK_MONOTONIC, &now);
	CHECK_EQ(abs_got, 0);
	CHECK(now.tv_sec > abs_at.tv_sec || (now.tv_sec == abs_at.tv_sec &&
					     now.tv_nsec >= abs_at.tv_nsec),
	      "an absolute sleep ended before its time");
}

#define SLEEPERS(list, max)                                                    \
	static void list##_setup(struct conform *c)                            \
	{                                                                      \
		(void)c;                                                       \
		sleepers_start(list);                                          \
	}                                                                      \
	static void list##_after(struct conform *c)                            \
	{                                                                      \
		(void)c;                                                       \
		sleepers_end(list, max);                                       \
	}
#define SLEEP_KIND(list)                                                       \
	{                                                                      \
		.name = "sleep_" #list, .setup = list##_setup,                 \
		.continued = list##_after, .before_ms = 900, .dead_ms = 1200,  \
		.flags = CONFORM_BUSY                                          \
	}

SLEEPERS(restarts, SLEEP_MS + 500)
SLEEPERS(selects, SLEEP_MS + 500)
SLEEPERS(timerfds, SLEEP_MS + 500)
SLEEPERS(epolls, SLEEP_MS + 2000)
SLEEPERS(sigwaits, SLEEP_MS + 2000)
SLEEPERS(recvs, SLEEP_MS + 2000)
SLEEPERS(semops, SLEEP_MS + 2000)

const struct conform_kind conform_kinds[] = {
	SLEEP_KIND(restarts), SLEEP_KIND(selects),  SLEEP_KIND(timerfds),
	SLEEP_KIND(epolls),   SLEEP_KIND(sigwaits), SLEEP_KIND(recvs),
	SLEEP_KIND(semops),   SLEEP_KIND(absolute), { .name = NULL },
};
