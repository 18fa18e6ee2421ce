/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between go.c (barriers) and takeover.c (ptrace): the last stages of a
 * restart, in the planner's one thread.
 */
#ifndef CRI_RESTORE_GO_H
#define CRI_RESTORE_GO_H

#include "restore/restore.h"

/* Until n tasks have arrived, one failed or nothing moves any more. */
int cri_go_wait(struct cri_restore *rs, enum cri_stage stage, uint32_t n,
		struct cri_err *err);
void cri_go_open(struct cri_restore *rs, enum cri_stage stage);

/* Trace every parked thread, so that a dead planner kills them all. */
int cri_takeover_seize(struct cri_restore *rs, struct cri_err *err);
/* Clear the area, set all registers and masks, let everything go. */
int cri_takeover(struct cri_restore *rs, struct cri_err *err);

#endif
