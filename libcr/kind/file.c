/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Regular files and directories, and whatever was opened with O_PATH.  A file
 * with a name is opened again by it; one that was open for writing is cut back
 * to the size it had, after every process is ready; one that shrank, vanished
 * or was replaced by another is refused.  Content without a name travels in
 * the image, and so does that of named files in /dev/shm, which are memory.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "image/crc32c.h"
#include "kind/util.h"

#define PAGE 4096u
#define DELETED " (deleted)"
#define SHM_DIR "/dev/shm/"
#define MAX_NAMES 20000u

static bool match(const struct cri_probe *p)
{
	if (p->link[0] != '/')
		return false;
	if ((uint32_t)fcntl(p->fd, F_GETFL) & O_PATH)
		return true;
	if (strncmp(p->link, "/secretmem", 10) == 0)
		return false;
	return S_ISREG(p->st.st_mode) || S_ISDIR(p->st.st_mode);
}

static bool in_memory(const char *path)
{
	return strncmp(path, SHM_DIR, sizeof(SHM_DIR) - 1) == 0;
}

static size_t named_length(const char *link)
{
	size_t len = strlen(link), cut = sizeof(DELETED) - 1;

	if (len > cut && strcmp(link + len - cut, DELETED) == 0)
		return len - cut;
	return len;
}

/* Does the name still lead to the file? */
static bool has_name(const struct cri_probe *p)
{
	char path[4200];
	struct stat st;

	if (p->st.st_nlink == 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/root%s",
		 cri_capture_pid(p->proc), p->link);
	return (!lstat(p->link, &st) && st.st_ino == p->st.st_ino) ||
	       (!lstat(path, &st) && st.st_ino == p->st.st_ino);
}

static int check(const struct cri_probe *p, struct cri_err *err)
{
	if (strstr(p->fdinfo, "LEASE") && strstr(p->fdinfo, "lock:"))
		return cri_fail(err, ENOTSUP,
				"has a lease on %.150s (not supported)",
				p->link);
	if (has_name(p))
		return 0;
	if ((uint32_t)fcntl(p->fd, F_GETFL) & O_PATH)
		return cri_fail(err, ENOTSUP,
				"is an O_PATH descriptor of the vanished "
				"%.150s (not supported)",
				p->link);
	return 0;
}

/* A checksum that tells a file from another one put in its place. */
static uint32_t sample(int fd, uint64_t size)
{
	static const uint64_t mask = PAGE - 1;
	void *buf = NULL;
	uint32_t crc = 0;
	uint64_t tail;
	ssize_t n;

	if (!size || posix_memalign(&buf, PAGE, PAGE))
		return 0;
	n = pread(fd, buf, PAGE, 0);
	if (n > 0)
		crc = cri_crc32c(0, buf, (uint64_t)n < size ? (size_t)n : size);
	tail = (size - 1) & ~mask;
	if (n > 0 && tail) {
		n = pread(fd, buf, PAGE, (off_t)tail);
		if (n > 0)
			crc = cri_crc32c(crc, buf,
					 (uint64_t)n < size - tail ?
						 (size_t)n :
						 size - tail);
	}
	free(buf);
	return n > 0 ? crc : 0;
}

static int record_new(struct cri_probe *p, struct cri_rec_file **out)
{
	struct cri_rec_file *f = cri_recset_add(p->set, CRI_REC_FILE);

	if (!f)
		return -ENOMEM;
	f->path = cri_recset_strdup(p->set, p->link);
	if (!f->path)
		return -ENOMEM;
	f->mode = p->st.st_mode;
	f->dev = p->st.st_dev;
	f->ino = p->st.st_ino;
	f->rdev = p->st.st_rdev;
	f->size = (uint64_t)p->st.st_size;
	f->mtime = (uint64_t)p->st.st_mtim.tv_sec * 1000000000u +
		   (uint64_t)p->st.st_mtim.tv_nsec;
	f->nlink = (uint32_t)p->st.st_nlink;
	f->uid = p->st.st_uid;
	f->gid = p->st.st_gid;
	*out = f;
	return cri_capture_inode_put(p->cap, CRI_REC_FILE, p->st.st_dev,
				     p->st.st_ino, f->id);
}

/* Another name of the inode, in the directory where it had that one. */
static char *other_name(struct cri_probe *p, const struct cri_rec_file *f)
{
	const char *slash = strrchr(f->path, '/');
	unsigned int budget = MAX_NAMES;
	char path[4200], *found = NULL;
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (!slash || f->nlink == 0 || !S_ISREG(f->mode))
		return NULL;
	snprintf(path, sizeof(path), "%.*s", (int)(slash - f->path + 1),
		 f->path);
	d = opendir(path);
	while (d && !found && budget-- && (e = readdir(d))) {
		if (e->d_ino != f->ino)
			continue;
		snprintf(path, sizeof(path), "%.*s%s",
			 (int)(slash - f->path + 1), f->path, e->d_name);
		if (!lstat(path, &st) && st.st_ino == f->ino &&
		    st.st_dev == f->dev)
			found = cri_recset_strdup(p->set, path);
	}
	if (d)
		closedir(d);
	return found;
}

static int nameless(struct cri_probe *p, struct cri_rec_file *f,
		    struct cri_err *err)
{
	char *other = other_name(p, f);

	if (other) {
		f->path = other;
		return 0;
	}
	f->path[named_length(f->path)] = '\0';
	f->unlinked = 1;
	if (S_ISDIR(f->mode)) {
		f->flags |= CRI_FILE_GHOST_DIR;
		return 0;
	}
	return cri_capture_content(p->cap, p->fd, f->size, &f->content, err);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_file *f;
	uint32_t id;
	int ret;

	ret = check(p, err);
	if (ret)
		return ret;
	id = cri_capture_inode_get(p->cap, CRI_REC_FILE, p->st.st_dev,
				   p->st.st_ino);
	f = id ? cri_recset_find(p->set, CRI_REC_FILE, id) : NULL;
	ret = f ? 0 : record_new(p, &f);
	if (!ret && !id && !has_name(p))
		ret = nameless(p, f, err);
	if (ret)
		return ret;
	cri_kind_refer(p, f->id);
	if (!S_ISREG(f->mode) || p->ofd->flags & O_PATH || f->unlinked)
		return 0;
	if ((p->ofd->flags & O_ACCMODE) != O_RDONLY)
		f->flags |= CRI_FILE_WRITTEN;
	if (!f->sample && (p->ofd->flags & O_ACCMODE) != O_WRONLY)
		f->sample = sample(p->fd, f->size);
	if (!f->content && in_memory(f->path)) {
		f->flags |= CRI_FILE_SHM;
		ret = cri_capture_content(p->cap, p->fd, f->size, &f->content,
					  err);
	}
	return ret;
}

static const struct cri_rec_file *record(struct cri_restore *rs,
					 const struct cri_rec_ofd *ofd)
{
	return cri_recset_find(cri_restore_records(rs), CRI_REC_FILE,
			       ofd->inode);
}

/* 0: the same as then; 1: cannot be told; -1: another file. */
static int compare(const struct cri_rec_file *f, const char *path)
{
	uint32_t now;
	int fd;

	if (!f->sample)
		return 1;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return 1;
	now = sample(fd, f->size);
	close(fd);
	return now == f->sample ? 0 : -1;
}

static int unchanged(const struct cri_rec_file *f, const char *path,
		     const struct stat *st, struct cri_err *err)
{
	uint64_t mtime = (uint64_t)st->st_mtim.tv_sec * 1000000000u +
			 (uint64_t)st->st_mtim.tv_nsec;
	bool same = st->st_ino == f->ino && st->st_dev == f->dev;

	if ((uint64_t)st->st_size < f->size)
		return cri_fail(err, ESTALE,
				"%s shrank from %lu to %lu bytes since the "
				"checkpoint",
				path, (unsigned long)f->size,
				(unsigned long)st->st_size);
	if (same && mtime == f->mtime)
		return 0;
	/* The program itself may have gone on writing it. */
	if (same && f->flags & CRI_FILE_WRITTEN)
		return 0;
	if (same && (uint64_t)st->st_size == f->size)
		return cri_fail(err, ESTALE,
				"%s was rewritten since the checkpoint", path);
	if (compare(f, path) < 0)
		return cri_fail(err, ESTALE,
				"%s was replaced by another file since the "
				"checkpoint",
				path);
	return 0;
}

static int verify(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  struct cri_err *err)
{
	const struct cri_rec_file *f = record(rs, ofd);
	const char *path;
	struct stat st;

	if (!f)
		return cri_fail(err, EBADMSG, "damaged image: file");
	if (f->unlinked)
		return 0;
	path = cri_restore_path(rs, f->path);
	if (lstat(path, &st)) {
		if (f->flags & CRI_FILE_SHM && errno == ENOENT)
			return 0;
		return cri_fail(err, errno,
				"%s is gone or not reachable (--relocate tells "
				"where it is now)",
				path);
	}
	/* A relocation may go through a symbolic link. */
	if (S_ISLNK(st.st_mode) && !S_ISLNK(f->mode) && stat(path, &st))
		return cri_fail(err, errno, "%s", path);
	if ((st.st_mode & S_IFMT) != (f->mode & S_IFMT))
		return cri_fail(err, ESTALE, "%s is of another type now", path);
	if (!S_ISREG(f->mode) || ofd->flags & O_PATH || f->flags & CRI_FILE_SHM)
		return 0;
	return unchanged(f, path, &st, err);
}

static int ghost_dir(const struct cri_rec_ofd *ofd, int *fd,
		     struct cri_err *err)
{
	char path[] = "/tmp/stasis-XXXXXX";

	if (!mkdtemp(path))
		return cri_fail(err, errno, "a directory that was removed");
	*fd = open(path, (int)ofd->flags | O_CLOEXEC);
	rmdir(path);
	return *fd < 0 ? cri_fail(err, errno, "a directory that was removed") :
			 0;
}

/* A named file in memory that this machine does not have. */
int cri_restore_shm_file(struct cri_restore *rs, const struct cri_rec_file *f,
			 const char *path, struct cri_err *err)
{
	int fd, ret;

	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return errno == EEXIST ? 0 : cri_fail(err, errno, "%s", path);
	ret = fchmod(fd, f->mode & 07777) || ftruncate(fd, (off_t)f->size) ?
		      -errno :
		      0;
	if (!ret)
		ret = cri_restore_content(rs, f->content, fd, err);
	close(fd);
	return ret ? cri_fail(err, -ret, "%s", path) : 0;
}

static int open_named(struct cri_restore *rs, const struct cri_rec_file *f,
		      const struct cri_rec_ofd *ofd, int *fd,
		      struct cri_err *err)
{
	const char *path = cri_restore_path(rs, f->path);
	uint32_t flags = ofd->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC);
	int ret;

	if (!S_ISDIR(f->mode))
		flags &= ~(uint32_t)O_TMPFILE;
	if (f->flags & CRI_FILE_SHM) {
		ret = cri_restore_shm_file(rs, f, path, err);
		if (ret)
			return ret;
	}
	*fd = open(path, (int)flags | O_CLOEXEC | O_NOCTTY);
	/* A file that only its creator could open: write-protected since. */
	if (*fd < 0 && errno == EPERM && flags & O_NOATIME)
		*fd = open(path, (int)(flags & ~(uint32_t)O_NOATIME) |
					 O_CLOEXEC | O_NOCTTY);
	if (*fd < 0)
		return cri_fail(err, errno, "%s cannot be opened as it was",
				path);
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	const struct cri_rec_file *f = record(rs, ofd);
	int ret, base;

	if (!f)
		return cri_fail(err, EBADMSG, "damaged image: file");
	if (f->flags & CRI_FILE_GHOST_DIR)
		return ghost_dir(ofd, fd, err);
	if (f->unlinked) {
		ret = cri_restore_nameless(rs, f->id, &base, err);
		if (ret)
			return ret;
		*fd = cri_kind_reopen(base, ofd->flags);
		if (*fd < 0)
			return cri_fail(err, -*fd, "the unlinked file %s",
					f->path);
	} else {
		ret = open_named(rs, f, ofd, fd, err);
		if (ret)
			return ret;
	}
	if (ofd->flags & O_PATH)
		return 0;
	if (ofd->pos && lseek(*fd, (off_t)ofd->pos, SEEK_SET) < 0) {
		ret = cri_fail(err, errno, "position in %s", f->path);
		close(*fd);
		*fd = -1;
		return ret;
	}
	return cri_kind_status(*fd, ofd->flags);
}

static int memory_again(struct cri_restore *rs, const struct cri_rec_file *f,
			struct cri_err *err)
{
	const char *path = cri_restore_path(rs, f->path);
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW), ret = 0;

	if (fd < 0)
		return 0; /* not writable by us: nobody of us changed it */
	if (ftruncate(fd, 0) || ftruncate(fd, (off_t)f->size))
		ret = cri_fail(err, errno, "%s", path);
	if (!ret)
		ret = cri_restore_content(rs, f->content, fd, err);
	close(fd);
	return ret;
}

int cri_restore_shm_again(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_file *f;
	uint32_t i;
	int ret;

	cri_for_each(cri_restore_records(rs), CRI_REC_FILE, i, f)
	{
		if (!(f->flags & CRI_FILE_SHM) || f->unlinked)
			continue;
		ret = memory_again(rs, f, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int outside(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		   int fd, struct cri_err *err)
{
	const struct cri_rec_file *f = record(rs, ofd);
	struct stat st;

	if (!f || f->unlinked || !S_ISREG(f->mode) || ofd->flags & O_PATH)
		return 0;
	if (f->flags & CRI_FILE_SHM)
		return 0; /* see cri_restore_shm_again() */
	if ((ofd->flags & O_ACCMODE) == O_RDONLY || fstat(fd, &st) ||
	    (uint64_t)st.st_size <= f->size)
		return 0;
	cri_restore_log(rs, "%s: cut back from %lu to %lu bytes", f->path,
			(unsigned long)st.st_size, (unsigned long)f->size);
	if (ftruncate(fd, (off_t)f->size))
		return cri_fail(err, errno, "cutting %s back", f->path);
	return 0;
}

const struct cri_kind cri_kind_file = {
	.type = CRI_REC_FILE,
	.name = "file",
	.match = match,
	.check = check,
	.capture = capture,
	.verify = verify,
	.open = open_again,
	.outside = outside,
};
