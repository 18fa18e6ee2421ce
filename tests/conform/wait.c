/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of interrupted system calls without a time limit: a thread sits in
 * each, is let go only after the checkpoint or restart, and must then see
 * what it waited for, never EINTR.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

struct waiter {
	const char *name;
	void (*prepare)(struct waiter *w);
	long (*block)(struct waiter *w);
	void (*release)(struct waiter *w);
	long want;
	int fd[2];
	pid_t child;
	int id;
	uint32_t word;
	sem_t sem;
	pthread_t thread;
	long got;
	int err;
	volatile int done;
};

#define W(n, p, b, r, v)                                                       \
	{                                                                      \
		.name = n, .prepare = p, .block = b, .release = r, .want = v   \
	}

static void *waiter_main(void *arg)
{
	struct waiter *w = arg;

	errno = 0;
	w->got = w->block(w);
	w->err = errno;
	w->done = 1;
	return NULL;
}

static void waiters_start(struct waiter *w)
{
	for (; w->name; w++) {
		if (w->prepare)
			w->prepare(w);
		CHECK(!pthread_create(&w->thread, NULL, waiter_main, w), "no "
									 "threa"
									 "d");
	}
	conform_msleep(150);
}

static void waiters_end(struct waiter *list)
{
	struct waiter *w;
	uint64_t end;

	for (w = list; w->name; w++)
		CHECK(!w->done, "%s ended early with %ld (%s)", w->name, w->got,
		      strerror(w->err));
	for (w = list; w->name; w++)
		w->release(w);
	end = conform_now() + 5000;
	for (w = list; w->name; w++) {
		while (!w->done) {
			CHECK(conform_now() < end, "%s never ended", w->name);
			conform_msleep(2);
		}
		CHECK(w->got == w->want, "%s gave %ld (%s), not %ld", w->name,
		      w->got, w->got < 0 ? strerror(w->err) : "-", w->want);
		pthread_join(w->thread, NULL);
	}
}

/* --- files --- */

static char scratch[65536];

static void use_pipe(struct waiter *w)
{
	NEED(pipe(w->fd));
}

static void use_pair(struct waiter *w)
{
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, w->fd));
}

static void use_full_pipe(struct waiter *w)
{
	NEED(pipe(w->fd));
	NEED(write(w->fd[1], scratch, sizeof(scratch)));
}

static void use_eventfd(struct waiter *w)
{
	w->fd[0] = w->fd[1] = (int)NEED(eventfd(0, 0));
}

static void put_byte(struct waiter *w)
{
	CHECK(write(w->fd[1], "12345678", 8) == 8, "write: %m");
}

static void take_bytes(struct waiter *w)
{
	char buf[8192];

	CHECK(read(w->fd[0], buf, sizeof(buf)) == sizeof(buf), "read: %m");
}

static long block_read(struct waiter *w)
{
	char buf[8];

	return read(w->fd[0], buf, sizeof(buf));
}

static long block_write(struct waiter *w)
{
	return write(w->fd[1], scratch, 4096);
}

static long block_recvmsg(struct waiter *w)
{
	char buf[8];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	return recvmsg(w->fd[0], &m, 0);
}

static long block_poll(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd[0], .events = POLLIN };

	return poll(&p, 1, -1);
}

static long block_select(struct waiter *w)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	return select(w->fd[0] + 1, &set, NULL, NULL, NULL);
}

static long block_epoll(struct waiter *w)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 77 };
	int ep = (int)NEED(epoll_create1(0));
	long ret;

	NEED(epoll_ctl(ep, EPOLL_CTL_ADD, w->fd[0], &ev));
	ret = epoll_wait(ep, &ev, 1, -1);
	return ret == 1 ? (long)ev.data.u64 : ret;
}

static void use_listener(struct waiter *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "accept" };

	w->fd[0] = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
	NEED(bind(w->fd[0], (void *)&a, sizeof(a)));
	NEED(listen(w->fd[0], 5));
}

static long block_accept(struct waiter *w)
{
	return accept(w->fd[0], NULL, NULL) >= 0;
}

static void do_connect(struct waiter *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "accept" };

	w->fd[1] = (int)NEED(socket(AF_UNIX, SOCK_STREAM, 0));
	NEED(connect(w->fd[1], (void *)&a, sizeof(a)));
}

static void use_fifo(struct waiter *w)
{
	(void)w;
	NEED(mkfifo("fifo", 0600));
}

static long block_fifo(struct waiter *w)
{
	(void)w;
	return open("fifo", O_RDONLY) >= 0;
}

static void open_fifo(struct waiter *w)
{
	w->fd[1] = (int)NEED(open("fifo", O_WRONLY));
}

static struct waiter files[] = {
	W("read of a pipe", use_pipe, block_read, put_byte, 8),
	W("write to a full pipe", use_full_pipe, block_write, take_bytes, 4096),
	W("read of an eventfd", use_eventfd, block_read, put_byte, 8),
	W("poll", use_pipe, block_poll, put_byte, 1),
	W("select", use_pipe, block_select, put_byte, 1),
	{ .name = NULL },
};

static struct waiter sockets[] = {
	W("read of a socket", use_pair, block_read, put_byte, 8),
	W("recvmsg", use_pair, block_recvmsg, put_byte, 8),
	W("accept", use_listener, block_accept, do_connect, 1),
	{ .name = NULL },
};

static struct waiter epolls[] = {
	W("epoll_wait", use_pipe, block_epoll, put_byte, 77),
	{ .name = NULL },
};

static struct waiter fifos[] = {
	W("open of a FIFO", use_fifo, block_fifo, open_fifo, 1),
	{ .name = NULL },
};

/* --- futexes --- */

static long block_futex(struct waiter *w)
{
	return syscall(SYS_futex, &w->word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void wake_futex(struct waiter *w)
{
	w->word = 1;
	CHECK_EQ(syscall(SYS_futex, &w->word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
}

static void use_sem(struct waiter *w)
{
	NEED(sem_init(&w->sem, 0, 0));
}

static long block_sem(struct waiter *w)
{
	return sem_wait(&w->sem);
}

static void post_sem(struct waiter *w)
{
	NEED(sem_post(&w->sem));
}

static pthread_mutex_t pi_mutex;

static void use_pi(struct waiter *w)
{
	pthread_mutexattr_t a;

	(void)w;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&pi_mutex, &a);
	CHECK(!pthread_mutex_lock(&pi_mutex), "lock");
}

static long block_pi(struct waiter *w)
{
	(void)w;
	return pthread_mutex_lock(&pi_mutex);
}

static void unlock_pi(struct waiter *w)
{
	(void)w;
	CHECK(!pthread_mutex_unlock(&pi_mutex), "PI mutex is not ours");
}

static struct waiter futexes[] = {
	W("futex", NULL, block_futex, wake_futex, 0),
	W("sem_wait", use_sem, block_sem, post_sem, 0),
	{ .name = NULL },
};

static struct waiter pi_futexes[] = {
	W("priority inheritance mutex", use_pi, block_pi, unlock_pi, 0),
	{ .name = NULL },
};

/* --- signals --- */

static void block_usr(struct waiter *w)
{
	sigset_t set;

	(void)w;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static long block_sigwait(struct waiter *w)
{
	sigset_t set;
	siginfo_t si;

	(void)w;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigwaitinfo(&set, &si);
}

static volatile int handled;

static void handler(int sig)
{
	handled = sig;
}

static void use_handler(struct waiter *w)
{
	block_usr(w);
	signal(SIGUSR2, handler);
}

static long block_sigsuspend(struct waiter *w)
{
	sigset_t set;

	(void)w;
	sigfillset(&set);
	sigdelset(&set, SIGUSR2);
	return sigsuspend(&set) == -1 && errno == EINTR ? handled : -1;
}

static void use_signalfd(struct waiter *w)
{
	sigset_t set;

	block_usr(w);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	w->fd[0] = (int)NEED(signalfd(-1, &set, 0));
}

static long block_signalfd(struct waiter *w)
{
	struct signalfd_siginfo si;

	if (read(w->fd[0], &si, sizeof(si)) != sizeof(si))
		return -1;
	return si.ssi_signo;
}

static void send_usr1(struct waiter *w)
{
	CHECK(!pthread_kill(w->thread, SIGUSR1), "pthread_kill");
}

static void send_usr2(struct waiter *w)
{
	CHECK(!pthread_kill(w->thread, SIGUSR2), "pthread_kill");
}

static struct waiter signals[] = {
	W("sigwaitinfo", block_usr, block_sigwait, send_usr1, SIGUSR1),
	W("sigsuspend", use_handler, block_sigsuspend, send_usr2, SIGUSR2),
	{ .name = NULL },
};

static struct waiter signalfds[] = {
	W("read of a signalfd", use_signalfd, block_signalfd, send_usr1,
	  SIGUSR1),
	{ .name = NULL },
};

/* --- children and locks --- */

static void use_child(struct waiter *w)
{
	w->child = (pid_t)NEED(fork());
	while (!w->child)
		pause();
}

static long block_wait4(struct waiter *w)
{
	int status = 0;

	if (waitpid(w->child, &status, 0) != w->child)
		return -1;
	return WTERMSIG(status);
}

static long block_waitid(struct waiter *w)
{
	siginfo_t si;

	if (waitid(P_PID, (id_t)w->child, &si, WEXITED))
		return -1;
	return si.si_status;
}

static void end_child(struct waiter *w)
{
	NEED(kill(w->child, SIGKILL));
}

static struct waiter children[] = {
	W("wait4", use_child, block_wait4, end_child, SIGKILL),
	W("waitid", use_child, block_waitid, end_child, SIGKILL),
	{ .name = NULL },
};

static void use_locked(struct waiter *w, bool posix)
{
	struct flock fl = { .l_type = F_WRLCK };
	int p[2];
	char byte;

	NEED(pipe(p));
	w->child = (pid_t)NEED(fork());
	if (w->child) {
		CHECK(read(p[0], &byte, 1) == 1, "lock holder");
		close(p[0]);
		close(p[1]);
		w->fd[0] = (int)NEED(open(w->name, O_RDWR));
		return;
	}
	w->fd[0] = (int)NEED(open(w->name, O_RDWR | O_CREAT, 0600));
	if (posix)
		NEED(fcntl(w->fd[0], F_SETLK, &fl));
	else
		NEED(flock(w->fd[0], LOCK_EX));
	NEED(write(p[1], "l", 1));
	for (;;)
		pause();
}

static void use_posix_lock(struct waiter *w)
{
	use_locked(w, true);
}

static void use_flock(struct waiter *w)
{
	use_locked(w, false);
}

static long block_posix_lock(struct waiter *w)
{
	struct flock fl = { .l_type = F_WRLCK };

	return fcntl(w->fd[0], F_SETLKW, &fl);
}

static long block_flock(struct waiter *w)
{
	return flock(w->fd[0], LOCK_EX);
}

static struct waiter locks[] = {
	W("fcntl_lock", use_posix_lock, block_posix_lock, end_child, 0),
	W("flock", use_flock, block_flock, end_child, 0),
	{ .name = NULL },
};

/* --- SysV --- */

static void use_sysv_sem(struct waiter *w)
{
	w->id = (int)NEED(semget(IPC_PRIVATE, 1, 0600));
}

static long block_semop(struct waiter *w)
{
	struct sembuf op = { 0, -1, 0 };

	return semop(w->id, &op, 1);
}

static void post_sysv(struct waiter *w)
{
	struct sembuf op = { 0, 1, 0 };

	NEED(semop(w->id, &op, 1));
	conform_msleep(50);
	semctl(w->id, 0, IPC_RMID);
}

static void use_sysv_msg(struct waiter *w)
{
	w->id = (int)NEED(msgget(IPC_PRIVATE, 0600));
}

struct mbuf {
	long type;
	char text[8];
};

static long block_msgrcv(struct waiter *w)
{
	struct mbuf m;

	return msgrcv(w->id, &m, sizeof(m.text), 5, 0);
}

static void send_sysv(struct waiter *w)
{
	struct mbuf m = { 5, "hello" };

	NEED(msgsnd(w->id, &m, 6, 0));
	conform_msleep(50);
	msgctl(w->id, IPC_RMID, NULL);
}

static struct waiter sysv[] = {
	W("semop", use_sysv_sem, block_semop, post_sysv, 0),
	W("msgrcv", use_sysv_msg, block_msgrcv, send_sysv, 6),
	{ .name = NULL },
};

#define WAITERS(list)                                                          \
	static void list##_setup(struct conform *c)                            \
	{                                                                      \
		(void)c;                                                       \
		waiters_start(list);                                           \
	}                                                                      \
	static void list##_after(struct conform *c)                            \
	{                                                                      \
		(void)c;                                                       \
		waiters_end(list);                                             \
	}
#define WAIT_KIND(list)                                                        \
	{                                                                      \
		.name = "wait_" #list, .setup = list##_setup,                  \
		.continued = list##_after                                      \
	}

WAITERS(files)
WAITERS(sockets)
WAITERS(epolls)
WAITERS(fifos)
WAITERS(futexes)
WAITERS(pi_futexes)
WAITERS(signals)
WAITERS(signalfds)
WAITERS(children)
WAITERS(locks)
WAITERS(sysv)

const struct conform_kind conform_kinds[] = {
	WAIT_KIND(files),   WAIT_KIND(sockets),	  WAIT_KIND(epolls),
	WAIT_KIND(fifos),   WAIT_KIND(futexes),	  WAIT_KIND(pi_futexes),
	WAIT_KIND(signals), WAIT_KIND(signalfds), WAIT_KIND(children),
	WAIT_KIND(locks),   WAIT_KIND(sysv),	  { .name = NULL },
};
