/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages: every type comes back as it was sent, in one piece or byte by
 * byte; every single-byte change and cut is either decoded within bounds or
 * refused; unknown types and lengths are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/msg.h"

static struct sj_msg in;
static struct sj_msg out;
static uint8_t buf[SJ_MSG_MAX];

static void fill(unsigned int type)
{
	int i;

	memset(&in, 0, sizeof(in));
	in.type = type;
	for (i = 0; i < SJ_MSG_NUMS; i++)
		in.num[i] = 0x0102030405060708ull * (i + 1);
	for (i = 0; i < SJ_MSG_TEXTS; i++)
		snprintf(in.text[i], SJ_MSG_TEXT, "text %d of %s", i,
			 sj_msg_name(type));
}

static void all_types(void **state)
{
	unsigned int type;
	size_t used;
	size_t len;
	size_t cut;
	int known = 0;

	(void)state;
	for (type = 0; type < 1000; type++) {
		if (!sj_msg_name(type))
			continue;
		known++;
		fill(type);
		assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
		for (cut = 0; cut < len; cut++)
			assert_int_equal(sj_msg_decode(&out, buf, cut, &used),
					 -EAGAIN);
		assert_int_equal(sj_msg_decode(&out, buf, len, &used), 0);
		assert_int_equal(used, len);
		assert_int_equal(out.type, type);
		assert_int_equal(sj_msg_encode(&out, buf, &used), 0);
		assert_int_equal(used, len);
	}
	assert_true(known > 10);
	fill(SJ_REPLY);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	assert_int_equal(sj_msg_decode(&out, buf, len, &used), 0);
	assert_memory_equal(in.num, out.num, sizeof(in.num));
	assert_string_equal(in.text[0], out.text[0]);
}

static void longest(void **state)
{
	size_t used;
	size_t len;

	(void)state;
	fill(SJ_REQUEST);
	memset(in.text[0], 'x', SJ_MSG_TEXT - 1);
	memset(in.text[1], 'y', SJ_MSG_TEXT - 1);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	assert_true(len <= sizeof(buf));
	assert_int_equal(sj_msg_decode(&out, buf, len, &used), 0);
	assert_int_equal(strlen(out.text[1]), SJ_MSG_TEXT - 1);
}

static void changed(void **state)
{
	uint8_t bad[SJ_MSG_MAX];
	size_t used;
	size_t len;
	size_t i;
	int bit;
	int ret;

	(void)state;
	fill(SJ_REQUEST);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	for (i = 0; i < len; i++)
		for (bit = 0; bit < 8; bit++) {
			memcpy(bad, buf, len);
			bad[i] ^= 1 << bit;
			ret = sj_msg_decode(&out, bad, len, &used);
			assert_true(!ret || ret == -EAGAIN || ret == -EBADMSG);
			assert_true(used <= len);
		}
}

static void refused(void **state)
{
	size_t used;
	size_t len;

	(void)state;
	in.type = 9999;
	assert_int_equal(sj_msg_encode(&in, buf, &len), -EINVAL);
	fill(SJ_FREEZE);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	buf[4] = 99;
	assert_int_equal(sj_msg_decode(&out, buf, len, &used), -EBADMSG);
	/* Longer than its fields, and longer than any message. */
	fill(SJ_FREEZE);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	buf[0]++;
	buf[len] = 0;
	assert_int_equal(sj_msg_decode(&out, buf, len + 1, &used), -EBADMSG);
	memset(buf, 0xff, 8);
	assert_int_equal(sj_msg_decode(&out, buf, 8, &used), -EBADMSG);
	/* A text with a NUL inside is two stories. */
	fill(SJ_CHALLENGE);
	assert_int_equal(sj_msg_encode(&in, buf, &len), 0);
	buf[len - 2] = 0;
	assert_int_equal(sj_msg_decode(&out, buf, len, &used), -EBADMSG);
}

/* A seeded stream of rubbish: bounds only, checked by the sanitizers. */
static void rubbish(void **state)
{
	size_t used;
	size_t len;
	size_t i;
	int n;

	(void)state;
	srandom(1);
	for (n = 0; n < 20000; n++) {
		len = random() % 200;
		for (i = 0; i < len; i++)
			buf[i] = random();
		if (len > 8) {
			buf[0] = len - 4;
			buf[1] = buf[2] = buf[3] = buf[5] = buf[6] = buf[7] = 0;
		}
		if (!sj_msg_decode(&out, buf, len, &used))
			assert_true(used <= len && sj_msg_name(out.type));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_types), cmocka_unit_test(longest),
		cmocka_unit_test(changed),   cmocka_unit_test(refused),
		cmocka_unit_test(rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
