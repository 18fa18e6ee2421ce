/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open addressing with linear probing, at most half full; entries are only
 * ever replaced, never removed.
 */
#include "config.h"

#include "capture/idmap.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c15u);

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	return x ^ x >> 32;
}

static struct cri_idmap_slot *place(const struct cri_idmap *m, uint64_t a,
				    uint64_t b)
{
	uint32_t i = (uint32_t)mix(a, b) & (m->size - 1);

	while (m->slots[i].value != 0 &&
	       (m->slots[i].a != a || m->slots[i].b != b))
		i = (i + 1) & (m->size - 1);
	return &m->slots[i];
}

uint64_t cri_idmap_get(const struct cri_idmap *m, uint64_t a, uint64_t b)
{
	if (m->size == 0)
		return 0;
	return place(m, a, b)->value;
}

static int grow(struct cri_idmap *m)
{
	struct cri_idmap big = { .size = m->size ? m->size * 2 : 64 };
	uint32_t i;

	big.slots = calloc(big.size, sizeof(*big.slots));
	if (!big.slots)
		return -ENOMEM;
	for (i = 0; i < m->size; i++)
		if (m->slots[i].value != 0)
			*place(&big, m->slots[i].a, m->slots[i].b) =
				m->slots[i];
	big.used = m->used;
	free(m->slots);
	*m = big;
	return 0;
}

int cri_idmap_put(struct cri_idmap *m, uint64_t a, uint64_t b, uint64_t value)
{
	struct cri_idmap_slot *s;
	int ret;

	if (m->used * 2 >= m->size) {
		ret = grow(m);
		if (ret)
			return ret;
	}
	s = place(m, a, b);
	if (s->value == 0)
		m->used++;
	*s = (struct cri_idmap_slot){ .a = a, .b = b, .value = value };
	return 0;
}

void cri_idmap_fini(struct cri_idmap *m)
{
	free(m->slots);
	*m = (struct cri_idmap){ 0 };
}
