/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output files.  All names are looked up in a directory that is opened once,
 * and never through a symbolic link, so that a directory of somebody else's
 * cannot lead the writer astray.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define IMAGE_MODE 0400
#define MAX_BACKUPS 100000

static int why(struct outfile *o, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int why(struct outfile *o, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o->why, sizeof(o->why), fmt, ap);
	va_end(ap);
	return -code;
}

static int open_dir(struct outfile *o, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char dir[4096];
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return why(o, EISDIR, "%s is a directory", path);
	if (strlen(name) >= sizeof(o->name) || n >= sizeof(dir))
		return why(o, ENAMETOOLONG, "%s: name too long", path);
	strcpy(o->name, name);
	if (!slash)
		strcpy(dir, ".");
	else if (!n)
		strcpy(dir, "/");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)n, path);
	o->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->dir_fd < 0)
		return why(o, errno, "directory %s: %s", dir, strerror(errno));
	return 0;
}

/* FIFOs and devices are written to as they are. */
static int open_special(struct outfile *o)
{
	o->fd = openat(o->dir_fd, o->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (o->fd < 0)
		return why(o, errno, "%s: %s", o->name, strerror(errno));
	o->borrowed = true;
	return 0;
}

static int open_clobber(struct outfile *o, const struct stat *st)
{
	if (st && st->st_nlink > 1)
		return why(o, EMLINK, "%s has more than one name", o->name);
	if (st) {
		o->fd = openat(o->dir_fd, o->name,
			       O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC);
		if (o->fd >= 0) {
			strcpy(o->tmp, o->name);
			return 0;
		}
		if (unlinkat(o->dir_fd, o->name, 0))
			return why(o, errno, "removing %s: %s", o->name,
				   strerror(errno));
	}
	o->fd = openat(o->dir_fd, o->name,
		       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       IMAGE_MODE);
	if (o->fd < 0)
		return why(o, errno, "creating %s: %s", o->name,
			   strerror(errno));
	strcpy(o->tmp, o->name);
	return 0;
}

/* A .NAME.tmp that nobody holds a lock on was left by a crash. */
static int remove_stale(struct outfile *o, const char *tmp)
{
	int fd, ret = 0;

	fd = openat(o->dir_fd, tmp, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else if (unlinkat(o->dir_fd, tmp, 0) && errno != ENOENT)
		ret = -errno;
	close(fd);
	return ret;
}

static int open_named(struct outfile *o)
{
	char tmp[sizeof(o->tmp)];
	int tries, ret;

	snprintf(tmp, sizeof(tmp), ".%s.tmp", o->name);
	for (tries = 0; tries < 3; tries++) {
		o->fd = openat(o->dir_fd, tmp,
			       O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
				       O_CLOEXEC,
			       IMAGE_MODE);
		if (o->fd >= 0 || errno != EEXIST)
			break;
		ret = remove_stale(o, tmp);
		if (ret == -EBUSY)
			return why(o, EBUSY,
				   "%s: another checkpoint writes there",
				   o->name);
		if (ret)
			return why(o, -ret, "removing the stale %s: %s", tmp,
				   strerror(-ret));
	}
	if (o->fd < 0)
		return why(o, errno, "creating %s: %s", tmp, strerror(errno));
	strcpy(o->tmp, tmp);
	(void)flock(o->fd, LOCK_EX | LOCK_NB);
	return 0;
}

/* Without a name where that is possible. */
static int open_new(struct outfile *o)
{
	o->fd = openat(o->dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC,
		       IMAGE_MODE);
	if (o->fd >= 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT ||
	    errno == EINVAL)
		return open_named(o);
	return why(o, errno, "creating %s: %s", o->name, strerror(errno));
}

int outfile_open(struct outfile *o, const char *path)
{
	struct stat st;
	bool exists;
	int ret;

	o->fd = -1;
	o->dir_fd = -1;
	o->borrowed = false;
	o->tmp[0] = '\0';
	o->why[0] = '\0';
	ret = open_dir(o, path);
	if (ret)
		return ret;
	exists = !fstatat(o->dir_fd, o->name, &st, AT_SYMLINK_NOFOLLOW);
	if (exists && S_ISDIR(st.st_mode))
		ret = why(o, EISDIR, "%s is a directory", path);
	else if (exists && o->mode == OUT_NOCLOBBER)
		ret = why(o, EEXIST, "%s is already there", path);
	else if (exists && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		ret = open_special(o);
	else if (o->mode == OUT_CLOBBER)
		ret = open_clobber(o, exists ? &st : NULL);
	else
		ret = open_new(o);
	if (ret)
		close(o->dir_fd);
	return ret;
}

int outfile_borrow(struct outfile *o, int fd)
{
	int flags;

	o->fd = fd;
	o->dir_fd = -1;
	o->borrowed = true;
	o->tmp[0] = '\0';
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return why(o, errno, "descriptor %d: %s", fd, strerror(errno));
	if ((flags & O_ACCMODE) == O_RDONLY)
		return why(o, EBADF, "descriptor %d is not open for writing",
			   fd);
	return 0;
}

/* Give the file without a name the one asked for. */
static int link_as(struct outfile *o, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	if (linkat(AT_FDCWD, self, o->dir_fd, name, AT_SYMLINK_FOLLOW))
		return -errno;
	return 0;
}

static int set_aside(struct outfile *o)
{
	char name[sizeof(o->name) + 16];
	int n;

	if (o->backup) {
		if (!renameat(o->dir_fd, o->name, AT_FDCWD, o->backup) ||
		    errno == ENOENT)
			return 0;
		return why(o, errno, "keeping %s as %s: %s", o->name,
			   o->backup, strerror(errno));
	}
	for (n = 1; n < MAX_BACKUPS; n++) {
		snprintf(name, sizeof(name), "%s.~%d~", o->name, n);
		/* A link first: the old image never lacks a name. */
		if (!linkat(o->dir_fd, o->name, o->dir_fd, name, 0) ||
		    errno == ENOENT)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return why(o, errno, "keeping %s as %s: %s", o->name, name,
		   strerror(errno));
}

/* The temporary name must still be ours before it replaces anything. */
static int check_tmp(struct outfile *o)
{
	struct stat ours, named;

	if (fstat(o->fd, &ours) ||
	    fstatat(o->dir_fd, o->tmp, &named, AT_SYMLINK_NOFOLLOW))
		return why(o, errno, "%s: %s", o->tmp, strerror(errno));
	if (ours.st_ino != named.st_ino || ours.st_dev != named.st_dev)
		return why(o, ESTALE, "%s was replaced by somebody", o->tmp);
	return 0;
}

static int place(struct outfile *o)
{
	int ret;

	if (!o->tmp[0]) {
		ret = link_as(o, o->name);
		if (!ret)
			return 0;
		if (ret != -EEXIST || o->mode == OUT_NOCLOBBER)
			return why(o, -ret, "%s: %s", o->name, strerror(-ret));
		snprintf(o->tmp, sizeof(o->tmp), ".%s.tmp", o->name);
		ret = link_as(o, o->tmp);
		if (ret == -EEXIST) {
			ret = remove_stale(o, o->tmp);
			if (!ret)
				ret = link_as(o, o->tmp);
		}
		if (ret) {
			o->tmp[0] = '\0';
			return why(o, -ret, "%s: %s", o->name, strerror(-ret));
		}
	}
	ret = check_tmp(o);
	if (ret)
		return ret;
	if (o->mode == OUT_NOCLOBBER)
		ret = renameat2(o->dir_fd, o->tmp, o->dir_fd, o->name,
				RENAME_NOREPLACE);
	else
		ret = renameat(o->dir_fd, o->tmp, o->dir_fd, o->name);
	if (ret)
		return why(o, errno, "%s: %s", o->name, strerror(errno));
	return 0;
}

int outfile_commit(struct outfile *o)
{
	int ret = 0;

	if (o->sync && fsync(o->fd) && errno != EINVAL && errno != ENOTSUP &&
	    errno != EROFS)
		ret = why(o, errno, "fsync: %s", strerror(errno));
	if (o->borrowed || ret)
		goto out;
	if (o->mode == OUT_BACKUP)
		ret = set_aside(o);
	if (ret)
		goto out;
	if (strcmp(o->tmp, o->name))
		ret = place(o);
	if (ret)
		goto out;
	o->tmp[0] = '\0';
	if (o->sync)
		(void)fsync(o->dir_fd);
out:
	if (!ret && !o->borrowed && close(o->fd))
		ret = why(o, errno, "closing %s: %s", o->name, strerror(errno));
	if (ret)
		outfile_abort(o);
	if (o->dir_fd >= 0)
		close(o->dir_fd);
	o->dir_fd = -1;
	o->fd = -1;
	return ret;
}

void outfile_abort(struct outfile *o)
{
	if (o->tmp[0])
		(void)unlinkat(o->dir_fd, o->tmp, 0);
	o->tmp[0] = '\0';
	if (!o->borrowed && o->fd >= 0)
		(void)close(o->fd);
	o->fd = -1;
}
