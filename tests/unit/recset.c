/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Record sets and the record codec: ids, lists, every schema there and back,
 * each record cut at each byte, hostile counts.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fill.h"
#include "image/recset.h"

static void ids_and_find(void **state)
{
	struct cri_rec_task *t, *u;
	struct cri_rec_mm *mm;
	struct cri_rec_shmem *sh;
	struct cri_recset *set;
	uint32_t i;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	for (i = 1; i <= 1000; i++) {
		t = cri_recset_add(set, CRI_REC_TASK);
		assert_non_null(t);
		assert_int_equal(t->id, i);
		t->pid = 5000 + i;
	}
	assert_int_equal(cri_recset_count(set, CRI_REC_TASK), 1000);
	for (i = 1; i <= 1000; i++) {
		u = cri_recset_find(set, CRI_REC_TASK, i);
		assert_non_null(u);
		assert_int_equal(u->pid, 5000 + i);
		assert_ptr_equal(u, cri_recset_at(set, CRI_REC_TASK, i - 1));
	}
	assert_null(cri_recset_find(set, CRI_REC_TASK, 0));
	assert_null(cri_recset_find(set, CRI_REC_TASK, 1001));
	assert_null(cri_recset_find(set, CRI_REC_MM, 1));
	assert_null(cri_recset_at(set, CRI_REC_TASK, 1000));
	mm = cri_recset_add(set, CRI_REC_MM);
	sh = cri_recset_add(set, CRI_REC_SHMEM);
	assert_int_equal(mm->id, 1);
	assert_int_equal(sh->id, 2);
	assert_int_equal(cri_recset_object(set), 3);
	cri_recset_free(set);
	cri_recset_free(NULL);
}

static void grow_keeps_and_zeroes(void **state)
{
	struct cri_recset *set;
	struct cri_rec_mm *mm;
	struct cri_vma *v;
	uint32_t i, j;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	mm = cri_recset_add(set, CRI_REC_MM);
	for (i = 0; i < 5000; i++) {
		v = CRI_GROW(set, mm->vmas, mm->n_vmas);
		assert_non_null(v);
		assert_int_equal(v->start, 0);
		v->start = i + 1;
		for (j = i & ~63u; j <= i; j++)
			assert_int_equal(mm->vmas[j].start, j + 1);
	}
	assert_int_equal(mm->n_vmas, 5000);
	cri_recset_free(set);
}

static void arena_is_aligned_zeroed(void **state)
{
	struct cri_recset *set;
	struct cri_bytes b;
	unsigned char *p;
	size_t n, i;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	for (n = 1; n < 300000; n = n * 3 + 1) {
		p = cri_recset_alloc(set, n);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p & 15, 0);
		for (i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	assert_string_equal(cri_recset_strdup(set, "abc"), "abc");
	assert_int_equal(cri_recset_bytes(set, &b, "xyz", 3), 0);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.p, "xyz", 3);
	assert_int_equal(cri_recset_bytes(set, &b, NULL, 0), 0);
	assert_null(b.p);
	assert_null(cri_recset_alloc(set, SIZE_MAX));
	cri_recset_free(set);
}

/* Decode, encode again: the same bytes, for every type. */
static void every_schema_round_trips(void **state)
{
	struct cri_recset *set, *back;
	const struct cri_schema *s;
	size_t len, len2;
	void *buf, *buf2;
	uint32_t type;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	for (type = 1; type < CRI_REC_MAX; type++) {
		s = cri_schema_find(type);
		assert_non_null(s);
		assert_int_equal(s->type, type);
		fill_record(set, type, 3);
		assert_int_equal(cri_recset_new(&back), 0);
		assert_int_equal(cri_record_encode(s,
						   cri_recset_at(set, type, 0),
						   &buf, &len),
				 0);
		assert_int_equal(cri_record_decode(back, type, s->version, buf,
						   len, NULL),
				 0);
		assert_int_equal(cri_record_encode(s,
						   cri_recset_at(back, type, 0),
						   &buf2, &len2),
				 0);
		assert_int_equal(len, len2);
		assert_memory_equal(buf, buf2, len);
		free(buf);
		free(buf2);
		cri_recset_free(back);
	}
	assert_null(cri_schema_find(0));
	assert_null(cri_schema_find(CRI_REC_MAX));
	assert_null(cri_schema_find(UINT32_MAX));
	cri_recset_free(set);
}

/* A record that ends early or has a byte too many never decodes. */
static void cut_anywhere_is_refused(void **state)
{
	struct cri_recset *set;
	const struct cri_schema *s;
	struct cri_err err;
	unsigned char *copy;
	uint32_t type;
	size_t len, n;
	void *buf;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	for (type = 1; type < CRI_REC_MAX; type++) {
		s = cri_schema_find(type);
		fill_record(set, type, 2);
		assert_int_equal(cri_record_encode(s,
						   cri_recset_at(set, type, 0),
						   &buf, &len),
				 0);
		for (n = 0; n <= len + 1; n++) {
			if (n == len)
				continue;
			/* Exactly sized, so that a sanitizer sees overreads. */
			copy = calloc(1, n ? n : 1);
			memcpy(copy, buf, n < len ? n : len);
			cri_err_clear(&err);
			assert_int_equal(cri_record_decode(set, type,
							   s->version, copy, n,
							   &err),
					 -EBADMSG);
			assert_non_null(strstr(err.text, s->name));
			free(copy);
		}
		free(buf);
	}
	cri_recset_free(set);
}

static void hostile_fields(void **state)
{
	const struct cri_schema *s = cri_schema_find(CRI_REC_FDTABLE);
	unsigned char list[] = { 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
	unsigned char zero[] = { 0, 0, 0, 0, 0, 0, 0, 0 };
	unsigned char note[] = { 1, 0, 0, 0, 2, 0, 0, 0, 'a',
				 0, 0, 0, 0, 0 };
	unsigned char good[] = { 7, 0, 0, 0, 0, 0, 0, 0 };
	struct cri_recset *set;
	struct cri_err err = { 0 };

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE, s->version,
					   list, sizeof(list), &err),
			 -EBADMSG);
	assert_non_null(strstr(err.text, "counts more"));
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE, s->version,
					   zero, sizeof(zero), NULL),
			 -EBADMSG);
	assert_int_equal(cri_record_decode(set, CRI_REC_NOTE, 1, note,
					   sizeof(note), NULL),
			 -EBADMSG);
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE, s->version,
					   good, sizeof(good), NULL),
			 0);
	cri_err_clear(&err);
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE, s->version,
					   good, sizeof(good), &err),
			 -EBADMSG);
	assert_non_null(strstr(err.text, "taken"));
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE, 0, good,
					   sizeof(good), NULL),
			 -EBADMSG);
	assert_int_equal(cri_record_decode(set, CRI_REC_FDTABLE,
					   s->version + 1, good, sizeof(good),
					   NULL),
			 -EPROTONOSUPPORT);
	assert_int_equal(cri_record_decode(set, CRI_REC_MAX, 1, good,
					   sizeof(good), NULL),
			 -EINVAL);
	/* Still usable. */
	assert_int_equal(cri_recset_count(set, CRI_REC_FDTABLE), 1);
	cri_recset_free(set);
}

static void objects_go_on_after_decode(void **state)
{
	struct cri_recset *set, *back;
	struct cri_rec_mm *mm;
	struct cri_rec_file *f;
	size_t len;
	void *buf;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	assert_int_equal(cri_recset_new(&back), 0);
	f = cri_recset_add(set, CRI_REC_FILE);
	f->content = 41;
	assert_int_equal(cri_record_encode(cri_schema_find(CRI_REC_FILE), f,
					   &buf, &len),
			 0);
	assert_int_equal(cri_record_decode(back, CRI_REC_FILE, 1, buf, len,
					   NULL),
			 0);
	mm = cri_recset_add(back, CRI_REC_MM);
	assert_int_equal(mm->id, 42);
	free(buf);
	cri_recset_free(set);
	cri_recset_free(back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_and_find),
		cmocka_unit_test(grow_keeps_and_zeroes),
		cmocka_unit_test(arena_is_aligned_zeroed),
		cmocka_unit_test(every_schema_round_trips),
		cmocka_unit_test(cut_anywhere_is_refused),
		cmocka_unit_test(hostile_fields),
		cmocka_unit_test(objects_go_on_after_decode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
