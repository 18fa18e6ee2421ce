/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Terminals.  A pty whose master is in the tree is made anew, with its number
 * where that is free, and its modes; any other terminal is cr_restart's own,
 * set to the modes that the program had chosen.
 */
#include "config.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <asm/ioctls.h>

#include "kind/util.h"

int ioctl(int fd, unsigned long request, ...);

/* <sys/ioctl.h> and <asm/termbits.h> do not go together. */
struct size {
	unsigned short row, col, xpixel, ypixel;
};

#define MASTER 1u
#define MAX_SPARE 64

static bool is_master(dev_t dev)
{
	return dev == makedev(5, 2);
}

static bool match(const struct cri_probe *p)
{
	unsigned int maj = major(p->st.st_rdev);

	if (!S_ISCHR(p->st.st_mode) || (uint32_t)fcntl(p->fd, F_GETFL) & O_PATH)
		return false;
	/* ptmx and console; virtual and serial lines; pty slaves */
	return (maj == 5 && minor(p->st.st_rdev) >= 1) || maj == 4 ||
	       maj == 204 || maj == 229 || (maj >= 136 && maj <= 143);
}

static uint32_t index_of(const struct cri_probe *p)
{
	unsigned int maj = major(p->st.st_rdev);
	unsigned int n = 0;

	if (is_master(p->st.st_rdev))
		return ioctl(p->fd, TIOCGPTN, &n) ? 0 : n;
	if (maj >= 136 && maj <= 143)
		return (maj - 136) * 256 + minor(p->st.st_rdev);
	/* Not a pty: a number of its own, beyond all of those. */
	return 0x80000000u | (maj << 20 & 0x7ff00000u) | minor(p->st.st_rdev);
}

static int modes(struct cri_probe *p, struct cri_rec_tty *r)
{
	struct termios2 t;
	struct size w;
	int v, ret = 0;

	if (!ioctl(p->fd, TCGETS2, &t))
		ret = cri_recset_bytes(p->set, &r->termios, &t, sizeof(t));
	if (!ret && !ioctl(p->fd, TIOCGWINSZ, &w))
		ret = cri_recset_bytes(p->set, &r->winsize, &w, sizeof(w));
	if (!ioctl(p->fd, TIOCGEXCL, &v))
		r->exclusive = v != 0;
	if (!is_master(p->st.st_rdev))
		return ret;
	if (!ioctl(p->fd, TIOCGPKT, &v))
		r->packet = v != 0;
	if (!ioctl(p->fd, TIOCGPTLCK, &v))
		r->locked = v != 0;
	return ret;
}

/* Numbers are the guardian's: those of tasks in the tree are translated. */
static void job_control(struct cri_probe *p, struct cri_rec_tty *r)
{
	struct cri_cproc *proc;
	int v = 0;

	if (!ioctl(p->fd, TIOCGSID, &v) && v > 0) {
		proc = cri_capture_by_pid(p->cap, v);
		r->sid = proc ? cri_capture_inner(proc) : 0;
	}
	v = 0;
	if (!ioctl(p->fd, TIOCGPGRP, &v) && v > 0) {
		proc = cri_capture_by_pid(p->cap, v);
		r->pgrp = proc ? cri_capture_inner(proc) : 0;
	}
}

static bool in_flight(int fd)
{
	int n = 0;

	return !ioctl(fd, FIONREAD, &n) && n > 0;
}

static int record_new(struct cri_probe *p, uint32_t index,
		      struct cri_rec_tty **out)
{
	struct cri_rec_tty *r = cri_recset_add(p->set, CRI_REC_TTY);

	if (!r)
		return -ENOMEM;
	r->index = index;
	r->kind = CRI_TTY_OUTSIDE;
	r->path = cri_recset_strdup(p->set, p->link);
	*out = r;
	if (!r->path)
		return -ENOMEM;
	return cri_capture_inode_put(p->cap, CRI_REC_TTY, 0, index + 1ul,
				     r->id);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	uint32_t index = index_of(p), id;
	bool master = is_master(p->st.st_rdev);
	struct cri_rec_tty *r;
	int ret;

	id = cri_capture_inode_get(p->cap, CRI_REC_TTY, 0, index + 1ul);
	r = id ? cri_recset_find(p->set, CRI_REC_TTY, id) : NULL;
	ret = r ? 0 : record_new(p, index, &r);
	if (ret)
		return ret;
	cri_kind_refer(p, r->id);
	if (master) {
		r->kind = CRI_TTY_PTY;
		p->ofd->end = MASTER;
	}
	if (!r->termios.len || master) {
		ret = modes(p, r);
		job_control(p, r);
	}
	/* A line typed but not yet read; what lies at an outside one stays. */
	if (!ret && in_flight(p->fd)) {
		r->to_slave.len = 0;
		r->flags |= master ? 2u : 1u;
	}
	(void)err;
	return ret;
}

static int link_ends(struct cri_capture *cap, struct cri_recset *set,
		     struct cri_err *err)
{
	struct cri_rec_tty *r;
	uint32_t i;

	(void)cap;
	cri_for_each(set, CRI_REC_TTY, i, r)
	{
		if (r->kind == CRI_TTY_PTY && r->flags)
			return cri_kind_blame(
				set, cri_kind_ofd(set, CRI_REC_TTY, r->id), err,
				EAGAIN,
				"is a pseudo terminal with text in flight");
	}
	return 0;
}

static struct cri_rec_tty *record(struct cri_restore *rs,
				  const struct cri_rec_ofd *ofd)
{
	return cri_recset_find(cri_restore_records(rs), CRI_REC_TTY,
			       ofd->inode);
}

static bool terminal(int fd)
{
	struct termios2 t;

	return ioctl(fd, TCGETS2, &t) == 0;
}

static bool fits_read(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_WRONLY;
}

static bool fits_write(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

/* The caller's terminal with flags of our own; else its stdin or stdout. */
static int open_outside(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
			int *fd, struct cri_err *err)
{
	bool write = ofd->num != 0 && (ofd->flags & O_ACCMODE) != O_RDONLY;
	int own = cri_kind_inherited(ofd, terminal);

	if (own >= 0) {
		*fd = cri_kind_reopen(own, ofd->flags);
		if (*fd < 0)
			*fd = own;
		else
			close(own);
		return 0;
	}
	*fd = open("/dev/tty", (int)(ofd->flags & (O_ACCMODE | O_NONBLOCK)) |
				       O_CLOEXEC | O_NOCTTY);
	if (*fd < 0)
		*fd = cri_kind_inherited(ofd, write ? fits_write : fits_read);
	if (*fd < 0) {
		cri_restore_log(rs, "fd %u was a terminal: /dev/null now",
				ofd->num);
		*fd = open("/dev/null",
			   (int)(ofd->flags & O_ACCMODE) | O_CLOEXEC);
	}
	return *fd < 0 ? cri_fail(err, errno, "/dev/null") : 0;
}

/* Numbers are given out lowest first: hold those below for a moment. */
static int new_master(uint32_t want, int flags)
{
	int spare[MAX_SPARE], n = 0, fd = -1;
	unsigned int got;

	while (n < MAX_SPARE) {
		fd = open("/dev/ptmx", flags | O_CLOEXEC | O_NOCTTY);
		if (fd < 0)
			break;
		if (ioctl(fd, TIOCGPTN, &got))
			got = 0xffffffff;
		if (got == want)
			break;
		spare[n++] = fd;
		fd = -1;
		if (got > want)
			break;
	}
	if (fd < 0 && n)
		fd = spare[--n]; /* taken: another number must do */
	while (n > 0)
		close(spare[--n]);
	return fd;
}

static int set_modes(const struct cri_rec_tty *r, int fd)
{
	if (r->termios.len == sizeof(struct termios2) &&
	    ioctl(fd, TCSETS2, r->termios.p))
		return -errno;
	if (r->winsize.len == sizeof(struct size))
		(void)ioctl(fd, TIOCSWINSZ, r->winsize.p);
	return 0;
}

static int open_slave(int master, uint32_t flags)
{
	int fd;

	flags &= O_ACCMODE | O_NONBLOCK | O_APPEND;
	fd = ioctl(master, TIOCGPTPEER, (int)flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

/* Other masters are dups of one description only: each has one. */
static int place_pty(struct cri_restore *rs, const struct cri_rec_tty *r,
		     const struct cri_rec_ofd *first, int master, int *fd)
{
	const struct cri_rec_ofd **list;
	size_t i, n;
	int new, ret;

	list = cri_kind_ofds(rs, CRI_REC_TTY, r->id, &n);
	if (!list)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		new = list[i]->end == MASTER ?
			      fcntl(master, F_DUPFD_CLOEXEC, 3) :
			      open_slave(master, list[i]->flags);
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

static int open_pty(struct cri_restore *rs, const struct cri_rec_tty *r,
		    const struct cri_rec_ofd *ofd, int *fd, struct cri_err *err)
{
	int master, off = 0, on = 1, peer, ret;
	unsigned int got = 0;

	master = new_master(r->index, O_RDWR);
	if (master < 0)
		return cri_fail(err, errno, "a new pseudo terminal");
	ret = ioctl(master, TIOCSPTLCK, &off) ? -errno : 0;
	/* Without any slave the master would read a hang-up at once. */
	peer = ret ? -1 : open_slave(master, O_RDWR);
	if (peer < 0 && !ret)
		ret = peer;
	if (!ret)
		ret = set_modes(r, peer);
	if (!ret)
		ret = place_pty(rs, r, ofd, master, fd);
	if (!ret && r->packet && ioctl(master, TIOCPKT, &on))
		ret = -errno;
	if (!ret && r->locked && ioctl(master, TIOCSPTLCK, &on))
		ret = -errno;
	if (!ret && r->exclusive && ioctl(peer, TIOCEXCL))
		ret = -errno;
	if (!ret && !ioctl(master, TIOCGPTN, &got) && got != r->index)
		cri_restore_log(rs,
				"/dev/pts/%u is taken: the terminal is "
				"/dev/pts/%u now",
				r->index, got);
	if (peer >= 0)
		close(peer);
	close(master);
	return ret ? cri_fail(err, -ret, "a pseudo terminal") : 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	const struct cri_rec_tty *r = record(rs, ofd);

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: terminal");
	if (r->kind == CRI_TTY_PTY)
		return open_pty(rs, r, ofd, fd, err);
	return open_outside(rs, ofd, fd, err);
}

/* A program that had its terminal raw finds it raw again. */
static int outside(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		   int fd, struct cri_err *err)
{
	const struct cri_rec_tty *r = record(rs, ofd);

	(void)err;
	if (!r || r->kind != CRI_TTY_OUTSIDE || !terminal(fd) ||
	    r->termios.len != sizeof(struct termios2))
		return 0;
	/* In the background that would stop us; the program will see to it. */
	if (tcgetpgrp(fd) == getpgrp())
		(void)ioctl(fd, TCSETS2, r->termios.p);
	return 0;
}

const struct cri_kind cri_kind_tty = {
	.type = CRI_REC_TTY,
	.name = "terminal",
	.match = match,
	.capture = capture,
	.link = link_ends,
	.open = open_again,
	.outside = outside,
};
