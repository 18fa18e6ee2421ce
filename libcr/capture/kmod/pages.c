/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of the module engine: one copy-on-write snapshot of all address
 * spaces; where it is not to be had the pages are only held, and written
 * while the program stands.  What is asked for before the snapshot (shared
 * memory, the vdso, ranges that a fork would not carry) is read as it stands.
 */
#include "config.h"

#include "capture/kmod/kmod.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/err.h"

#define RANGES 4096
#define READ_MAX (64u << 20)

static int take(struct cri_capture *cap, uint32_t mode,
		struct stasis_snapshot *s)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	s->mode = mode;
	ret = cri_kmod_call(cap, STASIS_IOC_SNAPSHOT, s);
	kstate(cap)->held = ret == 0;
	return ret;
}

int cri_kmod_snapshot(struct cri_capture *cap, struct cri_err *err)
{
	struct stasis_drop drop = { .size = sizeof(drop) };
	struct kstate *k = kstate(cap);
	struct stasis_snapshot s;
	int ret;

	if (k->held)
		(void)cri_kmod_call(cap, STASIS_IOC_DROP, &drop);
	ret = take(cap, STASIS_SNAPSHOT_COW, &s);
	if (ret == -EOPNOTSUPP || ret == -ENOMEM || ret == -EAGAIN ||
	    (ret == -EBUSY && s.strangers)) {
		cri_capture_logf(cap,
				 "no copy-on-write (%s): writing while it "
				 "stands",
				 s.strangers ? "others use its memory" :
					       strerror(-ret));
		cap->held_write = true;
		ret = take(cap, STASIS_SNAPSHOT_REF, &s);
	}
	if (ret)
		return cri_fail(err, -ret, "snapshot: %s", strerror(-ret));
	k->final = true;
	return 0;
}

int cri_kmod_pages(struct cri_capture *cap, struct cri_cproc *p,
		   const struct cri_vma *vma,
		   int (*emit)(void *arg, uint64_t start, uint64_t end),
		   void *arg, struct cri_err *err)
{
	struct kstate *k = kstate(cap);
	struct stasis_pages a = { .size = sizeof(a),
				  .id = kproc(p)->id,
				  .n_max = RANGES,
				  .start = vma->start,
				  .end = vma->end };
	struct stasis_snapshot s;
	uint32_t i;
	int ret = 0;

	if (!k->held)
		ret = take(cap, STASIS_SNAPSHOT_REF, &s);
	if (!ret && !k->ranges) {
		k->ranges = calloc(RANGES, sizeof(*k->ranges));
		ret = k->ranges ? 0 : -ENOMEM;
	}
	a.buf = (uintptr_t)k->ranges;
	while (!ret && a.start < vma->end) {
		a.n = 0;
		a.next = 0;
		ret = cri_kmod_call(cap, STASIS_IOC_PAGES, &a);
		for (i = 0; !ret && i < a.n; i++)
			ret = emit(arg, k->ranges[i].start, k->ranges[i].end);
		if (!ret && a.next <= a.start)
			ret = -EPROTO;
		a.start = a.next;
	}
	if (ret)
		return cri_fail(err, -ret, "pages of pid %d: %s", p->pid,
				strerror(-ret));
	return 0;
}

static int read_live(struct kproc *kp, uint64_t start, char *to, size_t len)
{
	while (len) {
		ssize_t n = pread(kp->mem, to, len, (off_t)start);

		if (n <= 0)
			return n ? -errno : -EIO;
		to += n;
		start += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int read_held(struct cri_capture *cap, struct kproc *kp, uint64_t start,
		     char *to, size_t len)
{
	struct stasis_read a = { .size = sizeof(a), .id = kp->id };
	int ret = 0;

	while (len && !ret) {
		a.start = start;
		a.len = len < READ_MAX ? len : READ_MAX;
		a.buf = (uintptr_t)to;
		ret = cri_kmod_call(cap, STASIS_IOC_READ, &a);
		start += a.len;
		to += a.len;
		len -= a.len;
	}
	return ret;
}

int cri_kmod_read(struct cri_capture *cap, struct cri_cproc *p, uint64_t start,
		  void *to, size_t len, struct cri_err *err)
{
	int ret;

	ret = kstate(cap)->final ? read_held(cap, kproc(p), start, to, len) :
				   read_live(kproc(p), start, to, len);
	if (ret)
		return cri_fail(err, -ret, "memory of pid %d at 0x%llx: %s",
				p->pid, (unsigned long long)start,
				strerror(-ret));
	return 0;
}
