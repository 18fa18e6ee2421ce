/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encoding and decoding of messages by the table in msg.def.  The decoder
 * sees untrusted bytes: it checks type before body, length before copy, and
 * that nothing is left over.
 */
#include "msg.h"

#include <errno.h>
#include <string.h>

#include "libcr/util/cursor.h"

struct shape {
	const char *name;
	uint8_t nums;
	uint8_t texts;
};

static const struct shape shapes[] = {
#define SJ_MSG(no, name, nums, texts) [no] = { #name, nums, texts },
#include "msg.def"
#undef SJ_MSG
};

static const struct shape *shape_of(unsigned int type)
{
	if (type >= sizeof(shapes) / sizeof(*shapes) || !shapes[type].name)
		return NULL;
	return &shapes[type];
}

const char *sj_msg_name(unsigned int type)
{
	const struct shape *s = shape_of(type);

	return s ? s->name : NULL;
}

static uint8_t *put(uint8_t *p, uint64_t v, int bytes)
{
	while (bytes--) {
		*p++ = v;
		v >>= 8;
	}
	return p;
}

int sj_msg_encode(const struct sj_msg *m, void *buf, size_t *len)
{
	const struct shape *s = shape_of(m->type);
	uint8_t *start = buf;
	uint8_t *p = start + SJ_MSG_HEAD;
	size_t n;
	int i;

	if (!s)
		return -EINVAL;
	for (i = 0; i < s->nums; i++)
		p = put(p, m->num[i], 8);
	for (i = 0; i < s->texts; i++) {
		n = strnlen(m->text[i], SJ_MSG_TEXT - 1);
		p = put(p, n, 2);
		memcpy(p, m->text[i], n);
		p += n;
	}
	*len = p - start;
	put(start, *len - 4, 4);
	put(start + 4, m->type, 2);
	put(start + 6, 0, 2);
	return 0;
}

static int decode_text(struct cri_cur *c, char *text)
{
	uint16_t n;
	int ret;

	ret = cri_cur_u16(c, &n);
	if (ret)
		return ret;
	if (n >= SJ_MSG_TEXT)
		return -EBADMSG;
	ret = cri_cur_copy(c, text, n);
	if (ret)
		return ret;
	text[n] = '\0';
	return strlen(text) == n ? 0 : -EBADMSG;
}

static int decode_body(struct sj_msg *m, struct cri_cur *c)
{
	const struct shape *s;
	uint16_t type;
	int ret;
	int i;

	ret = cri_cur_u16(c, &type);
	if (ret)
		return ret;
	s = shape_of(type);
	if (!s)
		return -EBADMSG;
	m->type = type;
	ret = cri_cur_zero(c, 2);
	if (ret)
		return ret;
	for (i = 0; i < s->nums; i++) {
		ret = cri_cur_u64(c, &m->num[i]);
		if (ret)
			return ret;
	}
	for (i = 0; i < s->texts; i++) {
		ret = decode_text(c, m->text[i]);
		if (ret)
			return ret;
	}
	return cri_cur_done(c);
}

int sj_msg_decode(struct sj_msg *m, const void *buf, size_t len, size_t *used)
{
	const void *body;
	struct cri_cur c;
	uint32_t size;

	*used = 0;
	memset(m->num, 0, sizeof(m->num));
	m->text[0][0] = '\0';
	m->text[1][0] = '\0';
	cri_cur_init(&c, buf, len);
	if (cri_cur_u32(&c, &size))
		return -EAGAIN;
	if (size < 4 || size > SJ_MSG_MAX - 4)
		return -EBADMSG;
	if (cri_cur_bytes(&c, size, &body))
		return -EAGAIN;
	cri_cur_init(&c, body, size);
	if (decode_body(m, &c))
		return -EBADMSG;
	*used = size + 4;
	return 0;
}
