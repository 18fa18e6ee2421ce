/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bounded cursor.  Input may be unaligned; x86-64 is little-endian, as
 * the format is, so values are copied as they stand.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "util/cursor.h"

#include <errno.h>
#include <string.h>

void cri_cur_init(struct cri_cur *c, const void *p, size_t len)
{
	c->start = p;
	c->p = p;
	c->end = c->start ? c->start + len : c->start;
}

size_t cri_cur_left(const struct cri_cur *c)
{
	return (size_t)(c->end - c->p);
}

size_t cri_cur_at(const struct cri_cur *c)
{
	return (size_t)(c->p - c->start);
}

int cri_cur_bytes(struct cri_cur *c, size_t len, const void **p)
{
	if (len > cri_cur_left(c))
		return -ENODATA;
	*p = c->p;
	c->p += len;
	return 0;
}

int cri_cur_copy(struct cri_cur *c, void *to, size_t len)
{
	const void *p;
	int ret;

	ret = cri_cur_bytes(c, len, &p);
	if (ret)
		return ret;
	if (len)
		memcpy(to, p, len);
	return 0;
}

int cri_cur_u16(struct cri_cur *c, uint16_t *v)
{
	return cri_cur_copy(c, v, sizeof(*v));
}

int cri_cur_u32(struct cri_cur *c, uint32_t *v)
{
	return cri_cur_copy(c, v, sizeof(*v));
}

int cri_cur_u64(struct cri_cur *c, uint64_t *v)
{
	return cri_cur_copy(c, v, sizeof(*v));
}

int cri_cur_zero(struct cri_cur *c, size_t len)
{
	const void *p;
	const uint8_t *b;
	size_t i;
	int ret;

	ret = cri_cur_bytes(c, len, &p);
	if (ret)
		return ret;
	b = p;
	for (i = 0; i < len; i++)
		if (b[i])
			return -EBADMSG;
	return 0;
}

int cri_cur_done(const struct cri_cur *c)
{
	return cri_cur_left(c) ? -EBADMSG : 0;
}
