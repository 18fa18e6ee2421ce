/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of file locks: fcntl locks with their ranges and owners, open file
 * description locks, flock; all back before any restored process runs.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "conform.h"

static int fd, ofd, ofd2, flk, flk2;
static pid_t kid;

static int lock(int on, int cmd, short type, off_t from, off_t len)
{
	struct flock fl = { .l_type = type, .l_start = from, .l_len = len };

	return fcntl(on, cmd, &fl);
}

/* Who holds a lock that we would like: 0 nobody. */
static pid_t holder(int on, short type, off_t from, off_t len, short *what)
{
	struct flock fl = { .l_type = type, .l_start = from, .l_len = len };

	NEED(fcntl(on, F_GETLK, &fl));
	*what = fl.l_type;
	return fl.l_type == F_UNLCK ? 0 : fl.l_pid;
}

static void lock_child(struct conform *c, long arg)
{
	short what;

	NEED(lock(fd, F_SETLK, F_RDLCK, 1000, 100));
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(holder(fd, F_RDLCK, 0, 10, &what), c->pid);
	CHECK_EQ(what, F_WRLCK);
	CHECK(lock(fd, F_SETLK, F_WRLCK, 5, 1) == -1, "no conflict");
	while (access("done", F_OK))
		conform_msleep(2);
	CHECK_EQ(arg, 1);
}

static void posix_setup(struct conform *c)
{
	fd = (int)NEED(open("file", O_RDWR | O_CREAT, 0644));
	NEED(lock(fd, F_SETLK, F_WRLCK, 0, 10));
	NEED(lock(fd, F_SETLK, F_RDLCK, 2000, 0));
	kid = conform_child(c, lock_child, 1);
}

static void posix_after(struct conform *c)
{
	short what;

	CHECK_EQ(holder(fd, F_WRLCK, 1050, 1, &what), kid);
	CHECK_EQ(what, F_RDLCK);
	CHECK_EQ(holder(fd, F_WRLCK, 500, 1, &what), 0);
	conform_msleep(50);
	close((int)NEED(open("done", O_WRONLY | O_CREAT, 0644)));
	conform_join(c, kid, 1);
	CHECK_EQ(holder(fd, F_WRLCK, 1050, 1, &what), 0);
}

static void ofd_setup(struct conform *c)
{
	(void)c;
	ofd = (int)NEED(open("ofd", O_RDWR | O_CREAT, 0644));
	ofd2 = (int)NEED(open("ofd", O_RDWR));
	NEED(lock(ofd, F_OFD_SETLK, F_WRLCK, 10, 10));
	NEED(lock(ofd2, F_OFD_SETLK, F_RDLCK, 100, 10));
	flk = (int)NEED(open("flock", O_RDWR | O_CREAT, 0644));
	flk2 = (int)NEED(open("flock", O_RDWR));
	NEED(flock(flk, LOCK_EX));
}

static void ofd_after(struct conform *c)
{
	(void)c;
	CHECK(lock(ofd2, F_OFD_SETLK, F_RDLCK, 15, 1) == -1 && errno == EAGAIN,
	      "an OFD lock is lost");
	CHECK(lock(ofd, F_OFD_SETLK, F_WRLCK, 105, 1) == -1, "the other OFD "
							     "lock is lost");
	NEED(lock(ofd, F_OFD_SETLK, F_WRLCK, 50, 1));
	CHECK(flock(flk2, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK,
	      "the flock is lost");
	NEED(flock(flk, LOCK_UN));
	NEED(flock(flk2, LOCK_EX | LOCK_NB));
}

const struct conform_kind conform_kinds[] = {
	{ .name = "lock_posix",
	  .setup = posix_setup,
	  .continued = posix_after },
	{ .name = "lock_ofd_flock",
	  .setup = ofd_setup,
	  .continued = ofd_after },
	{ .name = NULL },
};
