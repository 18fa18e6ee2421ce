/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fill any record through its schema: numbers count up, so that two fields
 * that change places are seen.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "fill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t counter;

static void fill(struct cri_recset *set, const struct cri_schema *s, void *rec,
		 uint32_t n);

static void fill_list(struct cri_recset *set, const struct cri_field *f,
		      char *rec, uint32_t n)
{
	void *list = NULL;
	uint32_t count = 0, i;

	for (i = 0; i < n; i++)
		fill(set, f->sub,
		     cri_recset_grow(set, &list, &count, f->sub->size), n);
	memcpy(rec + f->offset, &list, sizeof(list));
	memcpy(rec + f->count_offset, &count, sizeof(count));
}

static void fill_text(struct cri_recset *set, const struct cri_field *f,
		      char *rec)
{
	struct cri_bytes bytes;
	char text[64];
	char *copy;

	snprintf(text, sizeof(text), "%s %u", f->name, ++counter);
	if (f->type == CRI_F_STR) {
		copy = cri_recset_strdup(set, text);
		memcpy(rec + f->offset, &copy, sizeof(copy));
	} else {
		if (cri_recset_bytes(set, &bytes, text, strlen(text)))
			abort();
		memcpy(rec + f->offset, &bytes, sizeof(bytes));
	}
}

static void fill(struct cri_recset *set, const struct cri_schema *s, void *rec,
		 uint32_t n)
{
	const struct cri_field *f;
	uint64_t wide;
	uint32_t i;

	for (i = 0; i < s->n_fields; i++) {
		f = &s->fields[i];
		if (s->type && !i)
			continue; /* the id stays */
		switch (f->type) {
		case CRI_F_U32:
			counter++;
			memcpy((char *)rec + f->offset, &counter, 4);
			break;
		case CRI_F_U64:
		case CRI_F_I64:
			wide = 0x100000001ull * ++counter;
			memcpy((char *)rec + f->offset, &wide, 8);
			break;
		case CRI_F_STR:
		case CRI_F_BYTES:
			fill_text(set, f, rec);
			break;
		case CRI_F_LIST:
			fill_list(set, f, rec, n);
			break;
		}
	}
}

void *fill_record(struct cri_recset *set, enum cri_rec_type type, uint32_t n)
{
	void *rec = cri_recset_add(set, type);

	if (!rec)
		abort();
	fill(set, cri_schema_find(type), rec, n);
	return rec;
}
