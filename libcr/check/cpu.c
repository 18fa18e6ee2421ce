/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Describes the processor of the machine that makes an image: features that
 * programs choose their code by, and the size of the vector state.
 */
#include "config.h"

#include "check/cpu.h"

#include <cpuid.h>

static const uint32_t leaves[][2] = {
	{ 0, 0 },   { 1, 0 },	{ 7, 0 },	   { 7, 1 },
	{ 0xd, 0 }, { 0xd, 1 }, { 0x80000001u, 0 },
};

#define N_LEAVES (sizeof(leaves) / sizeof(leaves[0]))

int cri_cpu_describe(struct cri_recset *set, struct cri_rec_origin *o,
		     struct cri_err *err)
{
	struct cri_cpuid_leaf list[N_LEAVES] = { 0 };
	uint32_t i, lo = 3, hi = 0;

	(void)err;
	for (i = 0; i < N_LEAVES; i++) {
		uint32_t *r = list[i].reg;

		list[i].leaf = leaves[i][0];
		list[i].subleaf = leaves[i][1];
		__get_cpuid_count(leaves[i][0], leaves[i][1], &r[0], &r[1],
				  &r[2], &r[3]);
	}
	if (list[1].reg[2] & bit_OSXSAVE)
		__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	o->xfeatures = lo | (uint64_t)hi << 32;
	o->xsave_size = list[4].reg[1];
	return cri_recset_bytes(set, &o->cpuid, list, sizeof(list));
}
