/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One question to sock_diag about one unix socket; see unixdiag.h.
 */
#include "config.h"

#include "kind/unixdiag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct request {
	struct nlmsghdr head;
	struct unix_diag_req req;
};

static int ask(int nl, uint32_t ino)
{
	struct request r;

	memset(&r, 0, sizeof(r));
	r.head.nlmsg_len = sizeof(r);
	r.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	r.head.nlmsg_flags = NLM_F_REQUEST;
	r.req.sdiag_family = AF_UNIX;
	r.req.udiag_states = 0xffffffff;
	r.req.udiag_ino = ino;
	r.req.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_VFS |
			   UDIAG_SHOW_RQLEN;
	r.req.udiag_cookie[0] = 0xffffffff;
	r.req.udiag_cookie[1] = 0xffffffff;
	return send(nl, &r, sizeof(r), 0) == (ssize_t)sizeof(r) ? 0 : -errno;
}

static int attribute(struct cri_unixdiag *d, const struct rtattr *a)
{
	const void *p = RTA_DATA(a);
	size_t len = RTA_PAYLOAD(a);

	switch (a->rta_type) {
	case UNIX_DIAG_PEER:
		memcpy(&d->peer, p, len < 4 ? len : 4);
		break;
	case UNIX_DIAG_VFS:
		if (len >= sizeof(struct unix_diag_vfs))
			memcpy(&d->vfs_ino, p, 4);
		break;
	case UNIX_DIAG_SHUTDOWN:
		d->shutdown = len ? *(const uint8_t *)p : 0;
		break;
	case UNIX_DIAG_RQLEN:
		if (len >= sizeof(struct unix_diag_rqlen))
			memcpy(&d->backlog, (const char *)p + 4, 4);
		break;
	case UNIX_DIAG_ICONS:
		free(d->icons);
		d->n_icons = 0;
		d->icons = malloc(len ? len : 1);
		if (!d->icons)
			return -ENOMEM;
		memcpy(d->icons, p, len);
		d->n_icons = (uint32_t)(len / 4);
		break;
	default:
		break;
	}
	return 0;
}

static int answer(struct cri_unixdiag *d, const struct nlmsghdr *h)
{
	const struct unix_diag_msg *m = NLMSG_DATA(h);
	const struct rtattr *a = (const void *)(m + 1);
	int left, ret = 0;

	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		return e->error ? e->error : -ENOENT;
	}
	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    h->nlmsg_len < NLMSG_LENGTH(sizeof(*m)))
		return -EPROTO;
	left = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*m)));
	for (; !ret && RTA_OK(a, left); a = RTA_NEXT(a, left))
		ret = attribute(d, a);
	return ret;
}

int cri_unixdiag_get(uint32_t ino, struct cri_unixdiag *d)
{
	size_t size = 64 << 10; /* a long queue of a listener */
	struct nlmsghdr *buf = malloc(size);
	ssize_t n;
	int nl, ret;

	memset(d, 0, sizeof(*d));
	if (!buf)
		return -ENOMEM;
	nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ret = nl < 0 ? -errno : ask(nl, ino);
	if (!ret) {
		n = recv(nl, buf, size, 0);
		if (n < 0)
			ret = -errno;
		else
			ret = NLMSG_OK(buf, (unsigned int)n) ? answer(d, buf) :
							       -EPROTO;
	}
	if (nl >= 0)
		close(nl);
	free(buf);
	if (ret)
		cri_unixdiag_fini(d);
	return ret;
}

void cri_unixdiag_fini(struct cri_unixdiag *d)
{
	free(d->icons);
	d->icons = NULL;
	d->n_icons = 0;
}
