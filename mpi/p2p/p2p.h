/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the point-to-point files share among themselves. */
#ifndef SM_P2P_H
#define SM_P2P_H

#include "front.h"

int sm_bsend_start(struct sm_req *r);
void sm_sync_drop(struct sm_req *r);
void sm_status_copy(MPI_Status *to, const MPI_Status *from);
void sm_status_empty(MPI_Status *st);
void sm_spin(unsigned *n);

#endif
