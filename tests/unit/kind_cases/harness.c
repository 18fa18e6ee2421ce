/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The services of capture/ and restore/ that kinds use, in one process: a
 * capture looks at the process itself, and a restore puts the new descriptors
 * at the old numbers.  Between the two every record is encoded and decoded.
 */
#include "config.h"

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/engine.h"
#include "kind/kind.h"
#include "kind/lock.h"

#define MAX 256
#define BASE 500

struct content {
	void *p;
	size_t len;
};

struct cri_capture {
	struct cri_recset *set;
	struct cri_cproc proc;
	struct {
		enum cri_rec_type type;
		dev_t dev;
		ino_t ino;
		uint32_t id;
	} inodes[MAX];
	int n_inodes;
	struct {
		int fd;
		uint32_t ofd;
	} refs[MAX];
	int n_refs;
	struct content contents[MAX];
};

struct cri_restore {
	struct cri_recset *set;
	int ofd_fd[MAX];
	int shmem_fd[MAX];
	int file_fd[MAX];
	void *slot;
	struct content *contents;
};

uint32_t cri_capture_inode_get(struct cri_capture *cap, enum cri_rec_type type,
			       dev_t dev, ino_t ino)
{
	int i;

	for (i = 0; i < cap->n_inodes; i++)
		if (cap->inodes[i].type == type && cap->inodes[i].dev == dev &&
		    cap->inodes[i].ino == ino)
			return cap->inodes[i].id;
	return 0;
}

int cri_capture_inode_put(struct cri_capture *cap, enum cri_rec_type type,
			  dev_t dev, ino_t ino, uint32_t id)
{
	int i = cap->n_inodes++;

	if (i >= MAX)
		return -ENOMEM;
	cap->inodes[i].type = type;
	cap->inodes[i].dev = dev;
	cap->inodes[i].ino = ino;
	cap->inodes[i].id = id;
	return 0;
}

uint32_t cri_capture_ofd_of(struct cri_capture *cap, struct cri_cproc *proc,
			    int fd)
{
	int i;

	(void)proc;
	for (i = 0; i < cap->n_refs; i++)
		if (cap->refs[i].fd == fd)
			return cap->refs[i].ofd;
	return 0;
}

static void text_of(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, to, size - 1);

	to[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

static int one(struct cri_capture *cap, int fd, uint32_t *id,
	       struct cri_err *err)
{
	struct cri_probe p = { .cap = cap,
			       .set = cap->set,
			       .proc = &cap->proc,
			       .num = fd,
			       .fd = fd };
	char path[64], info[8192];
	const struct cri_kind *kind;
	ssize_t n;
	int i, ret;

	for (i = 0; i < cap->n_refs; i++) {
		if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd,
			    cap->refs[i].fd))
			continue;
		*id = cap->refs[i].ofd;
		return 0;
	}
	p.ofd = cri_recset_add(cap->set, CRI_REC_OFD);
	*id = p.ofd->id;
	cap->refs[cap->n_refs].fd = fd;
	cap->refs[cap->n_refs++].ofd = *id;
	fstat(fd, &p.st);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, p.link, sizeof(p.link) - 1);
	p.link[n > 0 ? n : 0] = '\0';
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	text_of(path, info, sizeof(info));
	p.fdinfo = info;
	p.ofd->flags = (uint32_t)fcntl(fd, F_GETFL);
	if (lseek(fd, 0, SEEK_CUR) > 0)
		p.ofd->pos = (uint64_t)lseek(fd, 0, SEEK_CUR);
	kind = cri_kind_match(&p);
	p.ofd->type = kind->type;
	ret = kind->check ? kind->check(&p, err) : 0;
	return ret ? ret : kind->capture(&p, err);
}

int cri_capture_inflight(struct cri_capture *cap, struct cri_cproc *near,
			 int fd, uint32_t *ofd, struct cri_err *err)
{
	(void)near;
	return one(cap, fd, ofd, err);
}

struct cri_cproc *cri_capture_proc(struct cri_capture *cap, pid_t pid)
{
	return pid == getpid() ? &cap->proc : NULL;
}

struct cri_cproc *cri_capture_by_pid(struct cri_capture *cap, pid_t pid)
{
	return cri_capture_proc(cap, pid);
}

uint32_t cri_capture_inner(const struct cri_cproc *proc)
{
	return (uint32_t)proc->inner_pid;
}

uint32_t cri_capture_task_id(const struct cri_cproc *proc)
{
	return proc->task_id;
}

pid_t cri_capture_pid(const struct cri_cproc *proc)
{
	return proc->pid;
}

int cri_capture_content_of(struct cri_capture *cap, int fd, uint64_t size,
			   uint32_t obj, struct cri_err *err)
{
	char path[64];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDONLY | O_CLOEXEC);
	cap->contents[obj].p = calloc(1, size + 1);
	cap->contents[obj].len = size;
	if (own < 0 ||
	    pread(own, cap->contents[obj].p, size, 0) != (ssize_t)size)
		return cri_fail(err, EIO, "content");
	close(own);
	return 0;
}

int cri_capture_content(struct cri_capture *cap, int fd, uint64_t size,
			uint32_t *obj, struct cri_err *err)
{
	*obj = cri_recset_object(cap->set);
	return cri_capture_content_of(cap, fd, size, *obj, err);
}

struct cri_recset *cri_restore_records(struct cri_restore *rs)
{
	return rs->set;
}

int cri_restore_fd(struct cri_restore *rs, uint32_t ofd)
{
	return ofd < MAX ? rs->ofd_fd[ofd] : -1;
}

const char *cri_restore_path(struct cri_restore *rs, const char *path)
{
	(void)rs;
	return path;
}

int cri_restore_content(struct cri_restore *rs, uint32_t obj, int fd,
			struct cri_err *err)
{
	const struct content *c = &rs->contents[obj];

	(void)err;
	return pwrite(fd, c->p, c->len, 0) == (ssize_t)c->len ? 0 : -EIO;
}

static int filled(struct cri_restore *rs, int *slot, int fd, uint64_t size,
		  uint32_t obj, struct cri_err *err)
{
	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    (obj && cri_restore_content(rs, obj, fd, err)))
		return cri_fail(err, EIO, "filling");
	*slot = fcntl(fd, F_DUPFD_CLOEXEC, BASE);
	close(fd);
	return *slot < 0 ? -errno : 0;
}

int cri_restore_shmem(struct cri_restore *rs, uint32_t id, int *fd,
		      struct cri_err *err)
{
	struct cri_rec_shmem *r = cri_recset_find(rs->set, CRI_REC_SHMEM, id);
	int ret = 0;

	if (rs->shmem_fd[id] < 0)
		ret = filled(rs, &rs->shmem_fd[id],
			     memfd_create(r->name, MFD_ALLOW_SEALING), r->size,
			     id, err);
	*fd = rs->shmem_fd[id];
	return ret;
}

int cri_restore_nameless(struct cri_restore *rs, uint32_t file, int *fd,
			 struct cri_err *err)
{
	struct cri_rec_file *r = cri_recset_find(rs->set, CRI_REC_FILE, file);
	int ret = 0;

	if (rs->file_fd[file] < 0)
		ret = filled(rs, &rs->file_fd[file],
			     open(".", O_RDWR | O_TMPFILE, 0600), r->size,
			     r->content, err);
	*fd = rs->file_fd[file];
	return ret;
}

int cri_restore_place(struct cri_restore *rs, uint32_t ofd, int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, BASE);

	close(fd);
	rs->ofd_fd[ofd] = up;
	return up < 0 ? -errno : 0;
}

int cri_restore_need(struct cri_restore *rs, uint32_t id, struct cri_err *err)
{
	struct cri_rec_ofd *ofd = cri_recset_find(rs->set, CRI_REC_OFD, id);
	int fd = -1, ret;

	if (rs->ofd_fd[id] >= 0)
		return rs->ofd_fd[id];
	ret = cri_kind_find(ofd->type)->open(rs, ofd, &fd, err);
	if (!ret)
		ret = cri_restore_place(rs, id, fd);
	return ret ? ret : rs->ofd_fd[id];
}

void **cri_restore_slot(struct cri_restore *rs)
{
	return &rs->slot;
}

int cri_restore_base(const struct cri_restore *rs)
{
	(void)rs;
	return BASE;
}

void cri_restore_log(struct cri_restore *rs, const char *fmt, ...)
{
	va_list ap;

	(void)rs;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static int through_bytes(struct cri_recset *from, struct cri_recset *to,
			 struct cri_err *err)
{
	const struct cri_schema *s;
	uint32_t type, i;
	void *rec, *buf;
	size_t len;
	int ret = 0;

	for (type = 1; !ret && type < CRI_REC_MAX; type++) {
		s = cri_schema_find(type);
		for (i = 0; !ret && i < cri_recset_count(from, type); i++) {
			rec = cri_recset_at(from, type, i);
			ret = cri_record_encode(s, rec, &buf, &len);
			if (ret)
				return ret;
			ret = cri_record_decode(to, type, s->version, buf, len,
						err);
			free(buf);
		}
	}
	return ret;
}

static int capture(struct cri_capture *cap, const int *fds, int n,
		   uint32_t *ids, struct cri_err *err)
{
	struct cri_rec_task *task;
	struct cri_rec_fs *fs;
	char cwd[512];
	uint32_t type;
	int i, ret;

	ret = cri_recset_new(&cap->set);
	if (ret)
		return ret;
	task = cri_recset_add(cap->set, CRI_REC_TASK);
	fs = cri_recset_add(cap->set, CRI_REC_FS);
	fs->cwd = cri_recset_strdup(cap->set, getcwd(cwd, sizeof(cwd)));
	task->pid = (uint32_t)getpid();
	task->fs = fs->id;
	cap->proc.pid = cap->proc.inner_pid = getpid();
	cap->proc.task_id = task->id;
	for (i = 0; !ret && i < n; i++)
		ret = one(cap, fds[i], &ids[i], err);
	for (type = 1; !ret && type < CRI_REC_MAX; type++) {
		const struct cri_kind *k = cri_kind_find(type);

		if (k && k->link)
			ret = k->link(cap, cap->set, err);
	}
	return ret;
}

static int again(struct cri_restore *rs, const int *fds, int n,
		 const uint32_t *ids, struct cri_err *err)
{
	const struct cri_kind *k;
	struct cri_rec_ofd *ofd;
	uint32_t i;
	int ret, j;

	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		k = cri_kind_find(ofd->type);
		ret = k->verify ? k->verify(rs, ofd, err) : 0;
		if (!ret)
			ret = cri_restore_need(rs, ofd->id, err);
		if (ret < 0)
			return ret;
	}
	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		k = cri_kind_find(ofd->type);
		ret = k->fill ? k->fill(rs, ofd, rs->ofd_fd[ofd->id], err) : 0;
		if (ret)
			return ret;
	}
	for (j = 0; j < n; j++)
		if (dup2(rs->ofd_fd[ids[j]], fds[j]) < 0)
			return -errno;
	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		k = cri_kind_find(ofd->type);
		ret = k->outside ?
			      k->outside(rs, ofd, rs->ofd_fd[ofd->id], err) :
			      0;
		if (ret)
			return ret;
	}
	return 0;
}

int harness_cycle(const int *fds, int n, struct cri_err *err)
{
	struct cri_capture *cap = calloc(1, sizeof(*cap));
	struct cri_restore *rs = calloc(1, sizeof(*rs));
	uint32_t ids[MAX];
	int ret, i;

	if (!cap || !rs || n > MAX)
		return -ENOMEM;
	for (i = 0; i < MAX; i++)
		rs->ofd_fd[i] = rs->shmem_fd[i] = rs->file_fd[i] = -1;
	ret = capture(cap, fds, n, ids, err);
	if (!ret)
		ret = cri_recset_new(&rs->set);
	if (!ret)
		ret = through_bytes(cap->set, rs->set, err);
	if (ret)
		return ret;
	/* The originals go, those in flight too. */
	for (i = 0; i < cap->n_refs; i++)
		close(cap->refs[i].fd);
	for (i = 0; i < n; i++)
		close(fds[i]);
	rs->contents = cap->contents;
	ret = again(rs, fds, n, ids, err);
	for (i = BASE; !ret && i < BASE + MAX; i++)
		close(i);
	return ret;
}
