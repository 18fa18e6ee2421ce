/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets; see cases.h.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cases.h"

static int send_fd(int sock, int fd, const char *text)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &ctl,
			      .msg_controllen = sizeof(ctl) };

	ctl.head.cmsg_level = SOL_SOCKET;
	ctl.head.cmsg_type = SCM_RIGHTS;
	ctl.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&ctl.head), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == (ssize_t)iov.iov_len ? 0 : -1;
}

static int recv_fd(int sock, char *buf, size_t size)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &ctl,
			      .msg_controllen = sizeof(ctl) };
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_DONTWAIT) < 0)
		return -1;
	if (ctl.head.cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(&ctl.head), sizeof(fd));
	return fd;
}

static int pair_setup(int *fds)
{
	int p[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(write(fds[0], "to one", 6) == 6 &&
	      write(fds[1], "to zero", 7) == 7);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds + 2) ==
	      0);
	CHECK(write(fds[2], "a", 1) == 1 && write(fds[2], "bcd", 3) == 3);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds + 4) == 0);
	CHECK(write(fds[4], "dg", 2) == 2 && write(fds[4], "", 0) == 0 &&
	      write(fds[4], "ram", 3) == 3);
	/* shut for writing, with data before it */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 6) == 0);
	CHECK(write(fds[6], "end", 3) == 3 && shutdown(fds[6], SHUT_WR) == 0);
	/* the peer gone, with data */
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0);
	CHECK(write(p[1], "bye", 3) == 3);
	close(p[1]);
	fds[8] = p[0];
	return 9;
}

static int pair_check(const int *fds)
{
	char buf[32];

	CHECK(recv(fds[1], buf, 32, MSG_DONTWAIT) == 6 &&
	      !memcmp(buf, "to one", 6));
	CHECK(recv(fds[0], buf, 32, MSG_DONTWAIT) == 7);
	CHECK(write(fds[0], "x", 1) == 1 && read(fds[1], buf, 1) == 1);
	CHECK(read(fds[3], buf, 32) == 1 && read(fds[3], buf, 32) == 3 &&
	      !memcmp(buf, "bcd", 3));
	CHECK(read(fds[3], buf, 32) == -1 && errno == EAGAIN);
	CHECK(recv(fds[5], buf, 32, MSG_DONTWAIT) == 2);
	CHECK(recv(fds[5], buf, 32, MSG_DONTWAIT) == 0 || buf[0] == 'r');
	CHECK(recv(fds[7], buf, 32, MSG_DONTWAIT) == 3);
	CHECK(recv(fds[7], buf, 32, MSG_DONTWAIT) == 0);
	CHECK(write(fds[7], "back", 4) == 4 && read(fds[6], buf, 32) == 4);
	CHECK(send(fds[6], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	CHECK(recv(fds[8], buf, 32, MSG_DONTWAIT) == 3);
	CHECK(recv(fds[8], buf, 32, MSG_DONTWAIT) == 0);
	CHECK(send(fds[8], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
	return 0;
}

static int flight_setup(int *fds)
{
	int p[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	CHECK(pipe(p) == 0);
	CHECK(send_fd(fds[0], p[1], "fd") == 0);
	close(p[1]);
	CHECK(send_fd(fds[0], fds[1], "self") == 0);
	fds[2] = p[0];
	return 3;
}

static int flight_check(const int *fds)
{
	char buf[32];
	int fd, self;

	fd = recv_fd(fds[1], buf, 2);
	CHECK(fd >= 0 && !memcmp(buf, "fd", 2));
	CHECK(write(fd, "through", 7) == 7 && read(fds[2], buf, 32) == 7);
	close(fd);
	self = recv_fd(fds[1], buf, 4);
	CHECK(self >= 0 && write(fds[0], "q", 1) == 1 &&
	      read(self, buf, 1) == 1);
	close(self);
	return 0;
}

static int named(struct sockaddr_un *un, const char *path)
{
	memset(un, 0, sizeof(*un));
	un->sun_family = AF_UNIX;
	if (path[0] == '@') {
		snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "%s-%d",
			 path + 1, getpid());
		return (int)(offsetof(struct sockaddr_un, sun_path) + 1 +
			     strlen(un->sun_path + 1));
	}
	strcpy(un->sun_path, path);
	return (int)sizeof(*un);
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un un;
	int fd = socket(AF_UNIX, type, 0), len = named(&un, path);

	if (bind(fd, (void *)&un, (socklen_t)len) ||
	    (type != SOCK_DGRAM && listen(fd, 7)))
		return -1;
	return fd;
}

static int connect_at(const char *path, int type)
{
	struct sockaddr_un un;
	int fd = socket(AF_UNIX, type, 0), len = named(&un, path);

	return connect(fd, (void *)&un, (socklen_t)len) ? -1 : fd;
}

static char where[128];

static int unix_setup(int *fds)
{
	if (!getcwd(where, 64))
		return -1;
	strcat(where, "/sock");
	fds[0] = listen_at("@zoo", SOCK_STREAM);
	fds[1] = connect_at("@zoo", SOCK_STREAM);
	fds[2] = accept(fds[0], NULL, NULL);
	fds[3] = connect_at("@zoo", SOCK_STREAM); /* waits */
	CHECK(fds[1] >= 0 && fds[2] >= 0 && fds[3] >= 0);
	CHECK(write(fds[1], "hello", 5) == 5);
	fds[4] = listen_at(where, SOCK_SEQPACKET);
	CHECK(chmod(where, 0622) == 0);
	fds[5] = connect_at(where, SOCK_SEQPACKET);
	fds[6] = accept(fds[4], NULL, NULL);
	fds[7] = listen_at("rel", SOCK_DGRAM);
	fds[8] = connect_at("rel", SOCK_DGRAM);
	fds[9] = listen_at("@dg", SOCK_DGRAM);
	fds[10] = listen_at("@me", SOCK_DGRAM);
	CHECK(write(fds[8], "anon", 4) == 4);
	struct sockaddr_un un;
	int len = named(&un, "@dg");
	CHECK(sendto(fds[10], "from me", 7, 0, (void *)&un, (socklen_t)len) ==
	      7);
	return 11;
}

static int unix_check(const int *fds)
{
	struct sockaddr_un un, me;
	socklen_t len = sizeof(un);
	struct stat st;
	char buf[32];
	int fd;

	CHECK(getpeername(fds[1], (void *)&un, &len) == 0 && len > 3 &&
	      un.sun_path[0] == 0 && !memcmp(un.sun_path + 1, "zoo", 3));
	len = sizeof(un);
	CHECK(getsockname(fds[2], (void *)&un, &len) == 0 && len > 3);
	CHECK(read(fds[2], buf, 32) == 5);
	fd = accept4(fds[0], NULL, NULL, SOCK_NONBLOCK);
	CHECK(fd >= 0 && write(fds[3], "late", 4) == 4 &&
	      read(fd, buf, 32) == 4);
	close(fd);
	CHECK(stat(where, &st) == 0 && (st.st_mode & 0777) == 0622);
	CHECK(write(fds[5], "seq", 3) == 3 && read(fds[6], buf, 32) == 3);
	fd = connect_at(where, SOCK_SEQPACKET);
	CHECK(fd >= 0);
	close(fd);
	CHECK(recv(fds[7], buf, 32, MSG_DONTWAIT) == 4);
	CHECK(write(fds[8], "more", 4) == 4);
	CHECK(recv(fds[7], buf, 32, MSG_DONTWAIT) == 4);
	len = sizeof(un);
	CHECK(recvfrom(fds[9], buf, 32, MSG_DONTWAIT, (void *)&un, &len) == 7);
	CHECK(len == (socklen_t)named(&me, "@me") && !memcmp(&un, &me, len));
	return 0;
}

static int tcp_listen(int family, int *port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in a4 = { .sin_family = AF_INET };
	socklen_t len = family == AF_INET ? sizeof(a4) : sizeof(a6);
	struct sockaddr *sa = family == AF_INET ? (void *)&a4 : (void *)&a6;
	int fd = socket(family, SOCK_STREAM, 0);

	a4.sin_addr.s_addr = htonl(INADDR_ANY);
	if (bind(fd, sa, len) || listen(fd, 3) || getsockname(fd, sa, &len))
		return -1;
	*port = ntohs(family == AF_INET ? a4.sin_port : a6.sin6_port);
	return fd;
}

static int tcp_connect(int family, int port)
{
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6,
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT,
				   .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in a4 = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port) };
	int fd = socket(family, SOCK_STREAM, 0), on = 1;

	a4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (family == AF_INET ? connect(fd, (void *)&a4, sizeof(a4)) :
				connect(fd, (void *)&a6, sizeof(a6)))
		return -1;
	return fd;
}

static int tcp_setup_family(int *fds, int family)
{
	int port = 0;

	fds[0] = tcp_listen(family, &port);
	fds[1] = tcp_connect(family, port);
	fds[2] = accept(fds[0], NULL, NULL);
	CHECK(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0);
	CHECK(write(fds[1], "request", 7) == 7 &&
	      write(fds[2], "answer", 6) == 6);
	fds[3] = tcp_connect(family, port);
	CHECK(fds[3] >= 0);
	fds[4] = accept(fds[0], NULL, NULL);
	CHECK(write(fds[3], "half", 4) == 4 && shutdown(fds[3], SHUT_WR) == 0);
	fds[5] = tcp_connect(family, port); /* waits */
	return 6;
}

static int tcp4_setup(int *fds)
{
	return tcp_setup_family(fds, AF_INET);
}

static int tcp6_setup(int *fds)
{
	return tcp_setup_family(fds, AF_INET6);
}

static int tcp_check(const int *fds)
{
	struct sockaddr_storage a, b;
	socklen_t la = sizeof(a), lb = sizeof(b), lo = sizeof(int);
	char buf[32];
	int fd, on = 0;

	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	CHECK(getpeername(fds[2], (void *)&a, &la) == 0 &&
	      getsockname(fds[1], (void *)&b, &lb) == 0);
	CHECK(la == lb && !memcmp(&a, &b, la));
	CHECK(getsockopt(fds[1], IPPROTO_TCP, TCP_NODELAY, &on, &lo) == 0 &&
	      on);
	CHECK(read(fds[2], buf, 32) == 7 && read(fds[1], buf, 32) == 6);
	CHECK(write(fds[1], "x", 1) == 1 && read(fds[2], buf, 32) == 1);
	CHECK(recv(fds[4], buf, 32, 0) == 4 && recv(fds[4], buf, 32, 0) == 0);
	CHECK(write(fds[4], "still", 5) == 5 && read(fds[3], buf, 32) == 5);
	fd = accept(fds[0], NULL, NULL);
	CHECK(fd >= 0 && write(fds[5], "new", 3) == 3 &&
	      read(fd, buf, 32) == 3);
	close(fd);
	return 0;
}

static int udp_setup(int *fds)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fds[0] = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(bind(fds[0], (void *)&a, len) == 0 &&
	      getsockname(fds[0], (void *)&a, &len) == 0);
	fds[1] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	CHECK(connect(fds[1], (void *)&a, len) == 0);
	CHECK(write(fds[1], "one", 3) == 3 && write(fds[1], "three", 5) == 5);
	return 2;
}

static int udp_check(const int *fds)
{
	struct sockaddr_in from, me;
	socklen_t lf = sizeof(from), lm = sizeof(me);
	char buf[32];

	CHECK(recvfrom(fds[0], buf, 32, MSG_DONTWAIT, (void *)&from, &lf) == 3);
	CHECK(getsockname(fds[1], (void *)&me, &lm) == 0 &&
	      me.sin_port == from.sin_port);
	CHECK(recv(fds[0], buf, 32, MSG_DONTWAIT) == 5);
	CHECK(recv(fds[0], buf, 32, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	CHECK(write(fds[1], "x", 1) == 1 && recv(fds[0], buf, 32, 0) == 1);
	return 0;
}

const struct kindcase kindcases_socket[] = {
	{ "socketpair", pair_setup, pair_check, 0 },
	{ "scm", flight_setup, flight_check, 0 },
	{ "unix", unix_setup, unix_check, 0 },
	{ "tcp4", tcp4_setup, tcp_check, 0 },
	{ "tcp6", tcp6_setup, tcp_check, 0 },
	{ "udp", udp_setup, udp_check, 0 },
	{ NULL, NULL, NULL, 0 },
};
