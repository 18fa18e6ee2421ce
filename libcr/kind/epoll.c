/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Epoll sets.  fdinfo lists for each item the descriptor number under which it
 * was added; kcmp() tells whether that number still means the same open file.
 * The number is part of the item's name, so at a restart each is added under
 * it, with the planner's own descriptor of that number moved away meanwhile.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/util.h"

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "[eventpoll]");
}

static int item(struct cri_probe *p, struct cri_rec_epoll *r, const char *line)
{
	unsigned int fd, events;
	unsigned long long data;
	struct cri_epoll_item *it;

	if (sscanf(line, "tfd: %u events: %x data: %llx", &fd, &events,
		   &data) != 3)
		return 0;
	it = CRI_GROW(p->set, r->items, r->n_items);
	if (!it)
		return -ENOMEM;
	it->fd = fd;
	it->events = events;
	it->data = data;
	return 0;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_epoll *r = cri_recset_add(p->set, CRI_REC_EPOLL);
	const char *line = p->fdinfo;
	int ret;

	(void)err;
	if (!r)
		return -ENOMEM;
	while (line) {
		if (strncmp(line, "tfd:", 4) == 0) {
			ret = item(p, r, line);
			if (ret)
				return ret;
		}
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	cri_kind_refer(p, r->id);
	return 0;
}

/* Is fd of proc the file behind the item of the set efd of owner? */
static bool is_target(struct cri_cproc *owner, uint32_t efd,
		      struct cri_cproc *proc, uint32_t fd)
{
	struct kcmp_epoll_slot slot = { .efd = efd, .tfd = fd, .toff = 0 };

	return syscall(SYS_kcmp, cri_capture_pid(proc), cri_capture_pid(owner),
		       KCMP_EPOLL_TFD, (unsigned long)fd,
		       (unsigned long)&slot) == 0;
}

static uint32_t target(struct cri_capture *cap, struct cri_recset *set,
		       const struct cri_rec_ofd *ofd, uint32_t fd)
{
	struct cri_rec_task *task;
	struct cri_cproc *owner, *proc;
	uint32_t i, id;

	task = cri_recset_find(set, CRI_REC_TASK, ofd->task);
	owner = task ? cri_capture_proc(cap, (pid_t)task->pid) : NULL;
	if (!owner)
		return 0;
	id = cri_capture_ofd_of(cap, owner, (int)fd);
	if (id && is_target(owner, ofd->num, owner, fd))
		return id;
	/* Closed there, but another process may still have it. */
	cri_for_each(set, CRI_REC_TASK, i, task)
	{
		proc = cri_capture_proc(cap, (pid_t)task->pid);
		id = proc ? cri_capture_ofd_of(cap, proc, (int)fd) : 0;
		if (id && is_target(owner, ofd->num, proc, fd))
			return id;
	}
	return 0;
}

static int link_items(struct cri_capture *cap, struct cri_recset *set,
		      struct cri_err *err)
{
	const struct cri_rec_ofd *ofd;
	struct cri_rec_epoll *r;
	uint32_t i, k;

	(void)err;
	cri_for_each(set, CRI_REC_OFD, i, ofd)
	{
		if (ofd->type != CRI_REC_EPOLL)
			continue;
		r = cri_recset_find(set, CRI_REC_EPOLL, ofd->inode);
		for (k = 0; r && k < r->n_items; k++)
			r->items[k].ofd = target(cap, set, ofd, r->items[k].fd);
	}
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	if (!cri_recset_find(cri_restore_records(rs), CRI_REC_EPOLL,
			     ofd->inode))
		return cri_fail(err, EBADMSG, "damaged image: epoll");
	*fd = epoll_create1(EPOLL_CLOEXEC);
	if (*fd < 0)
		return cri_fail(err, errno, "epoll");
	return cri_kind_status(*fd, ofd->flags);
}

/* Add the file under the number num, whatever that number is to us now. */
static int add(int epfd, int file, int num, struct epoll_event *ev)
{
	int flags = fcntl(num, F_GETFD), saved = -1, ret = 0;

	if (file == num || num == epfd)
		return epoll_ctl(epfd, EPOLL_CTL_ADD, file, ev) ? -errno : 0;
	if (flags >= 0) {
		saved = fcntl(num, F_DUPFD_CLOEXEC, num + 1);
		if (saved < 0)
			return -errno;
	}
	if (dup3(file, num, O_CLOEXEC) < 0 ||
	    epoll_ctl(epfd, EPOLL_CTL_ADD, num, ev))
		ret = -errno;
	if (saved < 0) {
		close(num);
		return ret;
	}
	if (dup3(saved, num, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0 && !ret)
		ret = -errno;
	close(saved);
	return ret;
}

static int fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd, int fd,
		struct cri_err *err)
{
	struct cri_rec_epoll *r = cri_recset_find(cri_restore_records(rs),
						  CRI_REC_EPOLL, ofd->inode);
	struct epoll_event ev;
	uint32_t i;
	int file, ret;

	for (i = 0; r && i < r->n_items; i++) {
		const struct cri_epoll_item *it = &r->items[i];

		file = it->ofd ? cri_restore_fd(rs, it->ofd) : -1;
		if (file < 0 || it->fd >= (uint32_t)cri_restore_base(rs))
			continue; /* gone, or added by its holder */
		ev.events = it->events;
		ev.data.u64 = it->data;
		ret = add(fd, file, (int)it->fd, &ev);
		if (ret && ret != -EEXIST)
			return cri_fail(err, -ret,
					"adding fd %u to an epoll set", it->fd);
	}
	return 0;
}

const struct cri_kind cri_kind_epoll = {
	.type = CRI_REC_EPOLL,
	.name = "epoll set",
	.match = match,
	.capture = capture,
	.link = link_items,
	.open = open_again,
	.fill = fill,
};
