/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bounded cursor: the only decoder of binary input (images, messages).
 * Every call checks what is left before it touches a byte and returns 0 or
 * -ENODATA, in which case nothing was taken.  Little-endian.
 */
#ifndef CRI_UTIL_CURSOR_H
#define CRI_UTIL_CURSOR_H

#include <stddef.h>
#include <stdint.h>

struct cri_cur {
	const uint8_t *start;
	const uint8_t *p;
	const uint8_t *end;
};

void cri_cur_init(struct cri_cur *c, const void *p, size_t len);
size_t cri_cur_left(const struct cri_cur *c);
/* Bytes taken so far. */
size_t cri_cur_at(const struct cri_cur *c);

#define CRI_MUST __attribute__((warn_unused_result))
CRI_MUST int cri_cur_u16(struct cri_cur *c, uint16_t *v);
CRI_MUST int cri_cur_u32(struct cri_cur *c, uint32_t *v);
CRI_MUST int cri_cur_u64(struct cri_cur *c, uint64_t *v);
/* A view of the next len bytes, valid as long as the input. */
CRI_MUST int cri_cur_bytes(struct cri_cur *c, size_t len, const void **p);
CRI_MUST int cri_cur_copy(struct cri_cur *c, void *to, size_t len);
/* The next len bytes must be zero: -EBADMSG when they are not. */
CRI_MUST int cri_cur_zero(struct cri_cur *c, size_t len);
/* Nothing may be left: -EBADMSG when something is. */
CRI_MUST int cri_cur_done(const struct cri_cur *c);

#endif
