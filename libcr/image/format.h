/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of the image around records and pages, format 1.0 (cr_image(5)):
 * coders for the header page, record frames, extent pages, index and trailer.
 * Everything but the header's own checksum starts from a seed made of the
 * image's id, so that a piece of another image is never taken for ours.
 */
#ifndef CRI_IMAGE_FORMAT_H
#define CRI_IMAGE_FORMAT_H

#include "image/buf.h"
#include "image/image.h"
#include "util/err.h"

#define CRI_MAGIC "\x89STASIS\n"
#define CRI_TRAILER_MAGIC "\x89SISATS\n"
#define CRI_MAGIC_LEN 8u
#define CRI_MAJOR 1u
#define CRI_MINOR 0u
#define CRI_ARCH_X86_64 62u
#define CRI_ID_LEN 16u
#define CRI_CODEC_RAW 0u
#define CRI_RECORD_MAGIC 0x44524352u
#define CRI_EXTENT_MAGIC 0x4e545845u
#define CRI_INDEX_MAGIC 0x58444e49u
#define CRI_RECORD_FRAME 24u /* bytes before a record's payload */
#define CRI_RECORD_REQUIRED 1u /* flags: unknown type is refused */
#define CRI_RECORD_MAX (1u << 30)
#define CRI_INDEX_HEAD 16u
#define CRI_INDEX_ENTRY 40u /* without its runs */
#define CRI_RUN_SIZE 16u
#define CRI_RUNS_AT 64u /* in an extent's page */
#define CRI_TRAILER_LEN 64u
#define CRI_CRC_AT (CRI_PAGE - 4)

struct cri_head {
	uint16_t major;
	uint16_t minor;
	uint8_t id[CRI_ID_LEN];
	uint8_t parent[CRI_ID_LEN];
	uint32_t n_records;
	uint64_t records_len; /* frames, payloads and their padding */
};

struct cri_frame {
	uint16_t type;
	uint16_t version;
	uint16_t flags;
	uint32_t len;
	uint32_t seq; /* 0, 1, 2, ... */
	uint32_t crc;
};

/* An extent as its header page and the index tell it. */
struct cri_extent_head {
	uint64_t at; /* of the header page (index only) */
	uint32_t seq; /* header page only */
	uint32_t obj;
	uint32_t n_pages;
	uint32_t n_runs;
	uint64_t stored; /* bytes of payload in the file */
	uint32_t payload_crc;
	uint32_t page_crc; /* of the header page */
};

struct cri_tail {
	uint64_t index_at;
	uint64_t index_len;
	uint64_t file_size;
	uint32_t n_extents;
	uint32_t index_crc;
};

uint32_t cri_seed(const uint8_t id[CRI_ID_LEN]);

/* page: CRI_PAGE bytes, wholly written. */
void cri_head_encode(const struct cri_head *h, uint8_t *page);
int cri_head_decode(const uint8_t *page, struct cri_head *h,
		    struct cri_err *err);

/* A frame and its payload, padded to 8 bytes; rec of schema s. */
int cri_frame_encode(struct cri_buf *b, uint32_t seed, uint32_t seq,
		     const struct cri_schema *s, const void *rec);

void cri_extent_encode(const struct cri_extent_head *e, const uint8_t *id,
		       const struct cri_run *runs, uint8_t *page,
		       uint32_t *page_crc);
/* Only the frame of the page; the reader has the rest from the index. */
int cri_extent_check(const uint8_t *page, const uint8_t *id,
		     const struct cri_extent_head *want, uint32_t seq,
		     uint64_t at, struct cri_err *err);

int cri_index_entry_encode(struct cri_buf *b, const struct cri_extent_head *e,
			   const struct cri_run *runs);

void cri_tail_encode(const struct cri_tail *t, const uint8_t *id,
		     uint8_t bytes[CRI_TRAILER_LEN]);
int cri_tail_decode(const uint8_t bytes[CRI_TRAILER_LEN], const uint8_t *id,
		    uint64_t size, struct cri_tail *t, struct cri_err *err);

#endif
