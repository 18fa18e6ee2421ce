/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a private mapping hold something of their own, and their
 * bytes.  Both come from the snapshot where there is one.  PAGEMAP_SCAN gives
 * ranges at once and costs nothing for holes of any size; before Linux 6.7
 * /proc/PID/pagemap is read word by word.
 */
#include "config.h"

#include "capture/user/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/err.h"

/* linux/fs.h of 6.7; Debian 12's headers are older. */
struct scan_region {
	uint64_t start, end, categories;
};
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t inverted, mask, anyof, ret_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
#define SCAN_FILE (1u << 2)
#define SCAN_PRESENT (1u << 3)
#define SCAN_SWAPPED (1u << 4)
#define SCAN_PFNZERO (1u << 5)
#define SCAN_VEC 512

#define MAP_PRESENT (1ULL << 63)
#define MAP_SWAPPED (1ULL << 62)
#define MAP_FILE (1ULL << 61)
#define MAP_WORDS 8192

static pid_t source(const struct cri_cproc *p)
{
	const struct uproc *u = uproc(p);

	return u->snap ? u->snap : p->threads[0].tid;
}

static int scan(int fd, const struct cri_vma *vma,
		int (*emit)(void *arg, uint64_t start, uint64_t end), void *arg)
{
	struct scan_region vec[SCAN_VEC];
	struct scan_arg a = {
		.size = sizeof(a),
		.start = vma->start,
		.end = vma->end,
		.vec = (uint64_t)(uintptr_t)vec,
		.vec_len = SCAN_VEC,
		.inverted = SCAN_PFNZERO | SCAN_FILE,
		.mask = SCAN_PFNZERO | SCAN_FILE,
		.anyof = SCAN_PRESENT | SCAN_SWAPPED,
		.ret_mask = SCAN_PRESENT | SCAN_SWAPPED,
	};
	int n, i, ret;

	while (a.start < vma->end) {
		n = ioctl(fd, SCAN_IOCTL, &a);
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++) {
			ret = emit(arg, vec[i].start, vec[i].end);
			if (ret)
				return ret;
		}
		if (a.walk_end <= a.start)
			break;
		a.start = a.walk_end;
	}
	return 0;
}

static int by_pagemap(int fd, const struct cri_vma *vma,
		      int (*emit)(void *arg, uint64_t start, uint64_t end),
		      void *arg)
{
	static uint64_t word[MAP_WORDS];
	uint64_t at = vma->start;
	uint64_t from = 0;
	ssize_t n;
	int ret = 0;

	while (at < vma->end && !ret) {
		uint64_t want = (vma->end - at) / 4096;
		ssize_t i;

		if (want > MAP_WORDS)
			want = MAP_WORDS;
		n = pread(fd, word, want * 8, (off_t)(at / 4096 * 8));
		if (n <= 0)
			return n ? -errno : -EIO;
		for (i = 0; i < n / 8 && !ret; i++, at += 4096) {
			uint64_t w = word[i];
			bool mine = (w & (MAP_PRESENT | MAP_SWAPPED)) &&
				    !(w & MAP_FILE);

			if (mine && !from)
				from = at;
			if (!mine && from) {
				ret = emit(arg, from, at);
				from = 0;
			}
		}
	}
	if (!ret && from)
		ret = emit(arg, from, vma->end);
	return ret;
}

/* One open pagemap at a time: the next process takes its place. */
static int pagemap(struct cri_cproc *p)
{
	struct uproc *u = uproc(p);
	char path[64];
	int fd;

	if (u->pagemap > 0 && u->pagemap_of == source(p))
		return 0;
	cri_user_pages_close(p);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", source(p));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	u->pagemap = fd;
	u->pagemap_of = source(p);
	return 0;
}

void cri_user_pages_close(struct cri_cproc *p)
{
	struct uproc *u = uproc(p);

	if (u && u->pagemap > 0)
		close(u->pagemap);
	if (u)
		u->pagemap = 0;
}

int cri_user_pages(struct cri_capture *cap, struct cri_cproc *p,
		   const struct cri_vma *vma,
		   int (*emit)(void *arg, uint64_t start, uint64_t end),
		   void *arg, struct cri_err *err)
{
	int ret;

	(void)cap;
	ret = pagemap(p);
	if (!ret)
		ret = scan(uproc(p)->pagemap, vma, emit, arg);
	if (ret == -ENOTTY || ret == -EINVAL)
		ret = by_pagemap(uproc(p)->pagemap, vma, emit, arg);
	if (ret)
		return cri_fail(err, -ret, "pages of pid %d: %s", p->pid,
				strerror(-ret));
	return 0;
}

/* What may not be read, as PROT_NONE: /proc/PID/mem takes no offence. */
static ssize_t read_forced(pid_t pid, uint64_t start, void *to, size_t len)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = pread(fd, to, len, (off_t)start);
	close(fd);
	return n;
}

int cri_user_read(struct cri_capture *cap, struct cri_cproc *p, uint64_t start,
		  void *to, size_t len, struct cri_err *err)
{
	size_t done = 0;

	(void)cap;
	while (done < len) {
		struct iovec l = { (char *)to + done, len - done };
		struct iovec r = { (void *)(start + done), len - done };
		ssize_t n = process_vm_readv(source(p), &l, 1, &r, 1, 0);

		if (n <= 0)
			n = read_forced(source(p), start + done,
					(char *)to + done, len - done);
		if (n <= 0)
			return cri_fail(err, n ? errno : EIO,
					"memory of pid %d at 0x%llx: %s",
					p->pid,
					(unsigned long long)(start + done),
					strerror(n ? errno : EIO));
		done += (size_t)n;
	}
	return 0;
}
