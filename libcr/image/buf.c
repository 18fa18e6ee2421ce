/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The growing byte buffer of the encoders: doubling, hence linear.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int reserve(struct cri_buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 512;
	unsigned char *p;

	if (more > SIZE_MAX / 4 - b->len)
		return -ENOMEM;
	if (b->len + more <= b->cap)
		return 0;
	while (cap < b->len + more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

int cri_buf_add(struct cri_buf *b, const void *p, size_t len)
{
	int ret;

	if (!len)
		return 0;
	ret = reserve(b, len);
	if (ret)
		return ret;
	if (p)
		memcpy(b->p + b->len, p, len);
	else
		memset(b->p + b->len, 0, len);
	b->len += len;
	return 0;
}

int cri_buf_pad(struct cri_buf *b, size_t align)
{
	return cri_buf_add(b, NULL, -b->len & (align - 1));
}
