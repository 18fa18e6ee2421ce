/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence: an outdated copy dies and stays dead, a blind one freezes after
 * its lease and thaws when it sees its own epoch again; the new copy waits
 * for an old one that has not said farewell, and only for such a one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "job/fence.h"
#include "job/util.h"

#define LEASE 5000

static void dies(void **state)
{
	struct sj_fence f;

	(void)state;
	sj_fence_init(&f, 1, LEASE, 100);
	assert_int_equal(sj_fence_step(&f, 0, 1, 200), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, 0, 2, 300), SJ_FENCE_DIE);
	assert_int_equal(sj_fence_step(&f, 0, 1, 400), SJ_FENCE_DIE);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 500), SJ_FENCE_DIE);
}

static void blind(void **state)
{
	struct sj_fence f;

	(void)state;
	sj_fence_init(&f, 1, LEASE, 0);
	assert_int_equal(sj_fence_step(&f, 0, 1, 1000), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 5999), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 6000), SJ_FENCE_FREEZE);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 60000), SJ_FENCE_FREEZE);
	assert_int_equal(sj_fence_step(&f, 0, 1, 60001), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 65000), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, -EIO, 0, 65001), SJ_FENCE_FREEZE);
	assert_int_equal(sj_fence_step(&f, 0, 2, 65002), SJ_FENCE_DIE);
}

/* A file system that shows an old epoch proves nothing. */
static void stale(void **state)
{
	struct sj_fence f;

	(void)state;
	sj_fence_init(&f, 3, LEASE, 0);
	assert_int_equal(sj_fence_step(&f, 0, 2, 4999), SJ_FENCE_GO);
	assert_int_equal(sj_fence_step(&f, 0, 2, 5000), SJ_FENCE_FREEZE);
}

static void take(void **state)
{
	char dir[] = "/tmp/sj_fence.XXXXXX";
	struct sj_job j = { .id = 1 };
	struct sj_fence f;
	uint64_t wait_ms;
	uint64_t v;

	(void)state;
	assert_non_null(mkdtemp(dir));
	strcpy(j.dir, dir);
	assert_int_equal(sj_fence_take(&j, LEASE, &wait_ms), 0);
	assert_int_equal(wait_ms, 0);
	j.epoch = 1;
	assert_int_equal(sj_fence_take(&j, LEASE, &wait_ms), 0);
	assert_true(wait_ms > LEASE);
	/* Its own worker, started again. */
	assert_int_equal(sj_fence_take(&j, LEASE, &wait_ms), 0);
	assert_int_equal(wait_ms, 0);
	assert_int_equal(sj_job_write_num(&j, "released", 1), 0);
	j.epoch = 2;
	assert_int_equal(sj_fence_take(&j, LEASE, &wait_ms), 0);
	assert_int_equal(wait_ms, 0);
	j.epoch = 1;
	assert_int_equal(sj_fence_take(&j, LEASE, &wait_ms), -ESTALE);
	assert_int_equal(sj_job_read_num(&j, "epoch", &v), 0);
	assert_int_equal(v, 2);
	sj_fence_init(&f, 1, LEASE, sj_now_ms());
	assert_int_equal(sj_fence_look(&f, &j), SJ_FENCE_DIE);
	assert_int_equal(sj_rm_tree(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dies),
		cmocka_unit_test(blind),
		cmocka_unit_test(stale),
		cmocka_unit_test(take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
