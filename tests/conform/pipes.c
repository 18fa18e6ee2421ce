/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of pipes and FIFOs: contents, sizes, packets, ends in different
 * processes, closed ends, a named FIFO that has to be made again.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform.h"

#define LEN 150000

static unsigned char buf[LEN], got[LEN];
static int big[2], packet[2], to_kid[2], from_kid[2], eof[2], broken[2];
static pid_t kid;

static void expect(int fd, size_t len, uint64_t seed)
{
	size_t n = 0;
	ssize_t r;

	while (n < len) {
		r = read(fd, got + n, len - n);
		CHECK(r > 0, "%zu of %zu bytes, then %zd (%m)", n, len, r);
		n += (size_t)r;
	}
	conform_fill(buf, len, seed);
	CHECK(!memcmp(got, buf, len), "contents of the pipe differ");
}

static void put(int fd, size_t len, uint64_t seed)
{
	conform_fill(buf, len, seed);
	CHECK(write(fd, buf, len) == (ssize_t)len, "write: %m");
}

static void data_setup(struct conform *c)
{
	NEED(pipe(big));
	NEED(fcntl(big[1], F_SETPIPE_SZ, 256 * 1024));
	put(big[1], LEN, c->nonce);
	NEED(read(big[0], got, 5)); /* first page begins in its middle */
	NEED(pipe2(packet, O_DIRECT));
	put(packet[1], 100, c->nonce + 1);
	put(packet[1], 7, c->nonce + 2);
	put(packet[1], 3000, c->nonce + 3);
	NEED(pipe(eof));
	put(eof[1], 10, c->nonce + 4);
	NEED(close(eof[1]));
	NEED(pipe(broken));
	NEED(close(broken[0]));
	signal(SIGPIPE, SIG_IGN);
}

static void data_after(struct conform *c)
{
	int n;

	CHECK_EQ(fcntl(big[0], F_GETPIPE_SZ), 256 * 1024);
	NEED(ioctl(big[0], FIONREAD, &n));
	CHECK_EQ(n, LEN - 5);
	conform_fill(buf, LEN, c->nonce);
	for (n = 5; n < LEN;) {
		ssize_t r = read(big[0], got + n, (size_t)(LEN - n));

		CHECK(r > 0, "pipe is short: %d of %d", n, LEN);
		n += (int)r;
	}
	CHECK(!memcmp(got + 5, buf + 5, LEN - 5), "contents differ");
	CHECK(fcntl(packet[1], F_GETFL) & O_DIRECT, "not a packet pipe");
	CHECK_EQ(read(packet[0], got, LEN), 100);
	CHECK_SAME(got, 100, c->nonce + 1);
	CHECK_EQ(read(packet[0], got, LEN), 7);
	CHECK_EQ(read(packet[0], got, LEN), 3000);
	CHECK_SAME(got, 3000, c->nonce + 3);
	expect(eof[0], 10, c->nonce + 4);
	CHECK_EQ(read(eof[0], got, 1), 0);
	CHECK(write(broken[1], "x", 1) == -1 && errno == EPIPE, "no EPIPE "
								"without a "
								"reader");
}

/* --- between processes --- */

static void echo_child(struct conform *c, long arg)
{
	char b;

	(void)c;
	close(to_kid[1]);
	close(from_kid[0]);
	put(from_kid[1], 5000, c->nonce + 1);
	conform_child_ready();
	expect(to_kid[0], 3000, c->nonce + 2);
	while (read(to_kid[0], &b, 1) == 1)
		CHECK(write(from_kid[1], &b, 1) == 1, "write: %m");
	CHECK_EQ(arg, 1);
}

static void echo_setup(struct conform *c)
{
	NEED(pipe(to_kid));
	NEED(pipe(from_kid));
	kid = conform_child(c, echo_child, 1);
	close(to_kid[0]);
	close(from_kid[1]);
	put(to_kid[1], 2000, c->nonce + 2);
}

static void echo_after(struct conform *c)
{
	char b = 'e';

	conform_fill(buf, 3000, c->nonce + 2);
	NEED(write(to_kid[1], buf + 2000, 1000));
	expect(from_kid[0], 5000, c->nonce + 1);
	NEED(write(to_kid[1], &b, 1));
	b = 0;
	CHECK(read(from_kid[0], &b, 1) == 1 && b == 'e', "no echo");
	/* No stray copy of our end: the child must see the end of file. */
	NEED(close(to_kid[1]));
	CHECK_EQ(read(from_kid[0], &b, 1), 0);
	conform_join(c, kid, 1);
}

/* --- FIFO --- */

static int fifo_r, fifo_w, fifo_rw;

static void fifo_setup(struct conform *c)
{
	NEED(mkfifo("fifo", 0640));
	fifo_r = (int)NEED(open("fifo", O_RDONLY | O_NONBLOCK));
	fifo_w = (int)NEED(open("fifo", O_WRONLY));
	put(fifo_w, 4000, c->nonce);
	NEED(mkfifo("fifo2", 0600));
	fifo_rw = (int)NEED(open("fifo2", O_RDWR));
	put(fifo_rw, 300, c->nonce + 1);
}

static void fifo_between(uint64_t nonce)
{
	(void)nonce;
	unlink("fifo2");
}

static void fifo_after(struct conform *c)
{
	struct stat st;
	int fd;

	expect(fifo_r, 4000, c->nonce);
	CHECK(read(fifo_r, got, 1) == -1 && errno == EAGAIN, "not empty");
	expect(fifo_rw, 300, c->nonce + 1);
	NEED(stat("fifo2", &st));
	CHECK(S_ISFIFO(st.st_mode), "not a FIFO");
	/* The name leads to the same FIFO as the descriptor. */
	fd = (int)NEED(open("fifo2", O_WRONLY | O_NONBLOCK));
	NEED(write(fd, "z", 1));
	CHECK(read(fifo_rw, got, 1) == 1 && got[0] == 'z', "another FIFO");
	NEED(close(fifo_w));
	CHECK_EQ(read(fifo_r, got, 1), 0);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "pipe_data", .setup = data_setup, .continued = data_after },
	{ .name = "pipe_children",
	  .setup = echo_setup,
	  .continued = echo_after },
	{ .name = "fifo",
	  .setup = fifo_setup,
	  .continued = fifo_after,
	  .between = fifo_between },
	{ .name = NULL },
};
