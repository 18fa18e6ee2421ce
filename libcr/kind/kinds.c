/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of kinds.
 */
#include "config.h"

#include <stddef.h>

#include "kind/kind.h"

#define CRI_KIND(name) extern const struct cri_kind cri_kind_##name;
#include "kind/kinds.h"
#undef CRI_KIND
extern const struct cri_kind cri_kind_refused;

static const struct cri_kind *const kinds[] = {
#define CRI_KIND(name) &cri_kind_##name,
#include "kind/kinds.h"
#undef CRI_KIND
};

#define N_KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct cri_kind *cri_kind_find(enum cri_rec_type type)
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (kinds[i]->type == type)
			return kinds[i];
	return NULL;
}

const struct cri_kind *cri_kind_match(const struct cri_probe *p)
{
	size_t i;

	for (i = 0; i < N_KINDS; i++)
		if (kinds[i]->match(p))
			return kinds[i];
	return &cri_kind_refused;
}
