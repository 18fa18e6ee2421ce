// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What leaves a snapshot: ranges, copies into the caller's memory, and pages
 * written to a file from where they are.  No lock but the session's is held.
 */
#include <linux/bvec.h>
#include <linux/crc32c.h>
#include <linux/highmem.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "stasis.h"

#define STREAM_PAGES 256u

static bool page_zero(struct page *page)
{
	void *p = kmap_local_page(page);
	bool zero = !memchr_inv(p, 0, PAGE_SIZE);

	kunmap_local(p);
	return zero;
}

struct ranges {
	struct stasis_range *list;
	u32 n;
	u32 max;
};

/* false: full, and [start, end) is not in it. */
static bool range_add(struct ranges *r, u64 start, u64 end)
{
	if (r->n && r->list[r->n - 1].end == start) {
		r->list[r->n - 1].end = end;
		return true;
	}
	if (r->n == r->max)
		return false;
	r->list[r->n].start = start;
	r->list[r->n].end = end;
	r->n++;
	return true;
}

static bool pages_ent(struct ranges *r, const struct stasis_ent *e,
		      struct stasis_pages *a)
{
	u64 at = max_t(u64, stasis_ent_start(e), a->next);
	u64 end = min_t(u64, stasis_ent_end(e), a->end);

	if (!(a->flags & STASIS_PAGES_SKIP_ZERO)) {
		if (!range_add(r, at, end))
			return false;
		a->next = end;
		return true;
	}
	for (; at < end; at += PAGE_SIZE) {
		if (!page_zero(stasis_ent_page(e, at)) &&
		    !range_add(r, at, at + PAGE_SIZE))
			return false;
		a->next = at + PAGE_SIZE;
	}
	return true;
}

int stasis_ioc_pages(struct stasis_session *s, void *arg)
{
	struct stasis_pages *a = arg;
	struct ranges r = { 0 };
	struct stasis_snap *snap;
	struct stasis_iter it;
	struct stasis_ent *e;
	int ret;

	if (a->flags & ~STASIS_PAGES_SKIP_ZERO || !a->n_max ||
	    a->n_max > STASIS_MAX_RANGES || a->n || a->reserved || a->next ||
	    (a->start | a->end) & ~PAGE_MASK || a->start > a->end)
		return -EINVAL;
	ret = stasis_snap_get(s, a->id, &snap);
	if (ret)
		return ret;
	r.max = a->n_max;
	r.list = kvmalloc_array(r.max, sizeof(*r.list), GFP_KERNEL_ACCOUNT);
	if (!r.list)
		return -ENOMEM;
	a->next = a->start;
	stasis_iter_seek(&it, snap, a->start);
	while (a->next < a->end && (e = stasis_iter_get(&it)) &&
	       stasis_ent_start(e) < a->end) {
		if (!pages_ent(&r, e, a))
			goto full;
		stasis_iter_next(&it);
		cond_resched();
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
	}
	a->next = a->end;
full:
	a->n = r.n;
	if (!ret && copy_to_user(u64_to_user_ptr(a->buf), r.list,
				 r.n * sizeof(*r.list)))
		ret = -EFAULT;
	kvfree(r.list);
	return ret;
}

/* The page that backs addr, ZERO_PAGE for none; moves the iterator on. */
static struct page *page_at(struct stasis_iter *it, unsigned long addr)
{
	struct stasis_ent *e;

	while ((e = stasis_iter_get(it)) && stasis_ent_end(e) <= addr)
		stasis_iter_next(it);
	if (!e || stasis_ent_start(e) > addr)
		return ZERO_PAGE(0);
	return stasis_ent_page(e, addr);
}

int stasis_ioc_read(struct stasis_session *s, void *arg)
{
	struct stasis_read *a = arg;
	struct stasis_snap *snap;
	struct stasis_iter it;
	unsigned long at, off, n;
	void __user *to;
	u64 end;
	int ret;

	if (a->len > STASIS_MAX_BUFFER ||
	    check_add_overflow(a->start, a->len, &end))
		return -EINVAL;
	ret = stasis_snap_get(s, a->id, &snap);
	if (ret)
		return ret;
	stasis_iter_seek(&it, snap, a->start);
	to = u64_to_user_ptr(a->buf);
	for (at = a->start; at < end && !ret; at += n, to += n) {
		struct page *page = page_at(&it, at & PAGE_MASK);
		void *from = kmap_local_page(page);

		off = offset_in_page(at);
		n = min_t(unsigned long, PAGE_SIZE - off, end - at);
		if (copy_to_user(to, from + off, n))
			ret = -EFAULT;
		else if (fatal_signal_pending(current))
			ret = -EINTR;
		kunmap_local(from);
		cond_resched();
	}
	return ret;
}

struct stream {
	struct stasis_stream *arg;
	struct file *file;
	struct bio_vec *bv;
	u32 n_bv;
	loff_t pos;
};

static u32 crc_pages(struct stream *st, size_t bytes)
{
	u32 crc = st->arg->crc, i;
	size_t n;
	void *p;

	for (i = 0; bytes; i++, bytes -= n) {
		n = min_t(size_t, bytes, PAGE_SIZE);
		p = kmap_local_page(st->bv[i].bv_page);
		crc = crc32c(crc, p, n);
		kunmap_local(p);
	}
	return crc;
}

/* Write the gathered pages; what a short write left over is tried again. */
static int stream_flush(struct stream *st)
{
	size_t bytes = (size_t)st->n_bv * PAGE_SIZE, done = 0;
	struct iov_iter iter;
	ssize_t got = 0;

	if (!bytes)
		return 0;
	iov_iter_bvec(&iter, WRITE, st->bv, st->n_bv, bytes);
	while (done < bytes) {
		file_start_write(st->file);
		got = vfs_iter_write(st->file, &iter, &st->pos, 0);
		file_end_write(st->file);
		if (got <= 0)
			break;
		done += got;
	}
	st->arg->written += done;
	if (st->arg->flags & STASIS_STREAM_CRC)
		st->arg->crc = crc_pages(st, done);
	st->n_bv = 0;
	if (done < bytes)
		return got < 0 ? got : -ENOSPC;
	return 0;
}

static int stream_range(struct stream *st, struct stasis_snap *snap,
			const struct stasis_range *r)
{
	struct stasis_iter it;
	unsigned long at;
	int ret = 0;

	if ((r->start | r->end) & ~PAGE_MASK || r->start > r->end ||
	    r->end > TASK_SIZE_MAX)
		return -EINVAL;
	stasis_iter_seek(&it, snap, r->start);
	for (at = r->start; at < r->end && !ret; at += PAGE_SIZE) {
		struct bio_vec *bv = &st->bv[st->n_bv++];

		bv->bv_page = page_at(&it, at);
		bv->bv_len = PAGE_SIZE;
		bv->bv_offset = 0;
		if (st->n_bv == STREAM_PAGES)
			ret = stream_flush(st);
		if (fatal_signal_pending(current))
			ret = -EINTR;
		cond_resched();
	}
	return ret;
}

static int stream_begin(struct stream *st, struct stasis_stream *a)
{
	struct file *f = fget(a->fd);

	if (!f)
		return -EBADF;
	st->file = f;
	if (!(f->f_mode & FMODE_WRITE) || !S_ISREG(file_inode(f)->i_mode))
		return -EBADF;
	if (file_inode(f)->i_sb->s_magic == 0x9fa0) /* proc: never */
		return -EBADF;
	st->bv = kvmalloc_array(STREAM_PAGES, sizeof(*st->bv), GFP_KERNEL);
	return st->bv ? 0 : -ENOMEM;
}

int stasis_ioc_stream(struct stasis_session *s, void *arg)
{
	struct stasis_stream *a = arg;
	struct stream st = { .arg = a, .pos = a->offset };
	struct stasis_range *list = NULL;
	struct stasis_snap *snap;
	u32 i;
	int ret;

	if (a->flags & ~STASIS_STREAM_CRC || a->written || !a->n ||
	    a->n > STASIS_MAX_RANGES || st.pos < 0)
		return -EINVAL;
	ret = stream_begin(&st, a);
	if (ret)
		goto out;
	list = vmemdup_user(u64_to_user_ptr(a->ranges), a->n * sizeof(*list));
	ret = PTR_ERR_OR_ZERO(list);
	if (ret)
		goto out;
	ret = stasis_snap_get(s, a->id, &snap);
	for (i = 0; i < a->n && !ret; i++)
		ret = stream_range(&st, snap, &list[i]);
	if (!ret)
		ret = stream_flush(&st);
out:
	if (!IS_ERR_OR_NULL(list))
		kvfree(list);
	kvfree(st.bv);
	if (st.file)
		fput(st.file);
	return ret;
}
