/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix sockets.  Pairs without names are made by socketpair(); a connection
 * with a name by binding, listening (the tree's own listener or one for the
 * moment), connecting and accepting, so that both sides see the names they
 * had.  A path is bound again when nobody listens on it: before, a dead socket
 * was there, or nothing.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "kind/sock.h"
#include "kind/unixdiag.h"

static const char *path_of(const struct cri_bytes *addr)
{
	const struct sockaddr_un *un = addr->p;

	if (addr->len <= offsetof(struct sockaddr_un, sun_path) ||
	    !un->sun_path[0])
		return NULL;
	return un->sun_path;
}

static bool equal(const struct cri_bytes *a, const struct cri_bytes *b)
{
	return a->len && a->len == b->len && !memcmp(a->p, b->p, a->len);
}

/* Bound to a path: its mode, and whether the path still leads here. */
static void bound_path(struct cri_probe *p, struct cri_rec_socket *r,
		       const struct cri_unixdiag *d)
{
	const char *path = path_of(&r->local);
	char full[256];
	struct stat st;

	if (!path)
		return;
	snprintf(full, sizeof(full), "/proc/%d/%s%.108s",
		 cri_capture_pid(p->proc), path[0] == '/' ? "root" : "cwd/",
		 path);
	if (lstat(full, &st) || !S_ISSOCK(st.st_mode) ||
	    (d->vfs_ino && (uint32_t)st.st_ino != d->vfs_ino)) {
		r->flags |= SOCK_NAME_GONE;
		return;
	}
	r->mode = st.st_mode;
	r->uid = st.st_uid;
}

static int pending(struct cri_probe *p, struct cri_rec_socket *r,
		   const struct cri_unixdiag *d)
{
	struct cri_sockref *ref;
	uint32_t i;

	for (i = 0; i < d->n_icons; i++) {
		ref = CRI_GROW(p->set, r->pending, r->n_pending);
		if (!ref)
			return -ENOMEM;
		ref->ino = d->icons[i];
	}
	return 0;
}

int cri_unix_capture(struct cri_probe *p, struct cri_rec_socket *r,
		     struct cri_err *err)
{
	struct cri_unixdiag d;
	union cri_addr a;
	socklen_t len = sizeof(a);
	int ret, unsent = 0;

	ret = cri_unixdiag_get((uint32_t)p->st.st_ino, &d);
	if (ret)
		return cri_fail(err, -ret,
				"is a unix socket that the kernel does not "
				"describe (unix_diag)");
	r->peer_ino = d.peer;
	r->shut = d.shutdown;
	bound_path(p, r, &d);
	if (r->state == CRI_SOCK_LISTEN) {
		r->backlog = d.backlog;
		ret = pending(p, r, &d);
	} else {
		if (d.peer || !getpeername(p->fd, &a.sa, &len))
			r->state = CRI_SOCK_CONNECTED;
		if (!ioctl(p->fd, SIOCOUTQ, &unsent) && unsent)
			r->flags |= SOCK_UNSENT;
		ret = cri_queue_peek(p, r, err);
	}
	cri_unixdiag_fini(&d);
	return ret;
}

/* Sent, but nobody accepted the connection: where it lies none can look. */
static int unread(struct cri_recset *set, const struct cri_rec_socket *r,
		  struct cri_err *err)
{
	return cri_kind_blame(set, cri_kind_ofd(set, CRI_REC_SOCKET, r->id),
			      err, EAGAIN,
			      "is a socket that sent data before it was "
			      "accepted");
}

static int link_listener(struct cri_capture *cap, struct cri_recset *set,
			 struct cri_rec_socket *r, struct cri_err *err)
{
	struct cri_rec_socket *c;
	uint32_t i, id;

	for (i = 0; i < r->n_pending; i++) {
		id = r->pending[i].ino ?
			     cri_capture_inode_get(cap, CRI_REC_SOCKET, 0,
						   r->pending[i].ino) :
			     0;
		c = id ? cri_recset_find(set, CRI_REC_SOCKET, id) : NULL;
		if (!c)
			continue; /* a client outside, or gone already */
		r->pending[i].socket = id;
		c->state = CRI_SOCK_PENDING;
		c->listener = r->id;
		if (c->flags & SOCK_UNSENT)
			return unread(set, c, err);
	}
	return 0;
}

int cri_unix_link(struct cri_capture *cap, struct cri_recset *set,
		  struct cri_rec_socket *r, struct cri_err *err)
{
	const struct cri_rec_ofd *ofd;

	if (r->state == CRI_SOCK_LISTEN)
		return link_listener(cap, set, r, err);
	if (r->state != CRI_SOCK_CONNECTED)
		return 0;
	if (r->peer_ino)
		r->peer = cri_capture_inode_get(cap, CRI_REC_SOCKET, 0,
						r->peer_ino);
	if (r->peer)
		return 0;
	if (r->type == SOCK_DGRAM) {
		r->state = path_of(&r->remote) ? CRI_SOCK_OUTSIDE :
						 CRI_SOCK_DEAD;
		return 0;
	}
	/* A peer with inode 0 waits in some listener's queue; see there. */
	r->state = CRI_SOCK_DEAD;
	if (!r->peer_ino)
		return 0;
	ofd = cri_kind_ofd(set, CRI_REC_SOCKET, r->id);
	return cri_kind_note(set, "outside",
			     "fd %u: a unix socket to outside the checkpoint; "
			     "it will be closed at its other end",
			     ofd ? ofd->num : 0);
}

/* Is a living socket bound there? */
static int in_use(const struct cri_rec_socket *r, const struct sockaddr *sa,
		  socklen_t len)
{
	int fd =
		socket(AF_UNIX, (int)r->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = connect(fd, sa, len) ? errno : 0;
	close(fd);
	return ret == 0 || ret == EPROTOTYPE || ret == EAGAIN;
}

/* The address to bind: a path goes through --relocate. */
static int place_of(struct cri_restore *rs, const struct cri_bytes *addr,
		    union cri_addr *to, socklen_t *len)
{
	const char *path = path_of(addr), *now;
	char old[sizeof(to->un.sun_path) + 1] = "";

	memset(to, 0, sizeof(*to));
	memcpy(to, addr->p, addr->len);
	*len = addr->len;
	if (!path || path[0] != '/')
		return 0;
	memcpy(old, path, addr->len - offsetof(struct sockaddr_un, sun_path));
	now = cri_restore_path(rs, old);
	if (strlen(now) >= sizeof(to->un.sun_path))
		return -ENAMETOOLONG;
	if (strcmp(now, old) == 0)
		return 0;
	memset(to->un.sun_path, 0, sizeof(to->un.sun_path));
	memcpy(to->un.sun_path, now, strlen(now));
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			   strlen(now) + 1);
	return 0;
}

int cri_unix_verify(struct cri_restore *rs, const struct cri_rec_socket *r,
		    struct cri_err *err)
{
	union cri_addr a;
	socklen_t len;

	if (!r->local.len || r->flags & SOCK_NAME_GONE ||
	    (r->state != CRI_SOCK_LISTEN && r->type != SOCK_DGRAM))
		return 0;
	if (r->local.len > sizeof(struct sockaddr_un))
		return cri_fail(err, EBADMSG, "damaged image: socket");
	if (place_of(rs, &r->local, &a, &len) || a.un.sun_path[0] != '/')
		return 0;
	if (in_use(r, &a.sa, len) > 0)
		return cri_fail(err, EADDRINUSE,
				"the socket %.108s is in use (does the "
				"original still run?)",
				a.un.sun_path);
	return 0;
}

/* A relative path is bound from the directory its process worked in. */
static int enter(struct cri_restore *rs, const struct cri_rec_ofd *ofd)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_task *t = cri_recset_find(set, CRI_REC_TASK, ofd->task);
	struct cri_rec_fs *fs = t ? cri_recset_find(set, CRI_REC_FS, t->fs) :
				    NULL;
	int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (here < 0)
		return -errno;
	if (!fs || chdir(cri_restore_path(rs, fs->cwd))) {
		close(here);
		return -ENOENT;
	}
	return here;
}

static int bind_at(const struct cri_rec_socket *r, int fd, union cri_addr *a,
		   socklen_t len)
{
	const char *path = a->un.sun_path;
	struct stat st;
	bool there;

	if (!path[0])
		return bind(fd, &a->sa, len) ? -errno : 0;
	there = lstat(path, &st) == 0;
	if (r->flags & SOCK_NAME_GONE && there)
		return 0; /* another one's now: bound to nothing, as it was */
	if (there && (!S_ISSOCK(st.st_mode) || in_use(r, &a->sa, len) > 0))
		return -EADDRINUSE;
	if (there && unlink(path))
		return -errno;
	if (bind(fd, &a->sa, len))
		return -errno;
	if (r->flags & SOCK_NAME_GONE)
		return unlink(path) ? -errno : 0;
	if (r->mode && chmod(path, r->mode & 07777))
		return -errno;
	return 0;
}

static int bind_name(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		     const struct cri_rec_socket *r, int fd,
		     const struct cri_bytes *name, struct cri_err *err)
{
	union cri_addr a;
	socklen_t len;
	int here = -1, ret;

	if (!name->len)
		return 0;
	ret = place_of(rs, name, &a, &len);
	if (!ret && a.un.sun_path[0] && a.un.sun_path[0] != '/') {
		here = enter(rs, ofd);
		ret = here < 0 ? here : 0;
	}
	if (!ret)
		ret = bind_at(r, fd, &a, len);
	if (here >= 0) {
		if (fchdir(here) && !ret)
			ret = -errno;
		close(here);
	}
	if (ret)
		return cri_fail(err, -ret, "binding the socket %s%.107s",
				a.un.sun_path[0] ? "" : "@",
				a.un.sun_path + (a.un.sun_path[0] ? 0 : 1));
	return 0;
}

static int new_socket(const struct cri_rec_socket *r, struct cri_err *err)
{
	int fd = socket(AF_UNIX, (int)r->type | SOCK_CLOEXEC, (int)r->protocol);

	return fd < 0 ? cri_fail(err, errno, "a unix socket") : fd;
}

static int open_plain(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      const struct cri_rec_socket *r, int *fd,
		      struct cri_err *err)
{
	int ret;

	*fd = new_socket(r, err);
	if (*fd < 0)
		return *fd;
	cri_sockopt_set(r, *fd, true);
	ret = bind_name(rs, ofd, r, *fd, &r->local, err);
	/* Room for all that will connect; the real backlog comes last. */
	if (!ret && r->state == CRI_SOCK_LISTEN && listen(*fd, 4096))
		ret = cri_fail(err, errno, "listening on a unix socket");
	if (ret)
		close(*fd);
	return ret;
}

/* Whoever was at the other end is gone: what it sent is still here. */
static int open_dead(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		     const struct cri_rec_socket *r, int *fd,
		     struct cri_err *err)
{
	int pair[2], ret;

	if (ofd->num <= 2 && r->peer_ino) {
		*fd = cri_kind_inherited(ofd, NULL);
		if (*fd >= 0)
			return 0;
	}
	if (socketpair(AF_UNIX, (int)r->type | SOCK_CLOEXEC, 0, pair))
		return cri_fail(err, errno, "a unix socket");
	ret = cri_queue_send_all(rs, pair[1], r, err);
	if (!ret && r->local.len)
		ret = bind_name(rs, ofd, r, pair[0], &r->local, err);
	close(pair[1]);
	if (ret) {
		close(pair[0]);
		return ret;
	}
	*fd = pair[0];
	return 0;
}

static struct cri_rec_socket *listener_of(struct cri_recset *set,
					  const struct cri_bytes *name)
{
	struct cri_rec_socket *r;
	uint32_t i;

	cri_for_each(set, CRI_REC_SOCKET, i, r)
	{
		if (r->family == AF_UNIX && r->state == CRI_SOCK_LISTEN &&
		    equal(&r->local, name))
			return r;
	}
	return NULL;
}

/* A listener of the tree, or one for this connection only (*own). */
static int listener_fd(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		       const struct cri_rec_socket *server, bool *own,
		       struct cri_err *err)
{
	struct cri_rec_socket *l =
		listener_of(cri_restore_records(rs), &server->local);
	struct cri_rec_socket tmp = *server;
	int fd, ret;

	*own = !l;
	if (l)
		return cri_sock_need(rs, l->id, err);
	fd = new_socket(server, err);
	if (fd < 0)
		return fd;
	tmp.mode = 0;
	ret = bind_name(rs, ofd, &tmp, fd, &server->local, err);
	if (!ret && listen(fd, 1))
		ret = cri_fail(err, errno, "listening on a unix socket");
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int connect_name(int fd, struct cri_restore *rs,
			const struct cri_rec_ofd *ofd,
			const struct cri_bytes *name)
{
	union cri_addr a;
	socklen_t len;
	int ret, here = -1;

	ret = place_of(rs, name, &a, &len);
	if (ret)
		return ret;
	if (a.un.sun_path[0] && a.un.sun_path[0] != '/')
		here = enter(rs, ofd);
	ret = connect(fd, &a.sa, len) ? -errno : 0;
	if (here >= 0) {
		if (fchdir(here) && !ret)
			ret = -errno;
		close(here);
	}
	return ret;
}

/* server was accepted from a listener of its name. */
static int connected(struct cri_restore *rs,
		     const struct cri_rec_socket *server,
		     const struct cri_rec_socket *client, int *sfd, int *cfd,
		     struct cri_err *err)
{
	const struct cri_rec_ofd *so = cri_sock_ofd(rs, server->id);
	const struct cri_rec_ofd *co = cri_sock_ofd(rs, client->id);
	bool own = false;
	int lfd, ret;

	*sfd = *cfd = -1;
	if (!so || !co)
		return cri_fail(err, EBADMSG, "damaged image: socket pair");
	lfd = listener_fd(rs, so, server, &own, err);
	if (lfd < 0)
		return lfd;
	*cfd = new_socket(client, err);
	ret = *cfd < 0 ? *cfd :
			 bind_name(rs, co, client, *cfd, &client->local, err);
	if (!ret) {
		ret = connect_name(*cfd, rs, so, &server->local);
		if (ret)
			ret = cri_fail(err, -ret, "connecting a unix socket");
	}
	if (!ret) {
		*sfd = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
		if (*sfd < 0)
			ret = cri_fail(err, errno, "accepting a unix socket");
	}
	if (own) {
		const char *path = path_of(&server->local);

		/* Its name stays only if it was there at the checkpoint. */
		if (path && path[0] == '/' && !server->mode)
			(void)unlink(cri_restore_path(rs, path));
		close(lfd);
	}
	if (ret && *cfd >= 0)
		close(*cfd);
	return ret;
}

static int pair_up(struct cri_restore *rs, const struct cri_rec_socket *r,
		   const struct cri_rec_socket *peer, int *mine, int *theirs,
		   struct cri_err *err)
{
	const struct cri_rec_ofd *po = cri_sock_ofd(rs, peer->id);
	const struct cri_rec_ofd *ro = cri_sock_ofd(rs, r->id);
	int pair[2], ret;

	if (r->type != SOCK_DGRAM && r->local.len && r->local.len > 2)
		return connected(rs, r, peer, mine, theirs, err);
	if (r->type != SOCK_DGRAM && peer->local.len)
		return connected(rs, peer, r, theirs, mine, err);
	if (socketpair(AF_UNIX, (int)r->type | SOCK_CLOEXEC, 0, pair))
		return cri_fail(err, errno, "a socket pair");
	ret = bind_name(rs, ro, r, pair[0], &r->local, err);
	if (!ret && po)
		ret = bind_name(rs, po, peer, pair[1], &peer->local, err);
	if (ret) {
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	*mine = pair[0];
	*theirs = pair[1];
	return 0;
}

static const struct cri_rec_socket *peer_of(struct cri_restore *rs,
					    const struct cri_rec_socket *r)
{
	const struct cri_rec_socket *p;

	p = r->peer ? cri_recset_find(cri_restore_records(rs), CRI_REC_SOCKET,
				      r->peer) :
		      NULL;
	return p && p->family == r->family && p->type == r->type ? p : NULL;
}

int cri_unix_open(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int *fd, struct cri_err *err)
{
	const struct cri_rec_socket *peer = peer_of(rs, r);
	const struct cri_rec_ofd *other;
	int theirs = -1, ret;

	if (r->state == CRI_SOCK_DEAD)
		return open_dead(rs, ofd, r, fd, err);
	if (r->state != CRI_SOCK_CONNECTED || !peer || peer->peer != r->id)
		return open_plain(rs, ofd, r, fd, err);
	other = cri_sock_ofd(rs, peer->id);
	if (!other || peer == r)
		return cri_fail(err, EBADMSG, "damaged image: socket pair");
	ret = pair_up(rs, r, peer, fd, &theirs, err);
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

/* Who sent this datagram, if it is still in the tree. */
static int sender(struct cri_restore *rs, const struct cri_bytes *from,
		  struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_socket *r;
	uint32_t i;

	cri_for_each(set, CRI_REC_SOCKET, i, r)
	{
		if (r->family == AF_UNIX && r->type == SOCK_DGRAM &&
		    equal(&r->local, from))
			return cri_sock_need(rs, r->id, err);
	}
	return -ENOENT;
}

static int fill_datagrams(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
			  const struct cri_rec_socket *r, struct cri_err *err)
{
	struct cri_bytes to = r->local;
	union cri_addr a;
	socklen_t len;
	uint32_t i;
	int fd, anon, here = -1, ret = 0;

	if (!r->n_queue || !r->local.len)
		return 0;
	ret = place_of(rs, &r->local, &a, &len);
	if (ret)
		return ret;
	to.p = &a;
	to.len = len;
	anon = new_socket(r, err);
	if (anon < 0)
		return anon;
	if (a.un.sun_path[0] && a.un.sun_path[0] != '/')
		here = enter(rs, ofd);
	for (i = 0; i < r->n_queue && !ret; i++) {
		fd = sender(rs, &r->queue[i].from, err);
		ret = cri_queue_send(rs, fd < 0 ? anon : fd, &r->queue[i], &to,
				     err);
	}
	close(anon);
	if (here >= 0) {
		if (fchdir(here) && !ret)
			ret = -errno;
		close(here);
	}
	return ret;
}

int cri_unix_fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int fd, struct cri_err *err)
{
	const struct cri_rec_socket *peer = peer_of(rs, r);
	struct cri_rec_socket *l;
	int ret = 0, via;

	if (r->state == CRI_SOCK_DEAD)
		return 0;
	if (peer && peer->peer == r->id) {
		via = r->n_queue ? cri_sock_need(rs, peer->id, err) : 0;
		return via < 0 ? via : cri_queue_send_all(rs, via, r, err);
	}
	if (r->type == SOCK_DGRAM)
		ret = fill_datagrams(rs, ofd, r, err);
	if (ret)
		return ret;
	if (r->state == CRI_SOCK_OUTSIDE ||
	    (r->state == CRI_SOCK_CONNECTED && r->remote.len)) {
		ret = connect_name(fd, rs, ofd, &r->remote);
		if (ret)
			cri_restore_log(rs,
					"fd %u: nobody at the other end of "
					"a datagram socket",
					ofd->num);
		return 0;
	}
	if (r->state != CRI_SOCK_LISTEN)
		return 0;
	/* Connections that wait to be accepted, in their order. */
	l = cri_recset_find(cri_restore_records(rs), CRI_REC_SOCKET, r->id);
	for (uint32_t i = 0; l && i < l->n_pending; i++) {
		int own = -1;

		if (l->pending[i].socket)
			via = cri_sock_need(rs, l->pending[i].socket, err);
		else
			via = own = new_socket(r, err);
		if (via < 0)
			return via;
		ret = connect_name(via, rs, ofd, &r->local);
		if (own >= 0)
			close(own); /* had gone before it was accepted */
		if (ret)
			return cri_fail(err, -ret, "a waiting connection");
	}
	return 0;
}
