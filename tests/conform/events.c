/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of event descriptors: eventfd, epoll (nested too), timerfd,
 * signalfd, inotify, pidfd.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* --- eventfd --- */

static int ev[3];

static void eventfd_setup(struct conform *c)
{
	uint64_t v = c->nonce >> 2;

	ev[0] = (int)NEED(eventfd(0, EFD_NONBLOCK));
	NEED(write(ev[0], &v, 8));
	ev[1] = (int)NEED(eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC));
	ev[2] = (int)NEED(eventfd(0, EFD_NONBLOCK));
}

static void eventfd_after(struct conform *c)
{
	uint64_t v;

	NEED(read(ev[0], &v, 8));
	CHECK(v == c->nonce >> 2, "count is %lx", (unsigned long)v);
	CHECK(read(ev[0], &v, 8) == -1 && errno == EAGAIN, "not empty");
	CHECK_EQ(fcntl(ev[1], F_GETFD), FD_CLOEXEC);
	NEED(read(ev[1], &v, 8));
	CHECK_EQ(v, 1);
	NEED(read(ev[1], &v, 8));
	NEED(read(ev[1], &v, 8));
	CHECK(!readable(ev[1]), "more than three");
	CHECK(read(ev[2], &v, 8) == -1 && errno == EAGAIN, "not empty");
}

/* --- epoll --- */

static int ep, inner, p[2], q[2];

static void add(int to, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	NEED(epoll_ctl(to, EPOLL_CTL_ADD, fd, &e));
}

static void wait_one(int on, uint32_t events, uint64_t data)
{
	struct epoll_event e;

	CHECK_EQ(epoll_wait(on, &e, 1, 1000), 1);
	CHECK(e.data.u64 == data, "data is %lx, not %lx",
	      (unsigned long)e.data.u64, (unsigned long)data);
	CHECK_EQ(e.events, events);
}

static void wait_none(int on)
{
	struct epoll_event e;

	CHECK_EQ(epoll_wait(on, &e, 1, 0), 0);
}

static void epoll_setup(struct conform *c)
{
	int dup_q;

	NEED(pipe(p));
	NEED(pipe(q));
	ep = (int)NEED(epoll_create1(EPOLL_CLOEXEC));
	inner = (int)NEED(epoll_create1(0));
	add(inner, p[0], EPOLLIN, c->nonce + 1);
	add(ep, inner, EPOLLIN, c->nonce + 2);
	add(ep, q[0], EPOLLIN | EPOLLONESHOT, c->nonce + 3);
	/* A number that is closed: its open file is still watched. */
	dup_q = (int)NEED(dup(q[1]));
	add(inner, dup_q, EPOLLOUT | EPOLLET, c->nonce + 4);
	wait_one(inner, EPOLLOUT, c->nonce + 4);
	NEED(epoll_ctl(inner, EPOLL_CTL_DEL, dup_q, NULL));
	NEED(close(dup_q));
}

static void epoll_after(struct conform *c)
{
	char b;

	CHECK_EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	wait_none(ep);
	NEED(write(p[1], "x", 1));
	wait_one(ep, EPOLLIN, c->nonce + 2);
	wait_one(inner, EPOLLIN, c->nonce + 1);
	NEED(read(p[0], &b, 1));
	wait_none(ep);
	NEED(write(q[1], "y", 1));
	wait_one(ep, EPOLLIN, c->nonce + 3);
	wait_none(ep); /* one shot */
}

/* One shot used up, edge delivered: must not come again. */
static void spent_setup(struct conform *c)
{
	NEED(pipe(p));
	NEED(pipe(q));
	ep = (int)NEED(epoll_create1(0));
	add(ep, p[0], EPOLLIN | EPOLLONESHOT, c->nonce + 1);
	NEED(write(p[1], "x", 1));
	wait_one(ep, EPOLLIN, c->nonce + 1);
	wait_none(ep);
}

static void spent_after(struct conform *c)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = c->nonce + 7 };

	wait_none(ep);
	NEED(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e));
	wait_one(ep, EPOLLIN, c->nonce + 7);
}

/* --- timerfd --- */

static int tf[4];

static void tf_set(int fd, int flags, long ms, long every)
{
	struct itimerspec its = {
		.it_value = { ms / 1000, (ms % 1000) * 1000000 },
		.it_interval = { every / 1000, (every % 1000) * 1000000 },
	};
	struct timespec now;

	if (flags & TFD_TIMER_ABSTIME) {
		NEED(clock_gettime(CLOCK_REALTIME, &now));
		its.it_value.tv_sec += now.tv_sec;
	}
	NEED(timerfd_settime(fd, flags, &its, NULL));
}

static void timerfd_setup(struct conform *c)
{
	int i;

	(void)c;
	for (i = 0; i < 4; i++)
		tf[i] = (int)NEED(timerfd_create(i == 3 ? CLOCK_REALTIME :
							  CLOCK_MONOTONIC,
						 TFD_NONBLOCK));
	tf_set(tf[0], 0, 100000, 0);
	tf_set(tf[1], 0, 10, 100000); /* expires once, not read */
	tf_set(tf[3], TFD_TIMER_ABSTIME, 90000, 0);
	while (!readable(tf[1]))
		conform_msleep(5);
}

static void timerfd_after(struct conform *c)
{
	struct itimerspec its;
	uint64_t n;

	(void)c;
	NEED(timerfd_gettime(tf[0], &its));
	CHECK(its.it_value.tv_sec >= 85 && its.it_value.tv_sec < 100,
	      "%ld s left", its.it_value.tv_sec);
	CHECK(read(tf[1], &n, 8) == 8 && n == 1, "the expiration is lost");
	NEED(timerfd_gettime(tf[1], &its));
	CHECK(its.it_interval.tv_sec == 100 && its.it_value.tv_sec >= 85,
	      "interval %ld, %ld s left", its.it_interval.tv_sec,
	      its.it_value.tv_sec);
	NEED(timerfd_gettime(tf[2], &its));
	CHECK(!its.it_value.tv_sec && !its.it_value.tv_nsec, "it is armed");
	NEED(timerfd_gettime(tf[3], &its));
	CHECK(its.it_value.tv_sec >= 75 && its.it_value.tv_sec < 90,
	      "the absolute one has %ld s left", its.it_value.tv_sec);
	tf_set(tf[2], 0, 20, 0);
	conform_msleep(100);
	CHECK(read(tf[2], &n, 8) == 8 && n == 1, "it does not expire");
}

/* --- signalfd --- */

static int sfd;

static void signalfd_setup(struct conform *c)
{
	union sigval v = { .sival_int = (int)(c->nonce & 0xffffff) };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sfd = (int)NEED(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	NEED(sigqueue(getpid(), SIGRTMIN + 2, v));
}

static void signalfd_after(struct conform *c)
{
	struct signalfd_siginfo si;

	CHECK_EQ(fcntl(sfd, F_GETFD), FD_CLOEXEC);
	CHECK(read(sfd, &si, sizeof(si)) == sizeof(si), "nothing: %m");
	CHECK_EQ(si.ssi_signo, SIGRTMIN + 2);
	CHECK_EQ(si.ssi_int, (int)(c->nonce & 0xffffff));
	CHECK(read(sfd, &si, sizeof(si)) == -1 && errno == EAGAIN, "another");
	NEED(kill(getpid(), SIGUSR1));
	CHECK(read(sfd, &si, sizeof(si)) == sizeof(si), "nothing: %m");
	CHECK_EQ(si.ssi_signo, SIGUSR1);
}

/* --- inotify --- */

static int in, wd_dir, wd_file;

static void inotify_setup(struct conform *c)
{
	int unused;

	(void)c;
	NEED(mkdir("watched", 0755));
	close((int)NEED(open("file", O_WRONLY | O_CREAT, 0644)));
	in = (int)NEED(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	unused = (int)NEED(inotify_add_watch(in, ".", IN_MOVED_FROM));
	wd_dir = (int)NEED(
		inotify_add_watch(in, "watched", IN_CREATE | IN_DELETE));
	wd_file = (int)NEED(inotify_add_watch(in, "file", IN_CLOSE_WRITE));
	NEED(inotify_rm_watch(in, unused));
	/* Take the event of the removal. */
	while (readable(in)) {
		char b[256];

		NEED(read(in, b, sizeof(b)));
	}
}

static void expect_event(int wd, uint32_t mask, const char *name)
{
	char b[512] __attribute__((aligned(8)));
	struct inotify_event *e = (void *)b;
	ssize_t n = read(in, b, sizeof(b));

	CHECK(n >= (ssize_t)sizeof(*e), "no event: %m");
	CHECK_EQ(e->wd, wd);
	CHECK_EQ(e->mask & 0xfff, mask);
	if (name)
		CHECK(!strcmp(e->name, name), "event of %s", e->name);
	CHECK_EQ(n, (ssize_t)(sizeof(*e) + e->len));
}

static void inotify_after(struct conform *c)
{
	char b[64];
	int fd;

	(void)c;
	CHECK(read(in, b, sizeof(b)) == -1 && errno == EAGAIN, "an event that "
							       "did not "
							       "happen");
	fd = (int)NEED(open("watched/new", O_WRONLY | O_CREAT, 0644));
	expect_event(wd_dir, IN_CREATE, "new");
	close(fd);
	fd = (int)NEED(open("file", O_WRONLY));
	close(fd);
	expect_event(wd_file, IN_CLOSE_WRITE, NULL);
	NEED(unlink("watched/new"));
	expect_event(wd_dir, IN_DELETE, "new");
	NEED(inotify_rm_watch(in, wd_dir));
}

/* --- pidfd --- */

static int pfd, pfd_self;
static pid_t kid;

static void pidfd_child(struct conform *c, long arg)
{
	conform_child_ready();
	conform_wait_go(c);
	conform_msleep(50);
	CHECK_EQ(arg, 1);
}

static void pidfd_setup(struct conform *c)
{
	kid = conform_child(c, pidfd_child, 1);
	pfd = (int)NEED(syscall(SYS_pidfd_open, kid, 0));
	pfd_self = (int)NEED(syscall(SYS_pidfd_open, c->pid, 0));
}

static void pidfd_after(struct conform *c)
{
	struct pollfd w = { .fd = pfd, .events = POLLIN };
	siginfo_t si;

	NEED(syscall(SYS_pidfd_send_signal, pfd, 0, NULL, 0));
	NEED(syscall(SYS_pidfd_send_signal, pfd_self, 0, NULL, 0));
	CHECK(!readable(pfd_self), "we have ended");
	CHECK_EQ(poll(&w, 1, 10000), 1);
	NEED(waitid(P_PIDFD, (id_t)pfd, &si, WEXITED));
	CHECK_EQ(si.si_pid, kid);
	CHECK_EQ(si.si_status, conform_child_status(c, 1));
}

const struct conform_kind conform_kinds[] = {
	{ .name = "eventfd",
	  .setup = eventfd_setup,
	  .continued = eventfd_after },
	{ .name = "epoll", .setup = epoll_setup, .continued = epoll_after },
	{ .name = "epoll_spent",
	  .setup = spent_setup,
	  .continued = spent_after },
	{ .name = "timerfd",
	  .setup = timerfd_setup,
	  .continued = timerfd_after },
	{ .name = "signalfd",
	  .setup = signalfd_setup,
	  .continued = signalfd_after },
	{ .name = "inotify",
	  .setup = inotify_setup,
	  .continued = inotify_after },
	{ .name = "pidfd", .setup = pidfd_setup, .continued = pidfd_after },
	{ .name = NULL },
};
