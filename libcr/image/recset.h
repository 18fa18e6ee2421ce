/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Record set: all metadata of one image in memory.  Capture fills one and the
 * writer encodes it; the reader decodes one and the restorer works from it.
 * The set owns every record, list and string in it (an arena: freed at once,
 * addresses stay put).  Not thread-safe.
 */
#ifndef CRI_IMAGE_RECSET_H
#define CRI_IMAGE_RECSET_H

#include <stddef.h>

#include "image/records.h"
#include "util/err.h"

struct cri_recset;

int cri_recset_new(struct cri_recset **out);
void cri_recset_free(struct cri_recset *set); /* NULL allowed */

/* Zeroed memory of the set's arena; NULL when out of memory. */
void *cri_recset_alloc(struct cri_recset *set, size_t size);
char *cri_recset_strdup(struct cri_recset *set, const char *s);
int cri_recset_bytes(struct cri_recset *set, struct cri_bytes *to,
		     const void *p, size_t len);

/*
 * Append a zeroed record and give it the next free id of its type (first 1);
 * object ids of MM, SHMEM, SYSVSHM and of FILE's .content come from one common
 * counter, cri_recset_object(), since extents name objects by them.
 * NULL when out of memory.
 */
void *cri_recset_add(struct cri_recset *set, enum cri_rec_type type);
uint32_t cri_recset_object(struct cri_recset *set);

uint32_t cri_recset_count(const struct cri_recset *set, enum cri_rec_type t);
void *cri_recset_at(const struct cri_recset *set, enum cri_rec_type t,
		    uint32_t i);
/* By id, in constant time; NULL when there is none. */
void *cri_recset_find(const struct cri_recset *set, enum cri_rec_type t,
		      uint32_t id);

/* Grow a LIST field by one zeroed element: amortised constant time. */
void *cri_recset_grow(struct cri_recset *set, void **list, uint32_t *n,
		      size_t elem_size);
#define CRI_GROW(set, list, n)                                                 \
	((__typeof__(list))cri_recset_grow((set), (void **)&(list), &(n),      \
					   sizeof(*(list))))

#define cri_for_each(set, T, i, r)                                             \
	for ((i) = 0; (i) < cri_recset_count((set), (T)) &&                    \
		      ((r) = cri_recset_at((set), (T), (i)));                  \
	     (i)++)

/*
 * Encode one record's payload (malloc'ed, *len bytes), or decode it.  Decode
 * is bounded by len, checks every count before it allocates, rejects trailing
 * bytes, and leaves the set usable after an error.
 */
int cri_record_encode(const struct cri_schema *s, const void *rec, void **buf,
		      size_t *len);
int cri_record_decode(struct cri_recset *set, enum cri_rec_type type,
		      uint16_t version, const void *buf, size_t len,
		      struct cri_err *err);

#endif
