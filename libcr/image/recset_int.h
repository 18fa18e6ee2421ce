/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the record codec needs of a record set beyond its contract.
 */
#ifndef CRI_IMAGE_RECSET_INT_H
#define CRI_IMAGE_RECSET_INT_H

#include <stdbool.h>

#include "image/recset.h"

/*
 * Take in a record of the set's arena under the id in its first field.
 * -EEXIST when the id is taken, -EINVAL when it is 0.
 */
int cri_recset_insert(struct cri_recset *set, enum cri_rec_type type,
		      void *rec);
/* The object counter goes on after this id. */
void cri_recset_object_seen(struct cri_recset *set, uint32_t obj);
/* Elements that a list of n has room for. */
uint32_t cri_list_capacity(uint32_t n);

#endif
