/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Record sets: an arena of chunks that only grows, one array of records per
 * type, and one hash table per type from id to record.  Everything dies with
 * the set.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/recset.h"

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "image/recset_int.h"

#define CHUNK_SIZE (64u * 1024)
#define ALIGN 16u

struct chunk {
	struct chunk *next;
	size_t size; /* of data */
	size_t used;
	alignas(ALIGN) unsigned char data[];
};

/* The records of one type. */
struct table {
	void **recs; /* in the order they came */
	uint32_t n;
	uint32_t cap;
	uint32_t next_id;
	void **slots; /* open addressing by id, a power of two long */
	uint32_t n_slots;
};

struct cri_recset {
	struct chunk *chunks;
	uint32_t next_object;
	struct table tables[CRI_REC_MAX];
};

int cri_recset_new(struct cri_recset **out)
{
	struct cri_recset *set;

	set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	set->next_object = 1;
	*out = set;
	return 0;
}

void cri_recset_free(struct cri_recset *set)
{
	struct chunk *c, *next;
	uint32_t t;

	if (!set)
		return;
	for (c = set->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	for (t = 0; t < CRI_REC_MAX; t++) {
		free(set->tables[t].recs);
		free(set->tables[t].slots);
	}
	free(set);
}

static struct chunk *chunk_new(struct cri_recset *set, size_t size)
{
	size_t data = size > CHUNK_SIZE / 4 ? size : CHUNK_SIZE;
	struct chunk *c;

	c = calloc(1, sizeof(*c) + data);
	if (!c)
		return NULL;
	c->size = data;
	/* A chunk made for one large piece must not hide a half-empty one. */
	if (data != CHUNK_SIZE && set->chunks) {
		c->next = set->chunks->next;
		set->chunks->next = c;
	} else {
		c->next = set->chunks;
		set->chunks = c;
	}
	return c;
}

void *cri_recset_alloc(struct cri_recset *set, size_t size)
{
	struct chunk *c = set->chunks;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!c || c->size - c->used < size) {
		c = chunk_new(set, size);
		if (!c)
			return NULL;
	}
	p = c->data + c->used;
	c->used += size;
	return p;
}

char *cri_recset_strdup(struct cri_recset *set, const char *s)
{
	size_t len = strlen(s) + 1;
	char *p;

	p = cri_recset_alloc(set, len);
	if (p)
		memcpy(p, s, len);
	return p;
}

int cri_recset_bytes(struct cri_recset *set, struct cri_bytes *to,
		     const void *p, size_t len)
{
	void *copy;

	to->p = NULL;
	to->len = 0;
	if (!len)
		return 0;
	if (len > UINT32_MAX)
		return -EFBIG;
	copy = cri_recset_alloc(set, len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, p, len);
	to->p = copy;
	to->len = (uint32_t)len;
	return 0;
}

static uint32_t rec_id(const void *rec)
{
	uint32_t id;

	memcpy(&id, rec, sizeof(id));
	return id;
}

static uint32_t slot_of(const struct table *t, uint32_t id)
{
	/* Multiply by a large odd number: ids are mostly dense from 1. */
	return (uint32_t)(id * 2654435761u) & (t->n_slots - 1);
}

static void *table_find(const struct table *t, uint32_t id)
{
	uint32_t i;

	if (!t->n_slots)
		return NULL;
	for (i = slot_of(t, id); t->slots[i]; i = (i + 1) & (t->n_slots - 1))
		if (rec_id(t->slots[i]) == id)
			return t->slots[i];
	return NULL;
}

static void table_insert(struct table *t, void *rec)
{
	uint32_t i = slot_of(t, rec_id(rec));

	while (t->slots[i])
		i = (i + 1) & (t->n_slots - 1);
	t->slots[i] = rec;
}

/* Room for one record more, in the array and, half empty, in the hash. */
static int table_reserve(struct table *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : 8;
	void **recs, **slots;
	uint32_t i;

	if (t->n < t->cap)
		return 0;
	if (t->cap >= UINT32_MAX / 4)
		return -ENOMEM;
	slots = calloc((size_t)cap * 2, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	recs = realloc(t->recs, cap * sizeof(*recs));
	if (!recs) {
		free(slots);
		return -ENOMEM;
	}
	free(t->slots);
	t->recs = recs;
	t->cap = cap;
	t->slots = slots;
	t->n_slots = cap * 2;
	for (i = 0; i < t->n; i++)
		table_insert(t, t->recs[i]);
	return 0;
}

int cri_recset_insert(struct cri_recset *set, enum cri_rec_type type, void *rec)
{
	struct table *t = &set->tables[type];
	uint32_t id = rec_id(rec);
	int ret;

	if (!id)
		return -EINVAL;
	if (table_find(t, id))
		return -EEXIST;
	ret = table_reserve(t);
	if (ret)
		return ret;
	t->recs[t->n++] = rec;
	table_insert(t, rec);
	if (id >= t->next_id)
		t->next_id = id == UINT32_MAX ? id : id + 1;
	return 0;
}

void cri_recset_object_seen(struct cri_recset *set, uint32_t obj)
{
	if (obj >= set->next_object && obj < UINT32_MAX)
		set->next_object = obj + 1;
}

static bool is_object(enum cri_rec_type type)
{
	return type == CRI_REC_MM || type == CRI_REC_SHMEM ||
	       type == CRI_REC_SYSVSHM;
}

void *cri_recset_add(struct cri_recset *set, enum cri_rec_type type)
{
	const struct cri_schema *s = cri_schema_find(type);
	uint32_t id;
	void *rec;

	if (!s)
		return NULL;
	rec = cri_recset_alloc(set, s->size);
	if (!rec)
		return NULL;
	if (is_object(type))
		id = cri_recset_object(set);
	else
		id = set->tables[type].next_id ? set->tables[type].next_id : 1;
	memcpy(rec, &id, sizeof(id));
	return cri_recset_insert(set, type, rec) ? NULL : rec;
}

uint32_t cri_recset_object(struct cri_recset *set)
{
	return set->next_object++;
}

uint32_t cri_recset_count(const struct cri_recset *set, enum cri_rec_type t)
{
	return set->tables[t].n;
}

void *cri_recset_at(const struct cri_recset *set, enum cri_rec_type t,
		    uint32_t i)
{
	return i < set->tables[t].n ? set->tables[t].recs[i] : NULL;
}

void *cri_recset_find(const struct cri_recset *set, enum cri_rec_type t,
		      uint32_t id)
{
	return table_find(&set->tables[t], id);
}

uint32_t cri_list_capacity(uint32_t n)
{
	uint32_t cap = 4;

	while (cap < n && cap < 1u << 31)
		cap *= 2;
	return cap;
}

void *cri_recset_grow(struct cri_recset *set, void **list, uint32_t *n,
		      size_t elem_size)
{
	char *p = *list;

	/* The room of a list follows from its length: 4, 8, 16, ... */
	if (*n >= 1u << 31)
		return NULL;
	if (!*n || *n == cri_list_capacity(*n)) {
		p = cri_recset_alloc(set, elem_size *
						  cri_list_capacity(*n + 1));
		if (!p)
			return NULL;
		if (*n)
			memcpy(p, *list, elem_size * *n);
		*list = p;
	}
	return p + elem_size * (*n)++;
}
