/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files, pipes, terminals and the small descriptors; see cases.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cases.h"

char case_why[256];

void case_fail(const char *file, int line, const char *what)
{
	snprintf(case_why, sizeof(case_why), "%s:%d: %s (errno %d)", file, line,
		 what, errno);
}

static int file_setup(int *fds)
{
	fds[0] = open("data", O_RDWR | O_CREAT, 0640);
	CHECK(write(fds[0], "0123456789", 10) == 10);
	CHECK(lseek(fds[0], 3, SEEK_SET) == 3);
	fds[1] = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	CHECK(write(fds[1], "line\n", 5) == 5);
	fds[2] = open("data", O_RDONLY);
	fds[3] = open(".", O_RDONLY | O_DIRECTORY);
	fds[4] = open("data", O_PATH);
	return 5;
}

static int file_check(const int *fds)
{
	struct stat st;
	char buf[16];

	CHECK(read(fds[0], buf, 2) == 2 && !memcmp(buf, "34", 2));
	CHECK(read(fds[2], buf, 2) == 2 && !memcmp(buf, "01", 2));
	CHECK(fcntl(fds[1], F_GETFL) & O_APPEND);
	CHECK(write(fds[1], "more\n", 5) == 5);
	CHECK(fstat(fds[1], &st) == 0 && st.st_size == 10);
	CHECK(fstat(fds[3], &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(fcntl(fds[4], F_GETFL) & O_PATH);
	return 0;
}

static int unlinked_setup(int *fds)
{
	char big[9000];

	memset(big, 'u', sizeof(big));
	fds[0] = open("gone", O_RDWR | O_CREAT, 0600);
	CHECK(write(fds[0], big, sizeof(big)) == (ssize_t)sizeof(big));
	fds[1] = open("gone", O_RDONLY);
	CHECK(unlink("gone") == 0);
	fds[2] = open(".", O_RDWR | O_TMPFILE, 0600);
	CHECK(write(fds[2], "nameless", 8) == 8);
	CHECK(mkdir("d", 0700) == 0);
	fds[3] = open("d", O_RDONLY | O_DIRECTORY);
	CHECK(rmdir("d") == 0);
	return 4;
}

static int unlinked_check(const int *fds)
{
	struct stat a, b;
	char buf[9001];

	CHECK(fstat(fds[0], &a) == 0 && a.st_size == 9000 && !a.st_nlink);
	CHECK(fstat(fds[1], &b) == 0 && a.st_ino == b.st_ino);
	CHECK(read(fds[1], buf, sizeof(buf)) == 9000 && buf[8999] == 'u');
	CHECK(pwrite(fds[0], "x", 1, 0) == 1 && pread(fds[1], buf, 1, 0) == 1 &&
	      buf[0] == 'x');
	CHECK(lseek(fds[2], 0, SEEK_CUR) == 8);
	CHECK(pread(fds[2], buf, 99, 0) == 8 && !memcmp(buf, "nameless", 8));
	CHECK(fstat(fds[3], &a) == 0 && S_ISDIR(a.st_mode));
	return 0;
}

static int special_setup(int *fds)
{
	fds[0] = open("/dev/zero", O_RDWR);
	fds[1] = open("/dev/urandom", O_RDONLY | O_NONBLOCK);
	fds[2] = open("/proc/meminfo", O_RDONLY);
	fds[3] = open("/dev/null", O_WRONLY);
	return fds[0] < 0 || fds[1] < 0 || fds[2] < 0 || fds[3] < 0 ? -1 : 4;
}

static int special_check(const int *fds)
{
	char buf[64];

	buf[3] = 1;
	CHECK(read(fds[0], buf, 4) == 4 && buf[3] == 0);
	CHECK(read(fds[1], buf, 4) == 4);
	CHECK(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	CHECK(read(fds[2], buf, 8) == 8 && !memcmp(buf, "MemTotal", 8));
	CHECK(write(fds[3], buf, 4) == 4);
	return 0;
}

static int pipe_setup(int *fds)
{
	int p[2];

	CHECK(pipe(fds) == 0);
	CHECK(fcntl(fds[1], F_SETPIPE_SZ, 131072) == 131072);
	CHECK(write(fds[1], "in the pipe", 11) == 11);
	CHECK(pipe2(fds + 2, O_DIRECT | O_NONBLOCK) == 0);
	CHECK(write(fds[3], "one", 3) == 3 && write(fds[3], "two!", 4) == 4);
	CHECK(pipe(p) == 0 && write(p[1], "last", 4) == 4);
	close(p[1]);
	fds[4] = p[0];
	return 5;
}

static int pipe_check(const int *fds)
{
	char buf[64];

	CHECK(fcntl(fds[0], F_GETPIPE_SZ) == 131072);
	CHECK(write(fds[1], "+", 1) == 1);
	CHECK(read(fds[0], buf, 64) == 12 && !memcmp(buf, "in the pipe+", 12));
	CHECK(fcntl(fds[3], F_GETFL) & O_DIRECT);
	CHECK(read(fds[2], buf, 64) == 3 && !memcmp(buf, "one", 3));
	CHECK(read(fds[2], buf, 64) == 4 && !memcmp(buf, "two!", 4));
	CHECK(read(fds[2], buf, 64) == -1 && errno == EAGAIN);
	CHECK(read(fds[4], buf, 64) == 4 && !memcmp(buf, "last", 4));
	CHECK(read(fds[4], buf, 64) == 0);
	return 0;
}

static int fifo_setup(int *fds)
{
	CHECK(mkfifo("fifo", 0600) == 0);
	fds[0] = open("fifo", O_RDONLY | O_NONBLOCK);
	fds[1] = open("fifo", O_WRONLY);
	CHECK(fds[0] >= 0 && fds[1] >= 0 && write(fds[1], "fifo", 4) == 4);
	return 2;
}

static int fifo_check(const int *fds)
{
	char buf[8];

	CHECK(read(fds[0], buf, 8) == 4 && !memcmp(buf, "fifo", 4));
	CHECK(!(fcntl(fds[1], F_GETFL) & O_NONBLOCK));
	CHECK(write(fds[1], "x", 1) == 1 && read(fds[0], buf, 8) == 1);
	return 0;
}

static int eventfd_setup(int *fds)
{
	fds[0] = eventfd(5, EFD_NONBLOCK);
	fds[1] = eventfd(3, EFD_SEMAPHORE);
	return fds[0] < 0 || fds[1] < 0 ? -1 : 2;
}

static int eventfd_check(const int *fds)
{
	uint64_t v;

	CHECK(read(fds[0], &v, 8) == 8 && v == 5);
	CHECK(read(fds[0], &v, 8) == -1 && errno == EAGAIN);
	CHECK(read(fds[1], &v, 8) == 8 && v == 1);
	return 0;
}

static int timerfd_setup(int *fds)
{
	struct itimerspec its = { { 0, 20000000 }, { 0, 20000000 } };
	struct itimerspec far = { { 0, 0 }, { 3600, 0 } };

	fds[0] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	CHECK(timerfd_settime(fds[0], 0, &its, NULL) == 0);
	fds[1] = timerfd_create(CLOCK_REALTIME, 0);
	CHECK(timerfd_settime(fds[1], 0, &far, NULL) == 0);
	usleep(110000);
	return 2;
}

static int timerfd_check(const int *fds)
{
	struct itimerspec its;
	uint64_t v;

	CHECK(timerfd_gettime(fds[0], &its) == 0 &&
	      its.it_interval.tv_nsec == 20000000);
	CHECK(read(fds[0], &v, 8) == 8 && v >= 5);
	CHECK(timerfd_gettime(fds[1], &its) == 0 &&
	      its.it_value.tv_sec > 3000 && its.it_value.tv_sec < 3600);
	return 0;
}

static int signalfd_setup(int *fds)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	fds[0] = signalfd(-1, &set, SFD_NONBLOCK);
	return fds[0] < 0 ? -1 : 1;
}

static int signalfd_check(const int *fds)
{
	struct signalfd_siginfo si;

	CHECK(raise(SIGUSR2) == 0);
	CHECK(read(fds[0], &si, sizeof(si)) == (ssize_t)sizeof(si));
	CHECK(si.ssi_signo == SIGUSR2);
	return 0;
}

static int epoll_setup(int *fds)
{
	struct epoll_event ev = { EPOLLIN, { .u64 = 0x1122334455667788 } };
	struct epoll_event out = { EPOLLOUT | EPOLLET, { .u64 = 7 } };

	fds[0] = epoll_create1(0);
	fds[1] = eventfd(0, EFD_NONBLOCK);
	fds[2] = eventfd(0, EFD_NONBLOCK);
	fds[3] = epoll_create1(EPOLL_CLOEXEC);
	CHECK(epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &ev) == 0);
	CHECK(epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[2], &out) == 0);
	ev.data.u64 = 99;
	CHECK(epoll_ctl(fds[3], EPOLL_CTL_ADD, fds[0], &ev) == 0);
	return 4;
}

static int epoll_check(const int *fds)
{
	struct epoll_event ev[4];
	uint64_t one = 1;

	CHECK(epoll_ctl(fds[0], EPOLL_CTL_DEL, fds[2], NULL) == 0);
	CHECK(epoll_wait(fds[3], ev, 4, 0) == 0);
	CHECK(write(fds[1], &one, 8) == 8);
	CHECK(epoll_wait(fds[3], ev, 4, 100) == 1 && ev[0].data.u64 == 99);
	CHECK(epoll_wait(fds[0], ev, 4, 100) == 1 &&
	      ev[0].data.u64 == 0x1122334455667788 && ev[0].events == EPOLLIN);
	return 0;
}

static int inotify_setup(int *fds)
{
	CHECK(mkdir("watched", 0700) == 0);
	fds[0] = inotify_init1(IN_NONBLOCK);
	CHECK(inotify_add_watch(fds[0], "/", IN_MOVED_TO) == 1);
	CHECK(inotify_rm_watch(fds[0], 1) == 0);
	CHECK(inotify_add_watch(fds[0], "watched", IN_CREATE) == 2);
	char buf[512];
	CHECK(read(fds[0], buf, sizeof(buf)) > 0); /* IN_IGNORED */
	return 1;
}

static int inotify_check(const int *fds)
{
	char buf[512];
	struct inotify_event *ev = (void *)buf;

	CHECK(read(fds[0], buf, sizeof(buf)) == -1 && errno == EAGAIN);
	close(open("watched/new", O_CREAT | O_WRONLY, 0600));
	CHECK(read(fds[0], buf, sizeof(buf)) > 0);
	CHECK(ev->wd == 2 && ev->mask == IN_CREATE && !strcmp(ev->name, "new"));
	unlink("watched/new");
	return 0;
}

static int memfd_setup(int *fds)
{
	fds[0] = memfd_create("zoo", MFD_ALLOW_SEALING);
	CHECK(write(fds[0], "secret", 6) == 6 && ftruncate(fds[0], 10000) == 0);
	CHECK(fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return 1;
}

static int memfd_check(const int *fds)
{
	struct stat st;
	char buf[8];

	CHECK(fstat(fds[0], &st) == 0 && st.st_size == 10000);
	CHECK(lseek(fds[0], 0, SEEK_CUR) == 6);
	CHECK(pread(fds[0], buf, 6, 0) == 6 && !memcmp(buf, "secret", 6));
	CHECK(fcntl(fds[0], F_GET_SEALS) == (F_SEAL_SHRINK | F_SEAL_GROW));
	return 0;
}

static int pty_setup(int *fds)
{
	struct winsize ws = { 33, 101, 0, 0 };
	struct termios t;

	CHECK(openpty(&fds[0], &fds[1], NULL, NULL, &ws) == 0);
	CHECK(tcgetattr(fds[1], &t) == 0);
	cfmakeraw(&t);
	CHECK(tcsetattr(fds[1], TCSANOW, &t) == 0);
	return 2;
}

static int pty_check(const int *fds)
{
	struct winsize ws;
	struct termios t;
	char buf[8];

	CHECK(ioctl(fds[1], TIOCGWINSZ, &ws) == 0 && ws.ws_col == 101);
	CHECK(tcgetattr(fds[1], &t) == 0 && !(t.c_lflag & (ICANON | ECHO)));
	CHECK(write(fds[0], "k", 1) == 1 && read(fds[1], buf, 8) == 1);
	CHECK(write(fds[1], "ab", 2) == 2 && read(fds[0], buf, 8) == 2);
	return 0;
}

static int locks_setup(int *fds)
{
	struct flock l = { .l_type = F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = 10,
			   .l_len = 5 };

	fds[0] = open("lock", O_RDWR | O_CREAT, 0600);
	CHECK(fcntl(fds[0], F_SETLK, &l) == 0);
	fds[1] = open("lock", O_RDWR);
	l.l_start = 100;
	l.l_len = 0;
	CHECK(fcntl(fds[1], F_OFD_SETLK, &l) == 0);
	CHECK(flock(fds[1], LOCK_EX) == 0);
	return 2;
}

/* Another process must find all three. */
static int locks_seen(void)
{
	struct flock l = { .l_type = F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = 0,
			   .l_len = 50 };
	int fd = open("lock", O_RDWR);

	if (fcntl(fd, F_GETLK, &l) || l.l_type != F_WRLCK || l.l_start != 10 ||
	    l.l_len != 5 || l.l_pid != getppid())
		return 1;
	l.l_type = F_WRLCK;
	l.l_start = 60;
	l.l_len = 0;
	l.l_pid = 0;
	if (fcntl(fd, F_OFD_GETLK, &l) || l.l_type != F_WRLCK ||
	    l.l_start != 100 || l.l_pid != -1)
		return 2;
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 3 : 0;
}

static int locks_check(const int *fds)
{
	int status = 0;
	pid_t pid = fork();

	(void)fds;
	if (!pid)
		_exit(locks_seen());
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static pid_t pidfd_child;

static int process_setup(int *fds)
{
	struct epoll_event ev = { EPOLLIN, { .u64 = 5 } };

	pidfd_child = fork();
	if (!pidfd_child)
		for (;;)
			pause();
	fds[0] = (int)syscall(SYS_pidfd_open, pidfd_child, 0);
	fds[1] = open("/proc/self/status", O_RDONLY);
	fds[2] = dup(fds[0]);
	fds[3] = epoll_create1(0);
	CHECK(fds[0] >= 0 && fds[1] >= 0);
	CHECK(epoll_ctl(fds[3], EPOLL_CTL_ADD, fds[0], &ev) == 0);
	CHECK(fcntl(fds[2], F_SETFD, FD_CLOEXEC) == 0);
	return 4;
}

static int process_check(const int *fds)
{
	struct pollfd pfd = { .fd = fds[2], .events = POLLIN };
	struct epoll_event ev;
	char buf[5];

	CHECK(read(fds[1], buf, 5) == 5 && !memcmp(buf, "Name:", 5));
	CHECK(fcntl(fds[2], F_GETFD) == FD_CLOEXEC);
	CHECK(poll(&pfd, 1, 0) == 0);
	CHECK(syscall(SYS_pidfd_send_signal, fds[0], SIGKILL, NULL, 0) == 0);
	CHECK(poll(&pfd, 1, 5000) == 1);
	CHECK(epoll_wait(fds[3], &ev, 1, 1000) == 1 && ev.data.u64 == 5);
	CHECK(waitpid(pidfd_child, NULL, 0) == pidfd_child);
	return 0;
}

static int sysv_shm = -1, sysv_sem = -1, sysv_msg = -1;
static char *sysv_at;

struct sysv_msg {
	long type;
	char text[16];
};

static int sysv_setup(int *fds)
{
	struct sysv_msg a = { 3, "third" }, b = { 1, "first" };
	unsigned short v[3] = { 4, 0, 9 };

	(void)fds;
	sysv_shm = shmget(IPC_PRIVATE, 20000, IPC_CREAT | 0600);
	sysv_sem = semget(0x5a5a0000 | (getpid() & 0xffff), 3,
			  IPC_CREAT | IPC_EXCL | 0600);
	sysv_msg = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
	sysv_at = shmat(sysv_shm, NULL, 0);
	CHECK(sysv_at != (void *)-1 && sysv_sem >= 0 && sysv_msg >= 0);
	strcpy(sysv_at + 10000, "shared");
	CHECK(semctl(sysv_sem, 0, SETALL, v) == 0);
	CHECK(msgsnd(sysv_msg, &a, 5, 0) == 0 &&
	      msgsnd(sysv_msg, &b, 5, 0) == 0);
	return 0;
}

static int sysv_check(const int *fds)
{
	struct sysv_msg m;
	int fail = 0;

	(void)fds;
	fail |= strcmp(sysv_at + 10000, "shared") ? 1 : 0;
	fail |= semctl(sysv_sem, 2, GETVAL) == 9 ? 0 : 2;
	fail |= semget(0x5a5a0000 | (getpid() & 0xffff), 3, 0) == sysv_sem ? 0 :
									     4;
	fail |= msgrcv(sysv_msg, &m, 16, 1, IPC_NOWAIT) == 5 &&
				!memcmp(m.text, "first", 5) ?
			0 :
			8;
	fail |= msgrcv(sysv_msg, &m, 16, 0, IPC_NOWAIT) == 5 && m.type == 3 ?
			0 :
			16;
	shmctl(sysv_shm, IPC_RMID, NULL);
	semctl(sysv_sem, 0, IPC_RMID);
	msgctl(sysv_msg, IPC_RMID, NULL);
	errno = fail;
	CHECK(!fail);
	return 0;
}

const struct kindcase kindcases[] = {
	{ "sysv", sysv_setup, sysv_check, CASE_WHOLE },
	{ "file", file_setup, file_check, 0 },
	{ "unlinked", unlinked_setup, unlinked_check, 0 },
	{ "special", special_setup, special_check, 0 },
	{ "pipe", pipe_setup, pipe_check, 0 },
	{ "fifo", fifo_setup, fifo_check, 0 },
	{ "eventfd", eventfd_setup, eventfd_check, 0 },
	{ "timerfd", timerfd_setup, timerfd_check, 0 },
	{ "signalfd", signalfd_setup, signalfd_check, 0 },
	{ "epoll", epoll_setup, epoll_check, 0 },
	{ "inotify", inotify_setup, inotify_check, 0 },
	{ "memfd", memfd_setup, memfd_check, 0 },
	{ "pty", pty_setup, pty_check, 0 },
	{ "locks", locks_setup, locks_check, CASE_WHOLE },
	{ "process", process_setup, process_check, CASE_WHOLE },
	{ NULL, NULL, NULL, 0 },
};

const struct kindcase *case_find(const char *name)
{
	const struct kindcase *c;

	for (c = kindcases; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	for (c = kindcases_socket; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}
