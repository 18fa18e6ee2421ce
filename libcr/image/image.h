/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image file: the one place that knows its bytes (man/cr_image.5).
 * Layout, strictly forward: header page | records | extents | index | trailer.
 * An extent is one header page (object, runs, crc32c of the payload) followed
 * by its payload pages; both are 4 KiB-aligned in the file.
 */
#ifndef CRI_IMAGE_IMAGE_H
#define CRI_IMAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "image/recset.h"

#define CRI_PAGE 4096u
#define CRI_EXTENT_PAGES 2048u /* payload limit: 8 MiB */
#define CRI_EXTENT_RUNS 240u /* runs that fit a header page */

/* Pages [page, page + count) of the object, in payload order. */
struct cri_run {
	uint64_t page; /* address / 4096 (mm), offset / 4096 (others) */
	uint32_t count;
	uint32_t flags; /* CRI_RUN_* */
};

/* No payload: the pages are those of the mm that mm.inherits names. */
#define CRI_RUN_PARENT 0x1u

/* A page-aligned buffer: header page, then CRI_EXTENT_PAGES of payload. */
struct cri_extent_buf {
	void *payload;
	uint32_t obj;
	uint32_t n_pages; /* of payload: without those of CRI_RUN_PARENT */
	uint32_t n_runs;
	struct cri_run runs[CRI_EXTENT_RUNS];
};

struct cri_writer;

#define CRI_WRITE_DIRECT 0x1u /* O_DIRECT where the file system takes it */

/* fd stays the caller's; a pipe or socket will do.  Nothing is written yet. */
int cri_writer_open(int fd, uint32_t flags, struct cri_writer **out,
		    struct cri_err *err);
/* Header and all records; before the first extent. */
int cri_writer_records(struct cri_writer *w, const struct cri_recset *set,
		       struct cri_err *err);
/*
 * A free buffer to fill (blocks while all are in flight), then hand it in:
 * checksummed and written in the order of put (without pages it only goes
 * back).  Both may be called by the same thread only.  An error of an earlier
 * write shows at any later call.
 */
int cri_writer_get(struct cri_writer *w, struct cri_extent_buf **buf,
		   struct cri_err *err);
int cri_writer_put(struct cri_writer *w, struct cri_extent_buf *buf,
		   struct cri_err *err);
/* Index and trailer; the caller does fsync and rename. */
int cri_writer_finish(struct cri_writer *w, struct cri_err *err);
uint64_t cri_writer_bytes(const struct cri_writer *w);
void cri_writer_free(struct cri_writer *w); /* NULL allowed; aborts */

/* One extent as the reader knows it. */
struct cri_extent {
	uint32_t obj;
	uint32_t n_pages;
	uint64_t offset; /* of the payload in reader's data fd */
	uint32_t crc; /* of the payload */
	uint32_t n_runs;
	const struct cri_run *runs;
};

struct cri_reader;

/*
 * Read and check header, records, and (seekable) index, trailer and extent
 * headers.  A pipe is read to its end into a memory file first.  Payload is
 * not verified here.  fd stays the caller's.  Errors: -EBADMSG damaged (err
 * names offset and reason), -ENODATA truncated, -EPROTONOSUPPORT newer,
 * -ENOEXEC no image, -ENOTSUP other architecture.
 */
int cri_reader_open(int fd, struct cri_reader **out, struct cri_err *err);
void cri_reader_free(struct cri_reader *r);
struct cri_recset *cri_reader_records(struct cri_reader *r);
/* Descriptor that extent offsets refer to: fd or the memory file. */
int cri_reader_fd(struct cri_reader *r);
/* Extents sorted by object, in file order within one; owned by the reader. */
const struct cri_extent *cri_reader_extents(struct cri_reader *r, uint32_t obj,
					    uint32_t *n);
/* Verify the payload of every extent (cr_info --verify, golden tests). */
int cri_reader_verify(struct cri_reader *r, struct cri_err *err);
uint64_t cri_reader_size(struct cri_reader *r);

#endif
