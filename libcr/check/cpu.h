/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of the processor an image depends on.
 */
#ifndef CRI_CHECK_CPU_H
#define CRI_CHECK_CPU_H

#include "image/recset.h"

/* One leaf in origin.cpuid: an array of these. */
struct cri_cpuid_leaf {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t reg[4]; /* eax ebx ecx edx */
};

/* Fill xfeatures, xsave_size and cpuid of the origin record. */
int cri_cpu_describe(struct cri_recset *set, struct cri_rec_origin *o,
		     struct cri_err *err);

#endif
