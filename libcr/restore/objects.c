/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens every object of the image once, in the planner, at descriptor numbers
 * above all that the program uses; the restored processes inherit them by fork
 * and place their own from there.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kind/kind.h"
#include "kind/lock.h"
#include "kind/sysv.h"
#include "restore/restore.h"
#include "image/crc32c.h"

struct cri_recset *cri_restore_records(struct cri_restore *rs)
{
	return rs->set;
}

int cri_restore_fd(struct cri_restore *rs, uint32_t ofd)
{
	if (!rs->ofd_fd || !cri_recset_find(rs->set, CRI_REC_OFD, ofd))
		return -1;
	return rs->ofd_fd[ofd];
}

void cri_restore_log(struct cri_restore *rs, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!rs->args->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	rs->args->log(rs->args->arg, line);
}

/* Whole leading components only; the first match wins. */
const char *cri_restore_path(struct cri_restore *rs, const char *path)
{
	uint32_t i;

	for (i = 0; i < rs->args->n_relocate; i++) {
		const char *from = rs->args->relocate[i].from;
		size_t n = strlen(from);

		if (strncmp(path, from, n) != 0 ||
		    (path[n] != '/' && path[n] != '\0'))
			continue;
		free(rs->path);
		rs->path = NULL;
		if (asprintf(&rs->path, "%s%s", rs->args->relocate[i].to,
			     path + n) < 0) {
			rs->path = NULL;
			return path;
		}
		return rs->path;
	}
	return path;
}

int cri_restore_keep(struct cri_restore *rs, int *fd)
{
	int *grown, high;

	grown = realloc(rs->opened, (rs->n_opened + 1) * sizeof(*grown));
	if (!grown) {
		close(*fd);
		return -ENOMEM;
	}
	rs->opened = grown;
	high = *fd;
	if (*fd < rs->fd_base) {
		high = fcntl(*fd, F_DUPFD_CLOEXEC, rs->fd_base);
		if (high < 0) {
			int ret = -errno;

			close(*fd);
			return ret;
		}
		close(*fd);
	}
	rs->opened[rs->n_opened++] = high;
	*fd = high;
	return 0;
}

#define MAX_ID (1u << 22)

/* A descriptor for each id of the type; ids are small numbers. */
static int *table(struct cri_restore *rs, enum cri_rec_type type)
{
	uint32_t i, n = cri_recset_count(rs->set, type), top = 0, id;
	int *t;

	for (i = 0; i < n; i++) {
		memcpy(&id, cri_recset_at(rs->set, type, i), sizeof(id));
		if (id > MAX_ID)
			return NULL;
		top = id > top ? id : top;
	}
	t = malloc((top + 1) * sizeof(*t));
	for (i = 0; t && i <= top; i++)
		t[i] = -1;
	return t;
}

static int base_of(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_fdtable *tab;
	uint32_t i, k, top = 63;

	cri_for_each(rs->set, CRI_REC_FDTABLE, i, tab)
	{
		for (k = 0; k < tab->n_fds; k++)
			if (tab->fds[k].fd > top)
				top = tab->fds[k].fd;
	}
	if (top >= 1u << 20)
		return cri_fail(err, EMFILE, "descriptor %u is too high", top);
	rs->fd_base = (int)top + 1;
	rs->ofd_fd = table(rs, CRI_REC_OFD);
	rs->map_fd = table(rs, CRI_REC_FILE);
	rs->map_rw_fd = table(rs, CRI_REC_FILE);
	rs->shmem_fd = table(rs, CRI_REC_SHMEM);
	if (!rs->ofd_fd || !rs->map_fd || !rs->map_rw_fd || !rs->shmem_fd)
		return -ENOMEM;
	return 0;
}

static int owner(const struct cri_rec_ofd *ofd, int fd)
{
	struct f_owner_ex ex = { (int)ofd->owner_type, (pid_t)ofd->owner };

	if (ofd->owner && fcntl(fd, F_SETOWN_EX, &ex))
		return errno == ESRCH ? 0 : -errno;
	if (ofd->owner_sig && fcntl(fd, F_SETSIG, (int)ofd->owner_sig))
		return -errno;
	return 0;
}

void **cri_restore_slot(struct cri_restore *rs)
{
	return &rs->kinds;
}

int cri_restore_base(const struct cri_restore *rs)
{
	return rs->fd_base;
}

static int open_one(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		    struct cri_err *err)
{
	const struct cri_kind *kind = cri_kind_find(ofd->type);
	struct cri_late late;
	int fd = -1, ret;

	if (rs->ofd_fd[ofd->id] >= 0)
		return 0; /* made together with its peer */
	if (!kind || !kind->open)
		return cri_fail(err, EBADMSG, "damaged image: open file %u",
				ofd->id);
	if (kind->late && kind->late(rs, ofd, &late))
		return 0; /* each holder opens it for itself */
	if (rs->depth > 32)
		return cri_fail(err, EBADMSG,
				"damaged image: open files that "
				"need each other");
	rs->depth++;
	ret = kind->open(rs, ofd, &fd, err);
	rs->depth--;
	if (ret)
		return cri_fail(err, -ret, "cannot open a %s again",
				kind->name);
	return cri_restore_place(rs, ofd->id, fd);
}

int cri_restore_need(struct cri_restore *rs, uint32_t ofd, struct cri_err *err)
{
	const struct cri_rec_ofd *rec =
		cri_recset_find(rs->set, CRI_REC_OFD, ofd);
	int ret;

	if (!rec)
		return cri_fail(err, EBADMSG, "damaged image: open file %u",
				ofd);
	ret = open_one(rs, rec, err);
	if (ret)
		return ret;
	if (rs->ofd_fd[ofd] < 0)
		return cri_fail(err, ENOTSUP,
				"fd %u is in flight in a socket and refers to "
				"a process",
				rec->num);
	return rs->ofd_fd[ofd];
}

int cri_restore_place(struct cri_restore *rs, uint32_t ofd, int fd)
{
	int ret;

	if (!cri_recset_find(rs->set, CRI_REC_OFD, ofd) ||
	    rs->ofd_fd[ofd] >= 0) {
		close(fd);
		return -EBADMSG;
	}
	ret = cri_restore_keep(rs, &fd);
	if (ret)
		return ret;
	rs->ofd_fd[ofd] = fd;
	return 0;
}

int cri_restore_objects(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_ofd *ofd;
	uint32_t i;
	int ret, fd;

	ret = base_of(rs, err);
	if (ret)
		return cri_fail(err, -ret, "no memory for descriptors");
	fd = fcntl(cri_reader_fd(rs->reader), F_DUPFD_CLOEXEC, rs->fd_base);
	if (fd < 0)
		return cri_fail(err, errno,
				"no free descriptor above %d (raise the limit: "
				"ulimit -n)",
				rs->fd_base);
	ret = cri_restore_keep(rs, &fd);
	if (ret)
		return ret;
	rs->data_fd = fd;
	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		ret = open_one(rs, ofd, err);
		if (ret)
			return cri_fail(err, -ret, "open file %u", ofd->id);
	}
	return 0;
}

/* Queues, items and peers, once everything is open. */
int cri_restore_fill_objects(struct cri_restore *rs, struct cri_err *err)
{
	const struct cri_kind *kind;
	struct cri_rec_ofd *ofd;
	uint32_t i;
	int ret;

	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		kind = cri_kind_find(ofd->type);
		if (rs->ofd_fd[ofd->id] < 0)
			continue; /* late */
		ret = kind->fill ?
			      kind->fill(rs, ofd, rs->ofd_fd[ofd->id], err) :
			      0;
		if (ret)
			return cri_fail(err, -ret, "cannot fill a %s again",
					kind->name);
	}
	ret = cri_lock_restore(rs, err);
	return ret ? ret : cri_sysv_restore(rs, err);
}

int cri_restore_outside(struct cri_restore *rs, struct cri_err *err)
{
	const struct cri_kind *kind;
	struct cri_rec_ofd *ofd;
	uint32_t i;
	int ret;

	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		kind = cri_kind_find(ofd->type);
		if (rs->ofd_fd[ofd->id] < 0)
			continue;
		ret = kind->outside ?
			      kind->outside(rs, ofd, rs->ofd_fd[ofd->id], err) :
			      0;
		/* Owners are tasks: they live by now. */
		if (!ret)
			ret = owner(ofd, rs->ofd_fd[ofd->id]);
		if (ret)
			return cri_fail(err, -ret, "cannot finish a %s",
					kind->name);
	}
	ret = cri_restore_shm_again(rs, err);
	return ret ? ret : cri_sysv_outside(rs, err);
}

void cri_restore_objects_close(struct cri_restore *rs)
{
	size_t i;

	for (i = 0; i < rs->n_opened; i++)
		close(rs->opened[i]);
	free(rs->opened);
	free(rs->ofd_fd);
	free(rs->map_fd);
	free(rs->map_rw_fd);
	free(rs->shmem_fd);
	free(rs->path);
	free(rs->kinds);
	rs->kinds = NULL;
	rs->opened = NULL;
	rs->n_opened = 0;
	rs->ofd_fd = rs->map_fd = rs->map_rw_fd = rs->shmem_fd = NULL;
	rs->path = NULL;
}

/*
 * A new inode on the same file system where that goes: with the name it had,
 * for a moment, since the kernel goes on showing it; or with none.
 */
static int nameless_new(struct cri_restore *rs, const struct cri_rec_file *f)
{
	const char *path = cri_restore_path(rs, f->path);
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	int fd = -1;

	if (slash && slash[1] != '#') {
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0 && dir)
		fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	free(dir);
	if (fd < 0)
		fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = memfd_create("stasis-unlinked", MFD_CLOEXEC);
	return fd;
}

int cri_restore_nameless(struct cri_restore *rs, uint32_t file, int *fd,
			 struct cri_err *err)
{
	struct cri_rec_file *f = cri_recset_find(rs->set, CRI_REC_FILE, file);
	int ret, new;

	if (!f || !f->unlinked)
		return cri_fail(err, EBADMSG, "damaged image: unlinked file");
	if (rs->map_fd[file] >= 0) {
		*fd = rs->map_fd[file];
		return 0;
	}
	new = nameless_new(rs, f);
	if (new < 0)
		return cri_fail(err, errno, "room for the unlinked file %s",
				f->path);
	if (ftruncate(new, (off_t)f->size) || fchmod(new, f->mode & 07777))
		ret = cri_fail(err, errno, "the unlinked file %s", f->path);
	else
		ret = f->content ?
			      cri_restore_content(rs, f->content, new, err) :
			      0;
	if (ret)
		close(new);
	else
		ret = cri_restore_keep(rs, &new);
	if (ret)
		return ret;
	*fd = rs->map_fd[file] = new;
	return 0;
}

int cri_restore_map_fd(struct cri_restore *rs, uint32_t file, bool write,
		       int *fd, struct cri_err *err)
{
	struct cri_rec_file *f = cri_recset_find(rs->set, CRI_REC_FILE, file);
	int *slot = write ? rs->map_rw_fd : rs->map_fd, ret = 0, new;
	const char *path;

	if (!f)
		return cri_fail(err, EBADMSG, "damaged image: mapped file");
	if (f->unlinked) /* one object for all its mappings */
		return cri_restore_nameless(rs, file, fd, err);
	if (slot[file] >= 0) {
		*fd = slot[file];
		return 0;
	}
	path = cri_restore_path(rs, f->path);
	if (f->flags & CRI_FILE_SHM) {
		ret = cri_restore_shm_file(rs, f, path, err);
		if (ret)
			return ret;
	}
	new = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY |
				 O_NONBLOCK);
	if (new < 0)
		ret = cri_fail(err, errno,
			       "mapped file %s cannot be opened (see "
			       "--relocate)",
			       path);
	if (!ret)
		ret = cri_restore_keep(rs, &new);
	else if (new >= 0)
		close(new);
	if (ret)
		return ret;
	*fd = slot[file] = new;
	return 0;
}

static int run_copy(struct cri_restore *rs, int fd, const struct cri_run *r,
		    uint64_t from, char *buf, uint32_t *crc)
{
	uint64_t to = r->page * CRI_PAGE, left = (uint64_t)r->count * CRI_PAGE;

	while (left) {
		size_t n = left < 1u << 20 ? left : 1u << 20;
		ssize_t got = pread(rs->data_fd, buf, n, (off_t)from);

		if (got <= 0)
			return got ? -errno : -ENODATA;
		*crc = cri_crc32c(*crc, buf, (size_t)got);
		if (pwrite(fd, buf, (size_t)got, (off_t)to) != got)
			return errno ? -errno : -EIO;
		from += (uint64_t)got;
		to += (uint64_t)got;
		left -= (uint64_t)got;
	}
	return 0;
}

int cri_restore_content(struct cri_restore *rs, uint32_t obj, int fd,
			struct cri_err *err)
{
	const struct cri_extent *e;
	uint32_t n, i, j, crc;
	struct stat before, after;
	char *buf;
	int ret = 0;

	if (fstat(fd, &before))
		return -errno;
	buf = malloc(1u << 20);
	if (!buf)
		return -ENOMEM;
	e = cri_reader_extents(rs->reader, obj, &n);
	for (i = 0; i < n && !ret; i++) {
		uint64_t from = e[i].offset;

		crc = 0;
		for (j = 0; j < e[i].n_runs && !ret; j++) {
			ret = run_copy(rs, fd, &e[i].runs[j], from, buf, &crc);
			from += (uint64_t)e[i].runs[j].count * CRI_PAGE;
		}
		if (!ret && crc != e[i].crc)
			ret = cri_fail(err, EBADMSG,
				       "damaged image: checksum of the pages "
				       "at offset %lu",
				       (unsigned long)e[i].offset);
	}
	free(buf);
	/* Whole pages were written: the size is the caller's. */
	if (!ret && !fstat(fd, &after) && after.st_size > before.st_size &&
	    ftruncate(fd, before.st_size))
		ret = -errno;
	return ret;
}

static int shmem_make(const struct cri_rec_shmem *s)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	const char *name = s->name;

	if (s->kind != CRI_SHMEM_MEMFD)
		name = "stasis-shared";
	if (s->huge_shift)
		flags |= MFD_HUGETLB | s->huge_shift << MFD_HUGE_SHIFT;
	return memfd_create(name, flags);
}

int cri_restore_shmem(struct cri_restore *rs, uint32_t id, int *fd,
		      struct cri_err *err)
{
	struct cri_rec_shmem *s = cri_recset_find(rs->set, CRI_REC_SHMEM, id);
	int new, ret;

	if (!s)
		return cri_fail(err, EBADMSG, "damaged image: shared memory");
	if (rs->shmem_fd[id] >= 0) {
		*fd = rs->shmem_fd[id];
		return 0;
	}
	new = shmem_make(s);
	if (new < 0)
		return cri_fail(err, errno, "making shared memory %s", s->name);
	if (ftruncate(new, (off_t)s->size)) {
		ret = -errno;
		close(new);
		return cri_fail(err, -ret, "making shared memory %s", s->name);
	}
	fchmod(new, s->mode & 07777);
	ret = cri_restore_content(rs, id, new, err);
	if (!ret)
		ret = cri_restore_keep(rs, &new);
	else
		close(new);
	if (ret)
		return ret;
	*fd = rs->shmem_fd[id] = new;
	return 0;
}
