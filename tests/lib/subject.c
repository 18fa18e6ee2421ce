/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The subject's side of the conformance framework.  It talks to the driver
 * by files that are open only while they are written or looked for, so that
 * what a kind has open is its own affair.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conform.h"
#include "conform_int.h"

#define BLOCK_SIZE (256 * 1024)

static struct conform self;
static unsigned char *block;
static int child_pipe = -1;

uint64_t conform_rand(uint64_t nonce, uint64_t i)
{
	uint64_t z = nonce + (i + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void conform_fill(void *p, size_t len, uint64_t seed)
{
	unsigned char *b = p;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t v = conform_rand(seed, i);

		memcpy(b + i, &v, 8);
	}
	if (i < len) {
		uint64_t v = conform_rand(seed, i);

		memcpy(b + i, &v, len - i);
	}
}

ssize_t conform_same(const void *p, size_t len, uint64_t seed)
{
	const unsigned char *b = p;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		uint64_t v = conform_rand(seed, i);

		if (memcmp(b + i, &v, 8))
			return (ssize_t)i;
	}
	if (i < len) {
		uint64_t v = conform_rand(seed, i);

		if (memcmp(b + i, &v, len - i))
			return (ssize_t)i;
	}
	return -1;
}

uint64_t conform_value(const void *p, const char *stage)
{
	const unsigned char *b = p;
	uint64_t h = 0xcbf29ce484222325ull;
	size_t i;

	for (i = 0; i < BLOCK_SIZE; i++)
		h = (h ^ b[i]) * 0x100000001b3ull;
	for (; *stage; stage++)
		h = (h ^ (unsigned char)*stage) * 0x100000001b3ull;
	return h;
}

/* What the driver expects, from the nonce alone. */
uint64_t conform_expect(uint64_t nonce, const char *stage)
{
	unsigned char *b = malloc(BLOCK_SIZE);
	uint64_t h;

	if (!b)
		return 0;
	conform_fill(b, BLOCK_SIZE, nonce);
	h = conform_value(b, stage);
	free(b);
	return h;
}

int conform_status(uint64_t nonce)
{
	return 40 + (int)(conform_rand(nonce, 999) % 60);
}

/* The first word counts: a later one must not hide it. */
static void report(const char *text)
{
	char tmp[320], to[320];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s/result.%d", self.dir, (int)getpid());
	snprintf(to, sizeof(to), "%s/result", self.dir);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0 || link(tmp, to))
		fd = fd; /* the driver sees that it is missing */
	close(fd);
	unlink(tmp);
}

void conform_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char text[1024], msg[800];
	int err = errno;
	va_list ap;

	va_start(ap, fmt);
	errno = err;
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "FAIL %s:%d: %s\n", base ? base + 1 : file,
		 line, msg);
	report(text);
	_exit(1);
}

void conform_skip(const char *fmt, ...)
{
	char text[1024], msg[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "SKIP %s\n", msg);
	report(text);
	_exit(77);
}

void conform_fact(const char *name, long value)
{
	char path[320], text[64];
	int fd;

	snprintf(path, sizeof(path), "%s/fact.%s", self.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0, "%s: %m", path);
	snprintf(text, sizeof(text), "%ld\n", value);
	CHECK(write(fd, text, strlen(text)) > 0, "%s: %m", path);
	close(fd);
}

uint64_t conform_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void conform_msleep(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

void conform_wait_go(struct conform *c)
{
	struct timespec ts = { 0, 5000000 };
	char go[320], ping[320];

	snprintf(go, sizeof(go), "%s/go", c->dir);
	snprintf(ping, sizeof(ping), "%s/ping", c->dir);
	while (access(go, F_OK)) {
		CHECK(errno == ENOENT, "looking for %s: %m", go);
		if (getpid() == c->pid && !access(ping, F_OK))
			unlink(ping);
		if (nanosleep(&ts, NULL))
			CHECK(c->eintr_ok, "spurious end of a sleep: %m");
	}
}

static void child_main(struct conform *c, void (*fn)(struct conform *, long),
		       long arg, int fd)
{
	child_pipe = fd;
	fn(c, arg);
	_exit(conform_child_status(c, arg));
}

pid_t conform_child(struct conform *c, void (*fn)(struct conform *, long),
		    long arg)
{
	int p[2];
	char byte;
	pid_t pid;

	NEED(pipe2(p, O_CLOEXEC));
	pid = (pid_t)NEED(fork());
	if (!pid) {
		close(p[0]);
		child_main(c, fn, arg, p[1]);
	}
	close(p[1]);
	CHECK(read(p[0], &byte, 1) == 1, "child %ld ended in its setup", arg);
	close(p[0]);
	return pid;
}

void conform_child_ready(void)
{
	CHECK(write(child_pipe, "r", 1) == 1, "child's report: %m");
	close(child_pipe);
	child_pipe = -1;
}

int conform_child_status(const struct conform *c, long arg)
{
	return 3 + (int)(conform_rand(c->nonce, 5000 + (uint64_t)arg) % 90);
}

void conform_reap(pid_t pid, int wstatus, unsigned int ms)
{
	uint64_t end = conform_now() + ms;
	int status;
	pid_t got;

	while (!(got = waitpid(pid, &status, WNOHANG | WUNTRACED))) {
		CHECK(conform_now() < end, "child %d did not end in %u ms",
		      (int)pid, ms);
		conform_msleep(5);
	}
	CHECK(got == pid, "waitpid(%d): %m", (int)pid);
	CHECK(status == wstatus, "child %d ended with %#x, not %#x", (int)pid,
	      (unsigned int)status, (unsigned int)wstatus);
}

void conform_join(struct conform *c, pid_t pid, long arg)
{
	conform_reap(pid, conform_child_status(c, arg) << 8, 15000);
}

static uint64_t take_nonce(const char *dir)
{
	char path[320], text[32] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/nonce", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %m", path);
	n = read(fd, text, sizeof(text) - 1);
	CHECK(n > 0, "%s: %m", path);
	close(fd);
	unlink(path);
	return strtoull(text, NULL, 16);
}

static void say_ready(void)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%s/ready", self.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	CHECK(fd >= 0, "%s: %m", path);
	close(fd);
}

/* "restarted" or "continued", as the driver wrote into the go file. */
static bool is_restart(void)
{
	char path[320], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/go", self.dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, "%s: %m", path);
	close(fd);
	return text[0] == 'r';
}

/* A leader that left (pthread_exit) lets another thread do this part. */
void conform_after_ready(const struct conform_kind *k)
{
	const char *stage;
	char text[64];

	say_ready();
	conform_wait_go(&self);
	self.restarted = is_restart();
	stage = self.restarted ? "restarted" : "continued";
	CHECK_EQ(getpid(), self.pid);
	if (self.restarted && k->restarted)
		k->restarted(&self);
	else
		k->continued(&self);
	CHECK_SAME(block, BLOCK_SIZE, self.nonce);
	snprintf(text, sizeof(text), "ok %s %016llx\n", stage,
		 (unsigned long long)conform_value(block, stage));
	report(text);
	exit(conform_status(self.nonce));
}

int conform_subject(const struct conform_kind *k, const char *dir)
{
	snprintf(self.dir, sizeof(self.dir), "%s", dir);
	self.root = geteuid() == 0;
	self.pid = getpid();
	self.nonce = take_nonce(dir);
	block = malloc(BLOCK_SIZE);
	CHECK(block, "no memory");
	conform_fill(block, BLOCK_SIZE, self.nonce);
	k->setup(&self);
	if (k->ready)
		k->ready(&self);
	conform_after_ready(k);
	return 1;
}
