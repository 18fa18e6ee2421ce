/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Socket options: those that differ from what a new socket has.  Buffer sizes
 * only where the program chose them, since setting them ends the kernel's own
 * tuning.
 */
#include "config.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "kind/sock.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#define INET 1
#define INET6 2
#define TCP 4
#define EARLY 8

static const struct option {
	int level;
	int name;
	int when; /* families that have it, and EARLY: before bind */
} options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, EARLY },
	{ SOL_SOCKET, SO_REUSEPORT, EARLY },
	{ SOL_SOCKET, SO_KEEPALIVE, 0 },
	{ SOL_SOCKET, SO_BROADCAST, EARLY },
	{ SOL_SOCKET, SO_DONTROUTE, 0 },
	{ SOL_SOCKET, SO_OOBINLINE, 0 },
	{ SOL_SOCKET, SO_LINGER, 0 },
	{ SOL_SOCKET, SO_RCVTIMEO, 0 },
	{ SOL_SOCKET, SO_SNDTIMEO, 0 },
	{ SOL_SOCKET, SO_RCVLOWAT, 0 },
	{ SOL_SOCKET, SO_PASSCRED, 0 },
	{ SOL_SOCKET, SO_PRIORITY, 0 },
	{ SOL_SOCKET, SO_TIMESTAMP, 0 },
	{ SOL_SOCKET, SO_TIMESTAMPNS, 0 },
	{ SOL_SOCKET, SO_ZEROCOPY, 0 },
	{ SOL_SOCKET, SO_BUSY_POLL, 0 },
	{ IPPROTO_IP, IP_TOS, INET },
	{ IPPROTO_IP, IP_TTL, INET },
	{ IPPROTO_IP, IP_FREEBIND, INET | EARLY },
	{ IPPROTO_IP, IP_PKTINFO, INET },
	{ IPPROTO_IP, IP_RECVERR, INET },
	{ IPPROTO_IP, IP_MTU_DISCOVER, INET },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, INET },
	{ IPPROTO_IPV6, IPV6_V6ONLY, INET6 | EARLY },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, INET6 },
	{ IPPROTO_IPV6, IPV6_RECVERR, INET6 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, INET6 },
	{ IPPROTO_TCP, TCP_NODELAY, TCP },
	{ IPPROTO_TCP, TCP_KEEPIDLE, TCP },
	{ IPPROTO_TCP, TCP_KEEPINTVL, TCP },
	{ IPPROTO_TCP, TCP_KEEPCNT, TCP },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, TCP },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, TCP },
	{ IPPROTO_TCP, TCP_SYNCNT, TCP },
	{ IPPROTO_TCP, TCP_LINGER2, TCP },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP },
	{ IPPROTO_TCP, TCP_CORK, TCP },
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

static int has(const struct cri_rec_socket *r)
{
	int what = 0;

	if (r->family == AF_INET || r->family == AF_INET6)
		what |= INET;
	if (r->family == AF_INET6)
		what |= INET6;
	if (what && r->type == SOCK_STREAM)
		what |= TCP;
	return what;
}

static int keep(struct cri_probe *p, struct cri_rec_socket *r, int level,
		int name, const void *v, socklen_t len)
{
	struct cri_sockopt *o = CRI_GROW(p->set, r->options, r->n_options);

	if (!o)
		return -ENOMEM;
	o->level = (uint32_t)level;
	o->name = (uint32_t)name;
	return cri_recset_bytes(p->set, &o->value, v, len);
}

static int one(struct cri_probe *p, struct cri_rec_socket *r, int fresh,
	       const struct option *o)
{
	char mine[64], new[64];
	socklen_t n = sizeof(mine), m = sizeof(new);

	if (getsockopt(p->fd, o->level, o->name, mine, &n))
		return 0;
	if (!getsockopt(fresh, o->level, o->name, new, &m) && n == m &&
	    !memcmp(mine, new, n))
		return 0;
	return keep(p, r, o->level, o->name, mine, n);
}

/* The kernel doubles what is set: half of what it tells. */
static int buffers(struct cri_probe *p, struct cri_rec_socket *r)
{
	static const int names[] = { SO_SNDBUF, SO_RCVBUF };
	int locked = 0, v, i, ret = 0;
	socklen_t n = sizeof(locked);

	if (getsockopt(p->fd, SOL_SOCKET, SO_BUF_LOCK, &locked, &n))
		return 0;
	for (i = 0; i < 2 && !ret; i++) {
		n = sizeof(v);
		if (!(locked >> i & 1) ||
		    getsockopt(p->fd, SOL_SOCKET, names[i], &v, &n))
			continue;
		v /= 2;
		ret = keep(p, r, SOL_SOCKET, names[i], &v, sizeof(v));
	}
	return ret;
}

int cri_sockopt_capture(struct cri_probe *p, struct cri_rec_socket *r)
{
	int fresh, ret = 0, what = has(r);
	size_t i;

	fresh = socket((int)r->family, (int)r->type | SOCK_CLOEXEC,
		       (int)r->protocol);
	for (i = 0; i < N_OPTIONS && !ret; i++) {
		int need = options[i].when & ~EARLY;

		if ((what & need) == need)
			ret = one(p, r, fresh, &options[i]);
	}
	if (fresh >= 0)
		close(fresh);
	return ret ? ret : buffers(p, r);
}

static bool is_early(uint32_t level, uint32_t name)
{
	size_t i;

	for (i = 0; i < N_OPTIONS; i++)
		if ((uint32_t)options[i].level == level &&
		    (uint32_t)options[i].name == name)
			return options[i].when & EARLY;
	return false;
}

static bool known(uint32_t level, uint32_t name)
{
	size_t i;

	for (i = 0; i < N_OPTIONS; i++)
		if ((uint32_t)options[i].level == level &&
		    (uint32_t)options[i].name == name)
			return true;
	return level == SOL_SOCKET && (name == SO_SNDBUF || name == SO_RCVBUF);
}

/* What this kernel or user may not set stays as it is with a new socket. */
void cri_sockopt_set(const struct cri_rec_socket *r, int fd, bool early)
{
	uint32_t i;

	for (i = 0; i < r->n_options; i++) {
		const struct cri_sockopt *o = &r->options[i];

		if (!known(o->level, o->name) ||
		    is_early(o->level, o->name) != early)
			continue;
		(void)setsockopt(fd, (int)o->level, (int)o->name, o->value.p,
				 o->value.len);
	}
}
