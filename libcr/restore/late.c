/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that can be opened only once the tree lives (pidfd, files of
 * /proc/PID): each process that holds one opens it, while its low numbers are
 * still empty, so that the new descriptor is number 0 and moves from there.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "kind/kind.h"
#include "restore/restore.h"

static bool is_late(struct cri_restore *rs, uint32_t id, struct cri_late *l)
{
	const struct cri_rec_ofd *ofd =
		cri_recset_find(rs->set, CRI_REC_OFD, id);
	const struct cri_kind *kind = ofd ? cri_kind_find(ofd->type) : NULL;

	return ofd && rs->ofd_fd[id] < 0 && kind && kind->late &&
	       kind->late(rs, ofd, l);
}

static int open_op(struct cri_restore *rs, struct cri_rthread *th,
		   const struct cri_late *l)
{
	struct rb_op *op;
	char *path;

	if (l->pid)
		return cri_op_sys(rs, th, "opening a pidfd", SYS_pidfd_open,
				  l->pid, l->flags, 0, 0, 0, 0) ?
			       0 :
			       -ENOMEM;
	path = cri_area_copy(rs, l->path, strlen(l->path) + 1);
	if (!path || !cri_op_sys(rs, th, "opening a file in /proc", SYS_openat,
				 AT_FDCWD, (int64_t)path, l->flags, 0, 0, 0))
		return -ENOMEM;
	if (!l->pos)
		return 0;
	op = cri_op_sys(rs, th, "setting a position", SYS_lseek, 0,
			(int64_t)l->pos, SEEK_SET, 0, 0, 0);
	if (op)
		op->flags |= RB_IGNORE;
	return op ? 0 : -ENOMEM;
}

static int move_op(struct cri_restore *rs, struct cri_rthread *th,
		   const struct cri_fd *fd)
{
	int cloexec = fd->flags & FD_CLOEXEC;

	if (fd->fd)
		return cri_op_sys(rs, th, "placing a descriptor", SYS_dup3, 0,
				  fd->fd, cloexec ? O_CLOEXEC : 0, 0, 0, 0) ?
			       0 :
			       -ENOMEM;
	return cri_op_sys(rs, th, "marking a descriptor", SYS_fcntl, 0, F_SETFD,
			  cloexec, 0, 0, 0) ?
		       0 :
		       -ENOMEM;
}

/* Every number of one open file; zero says whether 0 is one of them. */
static int place(struct cri_restore *rs, struct cri_rtask *t, uint32_t first,
		 const struct cri_late *l, bool *zero)
{
	const struct cri_rec_fdtable *f = t->files;
	struct cri_rthread *th = t->threads;
	uint32_t k;
	int ret;

	*zero = false;
	ret = open_op(rs, th, l);
	for (k = first; !ret && k < f->n_fds; k++) {
		if (f->fds[k].ofd != f->fds[first].ofd)
			continue;
		*zero = *zero || !f->fds[k].fd;
		ret = move_op(rs, th, &f->fds[k]);
	}
	if (ret || *zero)
		return ret;
	return cri_op_sys(rs, th, "closing a descriptor", SYS_close, 0, 0, 0, 0,
			  0, 0) ?
		       0 :
		       -ENOMEM;
}

static bool seen(const struct cri_rec_fdtable *f, uint32_t at)
{
	uint32_t k;

	for (k = 0; k < at; k++)
		if (f->fds[k].ofd == f->fds[at].ofd)
			return true;
	return false;
}

int cri_plan_late(struct cri_restore *rs, struct cri_rtask *t)
{
	const struct cri_rec_fdtable *f = t->files;
	struct cri_late l, last;
	uint32_t i, at = f->n_fds;
	bool zero;
	int ret;

	for (i = 0; i < f->n_fds; i++) {
		if (!is_late(rs, f->fds[i].ofd, &l) || seen(f, i))
			continue;
		/* Whoever stays at number 0 comes last. */
		if (!f->fds[i].fd) {
			at = i;
			last = l;
			continue;
		}
		ret = place(rs, t, i, &l, &zero);
		if (ret)
			return ret;
	}
	return at < f->n_fds ? place(rs, t, at, &last, &zero) : 0;
}

bool cri_late_fd(struct cri_restore *rs, uint32_t ofd)
{
	struct cri_late l;

	return is_late(rs, ofd, &l);
}

static int add_op(struct cri_restore *rs, struct cri_rtask *t, uint32_t set,
		  const struct cri_epoll_item *it)
{
	struct epoll_event ev = { .events = it->events };
	struct rb_op *op;
	void *p;

	ev.data.u64 = it->data;
	p = cri_area_copy(rs, &ev, sizeof(ev));
	op = p ? cri_op_sys(rs, t->threads, "adding to an epoll set",
			    SYS_epoll_ctl, set, EPOLL_CTL_ADD, it->fd,
			    (int64_t)p, 0, 0) :
		 NULL;
	if (op)
		op->flags |= RB_IGNORE; /* another holder was first */
	return op ? 0 : -ENOMEM;
}

/* Late descriptors in epoll sets: added by whoever holds both. */
int cri_plan_late_items(struct cri_restore *rs, struct cri_rtask *t)
{
	const struct cri_rec_fdtable *f = t->files;
	const struct cri_rec_ofd *ofd;
	const struct cri_rec_epoll *ep;
	uint32_t i, k;
	int ret = 0;

	for (i = 0; i < f->n_fds; i++) {
		ofd = cri_recset_find(rs->set, CRI_REC_OFD, f->fds[i].ofd);
		if (!ofd || ofd->type != CRI_REC_EPOLL)
			continue;
		ep = cri_recset_find(rs->set, CRI_REC_EPOLL, ofd->inode);
		for (k = 0; ep && !ret && k < ep->n_items; k++)
			if (ep->items[k].ofd &&
			    cri_late_fd(rs, ep->items[k].ofd))
				ret = add_op(rs, t, f->fds[i].fd,
					     &ep->items[k]);
	}
	return ret;
}
