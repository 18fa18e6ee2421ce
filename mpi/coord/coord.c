/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections of the coordinator: accepting, framing, and who is who.  Peers
 * are untrusted until their hello carries the key; lengths are checked before
 * anything is copied.
 */
#include "config.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "coord/coord_int.h"

uint64_t coord_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int resolve(const char *address, struct sockaddr_storage *sa,
		   socklen_t *len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct sockaddr_un *un = (void *)sa;
	struct addrinfo *ai = NULL;
	const char *colon = strrchr(address, ':');
	char host[64];

	memset(sa, 0, sizeof(*sa));
	if (*address == '/') {
		if (strlen(address) >= sizeof(un->sun_path))
			return -ENAMETOOLONG;
		un->sun_family = AF_UNIX;
		strcpy(un->sun_path, address);
		*len = sizeof(*un);
		return 0;
	}
	if (!colon || (size_t)(colon - address) >= sizeof(host))
		return -EINVAL;
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &ai))
		return -EINVAL;
	memcpy(sa, ai->ai_addr, ai->ai_addrlen);
	*len = ai->ai_addrlen;
	freeaddrinfo(ai);
	return 0;
}

static int note_port(struct sm_coord *c, int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	char host[64], port[16];

	if (*c->address == '/')
		return 0;
	if (getsockname(fd, (struct sockaddr *)&sa, &len))
		return -errno;
	if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof(host), port,
			sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		return -EINVAL;
	snprintf(c->address, sizeof(c->address), "%s:%s", host, port);
	return 0;
}

int coord_listen(struct sm_coord *c)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, one = 1, ret;

	ret = resolve(c->address, &sa, &len);
	if (ret)
		return ret;
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (sa.ss_family == AF_UNIX)
		unlink(c->address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, len) || listen(fd, 4096)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	if (sa.ss_family == AF_UNIX)
		chmod(c->address, 0600);
	c->listen_fd = fd;
	return note_port(c, fd);
}

void coord_unlisten(struct sm_coord *c)
{
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	c->listen_fd = -1;
	if (*c->address == '/')
		unlink(c->address);
}

int sm_coord_open(const struct sm_coord_conf *conf, struct sm_coord **out)
{
	struct sm_coord *c;
	int ret;

	*out = NULL;
	if (strlen(conf->address) >= sizeof(c->address))
		return -ENAMETOOLONG;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->conf = *conf;
	c->listen_fd = -1;
	strcpy(c->address, conf->address);
	memcpy(c->key, conf->key ? conf->key : "",
	       conf->key ? strnlen(conf->key, SM_KEY_LEN) : 0);
	if (!c->conf.limit_ms)
		c->conf.limit_ms = 60000;
	ret = coord_listen(c);
	if (ret) {
		free(c);
		return ret;
	}
	*out = c;
	return 0;
}

static void forget_ranks(struct sm_coord *c)
{
	int i;

	for (i = 0; i < c->size; i++) {
		free(c->ranks[i].needs);
		free(c->ranks[i].env);
	}
	free(c->ranks);
	c->ranks = NULL;
	c->size = 0;
}

void sm_coord_close(struct sm_coord *c)
{
	int i;

	if (!c)
		return;
	for (i = 0; i < c->n_conns; i++)
		if (c->conns[i].kind != CONN_FREE)
			coord_drop(c, i);
	coord_unlisten(c);
	pmi_free(c);
	forget_ranks(c);
	free(c->conns);
	free(c->targets);
	free(c);
}

const char *sm_coord_address(const struct sm_coord *c)
{
	return c->address;
}

static int set_size(struct sm_coord *c, int size)
{
	int i;

	if (c->size)
		return c->size == size ? 0 : -EINVAL;
	if (size < 1 || size > 1 << 20)
		return -EINVAL;
	c->ranks = calloc((size_t)size, sizeof(*c->ranks));
	if (!c->ranks)
		return -ENOMEM;
	for (i = 0; i < size; i++)
		c->ranks[i].conn = -1;
	c->size = size;
	return 0;
}

int sm_coord_ranks(const struct sm_coord *c, int *size)
{
	int i, n = 0;

	for (i = 0; i < c->size; i++)
		n += c->ranks[i].conn >= 0;
	*size = c->size;
	return n;
}

static int write_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EPIPE;
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

int coord_send(struct sm_coord *c, int conn, uint32_t type, uint32_t arg,
	       const void *data, uint32_t len)
{
	struct sm_head h = { SM_MAGIC, type, arg, len };
	int ret;

	if (conn < 0)
		return -ENOTCONN;
	ret = write_all(c->conns[conn].fd, &h, sizeof(h));
	if (!ret && len)
		ret = write_all(c->conns[conn].fd, data, len);
	return ret;
}

void coord_drop(struct sm_coord *c, int i)
{
	struct conn *k = &c->conns[i];

	close(k->fd);
	free(k->buf);
	if (k->kind == CONN_RANK && c->ranks[k->rank].conn == i)
		c->ranks[k->rank].conn = -1;
	memset(k, 0, sizeof(*k));
	k->fd = -1;
}

static int accept_one(struct sm_coord *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC), one = 1, i;
	struct conn *k;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	for (i = 0; i < c->n_conns && c->conns[i].kind != CONN_FREE; i++)
		;
	if (i == c->n_conns) {
		k = realloc(c->conns, (size_t)(i + 1) * sizeof(*k));
		if (!k) {
			close(fd);
			return -ENOMEM;
		}
		c->conns = k;
		c->n_conns++;
	}
	memset(&c->conns[i], 0, sizeof(c->conns[i]));
	c->conns[i].fd = fd;
	c->conns[i].kind = CONN_NEW;
	return 0;
}

/* A restored rank may live in a PID namespace: its pid as we see it. */
static pid_t peer_pid(int fd, pid_t said)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    cred.pid <= 0)
		return said;
	return cred.pid;
}

static int hello(struct sm_coord *c, int i, const struct sm_hello *h)
{
	struct conn *k = &c->conns[i];
	struct rank *r;
	int ret;

	if (memcmp(h->key, c->key, SM_KEY_LEN))
		return -EACCES;
	if (h->flags & SM_HELLO_CONTROL) {
		k->kind = CONN_CONTROL;
		return 0;
	}
	ret = set_size(c, h->flags & SM_HELLO_ENV && c->size ? c->size :
							       h->size);
	if (ret)
		return ret;
	if (h->rank < 0 || h->rank >= c->size)
		return -EINVAL;
	k->rank = h->rank;
	r = &c->ranks[h->rank];
	memcpy(r->host, h->host, sizeof(r->host) - 1);
	if (h->flags & SM_HELLO_PMI) {
		k->kind = CONN_PMI;
		pmi_joined(c);
		return 0;
	}
	if (h->flags & SM_HELLO_ENV) {
		k->kind = CONN_ENV;
		return 0;
	}
	if (r->conn >= 0)
		return -EEXIST;
	k->kind = CONN_RANK;
	r->conn = i;
	r->pid = peer_pid(k->fd, h->pid);
	cycle_hello(c, h->rank);
	return 0;
}

static int take_env(struct sm_coord *c, int rank, const void *body,
		    uint32_t len)
{
	struct rank *r = &c->ranks[rank];

	free(r->env);
	r->env = malloc((size_t)len + 1);
	if (!r->env)
		return -ENOMEM;
	memcpy(r->env, body, len);
	r->env_len = len;
	cycle_hello(c, rank);
	return 0;
}

static int frame(struct sm_coord *c, int i, const struct sm_head *h,
		 const char *body)
{
	struct conn *k = &c->conns[i];

	switch (k->kind) {
	case CONN_NEW:
		if (h->type != SM_M_HELLO || h->len != sizeof(struct sm_hello))
			return -EPROTO;
		return hello(c, i, (const void *)body);
	case CONN_RANK:
		if (h->type == SM_M_ACK)
			cycle_ack(c, k->rank, h->arg, h->len ? body : NULL);
		else if (h->type == SM_M_REPORT)
			cycle_report(c, k->rank, body, h->len);
		else if (h->type == SM_M_FINI)
			c->ranks[k->rank].fini = true;
		else if (h->type == SM_M_ABORT && c->conf.aborted)
			c->conf.aborted(c->conf.arg, k->rank, (int)h->arg);
		return 0;
	case CONN_CONTROL:
		if (h->type != SM_M_CONTROL || !c->conf.request)
			return -EPROTO;
		c->conf.request(c->conf.arg, i, body);
		return 0;
	case CONN_ENV:
		return h->type == SM_M_ENV ? take_env(c, k->rank, body,
						      h->len) :
					     -EPROTO;
	case CONN_FREE:
	case CONN_PMI:
	default:
		return -EPROTO;
	}
}

/* Consume whole frames (or lines, on a PMI connection) from the buffer. */
static int consume(struct sm_coord *c, int i)
{
	for (;;) {
		struct conn *k = &c->conns[i];
		struct sm_head h;
		char *body, *nl;
		size_t used;
		int ret;

		if (k->kind == CONN_PMI) {
			nl = memchr(k->buf, '\n', k->have);
			if (!nl)
				return k->have > 8192 ? -EPROTO : 0;
			*nl = '\0';
			used = (size_t)(nl + 1 - k->buf);
			ret = pmi_line(c, i, k->buf);
		} else {
			if (k->have < sizeof(h))
				return 0;
			memcpy(&h, k->buf, sizeof(h));
			if (h.magic != SM_MAGIC || h.len > SM_BODY_MAX)
				return -EPROTO;
			used = sizeof(h) + h.len;
			if (k->have < used)
				return 0;
			body = malloc((size_t)h.len + 1);
			if (!body)
				return -ENOMEM;
			memcpy(body, k->buf + sizeof(h), h.len);
			body[h.len] = '\0';
			ret = frame(c, i, &h, body);
			free(body);
		}
		k = &c->conns[i];
		if (ret || k->kind == CONN_FREE)
			return ret;
		memmove(k->buf, k->buf + used, k->have - used);
		k->have -= used;
	}
}

static int readable(struct sm_coord *c, int i)
{
	struct conn *k = &c->conns[i];
	ssize_t n;

	if (k->room - k->have < 4096) {
		size_t room = k->room ? k->room * 2 : 16384;
		char *b = realloc(k->buf, room);

		if (!b)
			return -ENOMEM;
		k->buf = b;
		k->room = room;
	}
	n = recv(k->fd, k->buf + k->have, k->room - k->have, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	k->have += (size_t)n;
	return consume(c, i);
}

static void lost(struct sm_coord *c, int i)
{
	enum conn_kind kind = c->conns[i].kind;
	int rank = c->conns[i].rank;

	coord_drop(c, i);
	if (kind == CONN_RANK)
		cycle_lost(c, rank);
}

int sm_coord_step(struct sm_coord *c, int timeout_ms)
{
	struct pollfd *p;
	int i, n = c->n_conns, wait = cycle_wait(c);

	if (wait >= 0 && (timeout_ms < 0 || wait < timeout_ms))
		timeout_ms = wait;
	p = calloc((size_t)n + 1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p[n].fd = c->listen_fd;
	p[n].events = POLLIN;
	for (i = 0; i < n; i++) {
		p[i].fd = c->conns[i].kind == CONN_FREE ? -1 : c->conns[i].fd;
		p[i].events = POLLIN;
	}
	if (poll(p, (nfds_t)n + 1, timeout_ms) > 0) {
		for (i = 0; i < n; i++) {
			/* an earlier event may have dropped this one */
			if (!p[i].revents || c->conns[i].fd != p[i].fd)
				continue;
			if (readable(c, i) && c->conns[i].kind != CONN_FREE)
				lost(c, i);
		}
		if (p[n].revents && c->listen_fd == p[n].fd)
			accept_one(c);
	}
	free(p);
	cycle_tick(c);
	return 0;
}

int sm_coord_begin(struct sm_coord *c)
{
	return cycle_begin(c);
}

bool sm_coord_busy(const struct sm_coord *c)
{
	return c->step != ST_IDLE;
}

const struct sm_coord_times *sm_coord_times(const struct sm_coord *c)
{
	return &c->times;
}

int sm_coord_restart(struct sm_coord *c, int size, bool with_env)
{
	int ret = set_size(c, size);

	if (ret)
		return ret;
	c->with_env = with_env;
	c->restarting = true;
	c->step = ST_BACK;
	c->t_step = c->t_begin = coord_now();
	return 0;
}

void sm_coord_answer(struct sm_coord *c, int id, int err, const char *text)
{
	if (id < 0 || id >= c->n_conns || c->conns[id].kind != CONN_CONTROL)
		return;
	coord_send(c, id, SM_M_RESULT, (uint32_t)-err, text,
		   (uint32_t)strlen(text));
}
