/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Coders for the frame of an image.  Encoders append to a buffer or fill a
 * page that the caller owns; decoders read through the bounded cursor, check
 * type before body, and tell the offset in the file of what is wrong.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/format.h"

#include <errno.h>
#include <string.h>

#include "image/crc32c.h"
#include "util/cursor.h"

/* A fixed-size output: callers know that what they put fits. */
struct out {
	uint8_t *p;
};

static void out_bytes(struct out *o, const void *p, size_t len)
{
	memcpy(o->p, p, len);
	o->p += len;
}

static void out_u16(struct out *o, uint16_t v)
{
	out_bytes(o, &v, sizeof(v));
}

static void out_u32(struct out *o, uint32_t v)
{
	out_bytes(o, &v, sizeof(v));
}

static void out_u64(struct out *o, uint64_t v)
{
	out_bytes(o, &v, sizeof(v));
}

uint32_t cri_seed(const uint8_t id[CRI_ID_LEN])
{
	return cri_crc32c(0, id, CRI_ID_LEN);
}

void cri_head_encode(const struct cri_head *h, uint8_t *page)
{
	struct out o = { page };
	uint32_t crc;

	memset(page, 0, CRI_PAGE);
	out_bytes(&o, CRI_MAGIC, CRI_MAGIC_LEN);
	out_u16(&o, h->major);
	out_u16(&o, h->minor);
	out_u32(&o, CRI_ARCH_X86_64);
	out_u32(&o, CRI_PAGE);
	out_u32(&o, 0); /* flags */
	out_bytes(&o, h->id, CRI_ID_LEN);
	out_bytes(&o, h->parent, CRI_ID_LEN);
	out_u32(&o, CRI_CODEC_RAW);
	out_u32(&o, h->n_records);
	out_u64(&o, h->records_len);
	crc = cri_crc32c(0, page, CRI_CRC_AT);
	memcpy(page + CRI_CRC_AT, &crc, sizeof(crc));
}

/* Flags, codec, parent: reserved, so another value is of a newer program. */
static int head_rest(struct cri_cur *c, struct cri_head *h,
		     struct cri_err *err)
{
	static const uint8_t none[CRI_ID_LEN];
	uint32_t arch, page, flags, codec;

	if (cri_cur_u32(c, &arch) || cri_cur_u32(c, &page) ||
	    cri_cur_u32(c, &flags) || cri_cur_copy(c, h->id, CRI_ID_LEN) ||
	    cri_cur_copy(c, h->parent, CRI_ID_LEN) || cri_cur_u32(c, &codec) ||
	    cri_cur_u32(c, &h->n_records) || cri_cur_u64(c, &h->records_len))
		return cri_fail(err, EBADMSG, "offset 0: header too short");
	if (arch != CRI_ARCH_X86_64)
		return cri_fail(err, ENOTSUP,
				"offset 12: image of another architecture "
				"(ELF machine %u; this is x86-64)",
				arch);
	if (page != CRI_PAGE)
		return cri_fail(err, ENOTSUP,
				"offset 16: image with pages of %u bytes", page);
	if (flags || codec || memcmp(h->parent, none, CRI_ID_LEN))
		return cri_fail(err, EPROTONOSUPPORT,
				"offset 20: image uses compression, a parent or "
				"flags that this version does not know");
	if (cri_cur_zero(c, CRI_CRC_AT - cri_cur_at(c)))
		return cri_fail(err, EBADMSG,
				"offset 72: header's reserve is not zero");
	return 0;
}

int cri_head_decode(const uint8_t *page, struct cri_head *h,
		    struct cri_err *err)
{
	struct cri_cur c;
	const void *magic;
	uint32_t crc;

	cri_cur_init(&c, page, CRI_PAGE);
	if (cri_cur_bytes(&c, CRI_MAGIC_LEN, &magic) ||
	    memcmp(magic, CRI_MAGIC, CRI_MAGIC_LEN))
		return cri_fail(err, ENOEXEC, "offset 0: not a Stasis image");
	if (cri_cur_u16(&c, &h->major) || cri_cur_u16(&c, &h->minor))
		return cri_fail(err, EBADMSG, "offset 8: header too short");
	if (h->major > CRI_MAJOR)
		return cri_fail(err, EPROTONOSUPPORT,
				"offset 8: image of format %u.%u, this program "
				"reads up to %u.x: use a newer one",
				h->major, h->minor, CRI_MAJOR);
	memcpy(&crc, page + CRI_CRC_AT, sizeof(crc));
	if (h->major < 1 || crc != cri_crc32c(0, page, CRI_CRC_AT))
		return cri_fail(err, EBADMSG,
				"offset 0: header's checksum does not match");
	return head_rest(&c, h, err);
}

/* Over the frame with its crc field zero, then the payload. */
int cri_frame_encode(struct cri_buf *b, uint32_t seed, uint32_t seq,
		     const struct cri_schema *s, const void *rec)
{
	uint8_t frame[CRI_RECORD_FRAME] = { 0 };
	struct out o = { frame };
	size_t start = b->len;
	size_t len;
	uint32_t crc;
	int ret;

	ret = cri_buf_add(b, frame, sizeof(frame));
	if (ret)
		return ret;
	ret = cri_record_put(b, s, rec);
	if (ret)
		return ret;
	len = b->len - start - sizeof(frame);
	if (len > CRI_RECORD_MAX)
		return -EFBIG;
	out_u32(&o, CRI_RECORD_MAGIC);
	out_u16(&o, s->type);
	out_u16(&o, s->version);
	out_u16(&o, s->type == CRI_REC_NOTE ? 0 : CRI_RECORD_REQUIRED);
	out_u16(&o, 0);
	out_u32(&o, (uint32_t)len);
	out_u32(&o, seq);
	memcpy(b->p + start, frame, sizeof(frame));
	crc = cri_crc32c(seed, b->p + start, b->len - start);
	memcpy(b->p + start + CRI_RECORD_FRAME - 4, &crc, sizeof(crc));
	return cri_buf_pad(b, 8);
}

static void out_runs(struct out *o, const struct cri_run *runs, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		out_u64(o, runs[i].page);
		out_u32(o, runs[i].count);
		out_u32(o, runs[i].flags);
	}
}

void cri_extent_encode(const struct cri_extent_head *e, const uint8_t *id,
		       const struct cri_run *runs, uint8_t *page,
		       uint32_t *page_crc)
{
	struct out o = { page };

	memset(page, 0, CRI_PAGE);
	out_u32(&o, CRI_EXTENT_MAGIC);
	out_u32(&o, e->seq);
	out_bytes(&o, id, CRI_ID_LEN);
	out_u32(&o, e->obj);
	out_u32(&o, e->n_pages);
	out_u32(&o, e->n_runs);
	out_u32(&o, CRI_CODEC_RAW);
	out_u64(&o, e->stored);
	out_u32(&o, e->payload_crc);
	o.p = page + CRI_RUNS_AT;
	out_runs(&o, runs, e->n_runs);
	*page_crc = cri_crc32c(cri_seed(id), page, CRI_CRC_AT);
	memcpy(page + CRI_CRC_AT, page_crc, sizeof(*page_crc));
}

int cri_extent_check(const uint8_t *page, const uint8_t *id,
		     const struct cri_extent_head *want, uint32_t seq,
		     uint64_t at, struct cri_err *err)
{
	uint32_t magic, got_seq, obj, crc;
	const void *got_id;
	struct cri_cur c;

	cri_cur_init(&c, page, CRI_PAGE);
	if (cri_cur_u32(&c, &magic) || cri_cur_u32(&c, &got_seq) ||
	    cri_cur_bytes(&c, CRI_ID_LEN, &got_id) || cri_cur_u32(&c, &obj))
		return cri_fail(err, EBADMSG, "extent page too short");
	if (magic != CRI_EXTENT_MAGIC)
		return cri_fail(err, EBADMSG,
				"offset %llu: no extent begins here",
				(unsigned long long)at);
	if (memcmp(got_id, id, CRI_ID_LEN))
		return cri_fail(err, EBADMSG,
				"offset %llu: extent of another image",
				(unsigned long long)at);
	if (got_seq != seq || obj != want->obj)
		return cri_fail(err, EBADMSG,
				"offset %llu: extent %u of object %u where %u "
				"of object %u belongs",
				(unsigned long long)at, got_seq, obj, seq,
				want->obj);
	memcpy(&crc, page + CRI_CRC_AT, sizeof(crc));
	if (crc != want->page_crc ||
	    crc != cri_crc32c(cri_seed(id), page, CRI_CRC_AT))
		return cri_fail(err, EBADMSG,
				"offset %llu: checksum of extent %u's page does "
				"not match",
				(unsigned long long)at, seq);
	return 0;
}

int cri_index_entry_encode(struct cri_buf *b, const struct cri_extent_head *e,
			   const struct cri_run *runs)
{
	uint8_t bytes[CRI_INDEX_ENTRY + CRI_EXTENT_RUNS * CRI_RUN_SIZE];
	struct out o = { bytes };

	out_u64(&o, e->at);
	out_u32(&o, e->obj);
	out_u32(&o, e->n_pages);
	out_u32(&o, e->n_runs);
	out_u32(&o, CRI_CODEC_RAW);
	out_u64(&o, e->stored);
	out_u32(&o, e->payload_crc);
	out_u32(&o, e->page_crc);
	out_runs(&o, runs, e->n_runs);
	return cri_buf_add(b, bytes, (size_t)(o.p - bytes));
}

void cri_tail_encode(const struct cri_tail *t, const uint8_t *id,
		     uint8_t bytes[CRI_TRAILER_LEN])
{
	struct out o = { bytes };
	uint32_t crc;

	out_bytes(&o, CRI_TRAILER_MAGIC, CRI_MAGIC_LEN);
	out_bytes(&o, id, CRI_ID_LEN);
	out_u64(&o, t->index_at);
	out_u64(&o, t->index_len);
	out_u64(&o, t->file_size);
	out_u32(&o, t->n_extents);
	out_u32(&o, t->index_crc);
	out_u32(&o, 0);
	crc = cri_crc32c(cri_seed(id), bytes, CRI_TRAILER_LEN - 4);
	out_u32(&o, crc);
}

int cri_tail_decode(const uint8_t bytes[CRI_TRAILER_LEN], const uint8_t *id,
		    uint64_t size, struct cri_tail *t, struct cri_err *err)
{
	unsigned long long at = size - CRI_TRAILER_LEN;
	const void *magic, *got_id;
	uint32_t reserve, crc;
	struct cri_cur c;

	cri_cur_init(&c, bytes, CRI_TRAILER_LEN);
	if (cri_cur_bytes(&c, CRI_MAGIC_LEN, &magic) ||
	    memcmp(magic, CRI_TRAILER_MAGIC, CRI_MAGIC_LEN))
		return cri_fail(err, ENODATA,
				"offset %llu: no trailer at the end: the image "
				"is truncated or was never finished",
				at);
	if (cri_cur_bytes(&c, CRI_ID_LEN, &got_id) ||
	    memcmp(got_id, id, CRI_ID_LEN))
		return cri_fail(err, EBADMSG,
				"offset %llu: trailer of another image", at + 8);
	if (cri_cur_u64(&c, &t->index_at) || cri_cur_u64(&c, &t->index_len) ||
	    cri_cur_u64(&c, &t->file_size) ||
	    cri_cur_u32(&c, &t->n_extents) || cri_cur_u32(&c, &t->index_crc) ||
	    cri_cur_u32(&c, &reserve) || cri_cur_u32(&c, &crc))
		return cri_fail(err, EBADMSG, "offset %llu: trailer too short",
				at);
	if (reserve ||
	    crc != cri_crc32c(cri_seed(id), bytes, CRI_TRAILER_LEN - 4))
		return cri_fail(err, EBADMSG,
				"offset %llu: trailer's checksum does not match",
				at);
	if (t->file_size != size)
		return cri_fail(err, EBADMSG,
				"offset %llu: image has %llu bytes, its trailer "
				"says %llu",
				at, (unsigned long long)size,
				(unsigned long long)t->file_size);
	return 0;
}
