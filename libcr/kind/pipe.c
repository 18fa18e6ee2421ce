/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pipes and FIFOs with what is in them.  The content is looked at by tee(),
 * which takes nothing.  An end whose other end is neither in the tree nor
 * closed leads outside: cr_restart's own descriptor takes its place, by BLCR's
 * rule, and what was in the pipe stays with the one who wrote it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kind/util.h"

#define READER 1u
#define WRITER 2u
#define MAX_PIPE (64u << 20)

static bool match(const struct cri_probe *p)
{
	return S_ISFIFO(p->st.st_mode);
}

static uint32_t ends_of(uint32_t flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return READER;
	case O_WRONLY:
		return WRITER;
	default:
		return READER | WRITER;
	}
}

static int keep(struct cri_probe *p, struct cri_rec_pipe *r, const void *buf,
		size_t n)
{
	struct cri_packet *pkt = CRI_GROW(p->set, r->data, r->n_data);

	if (!pkt)
		return -ENOMEM;
	return cri_recset_bytes(p->set, &pkt->data, buf, n);
}

/* Empty our copy: one read gives a packet, or all when there are none. */
static int take(struct cri_probe *p, struct cri_rec_pipe *r, int fd, int total)
{
	char *buf = malloc((size_t)total);
	int ret = 0;
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	while (!ret && total > 0) {
		n = read(fd, buf, (size_t)total);
		if (n <= 0) {
			ret = n ? -errno : -EIO;
			break;
		}
		if (n < total)
			r->packets = 1;
		ret = keep(p, r, buf, (size_t)n);
		total -= (int)n;
	}
	free(buf);
	return ret;
}

static int copy_content(struct cri_probe *p, struct cri_rec_pipe *r,
			struct cri_err *err)
{
	int copy[2], total = 0, ret;
	ssize_t n;

	if (ioctl(p->fd, FIONREAD, &total) || total <= 0)
		return 0;
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK))
		return cri_fail(err, errno, "is a pipe: no pipe to copy it");
	(void)fcntl(copy[1], F_SETPIPE_SZ, (int)r->capacity);
	n = tee(p->fd, copy[1], (size_t)total, SPLICE_F_NONBLOCK);
	if (n == total)
		ret = take(p, r, copy[0], total);
	else
		ret = n < 0 ? -errno : -ENOSPC;
	close(copy[0]);
	close(copy[1]);
	if (ret)
		return cri_fail(err, -ret,
				"is a pipe whose %d bytes cannot be copied",
				total);
	return 0;
}

/* Nobody at the other end any more? */
static bool hung_up(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = 0 };

	return poll(&pfd, 1, 0) == 1 && pfd.revents & (POLLHUP | POLLERR);
}

static int record_new(struct cri_probe *p, struct cri_rec_pipe **out)
{
	struct cri_rec_pipe *r = cri_recset_add(p->set, CRI_REC_PIPE);
	int size = fcntl(p->fd, F_GETPIPE_SZ);

	if (!r)
		return -ENOMEM;
	r->capacity = size > 0 ? (uint32_t)size : 65536;
	r->mode = p->st.st_mode;
	r->path = cri_recset_strdup(p->set, p->link[0] == '/' ? p->link : "");
	if (!r->path)
		return -ENOMEM;
	*out = r;
	return cri_capture_inode_put(p->cap, CRI_REC_PIPE, p->st.st_dev,
				     p->st.st_ino, r->id);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	uint32_t id = cri_capture_inode_get(p->cap, CRI_REC_PIPE, p->st.st_dev,
					    p->st.st_ino);
	uint32_t ends = ends_of(p->ofd->flags), had;
	struct cri_rec_pipe *r;
	int ret;

	r = id ? cri_recset_find(p->set, CRI_REC_PIPE, id) : NULL;
	ret = r ? 0 : record_new(p, &r);
	if (ret)
		return ret;
	had = r->ends;
	cri_kind_refer(p, r->id);
	p->ofd->end = ends == READER ? 0 : ends == WRITER ? 1 : 2;
	r->ends |= ends;
	if (ends & WRITER && p->ofd->flags & O_DIRECT)
		r->packets = 1;
	/* Decided for good in link, when all ends are known. */
	r->outside = hung_up(p->fd) ? 0 : 1;
	if (ends & READER && !(had & READER))
		return copy_content(p, r, err);
	return 0;
}

static int link_ends(struct cri_capture *cap, struct cri_recset *set,
		     struct cri_err *err)
{
	struct cri_rec_pipe *r;
	uint32_t i;

	(void)cap;
	(void)err;
	cri_for_each(set, CRI_REC_PIPE, i, r)
	{
		if (r->ends == (READER | WRITER))
			r->outside = 0;
		/* Its writer keeps what we could not give back in order. */
		if (r->outside && !r->path[0])
			r->n_data = 0;
	}
	return 0;
}

static const struct cri_rec_pipe *record(struct cri_restore *rs,
					 const struct cri_rec_ofd *ofd)
{
	return cri_recset_find(cri_restore_records(rs), CRI_REC_PIPE,
			       ofd->inode);
}

static bool readable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
}

static bool writable(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* From the caller, shared with it as in a shell; /dev/null if it has none. */
static int open_outside(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
			int *fd, struct cri_err *err)
{
	*fd = cri_kind_inherited(ofd, ofd->end ? writable : readable);
	if (*fd >= 0)
		return 0;
	cri_restore_log(rs, "fd %u was a pipe to outside: /dev/null now",
			ofd->num);
	*fd = open("/dev/null", (int)(ofd->flags & O_ACCMODE) | O_CLOEXEC);
	return *fd < 0 ? cri_fail(err, errno, "/dev/null") : 0;
}

static int write_content(const struct cri_rec_pipe *r, int fd)
{
	uint32_t i;
	ssize_t n;

	if (r->capacity > MAX_PIPE)
		return -EBADMSG;
	if (fcntl(fd, F_SETPIPE_SZ, (int)r->capacity) < 0 && r->n_data)
		return -errno;
	if (fcntl(fd, F_SETFL, O_NONBLOCK | (r->packets ? O_DIRECT : 0)))
		return -errno;
	for (i = 0; i < r->n_data; i++) {
		n = write(fd, r->data[i].data.p, r->data[i].data.len);
		if (n != (ssize_t)r->data[i].data.len)
			return n < 0 ? -errno : -ENOSPC;
	}
	return fcntl(fd, F_SETFL, 0) ? -errno : 0;
}

/* A FIFO's name is made again when it is not there. */
static int base_fifo(struct cri_restore *rs, const struct cri_rec_pipe *r)
{
	const char *path = cri_restore_path(rs, r->path);
	struct stat st;
	int fd;

	if (lstat(path, &st) && errno == ENOENT &&
	    mkfifo(path, r->mode & 07777) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISFIFO(st.st_mode)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* All open files of one pipe at once, from a description of both ends. */
static int place_all(struct cri_restore *rs, const struct cri_rec_ofd *first,
		     int base, int *fd)
{
	const struct cri_rec_ofd **list;
	size_t i, n;
	int new, ret;

	list = cri_kind_ofds(rs, CRI_REC_PIPE, first->inode, &n);
	if (!list)
		return -ENOMEM;
	*fd = -1;
	for (i = 0; i < n; i++) {
		new = cri_kind_reopen(base,
				      (list[i]->flags & ~(uint32_t)O_DIRECT) |
					      O_NONBLOCK);
		if (new < 0)
			return new;
		ret = cri_kind_status(new, list[i]->flags);
		if (ret) {
			close(new);
			return ret;
		}
		if (list[i] == first) {
			*fd = new;
			continue;
		}
		ret = cri_restore_place(rs, list[i]->id, new);
		if (ret)
			return ret;
	}
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	const struct cri_rec_pipe *r = record(rs, ofd);
	int ends[2] = { -1, -1 }, base, ret;

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: pipe");
	if (r->outside && !r->path[0])
		return open_outside(rs, ofd, fd, err);
	if (r->path[0] && !strstr(r->path, " (deleted)")) {
		base = base_fifo(rs, r);
	} else {
		/* Opening it again through /proc gives either end. */
		base = pipe2(ends, O_CLOEXEC) ?
			       -errno :
			       cri_kind_reopen(ends[1], O_RDWR);
	}
	ret = base < 0 ? base : write_content(r, base);
	if (!ret)
		ret = place_all(rs, ofd, base, fd);
	if (base >= 0)
		close(base);
	if (ends[0] >= 0) {
		close(ends[0]);
		close(ends[1]);
	}
	if (ret)
		return cri_fail(err, -ret, "a pipe%s%s", r->path[0] ? " " : "",
				r->path);
	return 0;
}

const struct cri_kind cri_kind_pipe = {
	.type = CRI_REC_PIPE,
	.name = "pipe",
	.match = match,
	.capture = capture,
	.link = link_ends,
	.open = open_again,
};
