/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices without state (null, zero, full, random, urandom, tty) and files of
 * pseudo file systems: opened again by name.  Files of a process in the tree
 * exist only once that process does, so each holder opens them itself.
 */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kind/util.h"

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif

static bool pseudo(const struct cri_probe *p)
{
	struct statfs fs;

	if (fstatfs(p->fd, &fs))
		return false;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case MQUEUE_MAGIC:
	case SECURITYFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static bool is_tty(const struct cri_probe *p)
{
	return p->st.st_rdev == makedev(5, 0);
}

/* null zero full random urandom kmsg */
static bool stateless(dev_t dev)
{
	return major(dev) == 1 &&
	       (minor(dev) == 3 || minor(dev) == 5 || minor(dev) == 7 ||
		minor(dev) == 8 || minor(dev) == 9 || minor(dev) == 11);
}

static bool match(const struct cri_probe *p)
{
	if (p->link[0] != '/')
		return false;
	if (S_ISCHR(p->st.st_mode))
		return is_tty(p) || stateless(p->st.st_rdev);
	if (S_ISREG(p->st.st_mode) || S_ISDIR(p->st.st_mode) ||
	    S_ISLNK(p->st.st_mode))
		return pseudo(p);
	return false;
}

/* The process a path in /proc is of, 0 none. */
static uint32_t owner_pid(const char *path)
{
	unsigned long pid;
	char *end;

	if (strncmp(path, "/proc/", 6) != 0 || !isdigit((unsigned char)path[6]))
		return 0;
	pid = strtoul(path + 6, &end, 10);
	if (*end != '/' && *end != '\0')
		return 0;
	return pid > 0x7fffffff ? 0 : (uint32_t)pid;
}

static int check(const struct cri_probe *p, struct cri_err *err)
{
	struct statfs fs;
	uint32_t pid = owner_pid(p->link);

	if (!fstatfs(p->fd, &fs) && fs.f_type == MQUEUE_MAGIC)
		return cri_fail(err, ENOTSUP,
				"is the POSIX message queue %.150s (not "
				"supported)",
				p->link);
	if (pid > 1 && !cri_capture_proc(p->cap, (pid_t)pid) &&
	    !cri_capture_by_pid(p->cap, (pid_t)pid))
		return cri_fail(err, ENOTSUP,
				"is %.150s of a process that is not part of "
				"the checkpoint (not supported)",
				p->link);
	return 0;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_special *r;
	struct cri_cproc *proc;
	uint32_t pid = owner_pid(p->link);
	int ret;

	ret = check(p, err);
	if (ret)
		return ret;
	r = cri_recset_add(p->set, CRI_REC_SPECIAL);
	if (!r)
		return -ENOMEM;
	r->path = cri_recset_strdup(p->set, p->link);
	r->rdev = p->st.st_rdev;
	r->mode = p->st.st_mode;
	proc = pid ? cri_capture_proc(p->cap, (pid_t)pid) : NULL;
	if (proc)
		r->task = cri_capture_task_id(proc);
	cri_kind_refer(p, r->id);
	return r->path ? 0 : -ENOMEM;
}

static const struct cri_rec_special *record(struct cri_restore *rs,
					    const struct cri_rec_ofd *ofd)
{
	return cri_recset_find(cri_restore_records(rs), CRI_REC_SPECIAL,
			       ofd->inode);
}

static uint32_t open_flags(const struct cri_rec_ofd *ofd)
{
	return (ofd->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC)) |
	       O_CLOEXEC | O_NOCTTY;
}

static bool late(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		 struct cri_late *l)
{
	const struct cri_rec_special *r = record(rs, ofd);

	if (!r || !r->task || strlen(r->path) >= sizeof(l->path))
		return false;
	strcpy(l->path, r->path);
	l->flags = open_flags(ofd);
	l->pid = 0;
	l->pos = ofd->pos;
	return true;
}

static int verify(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  struct cri_err *err)
{
	const struct cri_rec_special *r = record(rs, ofd);

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: pseudo file");
	if (r->task || r->rdev == makedev(5, 0))
		return 0;
	if (access(cri_restore_path(rs, r->path), F_OK))
		return cri_fail(err, errno, "%s is not there",
				cri_restore_path(rs, r->path));
	return 0;
}

static bool terminal(int fd)
{
	return isatty(fd);
}

/* The caller's terminal stands in for the one that the program had. */
static int open_tty(const struct cri_rec_ofd *ofd)
{
	int fd = open("/dev/tty", (int)open_flags(ofd)), any;

	if (fd >= 0)
		return fd;
	any = cri_kind_inherited(ofd, terminal);
	if (any < 0)
		return open("/dev/null", (int)open_flags(ofd));
	fd = cri_kind_reopen(any, ofd->flags);
	if (fd < 0)
		return any;
	close(any);
	return fd;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	const struct cri_rec_special *r = record(rs, ofd);

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: pseudo file");
	if (r->rdev == makedev(5, 0))
		*fd = open_tty(ofd);
	else
		*fd = open(cri_restore_path(rs, r->path), (int)open_flags(ofd));
	if (*fd < 0)
		return cri_fail(err, errno, "%s cannot be opened",
				cri_restore_path(rs, r->path));
	if (ofd->pos && !S_ISCHR(r->mode))
		(void)lseek(*fd, (off_t)ofd->pos, SEEK_SET);
	return 0;
}

const struct cri_kind cri_kind_special = {
	.type = CRI_REC_SPECIAL,
	.name = "pseudo file",
	.match = match,
	.check = check,
	.capture = capture,
	.late = late,
	.verify = verify,
	.open = open_again,
};
