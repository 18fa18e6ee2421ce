/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a reader, shared by its parts.
 */
#ifndef CRI_IMAGE_READER_INT_H
#define CRI_IMAGE_READER_INT_H

#include "image/format.h"

struct cri_reader {
	int fd; /* the data: the caller's, or mem_fd */
	int mem_fd; /* memory file with what came from a stream, or -1 */
	uint64_t size;
	struct cri_head head;
	struct cri_recset *set;
	uint64_t extents_at; /* offset of the first extent's page */
	struct cri_tail tail;
	uint32_t n_extents;
	struct cri_extent_head *heads; /* in file order */
	struct cri_extent *extents; /* sorted by object, then file order */
	struct cri_run *runs;
};

/* All of len bytes at offset at; -ENODATA when the file ends before. */
int cri_reader_pread(const struct cri_reader *r, void *to, size_t len,
		     uint64_t at, const char *what, struct cri_err *err);
int cri_reader_index(struct cri_reader *r, struct cri_err *err);

#endif
