/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TCP and UDP.  A TCP connection between two sockets of the tree is made anew
 * over the same addresses and ports, and what one side had received but not
 * read is sent again by the other; sequence numbers differ, which no program
 * sees.  A connection to outside the tree is refused by name at the capture.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "kind/sock.h"
#include "kind/tcpwait.h"

enum {
	ST_ESTABLISHED = 1,
	ST_SYN_SENT,
	ST_SYN_RECV,
	ST_FIN_WAIT1,
	ST_FIN_WAIT2,
	ST_TIME_WAIT,
	ST_CLOSE,
	ST_CLOSE_WAIT,
	ST_LAST_ACK,
	ST_LISTEN,
	ST_CLOSING,
};

#define RETRIES 40
#define BIND_RETRIES 1300
#define RETRY_NS 50000000

static bool endpoint(const struct cri_bytes *b, struct cri_endpoint *e)
{
	const union cri_addr *a = b->p;

	memset(e, 0, sizeof(*e));
	if (b->len >= sizeof(a->in4) && a->sa.sa_family == AF_INET) {
		e->addr[10] = e->addr[11] = 0xff;
		memcpy(e->addr + 12, &a->in4.sin_addr, 4);
		e->port = a->in4.sin_port;
		return true;
	}
	if (b->len >= sizeof(a->in6) && a->sa.sa_family == AF_INET6) {
		memcpy(e->addr, &a->in6.sin6_addr, 16);
		e->port = a->in6.sin6_port;
		return true;
	}
	return false;
}

static bool any_address(const struct cri_endpoint *e)
{
	static const uint8_t zero[16];
	static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(e->addr, zero, 16) || !memcmp(e->addr, mapped, 16);
}

static bool same(const struct cri_endpoint *a, const struct cri_endpoint *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, 16);
}

static void text(const struct cri_bytes *b, char *to, size_t size)
{
	struct cri_endpoint e;
	char host[64] = "?";

	endpoint(b, &e);
	if (e.addr[10] == 0xff && e.addr[11] == 0xff && !e.addr[0])
		inet_ntop(AF_INET, e.addr + 12, host, sizeof(host));
	else
		inet_ntop(AF_INET6, e.addr, host, sizeof(host));
	snprintf(to, size, "%s port %u", host, ntohs(e.port));
}

static int tcp_state(struct cri_rec_socket *r, const struct tcp_info *ti,
		     struct cri_err *err)
{
	switch (ti->tcpi_state) {
	case ST_LISTEN:
		r->state = CRI_SOCK_LISTEN;
		r->backlog = ti->tcpi_sacked; /* of a listener: its limit */
		return 0;
	case ST_SYN_SENT:
	case ST_SYN_RECV:
		return cri_fail(err, EAGAIN,
				"is a TCP socket that is just connecting");
	case ST_CLOSE:
		/* Never connected, or done with; both say so to poll(). */
		return 0;
	case ST_FIN_WAIT1:
	case ST_FIN_WAIT2:
		r->shut = 2;
		break;
	case ST_CLOSE_WAIT:
		r->shut = 1;
		break;
	case ST_LAST_ACK:
	case ST_CLOSING:
	case ST_TIME_WAIT:
		r->shut = 3;
		break;
	default:
		break;
	}
	r->state = CRI_SOCK_CONNECTED;
	return 0;
}

/* Sent and received by now, or still in a sender's buffer: unreadable. */
static bool unsent(int fd, const struct tcp_info *ti)
{
	int n = 0;

	return ti->tcpi_notsent_bytes || (!ioctl(fd, SIOCOUTQNSD, &n) && n > 0);
}

int cri_inet_capture(struct cri_probe *p, struct cri_rec_socket *r,
		     struct cri_err *err)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);
	int ret;

	if (r->type == SOCK_DGRAM) {
		if (r->remote.len)
			r->state = CRI_SOCK_CONNECTED;
		return cri_queue_peek(p, r, err);
	}
	memset(&ti, 0, sizeof(ti));
	if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &ti, &len))
		return cri_fail(err, errno, "is a TCP socket without a state");
	ret = tcp_state(r, &ti, err);
	if (ret || r->state == CRI_SOCK_LISTEN || ti.tcpi_state == ST_CLOSE)
		return ret;
	if (unsent(p->fd, &ti))
		return cri_fail(err, EAGAIN,
				"is a TCP socket with data that its peer has "
				"no room for yet");
	if (ti.tcpi_bytes_acked > 1)
		r->flags |= SOCK_UNSENT; /* matters if nobody accepted it */
	return cri_queue_peek(p, r, err);
}

static struct cri_rec_socket *find_peer(struct cri_recset *set,
					const struct cri_rec_socket *r)
{
	struct cri_endpoint l, m, a, b;
	struct cri_rec_socket *o;
	uint32_t i;

	if (!endpoint(&r->local, &l) || !endpoint(&r->remote, &m))
		return NULL;
	cri_for_each(set, CRI_REC_SOCKET, i, o)
	{
		if (o != r && o->family != AF_UNIX && o->type == SOCK_STREAM &&
		    o->state == CRI_SOCK_CONNECTED && endpoint(&o->local, &a) &&
		    endpoint(&o->remote, &b) && same(&a, &m) && same(&b, &l))
			return o;
	}
	return NULL;
}

static struct cri_rec_socket *find_listener(struct cri_recset *set,
					    const struct cri_endpoint *at)
{
	struct cri_rec_socket *o;
	struct cri_endpoint l;
	uint32_t i;

	cri_for_each(set, CRI_REC_SOCKET, i, o)
	{
		if (o->family == AF_UNIX || o->state != CRI_SOCK_LISTEN ||
		    !endpoint(&o->local, &l) || l.port != at->port)
			continue;
		if (same(&l, at) || any_address(&l))
			return o;
	}
	return NULL;
}

int cri_inet_link(struct cri_recset *set, struct cri_rec_socket *r,
		  struct cri_err *err)
{
	const struct cri_rec_ofd *ofd;
	struct cri_rec_socket *o;
	struct cri_endpoint to;
	char where[96];

	if (r->type != SOCK_STREAM || r->state != CRI_SOCK_CONNECTED)
		return 0;
	o = find_peer(set, r);
	if (o) {
		r->peer = o->id;
		return 0;
	}
	ofd = cri_kind_ofd(set, CRI_REC_SOCKET, r->id);
	if (endpoint(&r->remote, &to) && (o = find_listener(set, &to))) {
		if (r->flags & SOCK_UNSENT)
			return cri_kind_blame(set, ofd, err, EAGAIN,
					      "is a TCP socket that sent data "
					      "before it was accepted");
		r->state = CRI_SOCK_PENDING;
		r->listener = o->id;
		return 0;
	}
	if (r->shut & 1) {
		r->state = CRI_SOCK_DEAD; /* its peer said good-bye */
		return 0;
	}
	text(&r->remote, where, sizeof(where));
	return cri_kind_blame(set, ofd, err, ENOTSUP,
			      "is a TCP connection to %s, outside the "
			      "checkpoint (not supported)",
			      where);
}

static int new_socket(const struct cri_rec_socket *r, struct cri_err *err)
{
	int fd = socket((int)r->family, (int)r->type | SOCK_CLOEXEC,
			(int)r->protocol);

	return fd < 0 ? cri_fail(err, errno, "an internet socket") : fd;
}

/* Ports of the killed original may still be cooling down, for a minute. */
static int bind_retry(const struct cri_rec_socket *r, int fd)
{
	const struct timespec nap = { 0, RETRY_NS };
	struct cri_endpoint e;
	int on = 1, i;

	endpoint(&r->local, &e);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	for (i = 0; i < BIND_RETRIES; i++) {
		if (!bind(fd, cri_sock_addr(&r->local), r->local.len))
			return 0;
		if (errno != EADDRINUSE || r->type != SOCK_STREAM ||
		    cri_tcp_cooling(ntohs(e.port)) < 0)
			break;
		if (!bind(fd, cri_sock_addr(&r->local), r->local.len))
			return 0;
		nanosleep(&nap, NULL);
	}
	return -EADDRINUSE;
}

static int bind_local(const struct cri_rec_socket *r, int fd,
		      struct cri_err *err)
{
	struct cri_endpoint e;
	char where[96];
	int ret;

	if (!endpoint(&r->local, &e) || !e.port)
		return 0;
	ret = bind_retry(r, fd);
	if (!ret)
		return 0;
	text(&r->local, where, sizeof(where));
	return cri_fail(err, -ret, "binding to %s%s", where,
			ret == -EADDRINUSE ? " (does the original still run?)" :
					     "");
}

static int connect_retry(int fd, const struct cri_bytes *addr)
{
	const struct timespec nap = { 0, RETRY_NS };
	int i;

	for (i = 0; i < RETRIES; i++) {
		if (!connect(fd, cri_sock_addr(addr), addr->len))
			return 0;
		if (errno != EADDRNOTAVAIL && errno != EINTR)
			break;
		nanosleep(&nap, NULL);
	}
	return -errno;
}

static int open_plain(const struct cri_rec_socket *r, int *fd,
		      struct cri_err *err)
{
	int ret;

	*fd = new_socket(r, err);
	if (*fd < 0)
		return *fd;
	cri_sockopt_set(r, *fd, true);
	ret = bind_local(r, *fd, err);
	if (!ret && r->state == CRI_SOCK_LISTEN && listen(*fd, 4096))
		ret = cri_fail(err, errno, "listening");
	if (ret)
		close(*fd);
	return ret;
}

/* A listener where server's end was, for one connection. */
static int brief_listener(const struct cri_rec_socket *server,
			  struct cri_err *err)
{
	int fd = new_socket(server, err), ret;

	if (fd < 0)
		return fd;
	ret = bind_local(server, fd, err);
	if (!ret && listen(fd, 1))
		ret = cri_fail(err, errno, "listening");
	if (ret)
		close(fd);
	return ret ? ret : fd;
}

static int connected(struct cri_restore *rs,
		     const struct cri_rec_socket *server,
		     const struct cri_rec_socket *client, int *sfd, int *cfd,
		     struct cri_err *err)
{
	struct cri_rec_socket *l;
	struct cri_endpoint at;
	int lfd, ret;

	*sfd = *cfd = -1;
	if (!endpoint(&server->local, &at))
		return cri_fail(err, EBADMSG, "damaged image: address");
	l = find_listener(cri_restore_records(rs), &at);
	lfd = l ? cri_sock_need(rs, l->id, err) : brief_listener(server, err);
	if (lfd < 0)
		return lfd;
	*cfd = new_socket(client, err);
	ret = *cfd < 0 ? *cfd : bind_local(client, *cfd, err);
	if (!ret) {
		ret = connect_retry(*cfd, &client->remote);
		if (ret)
			ret = cri_fail(err, -ret, "connecting again");
	}
	if (!ret) {
		*sfd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
		if (*sfd < 0)
			ret = cri_fail(err, errno, "accepting again");
	}
	if (!l)
		close(lfd);
	if (ret && *cfd >= 0)
		close(*cfd);
	return ret;
}

/* Its peer is gone: what it sent is here, then the end. */
static int open_dead(struct cri_restore *rs, const struct cri_rec_socket *r,
		     int *fd, struct cri_err *err)
{
	struct cri_rec_socket peer = *r;
	int other, ret;

	peer.local = r->remote;
	peer.remote = r->local;
	ret = connected(rs, r, &peer, fd, &other, err);
	if (ret)
		return ret;
	ret = cri_queue_send_all(rs, other, r, err);
	close(other);
	return ret;
}

static bool is_server(struct cri_recset *set, const struct cri_rec_socket *r)
{
	struct cri_endpoint at;

	return endpoint(&r->local, &at) && find_listener(set, &at);
}

int cri_inet_open(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int *fd, struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	const struct cri_rec_socket *peer;
	const struct cri_rec_ofd *other;
	int theirs, ret;

	(void)ofd;
	if (r->type == SOCK_STREAM && r->state == CRI_SOCK_DEAD)
		return open_dead(rs, r, fd, err);
	if (r->type != SOCK_STREAM || r->state != CRI_SOCK_CONNECTED)
		return open_plain(r, fd, err);
	peer = cri_recset_find(set, CRI_REC_SOCKET, r->peer);
	other = peer ? cri_sock_ofd(rs, peer->id) : NULL;
	if (!other || peer == r || peer->peer != r->id)
		return cri_fail(err, EBADMSG, "damaged image: connection");
	if (is_server(set, r) || !is_server(set, peer))
		ret = connected(rs, r, peer, fd, &theirs, err);
	else
		ret = connected(rs, peer, r, &theirs, fd, err);
	if (ret)
		return ret;
	ret = cri_kind_status(theirs, other->flags);
	if (ret)
		close(theirs);
	else
		ret = cri_restore_place(rs, other->id, theirs);
	if (ret)
		close(*fd);
	return ret;
}

/* Another UDP socket of the tree at that address, or -ENOENT. */
static int udp_at(struct cri_restore *rs, const struct cri_bytes *from,
		  struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_endpoint at, l;
	struct cri_rec_socket *o;
	uint32_t i;

	if (!endpoint(from, &at))
		return -ENOENT;
	cri_for_each(set, CRI_REC_SOCKET, i, o)
	{
		if (o->family == AF_UNIX || o->type != SOCK_DGRAM ||
		    !endpoint(&o->local, &l) || l.port != at.port)
			continue;
		if (same(&l, &at) || any_address(&l))
			return cri_sock_need(rs, o->id, err);
	}
	return -ENOENT;
}

/* Its sender is gone: a socket for the moment at its address. */
static int udp_brief(const struct cri_rec_socket *r,
		     const struct cri_bytes *from)
{
	int fd = socket((int)r->family, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (from->len && bind(fd, cri_sock_addr(from), from->len)) {
		close(fd);
		return -EADDRNOTAVAIL;
	}
	return fd;
}

/* Where a datagram must go to reach a socket bound to any address. */
static struct cri_bytes target(const struct cri_rec_socket *r,
			       union cri_addr *a)
{
	struct cri_bytes to = { a, r->local.len };
	struct cri_endpoint e;

	memset(a, 0, sizeof(*a));
	memcpy(a, r->local.p, r->local.len);
	if (!endpoint(&r->local, &e) || !any_address(&e))
		return to;
	if (a->sa.sa_family == AF_INET)
		a->in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a->in6.sin6_addr = in6addr_loopback;
	return to;
}

static int fill_udp(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		    const struct cri_rec_socket *r, int fd, struct cri_err *err)
{
	union cri_addr a;
	struct cri_bytes to;
	uint32_t i, lost = 0;
	int via, ret;

	if (r->n_queue && r->local.len)
		to = target(r, &a);
	for (i = 0; r->local.len && i < r->n_queue; i++) {
		const struct cri_packet *m = &r->queue[i];
		bool own = false;

		via = udp_at(rs, &m->from, err);
		if (via == -ENOENT) {
			via = udp_brief(r, &m->from);
			own = true;
		}
		ret = via < 0 ? via : cri_queue_send(rs, via, m, &to, NULL);
		if (own && via >= 0)
			close(via);
		lost += ret != 0;
	}
	if (lost)
		cri_restore_log(rs, "fd %u: %u datagrams from outside are lost",
				ofd->num, lost);
	if (r->remote.len &&
	    connect(fd, cri_sock_addr(&r->remote), r->remote.len))
		return cri_fail(err, errno, "connecting a UDP socket");
	return 0;
}

int cri_inet_fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int fd, struct cri_err *err)
{
	int via, ret;

	if (r->type == SOCK_DGRAM)
		return fill_udp(rs, ofd, r, fd, err);
	if (r->state == CRI_SOCK_PENDING) {
		ret = connect_retry(fd, &r->remote);
		return ret ? cri_fail(err, -ret, "a waiting connection") : 0;
	}
	if (r->state != CRI_SOCK_CONNECTED || !r->n_queue)
		return 0;
	via = cri_sock_need(rs, r->peer, err);
	return via < 0 ? via : cri_queue_send_all(rs, via, r, err);
}
