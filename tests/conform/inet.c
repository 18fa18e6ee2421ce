/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of loopback sockets inside the tree: TCP and UDP over IPv4 and
 * IPv6, listening, connected, half closed, with data in flight, with options.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conform.h"

#define LEN 40000

static unsigned char buf[LEN];

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t addr_loop(union addr *a, int family, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a->v4.sin_port = port;
		return sizeof(a->v4);
	}
	a->v6.sin6_addr = in6addr_loopback;
	a->v6.sin6_port = port;
	return sizeof(a->v6);
}

static uint16_t port_of(int fd, bool peer)
{
	union addr a;
	socklen_t len = sizeof(a);

	if (peer)
		NEED(getpeername(fd, &a.sa, &len));
	else
		NEED(getsockname(fd, &a.sa, &len));
	return a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port;
}

static int bind_any(int family, int type)
{
	int on = 1, fd = socket(family, type, 0);
	union addr a;

	if (fd < 0)
		conform_skip("no sockets of family %d: %m", family);
	NEED(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	if (bind(fd, &a.sa, addr_loop(&a, family, 0)))
		conform_skip("no loopback of family %d: %m", family);
	return fd;
}

static int connect_to(int family, int type, uint16_t port)
{
	int fd = (int)NEED(socket(family, type, 0));
	union addr a;

	NEED(connect(fd, &a.sa, addr_loop(&a, family, port)));
	return fd;
}

static void put(int fd, size_t len, uint64_t seed)
{
	conform_fill(buf, len, seed);
	CHECK(write(fd, buf, len) == (ssize_t)len, "write: %m");
}

static void expect(int fd, size_t len, uint64_t seed)
{
	size_t n = 0;
	ssize_t r;
	int tries = 0;

	while (n < len) {
		r = recv(fd, buf + n, len - n, MSG_DONTWAIT);
		if (r < 0 && errno == EAGAIN && tries++ < 500) {
			conform_msleep(2);
			continue;
		}
		CHECK(r > 0, "%zu of %zu bytes, then %zd (%m)", n, len, r);
		n += (size_t)r;
	}
	CHECK_SAME(buf, len, seed);
}

/* --- TCP --- */

struct tcp {
	int family;
	int listener, client, served;
	uint16_t port, client_port;
} tcp[2];

static void tcp_open(struct tcp *t, int family)
{
	t->family = family;
	t->listener = bind_any(family, SOCK_STREAM);
	NEED(listen(t->listener, 9));
	t->port = port_of(t->listener, false);
	t->client = connect_to(family, SOCK_STREAM, t->port);
	t->served = (int)NEED(accept(t->listener, NULL, NULL));
	t->client_port = port_of(t->client, false);
}

static void tcp_ports(struct tcp *t)
{
	CHECK_EQ(port_of(t->listener, false), t->port);
	CHECK_EQ(port_of(t->served, false), t->port);
	CHECK_EQ(port_of(t->client, true), t->port);
	CHECK_EQ(port_of(t->client, false), t->client_port);
	CHECK_EQ(port_of(t->served, true), t->client_port);
}

static void tcp_works(struct tcp *t, uint64_t seed)
{
	int x, y;

	put(t->client, LEN, seed);
	expect(t->served, LEN, seed);
	put(t->served, LEN, seed + 1);
	expect(t->client, LEN, seed + 1);
	x = connect_to(t->family, SOCK_STREAM, t->port);
	y = (int)NEED(accept(t->listener, NULL, NULL));
	put(x, 100, seed + 2);
	expect(y, 100, seed + 2);
}

static void tcp_setup(struct conform *c, int family)
{
	tcp_open(&tcp[0], family);
	put(tcp[0].client, LEN, c->nonce);
	put(tcp[0].served, 777, c->nonce + 1);
}

static void tcp_after(struct conform *c)
{
	tcp_ports(&tcp[0]);
	expect(tcp[0].served, LEN, c->nonce);
	expect(tcp[0].client, 777, c->nonce + 1);
	tcp_works(&tcp[0], c->nonce + 2);
}

static void tcp4_setup(struct conform *c)
{
	tcp_setup(c, AF_INET);
}

static void tcp6_setup(struct conform *c)
{
	tcp_setup(c, AF_INET6);
}

static void half_setup(struct conform *c)
{
	tcp_open(&tcp[0], AF_INET);
	put(tcp[0].client, 500, c->nonce);
	NEED(shutdown(tcp[0].client, SHUT_WR));
	conform_msleep(20);
}

static void half_after(struct conform *c)
{
	expect(tcp[0].served, 500, c->nonce);
	CHECK_EQ(read(tcp[0].served, buf, 1), 0);
	CHECK(send(tcp[0].client, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE,
	      "a shut down direction is open");
	put(tcp[0].served, 300, c->nonce + 1);
	expect(tcp[0].client, 300, c->nonce + 1);
}

static void opts_setup(struct conform *c)
{
	int on = 1, idle = 77;

	(void)c;
	tcp_open(&tcp[0], AF_INET);
	NEED(setsockopt(tcp[0].client, IPPROTO_TCP, TCP_NODELAY, &on, 4));
	NEED(setsockopt(tcp[0].client, SOL_SOCKET, SO_KEEPALIVE, &on, 4));
	NEED(setsockopt(tcp[0].client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, 4));
	NEED(fcntl(tcp[0].client, F_SETFL, O_NONBLOCK));
}

static int get_opt(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int v = -1;

	NEED(getsockopt(fd, level, name, &v, &len));
	return v;
}

static void opts_after(struct conform *c)
{
	(void)c;
	CHECK_EQ(get_opt(tcp[0].client, IPPROTO_TCP, TCP_NODELAY), 1);
	CHECK_EQ(get_opt(tcp[0].client, SOL_SOCKET, SO_KEEPALIVE), 1);
	CHECK_EQ(get_opt(tcp[0].client, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	CHECK_EQ(get_opt(tcp[0].served, IPPROTO_TCP, TCP_NODELAY), 0);
	CHECK_EQ(get_opt(tcp[0].listener, SOL_SOCKET, SO_REUSEADDR), 1);
	CHECK(fcntl(tcp[0].client, F_GETFL) & O_NONBLOCK, "O_NONBLOCK");
}

/* Server and client in different processes. */
static pid_t kid;

static void server_child(struct conform *c, long arg)
{
	(void)c;
	conform_child_ready();
	expect(tcp[0].served, 900, c->nonce);
	put(tcp[0].served, 800, c->nonce + 1);
	CHECK_EQ(read(tcp[0].served, buf, 1), 0);
	CHECK_EQ(arg, 1);
}

static void server_main(struct conform *c, long arg)
{
	close(tcp[0].client);
	server_child(c, arg);
}

static void procs_setup(struct conform *c)
{
	tcp_open(&tcp[0], AF_INET);
	kid = conform_child(c, server_main, 1);
	close(tcp[0].served);
	close(tcp[0].listener);
}

static void procs_after(struct conform *c)
{
	put(tcp[0].client, 900, c->nonce);
	expect(tcp[0].client, 800, c->nonce + 1);
	NEED(close(tcp[0].client));
	conform_join(c, kid, 1);
}

/* --- UDP --- */

static int udp[2];

static void udp_setup(struct conform *c, int family)
{
	union addr a;

	udp[0] = bind_any(family, SOCK_DGRAM);
	udp[1] = connect_to(family, SOCK_DGRAM, port_of(udp[0], false));
	NEED(connect(udp[0], &a.sa,
		     addr_loop(&a, family, port_of(udp[1], false))));
	put(udp[1], 1000, c->nonce);
	put(udp[1], 3, c->nonce + 1);
}

static void udp_after(struct conform *c)
{
	CHECK_EQ(recv(udp[0], buf, LEN, MSG_DONTWAIT), 1000);
	CHECK_SAME(buf, 1000, c->nonce);
	CHECK_EQ(recv(udp[0], buf, LEN, MSG_DONTWAIT), 3);
	put(udp[0], 50, c->nonce + 2);
	expect(udp[1], 50, c->nonce + 2);
	put(udp[1], 60, c->nonce + 3);
	expect(udp[0], 60, c->nonce + 3);
}

static void udp4_setup(struct conform *c)
{
	udp_setup(c, AF_INET);
}

static void udp6_setup(struct conform *c)
{
	udp_setup(c, AF_INET6);
}

/* Sockets that have done nothing yet. */
static void fresh_setup(struct conform *c)
{
	(void)c;
	tcp[0].client = (int)NEED(socket(AF_INET, SOCK_STREAM, 0));
	tcp[0].listener = bind_any(AF_INET, SOCK_STREAM);
	tcp[0].port = port_of(tcp[0].listener, false);
}

static void fresh_after(struct conform *c)
{
	union addr a;

	CHECK_EQ(port_of(tcp[0].listener, false), tcp[0].port);
	NEED(listen(tcp[0].listener, 5));
	NEED(connect(tcp[0].client, &a.sa,
		     addr_loop(&a, AF_INET, tcp[0].port)));
	tcp[0].served = (int)NEED(accept(tcp[0].listener, NULL, NULL));
	put(tcp[0].client, 100, c->nonce);
	expect(tcp[0].served, 100, c->nonce);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "tcp_v4", .setup = tcp4_setup, .continued = tcp_after },
	{ .name = "tcp_v6", .setup = tcp6_setup, .continued = tcp_after },
	{ .name = "tcp_half_closed",
	  .setup = half_setup,
	  .continued = half_after },
	{ .name = "tcp_options", .setup = opts_setup, .continued = opts_after },
	{ .name = "tcp_children",
	  .setup = procs_setup,
	  .continued = procs_after },
	{ .name = "tcp_unused",
	  .setup = fresh_setup,
	  .continued = fresh_after },
	{ .name = "udp_v4", .setup = udp4_setup, .continued = udp_after },
	{ .name = "udp_v6", .setup = udp6_setup, .continued = udp_after },
	{ .name = NULL },
};
