/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bounded cursor never goes past the end, and takes nothing when it says
 * that it could not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "util/cursor.h"

static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 0, 1 };

static void little_endian(void **state)
{
	struct cri_cur c;
	uint16_t a;
	uint32_t b;
	uint64_t d;

	(void)state;
	cri_cur_init(&c, bytes, sizeof(bytes));
	assert_int_equal(cri_cur_u16(&c, &a), 0);
	assert_int_equal(a, 0x0201);
	assert_int_equal(cri_cur_u32(&c, &b), 0);
	assert_int_equal(b, 0x06050403);
	assert_int_equal(cri_cur_u64(&c, &d), 0);
	assert_true(d == 0x010000000a090807ULL);
	assert_int_equal(cri_cur_done(&c), 0);
	assert_int_equal(cri_cur_at(&c), sizeof(bytes));
}

static void short_input_takes_nothing(void **state)
{
	struct cri_cur c;
	const void *p;
	uint16_t a;
	uint32_t b;
	uint64_t d;
	char buf[8];
	size_t n;

	(void)state;
	for (n = 0; n < 8; n++) {
		cri_cur_init(&c, bytes, n);
		assert_int_equal(cri_cur_u64(&c, &d), -ENODATA);
		assert_int_equal(cri_cur_u32(&c, &b), n < 4 ? -ENODATA : 0);
		cri_cur_init(&c, bytes, n);
		assert_int_equal(cri_cur_u16(&c, &a), n < 2 ? -ENODATA : 0);
		cri_cur_init(&c, bytes, n);
		assert_int_equal(cri_cur_bytes(&c, n + 1, &p), -ENODATA);
		assert_int_equal(cri_cur_bytes(&c, SIZE_MAX, &p), -ENODATA);
		assert_int_equal(cri_cur_copy(&c, buf, n + 1), -ENODATA);
		assert_int_equal(cri_cur_left(&c), n);
		assert_int_equal(cri_cur_bytes(&c, n, &p), 0);
		assert_ptr_equal(p, bytes);
		assert_int_equal(cri_cur_left(&c), 0);
	}
}

static void padding_and_trailing_bytes(void **state)
{
	struct cri_cur c;

	(void)state;
	cri_cur_init(&c, bytes + 10, 4);
	assert_int_equal(cri_cur_zero(&c, 5), -ENODATA);
	assert_int_equal(cri_cur_zero(&c, 3), 0);
	assert_int_equal(cri_cur_zero(&c, 1), -EBADMSG);
	cri_cur_init(&c, bytes, 1);
	assert_int_equal(cri_cur_done(&c), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(little_endian),
		cmocka_unit_test(short_input_takes_nothing),
		cmocka_unit_test(padding_and_trailing_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
