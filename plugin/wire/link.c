/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP links with a munge handshake.  A credential is bound to the job's key
 * and to the other end's challenge, so that neither a stored one nor one for
 * another job opens a link; munge's own lifetime and replay cache are not
 * relied on.
 */
#include <config.h>

#include "link.h"

#include <errno.h>
#include <munge.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job/util.h"

void sj_link_init(struct sj_link *l)
{
	l->fd = -1;
	l->state = SJ_LINK_CLOSED;
	l->peer = (uid_t)-1;
	l->since_ms = 0;
	l->have = 0;
	l->mine[0] = '\0';
}

void sj_link_close(struct sj_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	sj_link_init(l);
}

int sj_link_listen(int *fd, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int ret;
	int s;

	s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return -errno;
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 256) ||
	    getsockname(s, (struct sockaddr *)&a, &len)) {
		ret = -errno;
		close(s);
		return ret;
	}
	*fd = s;
	*port = ntohs(a.sin_port);
	return 0;
}

static void tune(int fd)
{
	int on = 1;

	/* Small messages in turns; and a peer that vanished is noticed. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int sj_link_send(struct sj_link *l, const struct sj_msg *m)
{
	uint64_t end = sj_now_ms() + SJ_LINK_SEND_MS;
	struct pollfd p = { .fd = l->fd, .events = POLLOUT };
	uint8_t buf[SJ_MSG_MAX];
	size_t at = 0;
	size_t len;
	ssize_t n;
	int ret;

	if (l->fd < 0)
		return -ENOTCONN;
	ret = sj_msg_encode(m, buf, &len);
	if (ret)
		return ret;
	while (at < len) {
		n = send(l->fd, buf + at, len - at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (sj_now_ms() > end)
			return -ETIMEDOUT;
		poll(&p, 1, 100);
	}
	return 0;
}

int sj_link_accept(struct sj_link *l, int listen_fd)
{
	struct sj_msg m = { .type = SJ_CHALLENGE };
	int ret;

	sj_link_init(l);
	l->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (l->fd < 0)
		return -errno;
	tune(l->fd);
	ret = sj_random_hex(l->mine, 16);
	if (ret)
		goto bad;
	l->state = SJ_LINK_CHALLENGED;
	l->since_ms = sj_now_ms();
	memcpy(m.text[0], l->mine, sizeof(l->mine));
	ret = sj_link_send(l, &m);
	if (!ret)
		return 0;
bad:
	sj_link_close(l);
	return ret;
}

int sj_link_fill(struct sj_link *l)
{
	ssize_t n;

	if (l->fd < 0)
		return -ENOTCONN;
	if (l->have == sizeof(l->buf))
		return 0;
	n = recv(l->fd, l->buf + l->have, sizeof(l->buf) - l->have,
		 MSG_DONTWAIT);
	if (n > 0) {
		l->have += n;
		return 0;
	}
	if (!n)
		return -EPIPE;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int take(struct sj_link *l, struct sj_msg *m)
{
	size_t used;
	int ret;

	ret = sj_msg_decode(m, l->buf, l->have, &used);
	if (ret)
		return ret;
	memmove(l->buf, l->buf + used, l->have - used);
	l->have -= used;
	return 0;
}

static munge_ctx_t munge_open(const struct sj_link_key *k)
{
	munge_ctx_t ctx = munge_ctx_create();

	if (ctx && *k->munge_socket &&
	    munge_ctx_set(ctx, MUNGE_OPT_SOCKET, k->munge_socket) !=
		    EMUNGE_SUCCESS) {
		munge_ctx_destroy(ctx);
		ctx = NULL;
	}
	return ctx;
}

/*
 * A credential that says "text", readable by the job's owner and by root: the
 * restriction names one user, and munged lets root read none of others, so a
 * reply to root is restricted to root.
 */
static int cred_make(const struct sj_link_key *k, const char *text, uid_t to,
		     char *out)
{
	munge_ctx_t ctx = munge_open(k);
	char *cred = NULL;
	int ret = 0;

	if (!ctx)
		return -ENOMEM;
	if (munge_ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, to) !=
		    EMUNGE_SUCCESS ||
	    munge_encode(&cred, ctx, text, strlen(text)) != EMUNGE_SUCCESS)
		ret = -EACCES;
	else
		ret = sj_fmt(out, SJ_MSG_TEXT, "%s", cred);
	free(cred);
	munge_ctx_destroy(ctx);
	return ret;
}

static int cred_read(const struct sj_link_key *k, const char *cred, char *text,
		     size_t size, uid_t *uid)
{
	munge_ctx_t ctx = munge_open(k);
	void *data = NULL;
	int len = 0;
	gid_t gid;
	int ret = -EACCES;

	if (!ctx)
		return -ENOMEM;
	if (munge_decode(cred, ctx, &data, &len, uid, &gid) == EMUNGE_SUCCESS &&
	    data && len > 0 && (size_t)len < size) {
		memcpy(text, data, len);
		text[len] = '\0';
		ret = 0;
	}
	free(data);
	munge_ctx_destroy(ctx);
	return ret;
}

/* The connector's claim: "key acceptor's challenge own challenge". */
static int check_proof(struct sj_link *l, const struct sj_link_key *k,
		       const struct sj_msg *m, char *theirs)
{
	char want[512];
	char text[512];
	size_t n;
	uid_t uid;
	int ret;

	ret = cred_read(k, m->text[0], text, sizeof(text), &uid);
	if (ret)
		return ret;
	if (uid != k->owner && uid != 0)
		return -EACCES;
	ret = sj_fmt(want, sizeof(want), "%s %s ", k->key, l->mine);
	if (ret)
		return ret;
	n = strlen(want);
	if (strncmp(text, want, n) || strlen(text + n) != 32)
		return -EACCES;
	memcpy(theirs, text + n, 33);
	l->peer = uid;
	return 0;
}

static int welcome(struct sj_link *l, const struct sj_link_key *k,
		   struct sj_msg *m)
{
	char theirs[33];
	char text[512];
	int ret;

	if (m->type != SJ_PROOF)
		return -EACCES;
	ret = check_proof(l, k, m, theirs);
	if (ret)
		return ret;
	ret = sj_fmt(text, sizeof(text), "%s %s", k->key, theirs);
	if (ret)
		return ret;
	m->type = SJ_WELCOME;
	ret = cred_make(k, text, l->peer, m->text[0]);
	if (ret)
		return ret;
	ret = sj_link_send(l, m);
	if (!ret)
		l->state = SJ_LINK_OPEN;
	return ret;
}

int sj_link_next(struct sj_link *l, const struct sj_link_key *k,
		 struct sj_msg *m)
{
	int ret;

	ret = take(l, m);
	if (ret)
		return ret;
	if (l->state == SJ_LINK_OPEN)
		return m->type < SJ_HELLO ? -EBADMSG : 0;
	if (l->state != SJ_LINK_CHALLENGED)
		return -ENOTCONN;
	ret = welcome(l, k, m);
	if (ret)
		return ret;
	return take(l, m);
}

static int wait_in(struct sj_link *l, uint64_t end)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	uint64_t now = sj_now_ms();

	if (now >= end)
		return -ETIMEDOUT;
	if (poll(&p, 1, end - now) < 0 && errno != EINTR)
		return -errno;
	return sj_link_fill(l);
}

int sj_link_recv(struct sj_link *l, const struct sj_link_key *k,
		 struct sj_msg *m, int timeout_ms)
{
	uint64_t end = sj_now_ms() + timeout_ms;
	int ret;

	for (;;) {
		ret = sj_link_next(l, k, m);
		if (ret != -EAGAIN)
			return ret;
		ret = wait_in(l, end);
		if (ret)
			return ret;
	}
}

static int connect_to(const struct addrinfo *a, uint64_t end)
{
	struct pollfd p = { .events = POLLOUT };
	socklen_t len = sizeof(int);
	uint64_t now = sj_now_ms();
	int err = 0;

	p.fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		      0);
	if (p.fd < 0)
		return -errno;
	if (!connect(p.fd, a->ai_addr, a->ai_addrlen))
		return p.fd;
	if (errno != EINPROGRESS)
		err = errno;
	else if (now >= end || poll(&p, 1, end - now) != 1)
		err = ETIMEDOUT;
	else if (getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &err, &len))
		err = errno;
	if (!err)
		return p.fd;
	close(p.fd);
	return -err;
}

static int connect_host(const char *host, uint16_t port, uint64_t end)
{
	struct addrinfo hint = { .ai_family = AF_INET,
				 .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int ret;

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hint, &list))
		return -EHOSTUNREACH;
	ret = list ? connect_to(list, end) : -EHOSTUNREACH;
	freeaddrinfo(list);
	return ret;
}

static int connect_any(const char *hosts, uint16_t port, uint64_t end)
{
	char all[1024];
	char *at = all;
	char *host;
	int ret;

	ret = sj_fmt(all, sizeof(all), "%s", hosts);
	if (ret)
		return ret;
	ret = -EHOSTUNREACH;
	while ((host = strsep(&at, " "))) {
		if (!*host)
			continue;
		ret = connect_host(host, port, end);
		if (ret >= 0)
			return ret;
	}
	return ret;
}

static int plain_recv(struct sj_link *l, struct sj_msg *m, uint64_t end,
		      unsigned int type)
{
	int ret;

	for (;;) {
		ret = take(l, m);
		if (!ret)
			return m->type == type ? 0 : -EBADMSG;
		if (ret != -EAGAIN)
			return ret;
		ret = wait_in(l, end);
		if (ret)
			return ret;
	}
}

static int prove(struct sj_link *l, const struct sj_link_key *k, uint64_t end)
{
	struct sj_msg m;
	char text[512];
	char want[512];
	uid_t uid;
	int ret;

	ret = plain_recv(l, &m, end, SJ_CHALLENGE);
	if (ret)
		return ret;
	if (strlen(m.text[0]) != 32)
		return -EBADMSG;
	ret = sj_fmt(text, sizeof(text), "%s %s %s", k->key, m.text[0],
		     l->mine);
	if (ret)
		return ret;
	m.type = SJ_PROOF;
	ret = cred_make(k, text, k->owner, m.text[0]);
	if (ret)
		return ret;
	ret = sj_link_send(l, &m);
	if (ret)
		return ret;
	ret = plain_recv(l, &m, end, SJ_WELCOME);
	if (ret)
		return ret;
	ret = cred_read(k, m.text[0], text, sizeof(text), &uid);
	if (ret)
		return ret;
	ret = sj_fmt(want, sizeof(want), "%s %s", k->key, l->mine);
	if (ret)
		return ret;
	if (uid != k->owner || strcmp(text, want))
		return -EACCES;
	l->peer = uid;
	return 0;
}

int sj_link_connect(struct sj_link *l, const struct sj_link_key *k,
		    const char *hosts, uint16_t port, int timeout_ms,
		    struct cri_err *err)
{
	uint64_t end = sj_now_ms() + timeout_ms;
	int ret;

	sj_link_init(l);
	ret = connect_any(hosts, port, end);
	if (ret < 0)
		return cri_fail(err, -ret, "connect to %s port %u: %s", hosts,
				port, strerror(-ret));
	l->fd = ret;
	tune(l->fd);
	ret = sj_random_hex(l->mine, 16);
	if (!ret)
		ret = prove(l, k, end);
	if (ret) {
		sj_link_close(l);
		return cri_fail(err, -ret, "handshake with %s: %s", hosts,
				strerror(-ret));
	}
	l->state = SJ_LINK_OPEN;
	return 0;
}

int sj_link_overdue(const struct sj_link *l, uint64_t now_ms)
{
	return l->state == SJ_LINK_CHALLENGED &&
	       now_ms - l->since_ms > SJ_LINK_AUTH_MS;
}
