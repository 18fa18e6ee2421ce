/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files that know one MPI library each. */
#ifndef SM_IMPL_H
#define SM_IMPL_H

#include "gate/gate.h"

/* Fills sm_real from lib and gives data objects their initial contents. */
int sm_impl_bind(void *lib);

#endif
