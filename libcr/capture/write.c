/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a finished record set, copied contents and a snapshot to the image.
 * Pages that are all zero are left out where the mapping would give zeros
 * anyway; pages equal to those of the parent that forked the process are only
 * named (CRI_RUN_PARENT).
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/err.h"

#define BATCH 64u /* pages read at once beside the parent's */

/* Pages of an address space that are in the image, for its children. */
struct had {
	struct cri_run *runs;
	uint32_t n;
	uint32_t room;
};

struct out {
	struct cri_capture *cap;
	struct cri_writer *w;
	struct cri_extent_buf *buf;
	struct cri_err *err;
	struct cri_cproc *p;
	struct cri_cproc *parent; /* pages may be its, NULL none */
	const struct cri_vma *vma;
	struct had *had; /* per process */
	uint32_t index;
	uint32_t parent_index;
	uint32_t hint; /* in the parent's runs */
	uint64_t total;
	uint64_t told; /* time of the last progress */
	char *other; /* BATCH pages of the parent */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool is_zero(const void *page)
{
	const uint64_t *v = page;

	return v[0] == 0 && v[511] == 0 &&
	       memcmp(v, v + 1, CRI_PAGE - 8) == 0;
}

static int flush(struct out *o)
{
	uint64_t now = now_ns();
	int ret;

	if (!o->buf || o->buf->n_runs == 0)
		return 0;
	ret = cri_writer_put(o->w, o->buf, o->err);
	o->buf = NULL;
	if (ret)
		return ret;
	ret = cri_capture_alive(o->cap, o->err);
	if (!ret && now - o->told > 100000000u) {
		o->told = now;
		o->cap->progress(o->cap, CR_EXT_PHASE_WRITE,
				 cri_writer_bytes(o->w), o->total);
	}
	return ret;
}

/* Room for at least one page and one run of obj. */
static int room(struct out *o, uint32_t obj)
{
	int ret;

	if (o->buf && (o->buf->obj != obj ||
		       o->buf->n_pages == CRI_EXTENT_PAGES ||
		       o->buf->n_runs == CRI_EXTENT_RUNS)) {
		ret = flush(o);
		if (ret)
			return ret;
	}
	if (!o->buf) {
		ret = cri_writer_get(o->w, &o->buf, o->err);
		if (ret)
			return ret;
		o->buf->obj = obj;
		o->buf->n_pages = 0;
		o->buf->n_runs = 0;
	}
	return 0;
}

/* Extend the last run or begin one; false when there is no room for it. */
static bool note(struct cri_extent_buf *b, uint64_t page, uint32_t flags)
{
	struct cri_run *r = b->n_runs ? &b->runs[b->n_runs - 1] : NULL;

	if (r && r->flags == flags && r->page + r->count == page) {
		r->count++;
		return true;
	}
	if (b->n_runs == CRI_EXTENT_RUNS)
		return false;
	b->runs[b->n_runs++] = (struct cri_run){ .page = page, .count = 1,
						 .flags = flags };
	return true;
}

static int remember(struct had *h, uint64_t page, uint32_t count)
{
	if (h->n && h->runs[h->n - 1].page + h->runs[h->n - 1].count == page) {
		h->runs[h->n - 1].count += count;
		return 0;
	}
	if (h->n == h->room) {
		uint32_t n = h->room ? h->room * 2 : 64;
		void *grown = realloc(h->runs, n * sizeof(*h->runs));

		if (!grown)
			return -ENOMEM;
		h->runs = grown;
		h->room = n;
	}
	h->runs[h->n++] = (struct cri_run){ .page = page, .count = count };
	return 0;
}

/* Pages from here on that the parent's image has, at most n; 0 none. */
static uint32_t parent_has(struct out *o, uint64_t page, uint32_t n,
			   uint32_t *without)
{
	const struct had *h = &o->had[o->parent_index];

	while (o->hint < h->n &&
	       h->runs[o->hint].page + h->runs[o->hint].count <= page)
		o->hint++;
	*without = n;
	if (o->hint == h->n)
		return 0;
	if (h->runs[o->hint].page > page) {
		if (h->runs[o->hint].page - page < n)
			*without = (uint32_t)(h->runs[o->hint].page - page);
		return 0;
	}
	if (h->runs[o->hint].page + h->runs[o->hint].count - page < n)
		n = (uint32_t)(h->runs[o->hint].page +
			       h->runs[o->hint].count - page);
	return n;
}

/*
 * n pages of the buffer's end were just read: keep those worth keeping, close
 * the gaps.  *used pages were dealt with (less than n when runs ran out).
 */
static void sift(struct out *o, uint64_t page, uint32_t n, const char *same,
		 bool drop_zero, uint32_t *used)
{
	struct cri_extent_buf *b = o->buf;
	char *to = (char *)b->payload + (size_t)b->n_pages * CRI_PAGE;
	char *from = to;
	uint32_t i;

	for (i = 0; i < n; i++, from += CRI_PAGE) {
		if (drop_zero && is_zero(from) &&
		    (!same || is_zero(same + (size_t)i * CRI_PAGE)))
			continue;
		if (same &&
		    memcmp(from, same + (size_t)i * CRI_PAGE, CRI_PAGE) == 0) {
			if (!note(b, page + i, CRI_RUN_PARENT))
				break;
			continue;
		}
		if (!note(b, page + i, 0))
			break;
		if (to != from)
			memcpy(to, from, CRI_PAGE);
		to += CRI_PAGE;
		b->n_pages++;
	}
	*used = i;
}

static int emit_pages(void *arg, uint64_t start, uint64_t end)
{
	struct out *o = arg;
	bool anon = o->vma->kind == CRI_VMA_ANON;
	uint64_t page = start / CRI_PAGE, last = end / CRI_PAGE;
	int ret;

	if (o->had) {
		ret = remember(&o->had[o->index], page,
			       (uint32_t)(last - page));
		if (ret)
			return ret;
	}
	while (page < last) {
		uint32_t n, used, without;
		const char *same = NULL;

		ret = room(o, o->p->mm_id);
		if (ret)
			return ret;
		n = CRI_EXTENT_PAGES - o->buf->n_pages;
		if (last - page < n)
			n = (uint32_t)(last - page);
		if (o->parent) {
			uint32_t has = parent_has(o, page, n, &without);

			n = has ? has : without;
			if (has && n > BATCH)
				n = BATCH;
			if (has && o->cap->engine->read(o->cap, o->parent,
							page * CRI_PAGE,
							o->other,
							(size_t)n * CRI_PAGE,
							NULL) == 0)
				same = o->other;
		}
		ret = o->cap->engine->read(o->cap, o->p, page * CRI_PAGE,
					   (char *)o->buf->payload +
						   (size_t)o->buf->n_pages *
							   CRI_PAGE,
					   (size_t)n * CRI_PAGE, o->err);
		if (ret)
			return ret;
		sift(o, page, n, same, anon, &used);
		page += used;
		if (used < n) {
			ret = flush(o);
			if (ret)
				return ret;
		}
	}
	return 0;
}

static bool has_private(const struct cri_vma *v)
{
	return !(v->flags & (CRI_VMA_SHARED | CRI_VMA_DONTFORK |
			     CRI_VMA_WIPEONFORK | CRI_VMA_HUGETLB)) &&
	       (v->kind == CRI_VMA_ANON || v->kind == CRI_VMA_FILE);
}

static int write_mm(struct out *o)
{
	const struct cri_rec_mm *mm = o->p->mm;
	uint32_t i;
	int ret;

	o->hint = 0;
	for (i = 0; i < mm->n_vmas; i++) {
		o->vma = &mm->vmas[i];
		if (!has_private(o->vma))
			continue;
		ret = o->cap->engine->pages(o->cap, o->p, o->vma, emit_pages, o,
					    o->err);
		if (ret)
			return ret;
	}
	return flush(o);
}

static int write_content(struct out *o, const struct cri_content *c)
{
	uint64_t page = c->start / CRI_PAGE;
	uint64_t last = page + (c->len + CRI_PAGE - 1) / CRI_PAGE;
	const char *from = c->copy;
	int ret;

	for (; page < last; from += (size_t)CRI_PAGE, page++) {
		if (is_zero(from))
			continue;
		ret = room(o, c->obj);
		if (ret)
			return ret;
		if (!note(o->buf, page, 0)) {
			ret = flush(o);
			if (!ret)
				ret = room(o, c->obj);
			if (ret)
				return ret;
			(void)note(o->buf, page, 0);
		}
		memcpy((char *)o->buf->payload +
			       (size_t)o->buf->n_pages * CRI_PAGE,
		       from, CRI_PAGE);
		o->buf->n_pages++;
	}
	return 0;
}

/*
 * The process whose fork left the same memory: its parent, unless one of
 * them has called exec since.
 */
static void inherit(struct cri_capture *cap)
{
	uint32_t i;

	for (i = 0; i < cap->n_procs; i++) {
		struct cri_cproc *p = cap->procs[i];
		struct cri_cproc *q = cri_procs_find(cap, p->ppid);

		if (p->mm && q && q != p && q->mm && p->owns_mm &&
		    p->mm->exe == q->mm->exe &&
		    p->mm->start_stack == q->mm->start_stack)
			p->mm->inherits = q->mm_id;
	}
}

static int write_all(struct out *o)
{
	struct cri_capture *cap = o->cap;
	uint32_t i;
	int ret;

	inherit(cap);
	ret = cri_writer_records(o->w, cap->set, o->err);
	for (i = 0; !ret && i < cap->n_contents; i++)
		if (cap->contents[i].copy)
			ret = write_content(o, &cap->contents[i]);
	if (!ret)
		ret = flush(o);
	for (i = 0; !ret && i < cap->n_procs; i++) {
		o->p = cap->procs[i];
		o->index = i;
		o->parent = NULL;
		if (o->p->zombie || !o->p->owns_mm)
			continue;
		if (o->p->mm->inherits) {
			o->parent = cri_procs_find(cap, o->p->ppid);
			o->parent_index = (uint32_t)cri_idmap_get(
				&cap->by_pid, (uint64_t)o->p->ppid, 0) - 1;
		}
		ret = write_mm(o);
	}
	if (!ret)
		ret = cri_writer_finish(o->w, o->err);
	return ret;
}

static uint64_t expected(const struct cri_capture *cap)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < cap->n_contents; i++)
		sum += cap->contents[i].len;
	return sum + cap->resident;
}

int cri_capture_write(struct cri_capture *cap, int fd, struct cri_err *err)
{
	struct out o = { .cap = cap, .err = err };
	uint64_t from = now_ns();
	uint32_t i;
	int ret;

	o.total = expected(cap);
	o.had = calloc(cap->n_procs + 1, sizeof(*o.had));
	o.other = aligned_alloc(CRI_PAGE, (size_t)BATCH * CRI_PAGE);
	ret = o.had && o.other ? 0 : -ENOMEM;
	if (!ret)
		ret = cri_writer_open(fd, 0, &o.w, err);
	if (!ret)
		ret = write_all(&o);
	if (!ret) {
		cap->image_bytes = cri_writer_bytes(o.w);
		cap->progress(cap, CR_EXT_PHASE_DONE, cap->image_bytes,
			      cap->image_bytes);
	}
	cri_writer_free(o.w);
	for (i = 0; o.had && i < cap->n_procs; i++)
		free(o.had[i].runs);
	free(o.had);
	free(o.other);
	cap->write_ns = now_ns() - from;
	return ret;
}
