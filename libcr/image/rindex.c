/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader's second half: trailer, index, the extents' pages, and the
 * verification of the payload.  The extents must cover the file from the
 * records to the index without a gap, so that no byte escapes a checksum.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "image/crc32c.h"
#include "image/reader_int.h"
#include "util/cursor.h"

#define ADDRESS_PAGES (1ull << 52) /* 64 bits of bytes */

typedef unsigned long long ull;

static int read_tail(struct cri_reader *r, struct cri_err *err)
{
	uint8_t bytes[CRI_TRAILER_LEN];
	struct cri_tail *t = &r->tail;
	int ret;

	if (r->size < r->extents_at + CRI_TRAILER_LEN)
		return cri_fail(err, ENODATA,
				"offset %llu: the image ends after its records: "
				"it is truncated",
				(ull)r->size);
	ret = cri_reader_pread(r, bytes, sizeof(bytes),
			       r->size - CRI_TRAILER_LEN, "its trailer", err);
	if (ret)
		return ret;
	ret = cri_tail_decode(bytes, r->head.id, r->size, t, err);
	if (ret)
		return ret;
	if (t->index_at < r->extents_at || t->index_at % CRI_PAGE ||
	    t->index_at > r->size - CRI_TRAILER_LEN ||
	    t->index_len > r->size - CRI_TRAILER_LEN - t->index_at ||
	    r->size % CRI_PAGE)
		return cri_fail(err, EBADMSG,
				"offset %llu: trailer points outside the image",
				(ull)(r->size - CRI_TRAILER_LEN));
	return 0;
}

static int decode_run(struct cri_cur *c, struct cri_run *run, uint64_t *sum)
{
	if (cri_cur_u64(c, &run->page) || cri_cur_u32(c, &run->count) ||
	    cri_cur_u32(c, &run->flags))
		return -EBADMSG;
	if (!run->count || run->flags & ~CRI_RUN_PARENT ||
	    run->page >= ADDRESS_PAGES ||
	    run->count > ADDRESS_PAGES - run->page)
		return -EBADMSG;
	if (!(run->flags & CRI_RUN_PARENT))
		*sum += run->count;
	return 0;
}

/* One entry: it must begin where the one before it ended. */
static int decode_entry(struct cri_cur *c, struct cri_extent_head *e,
			struct cri_run *runs, uint32_t left, uint64_t want_at)
{
	uint64_t sum = 0;
	uint32_t codec, i;

	if (cri_cur_u64(c, &e->at) || cri_cur_u32(c, &e->obj) ||
	    cri_cur_u32(c, &e->n_pages) || cri_cur_u32(c, &e->n_runs) ||
	    cri_cur_u32(c, &codec) || cri_cur_u64(c, &e->stored) ||
	    cri_cur_u32(c, &e->payload_crc) || cri_cur_u32(c, &e->page_crc))
		return -EBADMSG;
	if (e->at != want_at || !e->obj || e->n_pages > CRI_EXTENT_PAGES ||
	    !e->n_runs || e->n_runs > CRI_EXTENT_RUNS || e->n_runs > left ||
	    codec != CRI_CODEC_RAW ||
	    e->stored != (uint64_t)e->n_pages * CRI_PAGE)
		return -EBADMSG;
	for (i = 0; i < e->n_runs; i++)
		if (decode_run(c, &runs[i], &sum))
			return -EBADMSG;
	return sum == e->n_pages ? 0 : -EBADMSG;
}

static int decode_index(struct cri_reader *r, const uint8_t *bytes,
			struct cri_err *err)
{
	uint32_t magic, n, i, used = 0, n_runs;
	uint64_t at = r->extents_at;
	uint64_t pad[1];
	struct cri_cur c;
	uint64_t len = r->tail.index_len;

	cri_cur_init(&c, bytes, len);
	if (cri_cur_u32(&c, &magic) || cri_cur_u32(&c, &n) ||
	    cri_cur_u64(&c, pad) || magic != CRI_INDEX_MAGIC || pad[0] ||
	    n != r->tail.n_extents ||
	    n > cri_cur_left(&c) / (CRI_INDEX_ENTRY + CRI_RUN_SIZE))
		return cri_fail(err, EBADMSG, "offset %llu: index is damaged",
				(ull)r->tail.index_at);
	n_runs = (uint32_t)((cri_cur_left(&c) - (size_t)n * CRI_INDEX_ENTRY) /
			    CRI_RUN_SIZE);
	r->heads = calloc(n ? n : 1, sizeof(*r->heads));
	r->extents = calloc(n ? n : 1, sizeof(*r->extents));
	r->runs = calloc(n_runs ? n_runs : 1, sizeof(*r->runs));
	if (!r->heads || !r->extents || !r->runs)
		return cri_fail(err, ENOMEM, "out of memory");
	for (i = 0; i < n; i++) {
		if (decode_entry(&c, &r->heads[i], r->runs + used,
				 n_runs - used, at))
			return cri_fail(err, EBADMSG,
					"offset %llu: index entry of extent %u "
					"is damaged",
					(ull)r->tail.index_at, i);
		r->heads[i].seq = used; /* its first run, until sorted */
		used += r->heads[i].n_runs;
		at += CRI_PAGE + r->heads[i].stored;
	}
	r->n_extents = n;
	if (cri_cur_done(&c) || at != r->tail.index_at)
		return cri_fail(err, EBADMSG,
				"offset %llu: index does not cover the image",
				(ull)r->tail.index_at);
	return 0;
}

static int read_index(struct cri_reader *r, struct cri_err *err)
{
	uint64_t len = r->size - CRI_TRAILER_LEN - r->tail.index_at;
	struct cri_cur c;
	uint8_t *bytes;
	int ret;

	bytes = malloc(len ? len : 1);
	if (!bytes)
		return cri_fail(err, ENOMEM, "out of memory");
	ret = cri_reader_pread(r, bytes, len, r->tail.index_at, "its index",
			       err);
	if (ret)
		goto out;
	cri_cur_init(&c, bytes + r->tail.index_len, len - r->tail.index_len);
	if (cri_crc32c(cri_seed(r->head.id), bytes, r->tail.index_len) !=
		    r->tail.index_crc ||
	    len - r->tail.index_len >= CRI_PAGE ||
	    cri_cur_zero(&c, len - r->tail.index_len)) {
		ret = cri_fail(err, EBADMSG,
			       "offset %llu: index's checksum does not match",
			       (ull)r->tail.index_at);
		goto out;
	}
	ret = decode_index(r, bytes, err);
out:
	free(bytes);
	return ret;
}

static int by_object(const void *a, const void *b)
{
	const struct cri_extent *x = a, *y = b;

	if (x->obj != y->obj)
		return x->obj < y->obj ? -1 : 1;
	return x->offset < y->offset ? -1 : 1;
}

static void sort_extents(struct cri_reader *r)
{
	struct cri_extent_head *h;
	struct cri_extent *e;
	uint32_t i;

	for (i = 0; i < r->n_extents; i++) {
		h = &r->heads[i];
		e = &r->extents[i];
		e->obj = h->obj;
		e->n_pages = h->n_pages;
		e->offset = h->at + CRI_PAGE;
		e->crc = h->payload_crc;
		e->n_runs = h->n_runs;
		e->runs = r->runs + h->seq;
		h->seq = i;
	}
	qsort(r->extents, r->n_extents, sizeof(*r->extents), by_object);
}

/* Pages belong to objects that the records describe. */
static bool known_object(const struct cri_recset *set, uint32_t obj)
{
	const struct cri_rec_file *f;
	uint32_t i;

	if (cri_recset_find(set, CRI_REC_MM, obj) ||
	    cri_recset_find(set, CRI_REC_SHMEM, obj) ||
	    cri_recset_find(set, CRI_REC_SYSVSHM, obj))
		return true;
	cri_for_each(set, CRI_REC_FILE, i, f)
		if (f->content == obj)
			return true;
	return false;
}

/* Pages of the parent: only in an address space that has one. */
static bool parents_known(const struct cri_recset *set,
			  const struct cri_extent *e)
{
	const struct cri_rec_mm *mm;
	uint32_t i;

	for (i = 0; i < e->n_runs; i++)
		if (e->runs[i].flags & CRI_RUN_PARENT)
			break;
	if (i == e->n_runs)
		return true;
	mm = cri_recset_find(set, CRI_REC_MM, e->obj);
	return mm && mm->inherits && mm->inherits != mm->id &&
	       cri_recset_find(set, CRI_REC_MM, mm->inherits);
}

static int check_objects(struct cri_reader *r, struct cri_err *err)
{
	const struct cri_extent *e;
	uint32_t i, last = 0;

	for (i = 0; i < r->n_extents; i++) {
		e = &r->extents[i];
		if (e->obj != last && !known_object(r->set, e->obj))
			return cri_fail(err, EBADMSG,
					"offset %llu: extent of object %u, "
					"which no record describes",
					(ull)(e->offset - CRI_PAGE), e->obj);
		if (!parents_known(r->set, e))
			return cri_fail(err, EBADMSG,
					"offset %llu: extent of object %u "
					"refers to a parent it has not",
					(ull)(e->offset - CRI_PAGE), e->obj);
		last = e->obj;
	}
	return 0;
}

/* The pages lie apart: ask for all, then look at them one by one. */
static int check_pages(struct cri_reader *r, struct cri_err *err)
{
	uint8_t page[CRI_PAGE];
	uint32_t i;
	int ret;

	for (i = 1; i < r->n_extents; i++)
		(void)posix_fadvise(r->fd, (off_t)r->heads[i].at, CRI_PAGE,
				    POSIX_FADV_WILLNEED);
	for (i = 0; i < r->n_extents; i++) {
		ret = cri_reader_pread(r, page, sizeof(page), r->heads[i].at,
				       "an extent's page", err);
		if (ret)
			return ret;
		ret = cri_extent_check(page, r->head.id, &r->heads[i], i,
				       r->heads[i].at, err);
		if (ret)
			return ret;
	}
	return 0;
}

int cri_reader_index(struct cri_reader *r, struct cri_err *err)
{
	int ret;

	ret = read_tail(r, err);
	if (ret)
		return ret;
	ret = read_index(r, err);
	if (ret)
		return ret;
	sort_extents(r);
	ret = check_objects(r, err);
	if (ret)
		return ret;
	return check_pages(r, err);
}

const struct cri_extent *cri_reader_extents(struct cri_reader *r, uint32_t obj,
					    uint32_t *n)
{
	uint32_t low = 0, high = r->n_extents, mid, end;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (r->extents[mid].obj < obj)
			low = mid + 1;
		else
			high = mid;
	}
	for (end = low; end < r->n_extents && r->extents[end].obj == obj;)
		end++;
	*n = end - low;
	return *n ? &r->extents[low] : NULL;
}

int cri_reader_verify(struct cri_reader *r, struct cri_err *err)
{
	uint64_t largest = 0;
	uint8_t *buf;
	uint32_t i;
	int ret = 0;

	for (i = 0; i < r->n_extents; i++)
		if (r->heads[i].stored > largest)
			largest = r->heads[i].stored;
	buf = malloc(largest ? largest : 1);
	if (!buf)
		return cri_fail(err, ENOMEM, "out of memory");
	for (i = 0; !ret && i < r->n_extents; i++) {
		ret = cri_reader_pread(r, buf, r->heads[i].stored,
				       r->heads[i].at + CRI_PAGE, "an extent",
				       err);
		if (ret)
			break;
		if (cri_crc32c(0, buf, r->heads[i].stored) !=
		    r->heads[i].payload_crc)
			ret = cri_fail(err, EBADMSG,
				       "offset %llu: checksum of extent %u "
				       "(%u pages of object %u) does not match",
				       (ull)(r->heads[i].at + CRI_PAGE), i,
				       r->heads[i].n_pages, r->heads[i].obj);
	}
	free(buf);
	return ret;
}
