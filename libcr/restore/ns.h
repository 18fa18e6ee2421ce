/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A restart in namespaces: the caller forks an init that plans, restores and
 * then reaps.  They speak over a socket pair: one struct cri_ns_report first,
 * then ints, signals in and the eldest's wait status out.
 */
#ifndef CRI_RESTORE_NS_H
#define CRI_RESTORE_NS_H

#include "restore/restore.h"

struct cri_ns_report {
	int ret; /* 0 or -errno */
	pid_t eldest; /* as the namespace sees it */
	struct cri_err err;
};

/* 0 in the child, like fork(). */
pid_t cri_ns_fork(struct cri_restore *rs, struct cri_err *err);
/* Returns when no process is left in the namespace. */
void cri_ns_init_loop(pid_t eldest, int sock);

#endif
