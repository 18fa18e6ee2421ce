/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine itself can do, in milliseconds on stdout: the floors that
 * benchmarks compare with.
 *
 * usage: limits fork MIB [huge] | copy MIB | write FILE MIB | read FILE |
 *        fsync FILE | procs N
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static char *memory(size_t size, int huge, int touch)
{
	char *p = mmap(NULL, size + 2 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (p == MAP_FAILED)
		exit(2);
	p = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(p, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (i = 0; touch && i < size; i += 4096)
		*(uint64_t *)(p + i) = i + 1;
	return p;
}

static double fork_of(size_t size, int huge)
{
	double t, t1;
	pid_t pid;

	memory(size, huge, 1);
	t = now();
	pid = fork();
	if (pid == 0)
		_exit(0);
	t1 = now();
	waitpid(pid, NULL, 0);
	return t1 - t;
}

static double copy_of(size_t size)
{
	char *a = memory(size, 1, 1), *b = memory(size, 1, 1);
	double t = now();

	memcpy(a, b, size);
	return now() - t;
}

static double write_to(const char *path, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	char *p = memory(8 * MIB, 1, 1);
	size_t done = 0;
	double t;

	if (fd < 0)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		exit(2);
	t = now();
	while (done < size) {
		ssize_t n = write(fd, p, 8 * MIB);

		if (n <= 0)
			exit(2);
		done += (size_t)n;
	}
	fsync(fd);
	return now() - t;
}

static double read_from(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct stat st;
	size_t size, done = 0;
	char *p;
	double t;

	if (fd < 0 || fstat(fd, &st))
		exit(2);
	size = (size_t)st.st_size;
	p = memory(size, 1, 0);
	t = now();
	while (done < size) {
		size_t n = size - done < 8 * MIB ? size - done : 8 * MIB;
		ssize_t got = pread(fd, p + done, n, (off_t)done);

		if (got <= 0)
			exit(2);
		done += (size_t)got;
	}
	return now() - t;
}

static double fsync_of(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	double t = now();

	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd))
		exit(2);
	return now() - t;
}

/* Fork, map, open and fill what a small restored process has. */
static void small_process(int out)
{
	int i, fd;

	for (i = 0; i < 40; i++) {
		char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		int k;

		for (k = 0; k < 8; k++)
			p[k * 4096] = 1;
		if (i < 8) {
			fd = open("/proc/self/exe", O_RDONLY);
			if (fd < 0)
				_exit(2);
		}
	}
	if (write(out, "x", 1) != 1)
		_exit(2);
	pause();
}

static double procs(long n)
{
	pid_t *pids = calloc((size_t)n, sizeof(*pids));
	int p[2];
	double t;
	char c;
	long i;

	if (!pids || pipe(p))
		exit(2);
	t = now();
	for (i = 0; i < n; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			small_process(p[1]);
	}
	for (i = 0; i < n; i++)
		if (read(p[0], &c, 1) != 1)
			exit(2);
	t = now() - t;
	for (i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return t;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	double ms;

	if (!strcmp(what, "fork") && argc > 2)
		ms = fork_of((size_t)atol(argv[2]) * MIB, argc > 3);
	else if (!strcmp(what, "copy") && argc > 2)
		ms = copy_of((size_t)atol(argv[2]) * MIB);
	else if (!strcmp(what, "write") && argc > 3)
		ms = write_to(argv[2], (size_t)atol(argv[3]) * MIB);
	else if (!strcmp(what, "read") && argc > 2)
		ms = read_from(argv[2]);
	else if (!strcmp(what, "fsync") && argc > 2)
		ms = fsync_of(argv[2]);
	else if (!strcmp(what, "procs") && argc > 2)
		ms = procs(atol(argv[2]));
	else
		return 2;
	printf("%.3f\n", ms);
	return 0;
}
