/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small hash map from a pair of numbers to a number that is not 0.  The
 * caller embeds it, zeroed; fini gives the memory back.  Not thread-safe.
 */
#ifndef CRI_CAPTURE_IDMAP_H
#define CRI_CAPTURE_IDMAP_H

#include <stdint.h>

struct cri_idmap_slot {
	uint64_t a;
	uint64_t b;
	uint64_t value; /* 0: free */
};

struct cri_idmap {
	struct cri_idmap_slot *slots;
	uint32_t size; /* power of two */
	uint32_t used;
};

uint64_t cri_idmap_get(const struct cri_idmap *m, uint64_t a, uint64_t b);
/* Replaces; 0 or -ENOMEM. */
int cri_idmap_put(struct cri_idmap *m, uint64_t a, uint64_t b, uint64_t value);
void cri_idmap_fini(struct cri_idmap *m);

#endif
