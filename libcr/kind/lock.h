/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * File locks, which belong to an open file (flock, OFD) or to a process
 * (POSIX); the kernel shows both with the descriptor they were taken by.
 */
#ifndef CRI_KIND_LOCK_H
#define CRI_KIND_LOCK_H

#include "kind/kind.h"

/*
 * The locks that fdinfo shows: those of the process, and with fresh also those
 * of the open file, seen for the first time.
 */
int cri_lock_capture(struct cri_recset *set, uint32_t task, uint32_t ofd,
		     bool fresh, const char *fdinfo);
/* Those of open files, by the planner; the others each process takes. */
int cri_lock_restore(struct cri_restore *rs, struct cri_err *err);

#endif
