/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manifest: what is printed is parsed to the same; what is not ours, too
 * large, or has a path in a name is refused; the newest whole checkpoint of
 * an earlier epoch is found, others are passed over or removed.
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
#include <sys/stat.h>
#include <unistd.h>

#include "job/manifest.h"
#include "job/util.h"

static struct sj_job job;

static int setup(void **state)
{
	char dir[] = "/tmp/sj_manifest.XXXXXX";

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	memset(&job, 0, sizeof(job));
	strcpy(job.dir, dir);
	strcpy(job.cluster, "c");
	strcpy(job.nonce, "abc");
	strcpy(job.node, "n1");
	job.id = 7;
	job.array_task = SJ_ANY;
	job.epoch = 3;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sj_rm_tree(job.dir);
}

static void fill(struct sj_manifest *m, uint32_t epoch, uint32_t seq)
{
	struct sj_image *im;
	struct sj_stub *s;

	sj_manifest_init(m);
	strcpy(m->cluster, "c");
	strcpy(m->nonce, "abc");
	strcpy(m->script, "/spool/script");
	m->job = 7;
	m->epoch = epoch;
	m->seq = seq;
	m->pause_us = 8000;
	im = sj_manifest_image(m);
	assert_non_null(im);
	strcpy(im->node, "n2");
	im->step = 4;
	im->task = 1;
	im->tasks = 2;
	im->status = 9;
	s = sj_manifest_stub(m);
	assert_non_null(s);
	s->pid = 77;
	s->step = 4;
}

static void round_trip(void **state)
{
	struct sj_manifest a;
	struct sj_manifest b;
	struct cri_err err = { 0 };
	char *text = NULL;

	(void)state;
	fill(&a, 2, 5);
	assert_int_equal(sj_manifest_print(&a, &text), 0);
	sj_manifest_init(&b);
	assert_int_equal(sj_manifest_parse(&b, text, &err), 0);
	assert_int_equal(b.epoch, 2);
	assert_int_equal(b.seq, 5);
	assert_int_equal(b.array_task, SJ_ANY);
	assert_int_equal(b.pause_us, 8000);
	assert_int_equal(b.n_images, 1);
	assert_memory_equal(&a.images[0], &b.images[0], sizeof(a.images[0]));
	assert_int_equal(b.n_stubs, 1);
	assert_int_equal(b.stubs[0].pid, 77);
	free(text);
	sj_manifest_fini(&a);
	sj_manifest_fini(&b);
}

static void refuse(const char *from, const char *to)
{
	struct sj_manifest m;
	struct cri_err err = { 0 };
	char *text = NULL;
	char *bad;
	char *at;

	fill(&m, 2, 5);
	assert_int_equal(sj_manifest_print(&m, &text), 0);
	sj_manifest_fini(&m);
	bad = calloc(1, strlen(text) + strlen(to) + 1);
	assert_non_null(bad);
	at = strstr(text, from);
	assert_non_null(at);
	memcpy(bad, text, at - text);
	strcat(bad, to);
	strcat(bad, at + strlen(from));
	assert_int_not_equal(sj_manifest_parse(&m, bad, &err), 0);
	assert_int_equal(m.n_images, 0);
	assert_true(err.code != 0);
	free(bad);
	free(text);
}

static void bad_ones(void **state)
{
	(void)state;
	refuse("\"version\": 1", "\"version\": 2");
	refuse("\"epoch\": 2", "\"epoch\": -2");
	refuse("\"epoch\": 2", "\"epoch\": 4294967296");
	refuse("\"job\": 7", "\"jobs\": 7");
	refuse("\"/spool", "\"spool");
	refuse("\"task\": 1", "\"task\": 2");
	refuse("\"file\": \"\"", "\"file\": \"../x\"");
	refuse("\"node\": \"n2\"", "\"node\": \"a/b\"");
	refuse("\"images\": [", "\"images\": 1, \"more\": [");
	refuse("}", "");
}

static void store(struct sj_manifest *m)
{
	char dir[PATH_MAX];
	char path[PATH_MAX];
	char *text = NULL;

	assert_int_equal(sj_fmt(dir, sizeof(dir), "%s/%u.%u", job.dir, m->epoch,
				m->seq),
			 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(sj_fmt(path, sizeof(path), "%s/manifest.json", dir),
			 0);
	assert_int_equal(sj_manifest_print(m, &text), 0);
	assert_int_equal(sj_write_file(path, text, strlen(text)), 0);
	free(text);
	sj_manifest_fini(m);
}

static void newest(void **state)
{
	struct sj_manifest m;
	char name[32];

	(void)state;
	assert_int_equal(sj_set_newest(&job, &m, name, sizeof(name)), -ENOENT);
	fill(&m, 1, 9);
	store(&m);
	fill(&m, 2, 1);
	store(&m);
	/* Another job's, one that lacks its image, one of this very epoch. */
	fill(&m, 2, 3);
	strcpy(m.nonce, "xyz");
	store(&m);
	fill(&m, 2, 2);
	strcpy(m.images[0].file, "gone.img");
	store(&m);
	fill(&m, 3, 1);
	store(&m);
	sj_manifest_init(&m);
	assert_int_equal(sj_set_newest(&job, &m, name, sizeof(name)), 0);
	assert_string_equal(name, "2.1");
	sj_manifest_fini(&m);
}

static void trim(void **state)
{
	struct sj_manifest m;
	struct sj_set s;
	char path[PATH_MAX];
	uint32_t i;

	(void)state;
	for (i = 1; i <= 12; i++) {
		fill(&m, 2, i);
		store(&m);
	}
	assert_int_equal(sj_job_path(&job, path, sizeof(path), "partial.2.13"),
			 0);
	assert_int_equal(mkdir(path, 0700), 0);
	sj_set_trim(&job, 2);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(sj_set_list(&s, &job), 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.item[0].name, "2.12");
	assert_string_equal(s.item[1].name, "2.11");
	sj_set_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(bad_ones),
		cmocka_unit_test_setup_teardown(newest, setup, teardown),
		cmocka_unit_test_setup_teardown(trim, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
