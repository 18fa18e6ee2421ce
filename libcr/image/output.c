/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Output of an image.  Owns nothing but the O_DIRECT flag that it set on the
 * caller's open file.  A file system that refuses O_DIRECT or preallocation,
 * at once or later, gets plain writes.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define STEP_MIN (64ull << 20)
#define STEP_MAX (1024ull << 20)

int cri_output_init(struct cri_output *o, int fd, bool direct)
{
	struct statfs fs;
	struct stat st;
	int flags;

	memset(o, 0, sizeof(*o));
	o->fd = fd;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_RDONLY || flags & O_PATH)
		return -EBADF;
	if (fstat(fd, &st))
		return -errno;
	o->stream = !S_ISREG(st.st_mode) || flags & O_APPEND ||
		    lseek(fd, 0, SEEK_CUR) != 0;
	if (o->stream)
		return 0;
	/* tmpfs would only clear pages that are written right away. */
	o->prealloc = !fstatfs(fd, &fs) && fs.f_type != TMPFS_MAGIC;
	if (direct && o->prealloc && !(flags & O_DIRECT) &&
	    !fcntl(fd, F_SETFL, flags | O_DIRECT)) {
		o->set_direct = true;
		o->direct = true;
	}
	return 0;
}

void cri_output_reserve(struct cri_output *o, uint64_t end)
{
	uint64_t step = end;

	if (o->stream || !o->prealloc || end <= o->allocated)
		return;
	if (step < STEP_MIN)
		step = STEP_MIN;
	if (step > STEP_MAX)
		step = STEP_MAX;
	if (fallocate(o->fd, 0, (off_t)o->allocated,
		      (off_t)(end + step - o->allocated)))
		o->prealloc = false;
	else
		o->allocated = end + step;
}

static void drop_direct(struct cri_output *o)
{
	int flags = fcntl(o->fd, F_GETFL);

	if (flags >= 0)
		(void)fcntl(o->fd, F_SETFL, flags & ~O_DIRECT);
	o->direct = false;
}

static int write_file(struct cri_output *o, const char *p, size_t len,
		      uint64_t at)
{
	ssize_t n;

	while (len) {
		n = pwrite(o->fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		/* Also after a short direct write to an odd place. */
		if (n < 0 && errno == EINVAL && o->direct) {
			drop_direct(o);
			continue;
		}
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int wait_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int write_stream(int fd, const char *p, size_t len)
{
	ssize_t n;
	int ret;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			ret = wait_writable(fd);
			if (ret)
				return ret;
			continue;
		}
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A reader that went away is an error to report, not the end of us. */
static int write_quietly(int fd, const void *p, size_t len)
{
	const struct timespec now = { 0 };
	sigset_t pipe_only, old, pending;
	int ret;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigemptyset(&pending);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	ret = write_stream(fd, p, len);
	if (ret == -EPIPE && !sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe_only, NULL, &now) < 0 &&
		       errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int cri_output_write(struct cri_output *o, const void *p, size_t len,
		     uint64_t at)
{
	if (o->stream)
		return write_quietly(o->fd, p, len);
	return write_file(o, p, len, at);
}

int cri_output_finish(struct cri_output *o, uint64_t size)
{
	struct stat st;

	if (o->stream)
		return 0;
	if (fstat(o->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size == size)
		return 0;
	while (ftruncate(o->fd, (off_t)size))
		if (errno != EINTR)
			return -errno;
	return 0;
}

void cri_output_fini(struct cri_output *o)
{
	if (o->set_direct)
		drop_direct(o);
}
