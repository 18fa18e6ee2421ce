/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The old time formats, numbers, names, and stasis.conf: right values are
 * taken, wrong ones are refused with the place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job/conf.h"
#include "job/util.h"

static void times(void **state)
{
	static const struct {
		const char *text;
		uint32_t seconds;
	} good[] = {
		{ "0", 0 },	     { "30", 1800 },	     { "1:30", 90 },
		{ "1:02:03", 3723 }, { "1-2", 93600 },	     { "0:05", 5 },
		{ "1-2:03", 93780 }, { "1-2:03:04", 93784 },
	};
	static const char *const bad[] = {
		"",   "x",	 "1:", ":1",	      "1::2", "-1",
		"1-", "1:2:3:4", "1 ", "99999999999", "1.5"
	};
	uint32_t s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(sj_parse_time(good[i].text, &s), 0);
		assert_int_equal(s, good[i].seconds);
	}
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(sj_parse_time(bad[i], &s), -EINVAL);
}

static void numbers(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(sj_parse_num("18446744073709551615", UINT64_MAX, &v),
			 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(sj_parse_num("18446744073709551616", UINT64_MAX, &v),
			 -ERANGE);
	assert_int_equal(sj_parse_num("10", 9, &v), -ERANGE);
	assert_int_equal(sj_parse_num("9", 9, &v), 0);
	assert_int_equal(sj_parse_num("", 9, &v), -EINVAL);
	assert_int_equal(sj_parse_num("+1", 9, &v), -EINVAL);
	assert_true(sj_name_ok("a.b-1"));
	assert_false(sj_name_ok(".."));
	assert_false(sj_name_ok("a/b"));
	assert_false(sj_name_ok("a b"));
	assert_false(sj_name_ok(""));
}

static int load(const char *text, struct sj_conf *c, struct cri_err *err)
{
	char path[] = "/tmp/sj_conf.XXXXXX";
	int fd = mkstemp(path);
	int ret;

	assert_true(fd >= 0);
	assert_int_equal(sj_write_all(fd, text, strlen(text)), 0);
	close(fd);
	memset(err, 0, sizeof(*err));
	ret = sj_conf_load(c, path, err);
	unlink(path);
	return ret;
}

static void conf(void **state)
{
	struct cri_err err;
	struct sj_conf c;

	(void)state;
	assert_int_equal(load("# nothing\n", &c, &err), 0);
	assert_int_equal(c.keep, 2);
	assert_int_equal(load("keep = 5 # five\n Directory=/x/%u\n", &c, &err),
			 0);
	assert_int_equal(c.keep, 5);
	assert_string_equal(c.directory, "/x/%u");
	assert_int_equal(load("Keep=0\n", &c, &err), -EINVAL);
	assert_int_equal(load("\nKepe=1\n", &c, &err), -EINVAL);
	assert_non_null(strstr(err.text, ":2: "));
	assert_non_null(strstr(err.text, "Kepe"));
	assert_int_equal(load("Keep\n", &c, &err), -EINVAL);
	memset(&err, 0, sizeof(err));
	assert_int_equal(sj_conf_load(&c, "/nonexistent/stasis.conf", &err), 0);
}

static void files(void **state)
{
	char dir[] = "/tmp/sj_util.XXXXXX";
	char path[64];
	char buf[8];

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(sj_fmt(path, sizeof(path), "%s/f", dir), 0);
	assert_int_equal(sj_write_file(path, "seven77", 7), 0);
	assert_int_equal(sj_read_file(path, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "seven77");
	assert_int_equal(sj_write_file(path, "eight888", 8), 0);
	assert_int_equal(sj_read_file(path, buf, sizeof(buf)), -EFBIG);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(sj_read_file(path, buf, sizeof(buf)), -ELOOP);
	assert_int_equal(sj_rm_tree(dir), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times),
		cmocka_unit_test(numbers),
		cmocka_unit_test(conf),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
