/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Failure stories: the first one wins, long ones are cut, prefixes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "util/err.h"

static void first_failure_wins(void **state)
{
	struct cri_err err = { 0 };

	(void)state;
	assert_int_equal(cri_fail(&err, ESRCH, "task %d gone", 7), -ESRCH);
	assert_int_equal(cri_fail(&err, EIO, "later"), -EIO);
	assert_int_equal(err.code, ESRCH);
	assert_string_equal(err.text, "task 7 gone");
	cri_err_clear(&err);
	assert_int_equal(cri_fail(&err, EIO, "again"), -EIO);
	assert_string_equal(err.text, "again");
}

static void nobody_listens(void **state)
{
	(void)state;
	assert_int_equal(cri_fail(NULL, ENOENT, "%s", "lost"), -ENOENT);
	cri_err_clear(NULL);
	cri_err_prefix(NULL, "x");
}

static void errno_is_kept(void **state)
{
	struct cri_err err = { 0 };

	(void)state;
	errno = ETXTBSY;
	assert_int_equal(cri_fail(&err, EPERM, "%s", strerror(EPERM)), -EPERM);
	assert_int_equal(errno, ETXTBSY);
}

static void long_texts_are_cut(void **state)
{
	struct cri_err err = { 0 };
	char big[2000];

	(void)state;
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(cri_fail(&err, EIO, "%s", big), -EIO);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
	cri_err_prefix(&err, "%s", big);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void prefix(void **state)
{
	struct cri_err err = { 0 };

	(void)state;
	cri_err_prefix(&err, "nothing failed");
	assert_string_equal(err.text, "");
	assert_int_equal(cri_fail(&err, EIO, "short read"), -EIO);
	cri_err_prefix(&err, "file %s", "a");
	assert_string_equal(err.text, "file a: short read");
	assert_int_equal(err.code, EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_failure_wins),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(errno_is_kept),
		cmocka_unit_test(long_texts_are_cut),
		cmocka_unit_test(prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
