/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memfd: an open file on shared memory.  The record and its content are the
 * same as for mappings of it.  Seals come last, when everything is mapped.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kind/util.h"

static bool match(const struct cri_probe *p)
{
	return strncmp(p->link, "/memfd:", 7) == 0;
}

static uint32_t huge_shift(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) || fs.f_type != HUGETLBFS_MAGIC || fs.f_bsize <= 0)
		return 0;
	return (uint32_t)__builtin_ctzl((unsigned long)fs.f_bsize);
}

static int describe(struct cri_probe *p, struct cri_rec_shmem *r,
		    struct cri_err *err)
{
	size_t len = strlen(p->link + 7);
	char *name = cri_recset_strdup(p->set, p->link + 7);
	int ret;

	if (!name)
		return -ENOMEM;
	if (len > 10 && strcmp(name + len - 10, " (deleted)") == 0)
		name[len - 10] = '\0';
	r->kind = CRI_SHMEM_MEMFD;
	r->name = name;
	r->size = (uint64_t)p->st.st_size;
	r->huge_shift = huge_shift(p->fd);
	ret = cri_capture_inode_put(p->cap, CRI_REC_SHMEM, p->st.st_dev,
				    p->st.st_ino, r->id);
	if (ret)
		return ret;
	return cri_capture_content_of(p->cap, p->fd, r->size, r->id, err);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	uint32_t id = cri_capture_inode_get(p->cap, CRI_REC_SHMEM, p->st.st_dev,
					    p->st.st_ino);
	struct cri_rec_shmem *r = NULL;
	int seals = fcntl(p->fd, F_GET_SEALS), ret = 0;

	if (id)
		r = cri_recset_find(p->set, CRI_REC_SHMEM, id);
	if (!r) {
		r = cri_recset_add(p->set, CRI_REC_SHMEM);
		ret = r ? describe(p, r, err) : -ENOMEM;
	}
	if (ret)
		return ret;
	r->mode = p->st.st_mode & 07777;
	r->seals = seals > 0 ? (uint32_t)seals : 0;
	if (!r->huge_shift)
		r->huge_shift = huge_shift(p->fd);
	cri_kind_refer(p, r->id);
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	int base, ret;

	ret = cri_restore_shmem(rs, ofd->inode, &base, err);
	if (ret)
		return ret;
	*fd = cri_kind_reopen(base, ofd->flags);
	if (*fd < 0)
		return cri_fail(err, -*fd, "memfd");
	if (ofd->pos && lseek(*fd, (off_t)ofd->pos, SEEK_SET) < 0)
		return cri_fail(err, errno, "memfd");
	return cri_kind_status(*fd, ofd->flags);
}

static int seal(struct cri_restore *rs, const struct cri_rec_ofd *ofd, int fd,
		struct cri_err *err)
{
	struct cri_rec_shmem *r = cri_recset_find(cri_restore_records(rs),
						  CRI_REC_SHMEM, ofd->inode);
	int base, now, ret;

	(void)fd;
	if (!r)
		return 0;
	ret = cri_restore_shmem(rs, ofd->inode, &base, err);
	if (ret)
		return ret;
	now = fcntl(base, F_GET_SEALS);
	if (now < 0 || ((uint32_t)now & r->seals) == r->seals)
		return 0;
	if (fcntl(base, F_ADD_SEALS, (int)r->seals))
		return cri_fail(err, errno, "sealing the memfd %s", r->name);
	return 0;
}

const struct cri_kind cri_kind_shmem = {
	.type = CRI_REC_SHMEM,
	.name = "memfd",
	.match = match,
	.capture = capture,
	.open = open_again,
	.outside = seal,
};
