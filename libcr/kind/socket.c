/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sockets: what both families share.  A socket is one open file; its record
 * says what it was bound and connected to, and to which other socket of the
 * tree.  Connections inside the tree are made anew between the new sockets;
 * the last touches (shutdown, backlog) come when all queues are filled.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kind/sock.h"

static int get(int fd, int name)
{
	int v = 0;
	socklen_t len = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, name, &v, &len) ? -1 : v;
}

static bool match(const struct cri_probe *p)
{
	int family, type;

	if (!S_ISSOCK(p->st.st_mode) ||
	    (uint32_t)fcntl(p->fd, F_GETFL) & O_PATH)
		return false;
	family = get(p->fd, SO_DOMAIN);
	type = get(p->fd, SO_TYPE);
	if (family == AF_UNIX)
		return type == SOCK_STREAM || type == SOCK_DGRAM ||
		       type == SOCK_SEQPACKET;
	if (family != AF_INET && family != AF_INET6)
		return false;
	switch (get(p->fd, SO_PROTOCOL)) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return true;
	default:
		return false;
	}
}

static int address(struct cri_probe *p, struct cri_bytes *to, bool peer)
{
	union cri_addr a;
	socklen_t len = sizeof(a);
	int ret;

	memset(&a, 0, sizeof(a));
	ret = peer ? getpeername(p->fd, &a.sa, &len) :
		     getsockname(p->fd, &a.sa, &len);
	if (ret || len > sizeof(a) || len <= sizeof(sa_family_t))
		return 0;
	return cri_recset_bytes(p->set, to, &a, len);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_socket *r = cri_recset_add(p->set, CRI_REC_SOCKET);
	int ret;

	if (!r)
		return -ENOMEM;
	r->family = (uint32_t)get(p->fd, SO_DOMAIN);
	r->type = (uint32_t)get(p->fd, SO_TYPE);
	r->protocol = (uint32_t)get(p->fd, SO_PROTOCOL);
	r->ino = p->st.st_ino;
	cri_kind_refer(p, r->id);
	ret = cri_capture_inode_put(p->cap, CRI_REC_SOCKET, 0, p->st.st_ino,
				    r->id);
	if (!ret)
		ret = address(p, &r->local, false);
	if (!ret)
		ret = address(p, &r->remote, true);
	if (!ret)
		ret = cri_sockopt_capture(p, r);
	if (ret)
		return ret;
	if (get(p->fd, SO_ACCEPTCONN) > 0)
		r->state = CRI_SOCK_LISTEN;
	return r->family == AF_UNIX ? cri_unix_capture(p, r, err) :
				      cri_inet_capture(p, r, err);
}

static int link_peers(struct cri_capture *cap, struct cri_recset *set,
		      struct cri_err *err)
{
	struct cri_rec_socket *r;
	uint32_t i;
	int ret;

	cri_for_each(set, CRI_REC_SOCKET, i, r)
	{
		ret = r->family == AF_UNIX ? cri_unix_link(cap, set, r, err) :
					     cri_inet_link(set, r, err);
		if (ret)
			return ret;
	}
	return 0;
}

static const struct cri_rec_socket *record(struct cri_restore *rs,
					   const struct cri_rec_ofd *ofd)
{
	return cri_recset_find(cri_restore_records(rs), CRI_REC_SOCKET,
			       ofd->inode);
}

const struct cri_rec_ofd *cri_sock_ofd(struct cri_restore *rs, uint32_t id)
{
	size_t n;
	const struct cri_rec_ofd **list =
		cri_kind_ofds(rs, CRI_REC_SOCKET, id, &n);

	return list && n ? list[0] : NULL;
}

int cri_sock_need(struct cri_restore *rs, uint32_t id, struct cri_err *err)
{
	const struct cri_rec_ofd *ofd = cri_sock_ofd(rs, id);

	if (!ofd)
		return cri_fail(err, EBADMSG, "damaged image: socket %u", id);
	return cri_restore_need(rs, ofd->id, err);
}

static bool sane(const struct cri_rec_socket *r)
{
	if (r->local.len > sizeof(union cri_addr) ||
	    r->remote.len > sizeof(union cri_addr))
		return false;
	switch (r->family) {
	case AF_UNIX:
		return r->type == SOCK_STREAM || r->type == SOCK_DGRAM ||
		       r->type == SOCK_SEQPACKET;
	case AF_INET:
	case AF_INET6:
		return r->type == SOCK_STREAM || r->type == SOCK_DGRAM;
	default:
		return false;
	}
}

static int verify(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  struct cri_err *err)
{
	const struct cri_rec_socket *r = record(rs, ofd);

	if (!r || !sane(r))
		return cri_fail(err, EBADMSG, "damaged image: socket");
	return r->family == AF_UNIX ? cri_unix_verify(rs, r, err) : 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	const struct cri_rec_socket *r = record(rs, ofd);
	int ret;

	if (!r || !sane(r))
		return cri_fail(err, EBADMSG, "damaged image: socket");
	ret = r->family == AF_UNIX ? cri_unix_open(rs, ofd, r, fd, err) :
				     cri_inet_open(rs, ofd, r, fd, err);
	if (ret)
		return ret;
	return cri_kind_status(*fd, ofd->flags);
}

static int fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd, int fd,
		struct cri_err *err)
{
	const struct cri_rec_socket *r = record(rs, ofd);
	int ret;

	if (!r)
		return 0;
	ret = r->family == AF_UNIX ? cri_unix_fill(rs, ofd, r, fd, err) :
				     cri_inet_fill(rs, ofd, r, fd, err);
	return ret ? ret : cri_kind_status(fd, ofd->flags);
}

static int outside(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		   int fd, struct cri_err *err)
{
	const struct cri_rec_socket *r = record(rs, ofd);

	(void)err;
	if (!r)
		return 0;
	cri_sockopt_set(r, fd, true);
	cri_sockopt_set(r, fd, false);
	if (r->state == CRI_SOCK_LISTEN)
		(void)listen(fd, (int)r->backlog);
	if (r->state == CRI_SOCK_DEAD || !r->shut)
		return 0;
	/* TCP tells its peer's shutdown apart from its own. */
	if (r->shut & 1 && r->family == AF_UNIX)
		(void)shutdown(fd, SHUT_RD);
	if (r->shut & 2)
		(void)shutdown(fd, SHUT_WR);
	return 0;
}

const struct cri_kind cri_kind_socket = {
	.type = CRI_REC_SOCKET,
	.name = "socket",
	.match = match,
	.capture = capture,
	.link = link_peers,
	.verify = verify,
	.open = open_again,
	.fill = fill,
	.outside = outside,
};
