/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptor tables and open files.  Every descriptor is duplicated out of
 * the program, looked at, and closed again.  Two descriptors are one open
 * file when kcmp() says so; that is asked only within a bucket of equal
 * device and inode, kept in kcmp's own order, so a bucket costs a logarithm.
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "capture/files.h"
#include "capture/proctext.h"
#include "kind/kind.h"
#include "kind/lock.h"
#include "kind/sysv.h"
#include "util/err.h"

struct ref {
	pid_t pid;
	int fd;
	uint32_t ofd;
};

struct bucket {
	struct ref *refs; /* in kcmp's order */
	uint32_t n;
	uint32_t room;
};

struct cri_ofds {
	struct cri_idmap by_inode; /* (dev, ino) -> bucket index + 1 */
	struct bucket *buckets;
	uint32_t n_buckets;
	struct cri_idmap by_fd; /* (pid, fd) -> ofd id */
};

static int open_file_cmp(pid_t pid1, int fd1, pid_t pid2, int fd2)
{
	long r = syscall(SYS_kcmp, pid1, pid2, KCMP_FILE, fd1, fd2);

	/* 3: they differ, no order to be had. */
	return r < 0 ? -errno : (int)r;
}

static struct bucket *bucket_of(struct cri_ofds *o, dev_t dev, ino_t ino)
{
	uint64_t i = cri_idmap_get(&o->by_inode, dev, ino);
	struct bucket *grown;

	if (i)
		return &o->buckets[i - 1];
	if ((o->n_buckets & (o->n_buckets - 1)) == 0) {
		uint32_t room = o->n_buckets ? o->n_buckets * 2 : 1;

		grown = realloc(o->buckets, room * sizeof(*grown));
		if (!grown)
			return NULL;
		o->buckets = grown;
	}
	o->buckets[o->n_buckets++] = (struct bucket){ 0 };
	if (cri_idmap_put(&o->by_inode, dev, ino, o->n_buckets))
		return NULL;
	return &o->buckets[o->n_buckets - 1];
}

/* Place in the bucket; *found tells whether it is there already. */
static int search(const struct bucket *b, pid_t pid, int fd, uint32_t *at,
		  bool *found)
{
	uint32_t lo = 0, hi = b->n;
	int c;

	*found = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		c = open_file_cmp(pid, fd, b->refs[mid].pid, b->refs[mid].fd);
		if (c < 0)
			return c;
		if (c == 0) {
			*found = true;
			*at = mid;
			return 0;
		}
		if (c == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	*at = lo;
	return 0;
}

static int insert(struct bucket *b, uint32_t at, struct ref ref)
{
	if (b->n == b->room) {
		uint32_t room = b->room ? b->room * 2 : 2;
		struct ref *grown = realloc(b->refs, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		b->refs = grown;
		b->room = room;
	}
	memmove(&b->refs[at + 1], &b->refs[at],
		(b->n - at) * sizeof(*b->refs));
	b->refs[at] = ref;
	b->n++;
	return 0;
}

void cri_capture_ofds_free(struct cri_capture *cap)
{
	uint32_t i;

	if (!cap->ofds)
		return;
	for (i = 0; i < cap->ofds->n_buckets; i++)
		free(cap->ofds->buckets[i].refs);
	free(cap->ofds->buckets);
	cri_idmap_fini(&cap->ofds->by_inode);
	cri_idmap_fini(&cap->ofds->by_fd);
	free(cap->ofds);
	cap->ofds = NULL;
}

static void owner(struct cri_capture *cap, int fd, struct cri_rec_ofd *ofd)
{
	struct f_owner_ex own = { 0 };
	int sig = fcntl(fd, F_GETSIG);

	if (fcntl(fd, F_GETOWN_EX, &own) == 0 && own.pid != 0) {
		struct cri_cproc *p = cri_procs_find(cap, own.pid);

		ofd->owner_type = (uint32_t)own.type;
		ofd->owner = p ? p->inner_pid : own.pid;
	}
	if (sig > 0)
		ofd->owner_sig = (uint32_t)sig;
}

int cri_capture_fd_story(const struct cri_probe *p, int ret,
			 struct cri_err *err)
{
	char was[sizeof(err->text)];

	if (!err || ret == 0)
		return ret;
	snprintf(was, sizeof(was), "%s", err->text);
	cri_err_clear(err);
	if (was[0])
		(void)cri_fail(err, -ret, "fd %d %.200s", p->num, was);
	else
		(void)cri_fail(err, -ret, "fd %d is %.150s (not supported)",
			       p->num, p->link);
	return ret;
}

/* A description not seen before: let its kind describe it. */
static int describe(struct cri_probe *p, struct cri_err *err)
{
	const struct cri_kind *kind;
	uint64_t v;
	int ret;

	if (cri_fdinfo_get(p->fdinfo, "pos", 10, &v))
		p->ofd->pos = v;
	p->ofd->flags = (uint32_t)fcntl(p->fd, F_GETFL);
	owner(p->cap, p->fd, p->ofd);
	kind = cri_kind_match(p);
	if (!kind)
		return cri_capture_fd_story(p, -ENOTSUP, err);
	p->ofd->type = kind->type;
	ret = kind->check ? kind->check(p, err) : 0;
	if (!ret)
		ret = kind->capture(p, err);
	if (!ret)
		ret = cri_capture_shared_fd(p->cap, p->fd, &p->st, err);
	return cri_capture_fd_story(p, ret, err);
}

/* Known open file or a new one; the probe has everything but .ofd. */
static int identify(struct cri_probe *p, pid_t pid, int num, uint32_t *id,
		    struct cri_err *err)
{
	struct bucket *b = bucket_of(p->cap->ofds, p->st.st_dev, p->st.st_ino);
	struct ref ref = { .pid = pid, .fd = num };
	uint32_t at = 0;
	bool found;
	int ret;

	if (!b)
		return -ENOMEM;
	ret = search(b, pid, num, &at, &found);
	if (ret)
		return cri_fail(err, -ret, "comparing fd %d: %s", num,
				strerror(-ret));
	if (found) {
		*id = b->refs[at].ofd;
		return 0;
	}
	p->ofd = cri_recset_add(p->set, CRI_REC_OFD);
	if (!p->ofd)
		return -ENOMEM;
	/* Known before it is described: a socket may lie in its own queue. */
	ref.ofd = *id = p->ofd->id;
	ret = insert(b, at, ref);
	return ret ? ret : describe(p, err);
}

static int look(struct cri_probe *p, pid_t pid, int num, struct cri_text *info,
		struct cri_err *err)
{
	char path[64];
	ssize_t n;
	int ret;

	p->num = num;
	if (fstat(p->fd, &p->st) != 0)
		return cri_fail(err, errno, "fd %d: %s", num, strerror(errno));
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, num);
	n = readlink(path, p->link, sizeof(p->link) - 1);
	p->link[n > 0 ? n : 0] = 0;
	snprintf(path, sizeof(path), "fdinfo/%d", num);
	ret = cri_text_proc(info, pid, path);
	if (ret)
		return cri_fail(err, -ret, "fdinfo of %d: %s", num,
				strerror(-ret));
	p->fdinfo = info->p;
	return 0;
}

static int one_fd(struct cri_capture *cap, struct cri_cproc *proc, int num,
		  struct cri_rec_fdtable *tab, struct cri_text *info,
		  struct cri_err *err)
{
	struct cri_probe p = { .cap = cap, .set = cap->set, .proc = proc };
	struct cri_fd *e;
	uint32_t id = 0;
	uint64_t flags = 0;
	int ret;

	p.fd = (int)syscall(SYS_pidfd_getfd, proc->pidfd, num, 0);
	if (p.fd < 0)
		return cri_fail(err, errno, "fd %d: %s", num, strerror(errno));
	ret = look(&p, cri_live(proc), num, info, err);
	if (!ret) {
		(void)cri_fdinfo_get(info->p, "flags", 8, &flags);
		ret = identify(&p, cri_live(proc), num, &id, err);
	}
	if (!ret)
		ret = cri_lock_capture(cap->set, proc->task_id, id,
				       p.ofd != NULL, info->p);
	close(p.fd);
	if (ret)
		return ret;
	e = CRI_GROW(cap->set, tab->fds, tab->n_fds);
	if (!e)
		return -ENOMEM;
	e->fd = (uint32_t)num;
	e->ofd = id;
	e->flags = flags & O_CLOEXEC ? FD_CLOEXEC : 0;
	return cri_idmap_put(&cap->ofds->by_fd, (uint64_t)proc->pid,
			     (uint64_t)num, id);
}

static int fd_order(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

static int table(struct cri_capture *cap, struct cri_cproc *p,
		 struct cri_text *info, struct cri_err *err)
{
	struct cri_rec_fdtable *tab;
	int *nums = NULL;
	uint32_t n = 0, room = 0, i;
	int ret;

	tab = cri_recset_add(cap->set, CRI_REC_FDTABLE);
	if (!tab)
		return -ENOMEM;
	p->task->files = tab->id;
	ret = cri_procs_fds(cri_live(p), &nums, &n, &room);
	if (ret)
		return cri_fail(err, -ret, "descriptors: %s", strerror(-ret));
	qsort(nums, n, sizeof(*nums), fd_order);
	/* A dead leader has no descriptors any more, its threads have. */
	p->pidfd = (int)syscall(SYS_pidfd_open, cri_live(p),
				p->leaderless ? O_EXCL : 0);
	if (p->pidfd < 0)
		ret = cri_fail(err, errno, "pidfd: %s", strerror(errno));
	for (i = 0; !ret && i < n; i++)
		ret = one_fd(cap, p, nums[i], tab, info, err);
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	free(nums);
	return ret;
}

/* A table shared with the parent (CLONE_FILES without CLONE_THREAD). */
static struct cri_cproc *same_table(struct cri_capture *cap,
				    struct cri_cproc *p)
{
	struct cri_cproc *parent = cri_procs_find(cap, p->ppid);

	if (!parent || parent->zombie || parent == p || !parent->task->files ||
	    syscall(SYS_kcmp, cri_live(p), cri_live(parent), KCMP_FILES, 0,
		    0) != 0)
		return NULL;
	return parent;
}

static int link_kinds(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t type;
	int ret = 0;

	for (type = 1; type < CRI_REC_MAX && !ret; type++) {
		const struct cri_kind *k = cri_kind_find(type);

		if (k && k->link && cri_recset_count(cap->set, type))
			ret = k->link(cap, cap->set, err);
	}
	return ret;
}

/* The controlling terminal of each process, by its device number. */
static void terminals(struct cri_capture *cap)
{
	struct cri_text text = { 0 };
	struct cri_rec_tty *tty;
	struct cri_pstat st;
	uint32_t i, k;

	if (!cri_recset_count(cap->set, CRI_REC_TTY))
		return;
	for (i = 0; i < cap->n_procs; i++) {
		struct cri_cproc *p = cap->procs[i];

		if (p->zombie || cri_text_proc(&text, p->pid, "stat") ||
		    cri_pstat_parse(text.p, &st) || !st.tty_nr)
			continue;
		cri_for_each(cap->set, CRI_REC_TTY, k, tty)
		{
			/* 136..143: pts, eight times 256 */
			uint64_t nr = makedev(136 + tty->index / 256,
					      tty->index % 256);

			if (nr == st.tty_nr)
				p->task->ctty = tty->id;
		}
	}
	cri_text_fini(&text);
}

int cri_capture_files(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_text info = { 0 };
	struct cri_cproc *p, *with;
	uint32_t i;
	int ret = 0;

	cap->ofds = calloc(1, sizeof(*cap->ofds));
	if (!cap->ofds)
		return -ENOMEM;
	for (i = 0; !ret && i < cap->n_procs; i++) {
		p = cap->procs[i];
		if (p->zombie)
			continue;
		with = same_table(cap, p);
		if (with)
			p->task->files = with->task->files;
		else
			ret = table(cap, p, &info, err);
		if (ret)
			ret = cri_procs_blame(p, ret, err);
	}
	cri_text_fini(&info);
	if (!ret)
		ret = link_kinds(cap, err);
	if (!ret)
		ret = cri_capture_shared_finish(cap, err);
	if (!ret)
		ret = cri_sysv_capture(cap, cap->set, err);
	if (!ret)
		terminals(cap);
	return ret;
}

uint32_t cri_capture_ofd_of(struct cri_capture *cap, struct cri_cproc *proc,
			    int fd)
{
	return (uint32_t)cri_idmap_get(&cap->ofds->by_fd, (uint64_t)proc->pid,
				       (uint64_t)fd);
}

int cri_capture_inflight(struct cri_capture *cap, struct cri_cproc *near,
			 int fd, uint32_t *ofd, struct cri_err *err)
{
	struct cri_probe p = { .cap = cap, .set = cap->set, .proc = near };
	struct cri_text info = { 0 };
	int ret;

	p.fd = fd;
	ret = look(&p, getpid(), fd, &info, err);
	if (!ret)
		ret = identify(&p, getpid(), fd, ofd, err);
	cri_text_fini(&info);
	/* Kept open: kcmp() compares later descriptors with it. */
	if (!ret)
		ret = cri_capture_content_add(cap, 0, 0, 0, NULL, fd);
	else
		close(fd);
	return ret;
}

struct cri_cproc *cri_capture_by_pid(struct cri_capture *cap, pid_t pid)
{
	return cri_procs_find(cap, pid);
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
