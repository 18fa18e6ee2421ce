/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that benchmarks checkpoint: so much memory, so many threads and
 * processes, and one thread that spins on CLOCK_MONOTONIC and notes the
 * largest gap it sees in a shared file (struct status), which the benchmark
 * reads and resets from outside.
 *
 * usage: target STATUS MIB THREADS PROCESSES [huge|small|shared]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct status {
	volatile uint64_t max_gap; /* ns */
	volatile uint64_t rounds;
	volatile uint64_t ready;
	volatile uint64_t last; /* when the spinner ran last */
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void spin(struct status *st)
{
	uint64_t last = now(), t;

	for (;;) {
		t = now();
		if (t - last > st->max_gap)
			st->max_gap = t - last;
		last = t;
		st->last = t;
		st->rounds++;
	}
}

static struct status *status_map(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	void *p;

	if (fd < 0 || ftruncate(fd, 4096))
		exit(2);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		exit(2);
	close(fd);
	return p;
}

static void memory(size_t size, const char *how)
{
	int flags = !strcmp(how, "shared") ? MAP_SHARED : MAP_PRIVATE;
	size_t i;
	char *p;

	if (!size)
		return;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1,
		 0);
	if (p == MAP_FAILED)
		exit(2);
	madvise(p, size,
		!strcmp(how, "huge") ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (i = 0; i < size; i += 64)
		*(uint64_t *)(p + i) = i * 0x9e3779b97f4a7c15ull + 1;
}

static void threads(long n)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (; n > 1; n--)
		if (pthread_create(&t, &attr, sleeper, NULL))
			exit(2);
}

/* A child of the size that a small program has: some 300 pages of its own. */
static void child(void)
{
	size_t size = 300 * 4096, i;
	char *p = malloc(size);

	for (i = 0; p && i < size; i += 4096)
		p[i] = (char)(i / 4096 + 1);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	struct status *st;
	long n;

	if (argc < 5)
		return 2;
	signal(SIGCHLD, SIG_DFL);
	st = status_map(argv[1]);
	memory((size_t)atol(argv[2]) << 20, argc > 5 ? argv[5] : "small");
	for (n = atol(argv[4]); n > 1; n--)
		if (fork() == 0)
			child();
	threads(atol(argv[3]));
	st->max_gap = 0;
	st->ready = 1;
	spin(st);
}
