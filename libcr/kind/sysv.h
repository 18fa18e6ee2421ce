/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SysV IPC: objects that belong to no process.  Those are the tree's that it
 * has attached, or that one of its processes was the last to use or waits for.
 */
#ifndef CRI_KIND_SYSV_H
#define CRI_KIND_SYSV_H

#include "kind/kind.h"

/* Semaphore sets and message queues; segments come with their mappings. */
int cri_sysv_capture(struct cri_capture *cap, struct cri_recset *set,
		     struct cri_err *err);
/* Has the image any?  Then a new user namespace needs its own IPC one. */
bool cri_sysv_any(struct cri_recset *set);
/* Make what is missing and fill segments, before anybody attaches them. */
int cri_sysv_restore(struct cri_restore *rs, struct cri_err *err);
/* Values and messages, after all are ready; removed segments again so. */
int cri_sysv_outside(struct cri_restore *rs, struct cri_err *err);

#endif
