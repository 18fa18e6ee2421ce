/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the files of a cycle; all of it runs on the helper thread. */
#ifndef SM_CYCLE_H
#define SM_CYCLE_H

#include "gate/gate.h"

typedef int sm_tell_fn(uint32_t type, uint32_t arg, const void *data,
		       uint32_t len);

/* One round of the drain: targets in, progress, a report out. */
int sm_round(sm_tell_fn *tell, const void *targets, uint32_t len);
/* Freed communicators: told anew in a cycle, forgotten after a whole one. */
void sm_buried_begin(void);
void sm_buried_clear(void);
/* Progress only. */
void sm_push(void);
/* New variables of the place where we came up: NAME=value, NUL-separated. */
void sm_environment(char *env, uint32_t len, uint32_t *at);

#endif
