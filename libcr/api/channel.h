/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The request channel between a checkpoint's guardian and a program that runs
 * under libcr_run or libcr.  Where Yama lets a process be traced by its
 * ancestors only (ptrace_scope 1), such a program keeps one thread that sleeps
 * in sigtimedwait(2).  The guardian sends that thread a signal of its own; the
 * kernel itself writes the sender's pid and uid into it, so no socket, name or
 * descriptor is needed and nothing of it is in the way of a restart.  The
 * thread lets exactly that sender trace the program (PR_SET_PTRACER) until the
 * sender is gone: the guardian of one request.
 */
#ifndef CRI_API_CHANNEL_H
#define CRI_API_CHANNEL_H

#include <stdbool.h>
#include <sys/types.h>

#define CRI_CHANNEL_NAME "cr_channel" /* comm of the thread */
#define CRI_CHANNEL_SIGNAL 64 /* BLCR's, to that thread alone */

/* --- in the guardian --- */

/*
 * Ask the program to let the calling process trace it.  -ENOENT: it has no
 * channel; -EPERM: it is somebody else's.  The caller tries PTRACE_SEIZE again
 * until it works, some 100 ms at most.
 */
int cri_channel_arm(pid_t pid);

/* --- in the program --- */

/* Is a channel of any use on this machine?  CR_CHANNEL=1 or 0 overrides. */
bool cri_channel_wanted(void);
/* Start the thread, here and in every child made by fork(). */
void cri_channel_start(void);

#endif
