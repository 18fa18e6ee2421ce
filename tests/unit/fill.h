/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records with every field filled, for tests of codec, image and printers.
 */
#ifndef TESTS_UNIT_FILL_H
#define TESTS_UNIT_FILL_H

#include "image/recset.h"

/* Add one record of the type; lists get n elements, values differ. */
void *fill_record(struct cri_recset *set, enum cri_rec_type type, uint32_t n);

#endif
