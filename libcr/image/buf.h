/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A byte buffer that grows, for the encoders.  Start with all zero; .p is
 * malloc'ed and the holder frees it, also after an error.
 */
#ifndef CRI_IMAGE_BUF_H
#define CRI_IMAGE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "image/schema.h"

struct cri_buf {
	unsigned char *p;
	size_t len;
	size_t cap;
};

/* Append; p NULL appends zeros. 0 or -ENOMEM. */
int cri_buf_add(struct cri_buf *b, const void *p, size_t len);
/* Zeros up to the next multiple of align, a power of two. */
int cri_buf_pad(struct cri_buf *b, size_t align);
/* Append a record's payload. */
int cri_record_put(struct cri_buf *b, const struct cri_schema *s,
		   const void *rec);

#endif
