/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches on files.  The kernel tells inode and device of what is watched, not
 * its name; the name is looked for by the file handle (root) or among what the
 * tree has open, works in, and the directories around that, a bounded number
 * of names.  What is not found is refused.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kind/util.h"

#define SETNEXTWD _IOW('I', 0, int32_t)
#define MAX_NAMES 20000u
#define MAX_TRIES 65536

/* A watch as fdinfo shows it. */
struct shown {
	unsigned int wd;
	unsigned long ino;
	unsigned int sdev;
	unsigned int mask;
	unsigned int type;
	unsigned char handle[128];
	size_t len;
};

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "inotify");
}

static void handle(struct shown *w, const char *line)
{
	const char *at = strstr(line, "fhandle-type:");
	unsigned int byte;

	w->len = 0;
	if (!at || sscanf(at, "fhandle-type:%x", &w->type) != 1)
		return;
	at = strstr(at, "f_handle:");
	for (at = at ? at + 9 : "";
	     w->len < sizeof(w->handle) && sscanf(at, "%2x", &byte) == 1;
	     at += 2)
		w->handle[w->len++] = (unsigned char)byte;
}

static bool same(const struct stat *st, const struct shown *w)
{
	/* The kernel's own form of a device number: 12 and 20 bits. */
	return st->st_ino == w->ino && major(st->st_dev) == w->sdev >> 20 &&
	       minor(st->st_dev) == (w->sdev & 0xfffff);
}

struct seek {
	const struct shown *w;
	unsigned int budget;
	char path[PATH_MAX];
};

static bool try_path(struct seek *s, const char *path)
{
	struct stat st;

	if (!path || path[0] != '/' || !s->budget)
		return false;
	s->budget--;
	if (lstat(path, &st) || !same(&st, s->w))
		return false;
	snprintf(s->path, sizeof(s->path), "%s", path);
	return true;
}

/* The names in a directory. */
static bool try_dir(struct seek *s, const char *dir)
{
	char path[PATH_MAX];
	struct dirent *e;
	bool found = false;
	DIR *d = opendir(dir);

	if (!d)
		return false;
	while (!found && s->budget && (e = readdir(d))) {
		if (e->d_ino != s->w->ino && e->d_type != DT_DIR)
			continue;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s",
			 strcmp(dir, "/") ? dir : "", e->d_name);
		found = try_path(s, path);
	}
	closedir(d);
	return found;
}

/* The path, the directories above it, and the names beside it. */
static bool try_around(struct seek *s, const char *start)
{
	char path[PATH_MAX], *slash;

	if (!start || start[0] != '/' || strlen(start) >= sizeof(path))
		return false;
	strcpy(path, start);
	if (try_path(s, path) || try_dir(s, path))
		return true;
	while ((slash = strrchr(path, '/')) != NULL && slash != path) {
		*slash = '\0';
		if (try_path(s, path) || try_dir(s, path))
			return true;
	}
	return try_path(s, "/") || try_dir(s, "/");
}

/* Root may ask the file system of the inode itself. */
static bool by_handle(const struct shown *w, const char *mount, char *path,
		      size_t size)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + 128];
	} u;
	char proc[64];
	struct stat st;
	ssize_t n;
	int dir, fd;

	if (!w->len || w->len > 128)
		return false;
	memset(&u, 0, sizeof(u));
	u.h.handle_bytes = (unsigned int)w->len;
	u.h.handle_type = (int)w->type;
	memcpy(u.h.f_handle, w->handle, w->len);
	dir = open(mount, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (dir < 0)
		return false;
	fd = open_by_handle_at(dir, &u.h, O_PATH | O_CLOEXEC);
	close(dir);
	if (fd < 0)
		return false;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = fstat(fd, &st) || !same(&st, w) ? -1 :
					      readlink(proc, path, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return lstat(path, &st) == 0 && same(&st, w);
}

static bool any_handle(struct seek *s, struct cri_recset *set)
{
	struct cri_rec_file *f;
	struct cri_rec_fs *fs;
	uint32_t i;

	if (geteuid() != 0)
		return false;
	cri_for_each(set, CRI_REC_FS, i, fs)
	{
		if (fs->cwd &&
		    by_handle(s->w, fs->cwd, s->path, sizeof(s->path)))
			return true;
	}
	if (by_handle(s->w, "/", s->path, sizeof(s->path)) ||
	    by_handle(s->w, "/tmp", s->path, sizeof(s->path)) ||
	    by_handle(s->w, "/dev/shm", s->path, sizeof(s->path)))
		return true;
	cri_for_each(set, CRI_REC_FILE, i, f)
	{
		if (!f->unlinked && i < 64 &&
		    by_handle(s->w, f->path, s->path, sizeof(s->path)))
			return true;
	}
	return false;
}

static bool find(struct seek *s, struct cri_recset *set)
{
	struct cri_rec_file *f;
	struct cri_rec_fs *fs;
	uint32_t i;

	if (any_handle(s, set))
		return true;
	cri_for_each(set, CRI_REC_FS, i, fs)
	{
		if (try_around(s, fs->cwd))
			return true;
	}
	cri_for_each(set, CRI_REC_FILE, i, f)
	{
		if (!f->unlinked && try_around(s, f->path))
			return true;
	}
	return try_dir(s, "/tmp") || try_dir(s, "/dev/shm") ||
	       try_dir(s, "/var/tmp") || try_dir(s, "/etc") ||
	       try_dir(s, "/run");
}

static int watch(struct cri_probe *p, struct cri_rec_inotify *r,
		 const char *line, struct cri_err *err)
{
	struct cri_watch *w;
	struct seek *s;
	struct shown shown;
	int ret = -ENOMEM;

	if (sscanf(line, "inotify wd:%x ino:%lx sdev:%x mask:%x", &shown.wd,
		   &shown.ino, &shown.sdev, &shown.mask) != 4)
		return 0;
	handle(&shown, line);
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->w = &shown;
	s->budget = MAX_NAMES;
	if (!find(s, p->set)) {
		ret = cri_fail(err, ENOTSUP,
			       "is an inotify set that watches inode %lu, "
			       "whose name was not found (not supported)",
			       shown.ino);
		goto out;
	}
	w = CRI_GROW(p->set, r->watches, r->n_watches);
	if (!w)
		goto out;
	w->wd = shown.wd;
	w->mask = shown.mask;
	w->path = cri_recset_strdup(p->set, s->path);
	ret = w->path ? 0 : -ENOMEM;
out:
	free(s);
	return ret;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_inotify *r;
	const char *line = p->fdinfo;
	int ret, queued = 0;

	if (!ioctl(p->fd, FIONREAD, &queued) && queued)
		return cri_fail(err, EAGAIN,
				"is an inotify set with events not yet read");
	r = cri_recset_add(p->set, CRI_REC_INOTIFY);
	if (!r)
		return -ENOMEM;
	while (line) {
		ret = strncmp(line, "inotify wd:", 11) ? 0 :
							 watch(p, r, line, err);
		if (ret)
			return ret;
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	cri_kind_refer(p, r->id);
	return 0;
}

/* A watch with its old number: set, or reached by counting. */
static int add(int fd, const struct cri_watch *w, const char *path)
{
	uint32_t mask = w->mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
	int32_t next = (int32_t)w->wd;
	int i, wd;

	if (ioctl(fd, SETNEXTWD, &next)) {
		for (i = 0; i < MAX_TRIES; i++) {
			wd = inotify_add_watch(fd, path, mask);
			if (wd < 0 || wd == (int)w->wd)
				return wd < 0 ? -errno : 0;
			if (wd > (int)w->wd || inotify_rm_watch(fd, wd))
				return -EEXIST;
		}
		return -EEXIST;
	}
	wd = inotify_add_watch(fd, path, mask);
	if (wd < 0)
		return -errno;
	return wd == (int)w->wd ? 0 : -EEXIST;
}

static int by_wd(const void *a, const void *b)
{
	const struct cri_watch *x = a, *y = b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

/* Removed watches leave IN_IGNORED in the queue. */
static void drain(int fd)
{
	char buf[4096] __attribute__((aligned(8)));
	int queued = 0;

	while (!ioctl(fd, FIONREAD, &queued) && queued > 0)
		if (read(fd, buf, sizeof(buf)) <= 0)
			break;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	struct cri_rec_inotify *r = cri_recset_find(
		cri_restore_records(rs), CRI_REC_INOTIFY, ofd->inode);
	const char *path;
	uint32_t i;
	int ret;

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: inotify");
	*fd = inotify_init1(IN_CLOEXEC);
	if (*fd < 0)
		return cri_fail(err, errno, "inotify");
	if (r->n_watches)
		qsort(r->watches, r->n_watches, sizeof(*r->watches), by_wd);
	for (i = 0; i < r->n_watches; i++) {
		path = cri_restore_path(rs, r->watches[i].path);
		ret = add(*fd, &r->watches[i], path);
		if (ret)
			return cri_fail(err, -ret, "watching %s", path);
	}
	return cri_kind_status(*fd, ofd->flags);
}

/* What the restart itself did to watched files is none of the program's. */
static int quiet(struct cri_restore *rs, const struct cri_rec_ofd *ofd, int fd,
		 struct cri_err *err)
{
	(void)rs;
	(void)ofd;
	(void)err;
	drain(fd);
	return 0;
}

const struct cri_kind cri_kind_inotify = {
	.type = CRI_REC_INOTIFY,
	.name = "inotify set",
	.match = match,
	.capture = capture,
	.open = open_again,
	.outside = quiet,
};
