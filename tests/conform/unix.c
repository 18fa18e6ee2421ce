/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of unix sockets: pairs of all types with data, half closed ones,
 * named, abstract and listening ones, pending connections, descriptors in
 * flight.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "conform.h"

static unsigned char buf[70000];

static void put(int fd, size_t len, uint64_t seed)
{
	conform_fill(buf, len, seed);
	CHECK(write(fd, buf, len) == (ssize_t)len, "write: %m");
}

static void expect(int fd, size_t len, uint64_t seed)
{
	size_t n = 0;
	int tries = 0;
	ssize_t r;

	memset(buf, 0, len);
	while (n < len) {
		r = recv(fd, buf + n, len - n, MSG_DONTWAIT);
		if (r < 0 && errno == EAGAIN && tries++ < 1000) {
			conform_msleep(2);
			continue;
		}
		CHECK(r > 0, "%zu of %zu bytes, then %zd (%m)", n, len, r);
		n += (size_t)r;
	}
	CHECK_SAME(buf, len, seed);
}

static void empty(int fd)
{
	CHECK(recv(fd, buf, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN, "data "
								       "that "
								       "nobody "
								       "sent");
}

static void works(int a, int b)
{
	char x = 0;

	NEED(write(a, "p", 1));
	CHECK(read(b, &x, 1) == 1 && x == 'p', "no way from %d to %d", a, b);
	NEED(write(b, "q", 1));
	CHECK(read(a, &x, 1) == 1 && x == 'q', "no way from %d to %d", b, a);
}

/* --- pairs --- */

static int st[2], dg[2], sp[2], half[2], dead[2];
static pid_t kid;

static void pair_child(struct conform *c, long arg)
{
	char x;

	(void)c;
	close(st[0]);
	close(dg[0]);
	close(sp[0]);
	close(half[0]);
	conform_child_ready();
	expect(st[1], 60000, c->nonce);
	while (read(st[1], &x, 1) == 1)
		NEED(write(st[1], &x, 1));
	CHECK_EQ(arg, 1);
}

static void pair_setup(struct conform *c)
{
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, st));
	NEED(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, dg));
	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sp));
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, half));
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, dead));
	put(st[1], 333, c->nonce + 1);
	put(dg[0], 1000, c->nonce + 2);
	put(dg[0], 1, c->nonce + 3);
	put(sp[0], 5000, c->nonce + 4);
	put(sp[0], 17, c->nonce + 5);
	put(sp[1], 99, c->nonce + 6);
	put(half[0], 50, c->nonce + 7);
	NEED(shutdown(half[0], SHUT_WR));
	put(dead[0], 70, c->nonce + 8);
	NEED(close(dead[0]));
}

static void pair_same(struct conform *c)
{
	expect(st[0], 333, c->nonce + 1);
	empty(st[0]);
	CHECK_EQ(recv(dg[1], buf, sizeof(buf), 0), 1000);
	CHECK_SAME(buf, 1000, c->nonce + 2);
	CHECK_EQ(recv(dg[1], buf, sizeof(buf), 0), 1);
	empty(dg[1]);
	CHECK_EQ(recv(sp[1], buf, sizeof(buf), 0), 5000);
	CHECK_SAME(buf, 5000, c->nonce + 4);
	CHECK_EQ(recv(sp[1], buf, sizeof(buf), 0), 17);
	CHECK_EQ(recv(sp[0], buf, sizeof(buf), 0), 99);
	CHECK(fcntl(sp[0], F_GETFL) & O_NONBLOCK, "O_NONBLOCK is lost");
	CHECK_EQ(fcntl(dg[0], F_GETFD), FD_CLOEXEC);
	expect(half[1], 50, c->nonce + 7);
	CHECK_EQ(read(half[1], buf, 1), 0);
	CHECK(send(half[0], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE,
	      "a shut down direction is open");
	NEED(write(half[1], "b", 1));
	CHECK(read(half[0], buf, 1) == 1 && buf[0] == 'b', "half");
	expect(dead[1], 70, c->nonce + 8);
	CHECK_EQ(read(dead[1], buf, 1), 0);
	CHECK(send(dead[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE,
	      "a closed peer takes data");
}

static void pair_after(struct conform *c)
{
	pair_same(c);
	works(st[0], st[1]);
	works(dg[0], dg[1]);
}

static void shared_setup(struct conform *c)
{
	pair_setup(c);
	kid = conform_child(c, pair_child, 1);
	close(st[1]);
}

static void shared_after(struct conform *c)
{
	size_t n = 0;
	ssize_t r;

	expect(st[0], 333, c->nonce + 1);
	conform_fill(buf, 60000, c->nonce);
	while (n < 60000) {
		r = write(st[0], buf + n, 60000 - n);
		CHECK(r > 0, "write: %m");
		n += (size_t)r;
	}
	conform_msleep(100);
	NEED(write(st[0], "!", 1));
	CHECK(read(st[0], buf, 1) == 1 && buf[0] == '!', "no echo");
	NEED(shutdown(st[0], SHUT_WR));
	CHECK_EQ(read(st[0], buf, 1), 0);
	conform_join(c, kid, 1);
}

/* --- options --- */

static void opts_setup(struct conform *c)
{
	struct timeval tv = { 7, 500000 };
	int v = 30000, on = 1;

	(void)c;
	NEED(socketpair(AF_UNIX, SOCK_DGRAM, 0, dg));
	NEED(setsockopt(dg[0], SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)));
	NEED(setsockopt(dg[0], SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)));
	NEED(setsockopt(dg[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	NEED(setsockopt(dg[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
}

static int opt_int(int fd, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	NEED(getsockopt(fd, SOL_SOCKET, name, &v, &len));
	return v;
}

static void opts_after(struct conform *c)
{
	struct timeval tv;
	socklen_t len = sizeof(tv);
	struct ucred cred;

	CHECK_EQ(opt_int(dg[0], SO_SNDBUF), 60000);
	CHECK_EQ(opt_int(dg[0], SO_RCVBUF), 60000);
	CHECK_EQ(opt_int(dg[0], SO_PASSCRED), 1);
	CHECK_EQ(opt_int(dg[1], SO_PASSCRED), 0);
	NEED(getsockopt(dg[0], SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	CHECK_EQ(tv.tv_sec, 7);
	len = sizeof(cred);
	NEED(getsockopt(dg[0], SOL_SOCKET, SO_PEERCRED, &cred, &len));
	CHECK_EQ(cred.uid, getuid());
	CHECK(c->pid == getpid(), "pid");
}

/* --- names --- */

static int listener, client, served, abst, named_dg, sender;

static socklen_t name_un(struct sockaddr_un *a, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path + (name[0] == '@'), name + (name[0] == '@'));
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			   strlen(name) + (name[0] != '@'));
}

static int listen_un(const char *name, int type)
{
	struct sockaddr_un a;
	socklen_t len = name_un(&a, name);
	int fd = (int)NEED(socket(AF_UNIX, type, 0));

	NEED(bind(fd, (void *)&a, len));
	if (type != SOCK_DGRAM)
		NEED(listen(fd, 7));
	return fd;
}

static int connect_un(const char *name, int type)
{
	struct sockaddr_un a;
	socklen_t len = name_un(&a, name);
	int fd = (int)NEED(socket(AF_UNIX, type, 0));

	NEED(connect(fd, (void *)&a, len));
	return fd;
}

static char abs_name[64];

static void named_setup(struct conform *c)
{
	snprintf(abs_name, sizeof(abs_name), "@conform-%lx",
		 (unsigned long)conform_rand(c->nonce, 41));
	listener = listen_un("sock", SOCK_STREAM);
	NEED(chmod("sock", 0711));
	client = connect_un("sock", SOCK_STREAM);
	served = (int)NEED(accept(listener, NULL, NULL));
	put(client, 4000, c->nonce);
	abst = listen_un(abs_name, SOCK_SEQPACKET);
	named_dg = listen_un("dgram", SOCK_DGRAM);
	sender = connect_un("dgram", SOCK_DGRAM);
	put(sender, 123, c->nonce + 1);
}

static void named_between(uint64_t nonce)
{
	(void)nonce;
	unlink("sock");
	unlink("dgram");
}

static void named_after(struct conform *c)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	struct stat s;
	int x, y;

	expect(served, 4000, c->nonce);
	works(served, client);
	memset(&a, 0, sizeof(a));
	NEED(getsockname(served, (void *)&a, &len));
	CHECK(!strcmp(a.sun_path, "sock"), "name is '%s'", a.sun_path);
	len = sizeof(a);
	memset(&a, 0, sizeof(a));
	NEED(getpeername(client, (void *)&a, &len));
	CHECK(!strcmp(a.sun_path, "sock"), "peer's name is '%s'", a.sun_path);
	NEED(stat("sock", &s));
	CHECK_EQ(s.st_mode & 0777, 0711);
	x = connect_un("sock", SOCK_STREAM);
	y = (int)NEED(accept(listener, NULL, NULL));
	works(x, y);
	x = connect_un(abs_name, SOCK_SEQPACKET);
	y = (int)NEED(accept(abst, NULL, NULL));
	works(x, y);
	expect(named_dg, 123, c->nonce + 1);
	NEED(write(sender, "again", 5));
	CHECK_EQ(recv(named_dg, buf, 100, MSG_DONTWAIT), 5);
}

/* --- pending connections --- */

static int waiting[3];

static void pending_setup(struct conform *c)
{
	int i;

	(void)c;
	listener = listen_un("sock", SOCK_STREAM);
	for (i = 0; i < 3; i++)
		waiting[i] = connect_un("sock", SOCK_STREAM);
}

static void pending_after(struct conform *c)
{
	int i, fd;

	(void)c;
	for (i = 0; i < 3; i++) {
		fd = (int)NEED(accept(listener, NULL, NULL));
		works(waiting[i], fd);
	}
	NEED(fcntl(listener, F_SETFL, O_NONBLOCK));
	CHECK(accept(listener, NULL, NULL) == -1 && errno == EAGAIN, "one "
								     "connectio"
								     "n too "
								     "many");
}

/* --- descriptors in flight --- */

static int flight[2], inside[2];

static void send_fd(int sock, const int *fds, int n, const char *text)
{
	char ctl[CMSG_SPACE(sizeof(int) * 4)];
	struct iovec iov = { (void *)(uintptr_t)text, strlen(text) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	memset(ctl, 0, sizeof(ctl));
	m.msg_control = ctl;
	m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
	cm = CMSG_FIRSTHDR(&m);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	memcpy(CMSG_DATA(cm), fds, sizeof(int) * (size_t)n);
	NEED(sendmsg(sock, &m, 0));
}

static int recv_fd(int sock, int *fds, const char *text)
{
	char ctl[CMSG_SPACE(sizeof(int) * 4)], data[64] = "";
	struct iovec iov = { data, sizeof(data) - 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl,
			    .msg_controllen = sizeof(ctl) };
	struct cmsghdr *cm;
	int n;

	NEED(recvmsg(sock, &m, MSG_DONTWAIT));
	CHECK(!strcmp(data, text), "message is '%s', not '%s'", data, text);
	cm = CMSG_FIRSTHDR(&m);
	CHECK(cm && cm->cmsg_type == SCM_RIGHTS, "no descriptors came");
	n = (int)((cm->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(cm), sizeof(int) * (size_t)n);
	return n;
}

static void flight_setup(struct conform *c)
{
	int fds[2];

	NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, flight));
	NEED(pipe(inside));
	fds[0] = inside[0];
	fds[1] = (int)NEED(open("file", O_RDWR | O_CREAT, 0644));
	put(fds[1], 5000, c->nonce);
	NEED(lseek(fds[1], 321, SEEK_SET));
	send_fd(flight[0], fds, 2, "two");
	send_fd(flight[0], &fds[1], 1, "again");
	NEED(close(inside[0]));
	NEED(close(fds[1]));
	NEED(write(inside[1], "flying", 6));
}

static void flight_after(struct conform *c)
{
	int fds[4], again[4];

	(void)c;
	CHECK_EQ(recv_fd(flight[1], fds, "two"), 2);
	CHECK(read(fds[0], buf, 10) == 6 && !memcmp(buf, "flying", 6),
	      "the pipe in flight is another");
	CHECK_EQ(lseek(fds[1], 0, SEEK_CUR), 321);
	CHECK_EQ(recv_fd(flight[1], again, "again"), 1);
	NEED(lseek(fds[1], 77, SEEK_SET));
	CHECK_EQ(lseek(again[0], 0, SEEK_CUR), 77);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "unix_pairs", .setup = pair_setup, .continued = pair_after },
	{ .name = "unix_children",
	  .setup = shared_setup,
	  .continued = shared_after },
	{ .name = "unix_options",
	  .setup = opts_setup,
	  .continued = opts_after },
	{ .name = "unix_named",
	  .setup = named_setup,
	  .continued = named_after,
	  .between = named_between },
	{ .name = "unix_pending",
	  .setup = pending_setup,
	  .continued = pending_after },
	{ .name = "unix_in_flight",
	  .setup = flight_setup,
	  .continued = flight_after },
	{ .name = NULL },
};
