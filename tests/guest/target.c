// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Targets: processes whose threads wait in calls of every restart kind, which
 * count each spurious return, and whose main thread counts on.
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct shared *sh;

static void wait_epoll(void)
{
	struct epoll_event e;
	int fd = epoll_create1(0);

	epoll_wait(fd, &e, 1, 3600000);
	close(fd);
}

static void wait_sig(void)
{
	struct timespec ts = { .tv_sec = 3600 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigtimedwait(&set, NULL, &ts);
}

static void wait_recv(void)
{
	struct timeval tv = { .tv_sec = 3600 };
	int sv[2];
	char c;

	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	(void)!recv(sv[0], &c, 1, 0);
}

static void wait_sem(void)
{
	struct timespec ts = { .tv_sec = 3600 };
	struct sembuf op = { 0, -1, 0 };
	int id = semget(IPC_PRIVATE, 1, 0600);

	semtimedop(id, &op, 1, &ts);
	semctl(id, 0, IPC_RMID);
}

static void wait_nanosleep(void)
{
	struct timespec ts = { .tv_sec = 3600 };

	syscall(SYS_nanosleep, &ts, &ts);
}

static void wait_poll(void)
{
	poll(NULL, 0, 3600000);
}

static void wait_futex(void)
{
	static int word;
	struct timespec ts = { .tv_sec = 3600 };

	syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &ts);
}

static void wait_pipe(void)
{
	int p[2];
	char c;

	(void)!pipe(p);
	(void)!read(p[0], &c, 1);
}

static void wait_select(void)
{
	struct timeval tv = { .tv_sec = 3600 };

	select(0, NULL, NULL, NULL, &tv);
}

static void (*const waits[])(void) = {
	wait_epoll, wait_sig,	wait_recv, wait_sem,	wait_nanosleep,
	wait_poll,  wait_futex, wait_pipe, wait_select,
};

#define N_WAITS (sizeof(waits) / sizeof(waits[0]))

static void *waiter(void *arg)
{
	unsigned int which = (unsigned int)(uintptr_t)arg % N_WAITS;

	__atomic_add_fetch(&sh->ready, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		waits[which]();
		__atomic_add_fetch(&sh->eintr, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Round r puts r into the first word of each page, in order. */
static void writer(char *mem, size_t size)
{
	uint64_t r = 0;
	size_t at;

	for (;;) {
		r++;
		for (at = 0; at < size; at += 4096)
			*(volatile uint64_t *)(mem + at) = r;
		sh->round = r;
		sh->beats++;
	}
}

static void run(unsigned int n_threads, size_t size, unsigned int flags)
{
	pthread_attr_t attr;
	pthread_t th;
	unsigned int i;
	uint64_t *mem;
	size_t at;

	mem = mmap(NULL, size + (4u << 20), PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mem = (void *)(((uintptr_t)mem + (2u << 20) - 1) & ~0x1fffffull);
	madvise(mem, size,
		flags & TARGET_HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	/* Every seventh page untouched, every eleventh all zero. */
	for (at = 0; at < size / 8; at++) {
		uint64_t page = at / 512;

		if (page % 7 == 3 && !(flags & TARGET_WRITER))
			continue;
		mem[at] = page % 11 == 5 ? 0 : at * 0x9e3779b97f4a7c15ull + 1;
	}
	sh->memory = (uintptr_t)mem;
	sh->size = size;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (i = 1; i < n_threads; i++)
		if (pthread_create(&th, &attr, waiter, (void *)(uintptr_t)i))
			_exit(3);
	while (sh->ready < n_threads - 1)
		usleep(1000);
	usleep(50000);
	sh->ready = 1000000;
	if (flags & TARGET_WRITER)
		writer((char *)mem, size);
	while (flags & TARGET_QUIET)
		pause();
	/* Values to be seen in the registers. */
	for (;;) {
		register uint64_t r12 __asm__("r12") = 0x1122334455667788ull;

		__asm__ volatile("movq %0, %%xmm7" : : "r"(r12) : "xmm7");
		sh->beats++;
	}
}

void target_start(struct target *t, unsigned int n_threads, size_t size,
		  unsigned int flags)
{
	t->shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(t->shared != MAP_FAILED, "memory");
	t->pid = fork();
	CHECK(t->pid >= 0, "fork");
	if (t->pid == 0) {
		sh = t->shared;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(n_threads, size, flags);
		_exit(0);
	}
	while (t->shared->ready < 1000000) {
		int status;

		CHECK(waitpid(t->pid, &status, WNOHANG) == 0, "target ended");
		usleep(1000);
	}
}

void target_be(unsigned int n_threads, size_t size, unsigned int flags)
{
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(sh != MAP_FAILED, "memory");
	run(n_threads, size, flags);
	_exit(0);
}

void target_alive(const struct target *t)
{
	uint64_t beats = t->shared->beats;
	int i, status;

	for (i = 0; i < 5000 && t->shared->beats == beats; i++)
		usleep(2000);
	CHECK(waitpid(t->pid, &status, WNOHANG) == 0, "target ended");
	CHECK(t->shared->beats != beats, "target stands still");
}

void target_end(struct target *t)
{
	int status;

	kill(t->pid, SIGKILL);
	CHECK(waitpid(t->pid, &status, 0) == t->pid, "wait");
	munmap(t->shared, 4096);
}

#define CGROUP "/sys/fs/cgroup/stasis-test"

static bool put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

bool cgroup_put(pid_t pid)
{
	char text[32];

	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return false;
	snprintf(text, sizeof(text), "%d", pid);
	return put(CGROUP "/cgroup.procs", text);
}

void cgroup_freeze(bool on)
{
	CHECK(put(CGROUP "/cgroup.freeze", on ? "1" : "0"), "freezer");
}

void cgroup_drop(void)
{
	int i;

	for (i = 0; i < 100 && rmdir(CGROUP); i++)
		usleep(10000);
}
