/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies behind mappings: files with a name (FILE), files without one and
 * shared memory (content copied in the pause).  An object is known by device
 * and inode; the same key serves the kinds of open files, so that a mapping
 * and a descriptor of one inode meet in one record.  A shared object first
 * waits in a list: a descriptor met later gives its whole content, else it is
 * read through /proc/PID/map_files or through the mappings themselves.
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "kind/kind.h"
#include "util/err.h"

#define DELETED " (deleted)"

/* A shared object whose content is still to be copied. */
struct cri_shared {
	struct cri_shared *next;
	uint32_t obj;
	enum cri_rec_type type;
	void *rec;
	dev_t dev;
	ino_t ino;
	bool done;
	/* its mappings, for the last way */
	struct cri_shared_map {
		struct cri_cproc *p;
		uint64_t start, end, offset;
		bool readable;
	} *maps;
	uint32_t n_maps;
};

uint32_t cri_capture_inode_get(struct cri_capture *cap, enum cri_rec_type type,
			       dev_t dev, ino_t ino)
{
	return (uint32_t)cri_idmap_get(&cap->inodes[type], dev, ino);
}

int cri_capture_inode_put(struct cri_capture *cap, enum cri_rec_type type,
			  dev_t dev, ino_t ino, uint32_t id)
{
	return cri_idmap_put(&cap->inodes[type], dev, ino, id);
}

int cri_capture_content_add(struct cri_capture *cap, uint32_t obj,
			    uint64_t start, uint64_t len, void *copy, int fd)
{
	if (cap->n_contents == cap->cap_contents) {
		uint32_t n = cap->cap_contents ? cap->cap_contents * 2 : 32;
		void *grown = realloc(cap->contents,
				      n * sizeof(*cap->contents));

		if (!grown)
			return -ENOMEM;
		cap->contents = grown;
		cap->cap_contents = n;
	}
	cap->contents[cap->n_contents++] = (struct cri_content){
		.obj = obj, .start = start, .len = len, .copy = copy, .fd = fd
	};
	return 0;
}

void cri_capture_contents_clear(struct cri_capture *cap)
{
	struct cri_shared *s;
	uint32_t i;

	for (i = 0; i < cap->n_contents; i++) {
		struct cri_content *c = &cap->contents[i];

		if (c->copy)
			munmap(c->copy, (c->len + 4095) & ~4095ULL);
		if (c->fd >= 0)
			close(c->fd);
	}
	free(cap->contents);
	cap->contents = NULL;
	cap->n_contents = cap->cap_contents = 0;
	while ((s = cap->shared) != NULL) {
		cap->shared = s->next;
		free(s->maps);
		free(s);
	}
}

/* Memory of ours for len bytes, whole pages, zeroed. */
static void *copy_room(uint64_t len)
{
	void *p = mmap(NULL, (len + 4095) & ~4095ULL, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int copy_span(struct cri_capture *cap, int fd, uint32_t obj, off_t from,
		     off_t to)
{
	uint64_t start = (uint64_t)from & ~4095ULL;
	uint64_t len = (uint64_t)to - start, done = 0;
	char *p = copy_room(len);
	int ret = 0;

	if (!p)
		return -ENOMEM;
	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done,
				  (off_t)(start + done));

		if (n < 0)
			ret = -errno;
		if (n <= 0)
			break;
		done += (uint64_t)n;
	}
	if (!ret)
		ret = cri_capture_content_add(cap, obj, start, len, p, -1);
	if (ret)
		munmap(p, (len + 4095) & ~4095ULL);
	return ret;
}

/* A description of our own, so that the program's position stays put. */
static int reopen(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int copy_spans(struct cri_capture *cap, int fd, uint64_t size,
		      uint32_t obj)
{
	off_t at = 0, hole;
	int ret = 0;

	while (!ret && (uint64_t)at < size) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		hole = lseek(fd, at, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		if ((uint64_t)hole > size)
			hole = (off_t)size;
		/* Pieces, so that zero pages in them cost no memory twice. */
		while (!ret && at < hole) {
			off_t end = at + (off_t)(64u << 20);

			end &= ~4095LL;
			if (end > hole)
				end = hole;
			ret = copy_span(cap, fd, obj, at, end);
			at = end;
		}
	}
	return ret;
}

int cri_capture_content_of(struct cri_capture *cap, int fd, uint64_t size,
			   uint32_t obj, struct cri_err *err)
{
	int own = reopen(fd);
	off_t pos = -1;
	int ret;

	if (own < 0)
		pos = lseek(fd, 0, SEEK_CUR);
	ret = copy_spans(cap, own >= 0 ? own : fd, size, obj);
	if (pos >= 0)
		(void)lseek(fd, pos, SEEK_SET);
	if (own >= 0)
		close(own);
	if (ret)
		return cri_fail(err, -ret, "content of a file: %s",
				strerror(-ret));
	return 0;
}

int cri_capture_content(struct cri_capture *cap, int fd, uint64_t size,
			uint32_t *obj, struct cri_err *err)
{
	*obj = cri_recset_object(cap->set);
	return cri_capture_content_of(cap, fd, size, *obj, err);
}

static void fill_file(struct cri_rec_file *f, const struct stat *st)
{
	f->mode = st->st_mode;
	f->dev = st->st_dev;
	f->ino = st->st_ino;
	f->rdev = st->st_rdev;
	f->size = (uint64_t)st->st_size;
	f->mtime = (uint64_t)st->st_mtim.tv_sec * 1000000000u +
		   (uint64_t)st->st_mtim.tv_nsec;
	f->nlink = (uint32_t)st->st_nlink;
	f->uid = st->st_uid;
	f->gid = st->st_gid;
}

static size_t cut_deleted(char *path)
{
	size_t len = strlen(path);

	if (len > strlen(DELETED) &&
	    strcmp(path + len - strlen(DELETED), DELETED) == 0) {
		path[len - strlen(DELETED)] = 0;
		return len - strlen(DELETED);
	}
	return 0;
}

int cri_capture_file(struct cri_capture *cap, struct cri_cproc *p,
		     const char *path, const struct stat *st, uint32_t *id,
		     struct cri_err *err)
{
	struct cri_rec_file *f;

	(void)p;
	(void)err;
	*id = cri_capture_inode_get(cap, CRI_REC_FILE, st->st_dev, st->st_ino);
	if (*id)
		return 0;
	f = cri_recset_add(cap->set, CRI_REC_FILE);
	if (!f)
		return -ENOMEM;
	f->path = cri_recset_strdup(cap->set, path);
	if (!f->path)
		return -ENOMEM;
	fill_file(f, st);
	if (st->st_nlink == 0)
		f->unlinked = 1;
	cut_deleted(f->path);
	*id = f->id;
	return cri_capture_inode_put(cap, CRI_REC_FILE, st->st_dev, st->st_ino,
				     f->id);
}

static struct cri_shared *shared_find(struct cri_capture *cap, dev_t dev,
				      ino_t ino)
{
	return (struct cri_shared *)(uintptr_t)cri_idmap_get(&cap->by_shared,
							     dev, ino);
}

static struct cri_shared *shared_add(struct cri_capture *cap,
				     enum cri_rec_type type, void *rec,
				     uint32_t obj, dev_t dev, ino_t ino)
{
	struct cri_shared *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->type = type;
	s->rec = rec;
	s->obj = obj;
	s->dev = dev;
	s->ino = ino;
	s->next = cap->shared;
	cap->shared = s;
	if (cri_idmap_put(&cap->by_shared, dev, ino, (uintptr_t)s))
		return NULL;
	return s;
}

static int shared_map(struct cri_shared *s, struct cri_cproc *p,
		      const struct cri_vma *v)
{
	struct cri_shared_map *grown;

	grown = realloc(s->maps, (s->n_maps + 1) * sizeof(*s->maps));
	if (!grown)
		return -ENOMEM;
	s->maps = grown;
	s->maps[s->n_maps++] = (struct cri_shared_map){
		.p = p, .start = v->start, .end = v->end, .offset = v->offset,
		.readable = v->prot & PROT_READ
	};
	return 0;
}

static int shmem(struct cri_capture *cap, struct cri_vma *v, const char *path,
		 dev_t dev, ino_t ino, struct cri_shared **out)
{
	struct cri_rec_shmem *r = cri_recset_add(cap->set, CRI_REC_SHMEM);
	const char *name = "";
	char copy[4097];

	if (!r)
		return -ENOMEM;
	r->kind = CRI_SHMEM_ANON;
	if (strncmp(path, "/memfd:", 7) == 0) {
		r->kind = CRI_SHMEM_MEMFD;
		snprintf(copy, sizeof(copy), "%s", path + 7);
		cut_deleted(copy);
		name = copy;
	}
	r->name = cri_recset_strdup(cap->set, name);
	r->mode = 0600;
	if (v->flags & CRI_VMA_HUGETLB)
		r->huge_shift = 21;
	*out = shared_add(cap, CRI_REC_SHMEM, r, r->id, dev, ino);
	if (!r->name || !*out)
		return -ENOMEM;
	return cri_capture_inode_put(cap, CRI_REC_SHMEM, dev, ino, r->id);
}

static int sysvshm(struct cri_capture *cap, const char *path, dev_t dev,
		   ino_t ino, struct cri_shared **out)
{
	struct cri_rec_sysvshm *r = cri_recset_add(cap->set, CRI_REC_SYSVSHM);
	struct shmid_ds ds;

	if (!r)
		return -ENOMEM;
	r->ipc_id = (uint32_t)ino;
	r->key = (int32_t)strtoul(path + 5, NULL, 16);
	if (shmctl((int)ino, IPC_STAT, &ds) == 0) {
		r->size = ds.shm_segsz;
		r->mode = ds.shm_perm.mode & 0777;
		r->uid = ds.shm_perm.uid;
		r->gid = ds.shm_perm.gid;
		r->removed = (ds.shm_perm.mode & SHM_DEST) != 0;
	}
	*out = shared_add(cap, CRI_REC_SYSVSHM, r, r->id, dev, ino);
	if (!*out)
		return -ENOMEM;
	return cri_capture_inode_put(cap, CRI_REC_SYSVSHM, 0, ino, r->id);
}

/* A mapped file whose name is gone, or that has another inode now. */
static int nameless(struct cri_capture *cap, char *path, dev_t dev, ino_t ino,
		    struct cri_shared **out)
{
	struct cri_rec_file *f = cri_recset_add(cap->set, CRI_REC_FILE);

	if (!f)
		return -ENOMEM;
	cut_deleted(path);
	f->path = cri_recset_strdup(cap->set, path);
	f->dev = dev;
	f->ino = ino;
	f->mode = S_IFREG | 0600;
	f->unlinked = 1;
	f->content = cri_recset_object(cap->set);
	*out = shared_add(cap, CRI_REC_FILE, f, f->content, dev, ino);
	if (!f->path || !*out)
		return -ENOMEM;
	return cri_capture_inode_put(cap, CRI_REC_FILE, dev, ino, f->id);
}

/* A named file in /dev/shm is memory: its content travels too. */
static int shm_file(struct cri_capture *cap, struct cri_vma *v,
		    const char *path, const struct stat *st,
		    struct cri_cproc *p, struct cri_err *err)
{
	struct cri_shared *s = shared_find(cap, st->st_dev, st->st_ino);
	struct cri_rec_file *f;
	uint32_t id;
	int ret;

	if (!s) {
		ret = cri_capture_file(cap, p, path, st, &id, err);
		if (ret)
			return ret;
		f = cri_recset_find(cap->set, CRI_REC_FILE, id);
		f->flags |= CRI_FILE_SHM;
		f->content = cri_recset_object(cap->set);
		s = shared_add(cap, CRI_REC_FILE, f, f->content, st->st_dev,
			       st->st_ino);
		if (!s)
			return -ENOMEM;
	}
	v->kind = CRI_VMA_FILE;
	v->obj = ((struct cri_rec_file *)s->rec)->id;
	return shared_map(s, p, v);
}

static int shared_mapping(struct cri_capture *cap, struct cri_cproc *p,
			  struct cri_vma *v, char *path, dev_t dev, ino_t ino)
{
	struct cri_shared *s = shared_find(cap, dev, ino);
	int ret = 0;

	if (!s) {
		if (strncmp(path, "/SYSV", 5) == 0)
			ret = sysvshm(cap, path, dev, ino, &s);
		else if (strncmp(path, "/dev/zero", 9) == 0 ||
			 strncmp(path, "/memfd:", 7) == 0 ||
			 strncmp(path, "[anon_shmem:", 12) == 0 ||
			 strncmp(path, "/anon_hugepage", 14) == 0)
			ret = shmem(cap, v, path, dev, ino, &s);
		else
			ret = nameless(cap, path, dev, ino, &s);
	}
	if (ret)
		return ret;
	v->kind = s->type == CRI_REC_SYSVSHM ? CRI_VMA_SYSVSHM :
		  s->type == CRI_REC_SHMEM   ? CRI_VMA_SHMEM :
					       CRI_VMA_FILE;
	v->obj = s->type == CRI_REC_FILE ?
			 ((struct cri_rec_file *)s->rec)->id :
			 s->obj;
	return shared_map(s, p, v);
}

int cri_capture_mapping(struct cri_capture *cap, struct cri_cproc *p,
			struct cri_vma *v, char *path, uint64_t mdev,
			uint64_t ino, struct cri_err *err)
{
	dev_t dev = makedev((unsigned int)(mdev >> 32), (unsigned int)mdev);
	char full[4200];
	struct stat st;
	uint32_t id = (uint32_t)cri_idmap_get(&cap->map_files, mdev, ino);
	int ret;

	if (id) {
		v->kind = CRI_VMA_FILE;
		v->obj = id;
		return 0;
	}
	/* Anonymous huge pages have a file inside the kernel only. */
	if (strncmp(path, "/anon_hugepage", 14) == 0 &&
	    !(v->flags & CRI_VMA_SHARED)) {
		v->kind = CRI_VMA_ANON;
		v->offset = 0;
		return 0;
	}
	/* Names are told from our root; another mount tree has its own. */
	snprintf(full, sizeof(full), "/proc/%d/root%s", p->threads[0].tid,
		 path);
	if (path[0] != '/' || ((lstat(path, &st) || st.st_ino != ino) &&
			       (lstat(full, &st) || st.st_ino != ino)))
		return shared_mapping(cap, p, v, path, dev, ino);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) &&
	    !(S_ISCHR(st.st_mode) && strcmp(path, "/dev/zero") == 0))
		return cri_fail(err, ENOTSUP,
				"maps the device %.150s (not supported)", path);
	if (strncmp(path, "/dev/shm/", 9) == 0 && S_ISREG(st.st_mode))
		return shm_file(cap, v, path, &st, p, err);
	ret = cri_capture_file(cap, p, path, &st, &id, err);
	if (ret)
		return ret;
	v->kind = CRI_VMA_FILE;
	v->obj = id;
	return cri_idmap_put(&cap->map_files, mdev, ino, id);
}

static void set_size(struct cri_shared *s, uint64_t size)
{
	if (s->type == CRI_REC_SHMEM)
		((struct cri_rec_shmem *)s->rec)->size = size;
	else if (s->type == CRI_REC_FILE)
		((struct cri_rec_file *)s->rec)->size = size;
}

static int from_fd(struct cri_capture *cap, struct cri_shared *s, int fd,
		   const struct stat *st, struct cri_err *err)
{
	s->done = true;
	set_size(s, (uint64_t)st->st_size);
	if (s->type == CRI_REC_FILE)
		fill_file(s->rec, st);
	if (s->type == CRI_REC_SHMEM) {
		struct cri_rec_shmem *r = s->rec;
		int seals = fcntl(fd, F_GET_SEALS);

		r->mode = st->st_mode & 07777;
		if (seals > 0)
			r->seals = (uint32_t)seals;
	}
	return cri_capture_content_of(cap, fd, (uint64_t)st->st_size, s->obj,
				      err);
}

int cri_capture_shared_fd(struct cri_capture *cap, int fd,
			  const struct stat *st, struct cri_err *err)
{
	struct cri_shared *s = shared_find(cap, st->st_dev, st->st_ino);

	if (!s || s->done)
		return 0;
	return from_fd(cap, s, fd, st, err);
}

/* Through the mapping itself: a copy of what is mapped. */
static int from_memory(struct cri_capture *cap, struct cri_shared *s,
		       struct cri_err *err)
{
	uint64_t reached = 0, size = 0;
	uint32_t i, pass;
	int ret;

	for (i = 0; i < s->n_maps; i++)
		if (s->maps[i].offset + s->maps[i].end - s->maps[i].start >
		    size)
			size = s->maps[i].offset + s->maps[i].end -
			       s->maps[i].start;
	set_size(s, size);
	/* Each pass takes the mapping that reaches furthest from here. */
	for (pass = 0; pass <= s->n_maps && reached < size; pass++) {
		struct cri_shared_map *best = NULL;
		uint64_t from, to = 0;
		char *p;

		for (i = 0; i < s->n_maps; i++) {
			struct cri_shared_map *m = &s->maps[i];
			uint64_t end = m->offset + m->end - m->start;

			if (m->offset <= reached && end > reached && end > to) {
				best = m;
				to = end;
			}
		}
		if (!best) {
			/* A part that nobody maps. */
			uint64_t next = size;

			for (i = 0; i < s->n_maps; i++)
				if (s->maps[i].offset > reached &&
				    s->maps[i].offset < next)
					next = s->maps[i].offset;
			reached = next;
			continue;
		}
		from = reached;
		p = copy_room(to - from);
		if (!p)
			return -ENOMEM;
		ret = cap->engine->read(cap, best->p,
					best->start + (from - best->offset), p,
					to - from, err);
		if (!ret)
			ret = cri_capture_content_add(cap, s->obj, from,
						      to - from, p, -1);
		if (ret) {
			munmap(p, (to - from + 4095) & ~4095ULL);
			return ret;
		}
		reached = to;
	}
	return 0;
}

static int open_map_file(const struct cri_shared *s, struct stat *st)
{
	const struct cri_shared_map *m = &s->maps[0];
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx",
		 m->p->threads[0].tid, (unsigned long long)m->start,
		 (unsigned long long)m->end);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && fstat(fd, st) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int cri_capture_shared_finish(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_shared *s;
	struct stat st;
	int fd, ret = 0;

	for (s = cap->shared; s && !ret; s = s->next) {
		if (s->done || s->n_maps == 0)
			continue;
		fd = s->type == CRI_REC_SYSVSHM ? -1 : open_map_file(s, &st);
		if (fd >= 0) {
			ret = from_fd(cap, s, fd, &st, err);
			close(fd);
		} else {
			ret = from_memory(cap, s, err);
		}
		s->done = true;
	}
	return ret;
}
