/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks from fdinfo and, for flock and OFD locks, back onto the open file.
 */
#include "config.h"

#include "kind/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define POSIX 0u
#define OFD 1u
#define FLOCK 2u

/* "1: POSIX  ADVISORY  WRITE 359 00:13:11691 0 EOF" */
static int one(struct cri_recset *set, uint32_t task, uint32_t ofd, bool fresh,
	       const char *line)
{
	char kind[16], mode[16], type[16], end[32];
	unsigned long long start;
	struct cri_rec_lock *r;
	uint32_t k;

	if (sscanf(line, "lock: %*d: %15s %15s %15s %*s %*s %llu %31s", kind,
		   mode, type, &start, end) != 5)
		return 0;
	k = strcmp(kind, "POSIX") == 0	? POSIX :
	    strcmp(kind, "OFDLCK") == 0 ? OFD :
	    strcmp(kind, "FLOCK") == 0	? FLOCK :
					  3;
	if (k > FLOCK || (k != POSIX && !fresh))
		return 0;
	r = cri_recset_add(set, CRI_REC_LOCK);
	if (!r)
		return -ENOMEM;
	r->kind = k;
	r->ofd = ofd;
	r->task = task;
	r->type = strcmp(type, "WRITE") == 0 ? F_WRLCK : F_RDLCK;
	r->start = start;
	if (strcmp(end, "EOF") != 0)
		r->len = strtoull(end, NULL, 10) - start + 1;
	return 0;
}

int cri_lock_capture(struct cri_recset *set, uint32_t task, uint32_t ofd,
		     bool fresh, const char *fdinfo)
{
	const char *line = fdinfo;
	int ret = 0;

	while (!ret && line && (line = strstr(line, "lock:\t")) != NULL) {
		ret = one(set, task, ofd, fresh, line);
		line = strchr(line, '\n');
	}
	return ret;
}

static int take(int fd, const struct cri_rec_lock *r)
{
	struct flock fl = { .l_type = (short)r->type,
			    .l_whence = SEEK_SET,
			    .l_start = (off_t)r->start,
			    .l_len = (off_t)r->len };

	if (r->kind == OFD)
		return fcntl(fd, F_OFD_SETLK, &fl) ? -errno : 0;
	return flock(fd, (r->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB) ?
		       -errno :
		       0;
}

int cri_lock_restore(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_lock *r;
	uint32_t i;
	int fd, ret;

	cri_for_each(set, CRI_REC_LOCK, i, r)
	{
		if (r->kind == POSIX)
			continue;
		fd = cri_restore_fd(rs, r->ofd);
		ret = fd < 0 ? -EBADMSG : take(fd, r);
		if (ret)
			return cri_fail(err, -ret,
					"a lock of the program is held by "
					"another one (open file %u)",
					r->ofd);
	}
	return 0;
}
