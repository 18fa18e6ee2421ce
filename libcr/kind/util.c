/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Helpers of the kinds; see util.h.  The index over open files is made at its
 * first use in a restart and lives in the restorer's slot.
 */
#include "config.h"

#include "kind/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cri_kind_field(const char *text, const char *name, int base, uint64_t *v)
{
	size_t len = strlen(name);
	const char *p = text;
	char *end;

	while (p && *p) {
		if (strncmp(p, name, len) == 0 && p[len] == ':') {
			*v = strtoull(p + len + 1, &end, base);
			return end != p + len + 1;
		}
		p = strchr(p, '\n');
		if (p)
			p++;
	}
	return false;
}

bool cri_kind_anon(const struct cri_probe *p, const char *name)
{
	static const char prefix[] = "anon_inode:";

	return strncmp(p->link, prefix, sizeof(prefix) - 1) == 0 &&
	       strcmp(p->link + sizeof(prefix) - 1, name) == 0;
}

void cri_kind_refer(struct cri_probe *p, uint32_t inode)
{
	p->ofd->inode = inode;
	p->ofd->num = (uint32_t)p->num;
	p->ofd->task = cri_capture_task_id(p->proc);
}

int cri_kind_blame(struct cri_recset *set, const struct cri_rec_ofd *ofd,
		   struct cri_err *err, int code, const char *fmt, ...)
{
	struct cri_rec_task *task;
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	task = ofd ? cri_recset_find(set, CRI_REC_TASK, ofd->task) : NULL;
	if (!ofd)
		return cri_fail(err, code, "a descriptor %s", what);
	if (!task)
		return cri_fail(err, code, "fd %u %s", ofd->num, what);
	return cri_fail(err, code, "pid %u (%.20s): fd %u %s", task->pid,
			task->comm ? task->comm : "", ofd->num, what);
}

int cri_kind_note(struct cri_recset *set, const char *key, const char *fmt, ...)
{
	struct cri_rec_note *note = cri_recset_add(set, CRI_REC_NOTE);
	char text[512];
	va_list ap;

	if (!note)
		return -ENOMEM;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	note->key = cri_recset_strdup(set, key);
	note->value = cri_recset_strdup(set, text);
	return note->key && note->value ? 0 : -ENOMEM;
}

const struct cri_rec_ofd *cri_kind_ofd(struct cri_recset *set,
				       enum cri_rec_type type, uint32_t inode)
{
	const struct cri_rec_ofd *ofd;
	uint32_t i;

	cri_for_each(set, CRI_REC_OFD, i, ofd)
	{
		if (ofd->type == (uint32_t)type && ofd->inode == inode)
			return ofd;
	}
	return NULL;
}

struct index {
	size_t n;
	const struct cri_rec_ofd *ofds[];
};

static int by_inode(const void *a, const void *b)
{
	const struct cri_rec_ofd *x = *(const struct cri_rec_ofd *const *)a;
	const struct cri_rec_ofd *y = *(const struct cri_rec_ofd *const *)b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static struct index *index_get(struct cri_restore *rs)
{
	struct cri_recset *set = cri_restore_records(rs);
	void **slot = cri_restore_slot(rs);
	uint32_t i, n = cri_recset_count(set, CRI_REC_OFD);
	struct index *ix = *slot;

	if (ix)
		return ix;
	ix = malloc(sizeof(*ix) + n * sizeof(ix->ofds[0]));
	if (!ix)
		return NULL;
	ix->n = n;
	for (i = 0; i < n; i++)
		ix->ofds[i] = cri_recset_at(set, CRI_REC_OFD, i);
	qsort(ix->ofds, n, sizeof(ix->ofds[0]), by_inode);
	*slot = ix;
	return ix;
}

const struct cri_rec_ofd **cri_kind_ofds(struct cri_restore *rs,
					 enum cri_rec_type type, uint32_t inode,
					 size_t *n)
{
	struct cri_rec_ofd key = { .type = type, .inode = inode };
	const struct cri_rec_ofd *k = &key;
	struct index *ix = index_get(rs);
	size_t lo = 0, hi, end;

	*n = 0;
	if (!ix)
		return NULL;
	hi = ix->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_inode(&ix->ofds[mid], &k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < ix->n && ix->ofds[end]->type == key.type &&
		       ix->ofds[end]->inode == inode;)
		end++;
	*n = end - lo;
	return ix->ofds + lo;
}

int cri_kind_reopen(int fd, uint32_t flags)
{
	char path[64];
	int new;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	flags &= ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_DIRECTORY |
			     O_TMPFILE | O_NOFOLLOW);
	new = open(path, (int)flags | O_CLOEXEC | O_NOCTTY);
	return new < 0 ? -errno : new;
}

int cri_kind_status(int fd, uint32_t flags)
{
	const uint32_t can = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT |
			     O_NOATIME;
	int now = fcntl(fd, F_GETFL);

	if (now < 0)
		return -errno;
	if (((uint32_t)now & can) == (flags & can))
		return 0;
	now = (int)(((uint32_t)now & ~can) | (flags & can));
	return fcntl(fd, F_SETFL, now) ? -errno : 0;
}

/* Only what the caller means to hand on: not our own internal descriptors. */
static bool handed_on(int fd, bool (*fits)(int fd))
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || (fd > 2 && flags & FD_CLOEXEC))
		return false;
	return !fits || fits(fd);
}

int cri_kind_inherited(const struct cri_rec_ofd *ofd, bool (*fits)(int fd))
{
	bool write = (ofd->flags & O_ACCMODE) != O_RDONLY;
	int try[4] = { (int)ofd->num, write ? 1 : 0, write ? 2 : 1,
		       write ? 0 : 2 };
	size_t i, n = fits ? 4 : 2;
	int fd;

	for (i = 0; i < n; i++) {
		if (!handed_on(try[i], fits))
			continue;
		fd = fcntl(try[i], F_DUPFD_CLOEXEC, 3);
		return fd < 0 ? -errno : fd;
	}
	return -EBADF;
}

int cri_kind_up(struct cri_restore *rs, int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, cri_restore_base(rs));

	return up < 0 ? -errno : up;
}
