/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Queues of sockets.  MSG_PEEK with SO_PEEK_OFF walks through what a socket
 * has received without taking it; descriptors in flight are duplicated by it
 * and become open files of the image.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kind/sock.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#define MAX_FDS 253
#define MAX_MSG (1u << 20)
#define MAX_MESSAGES 100000
#define MAX_WAIT 2000

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(MAX_FDS * sizeof(int)) + CMSG_SPACE(64)];
};

static int in_flight(struct cri_probe *p, struct cri_packet *m,
		     struct msghdr *msg, struct cri_err *err)
{
	struct cmsghdr *c;
	int ret = 0, fd;
	size_t i, n;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			struct cri_fd *f = NULL;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (!ret)
				f = CRI_GROW(p->set, m->fds, m->n_fds);
			if (!f) {
				close(fd);
				ret = ret ? ret : -ENOMEM;
				continue;
			}
			ret = cri_capture_inflight(p->cap, p->proc, fd, &f->ofd,
						   err);
		}
	}
	return ret;
}

/* 1: one more kept, 0: the end. */
static int peek_one(struct cri_probe *p, struct cri_rec_socket *r, char *buf,
		    size_t size, struct cri_err *err)
{
	union cri_addr from;
	union control ctl;
	struct iovec iov = { buf, size };
	struct msghdr msg;
	struct cri_packet *m;
	ssize_t n;
	int ret;

	memset(&msg, 0, sizeof(msg));
	memset(&from, 0, sizeof(from));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	msg.msg_name = &from;
	msg.msg_namelen = sizeof(from);
	msg.msg_control = &ctl;
	msg.msg_controllen = sizeof(ctl);
	n = recvmsg(p->fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == ENOTCONN ||
				       errno == ECONNRESET ?
			       0 :
			       -errno;
	if (n == 0 && r->type != SOCK_DGRAM)
		return 0;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EMSGSIZE;
	m = CRI_GROW(p->set, r->queue, r->n_queue);
	if (!m)
		return -ENOMEM;
	ret = cri_recset_bytes(p->set, &m->data, buf, (size_t)n);
	if (!ret && r->type == SOCK_DGRAM)
		ret = cri_recset_bytes(p->set, &m->from, &from,
				       msg.msg_namelen);
	if (!ret)
		ret = in_flight(p, m, &msg, err);
	return ret ? ret : 1;
}

int cri_queue_peek(struct cri_probe *p, struct cri_rec_socket *r,
		   struct cri_err *err)
{
	int off = 0, was = -1, ret, count = 0, pending = 0;
	socklen_t len = sizeof(was);
	bool walk;
	char *buf;

	if (ioctl(p->fd, FIONREAD, &pending))
		pending = 0;
	/* A stream that cannot be walked is taken by one large look. */
	(void)getsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &was, &len);
	walk = setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) ==
	       0;
	if (pending < (int)MAX_MSG)
		pending = (int)MAX_MSG;
	buf = malloc((size_t)pending);
	ret = buf ? 1 : -ENOMEM;
	while (ret == 1 && count++ < MAX_MESSAGES) {
		ret = peek_one(p, r, buf, (size_t)pending, err);
		if (ret == 1 && !walk)
			break;
	}
	free(buf);
	if (walk)
		(void)setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &was,
				 sizeof(was));
	if (ret < 0)
		return cri_fail(err, -ret,
				"is a socket whose queue cannot be looked at");
	return 0;
}

static int attach(struct cri_restore *rs, struct msghdr *msg,
		  union control *ctl, const struct cri_packet *m,
		  struct cri_err *err)
{
	struct cmsghdr *c = &ctl->head;
	uint32_t i;
	int fd;

	if (!m->n_fds)
		return 0;
	if (m->n_fds > MAX_FDS)
		return cri_fail(err, EBADMSG, "damaged image: descriptors");
	memset(ctl, 0, sizeof(*ctl));
	msg->msg_control = ctl;
	msg->msg_controllen = CMSG_SPACE(m->n_fds * sizeof(int));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(m->n_fds * sizeof(int));
	for (i = 0; i < m->n_fds; i++) {
		fd = cri_restore_need(rs, m->fds[i].ofd, err);
		if (fd < 0)
			return fd;
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(fd));
	}
	return 0;
}

/* Room for what was in flight, without the mark that the program chose it. */
static void widen(int fd)
{
	int v = 8 << 20, zero = 0, was = 0;
	socklen_t len = sizeof(was);

	(void)getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &was, &len);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &v, sizeof(v)))
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v));
	if (!(was & 1))
		(void)setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &zero,
				 sizeof(zero));
}

int cri_queue_send(struct cri_restore *rs, int fd, const struct cri_packet *m,
		   const struct cri_bytes *to, struct cri_err *err)
{
	const char *at = m->data.p;
	size_t left = m->data.len;
	union control ctl;
	struct msghdr msg;
	struct iovec iov;
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	bool widened = false;
	ssize_t n;
	int ret;

	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (to) {
		msg.msg_name = (void *)to->p;
		msg.msg_namelen = to->len;
	}
	ret = attach(rs, &msg, &ctl, m, err);
	if (ret)
		return ret;
	do {
		iov.iov_base = (void *)at;
		iov.iov_len = left;
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN && !widened) {
			widen(fd);
			widened = true;
			continue;
		}
		if (n < 0 && errno == EAGAIN && poll(&pfd, 1, MAX_WAIT) == 1)
			continue;
		if (n < 0)
			return cri_fail(err, errno,
					"filling a socket's queue again");
		at += n;
		left -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	} while (left);
	return 0;
}

int cri_queue_send_all(struct cri_restore *rs, int fd,
		       const struct cri_rec_socket *r, struct cri_err *err)
{
	uint32_t i;
	int ret;

	for (i = 0; i < r->n_queue; i++) {
		ret = cri_queue_send(rs, fd, &r->queue[i], NULL, err);
		if (ret)
			return ret;
	}
	return 0;
}
