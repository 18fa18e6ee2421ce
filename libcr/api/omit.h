/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that leave every checkpoint: those started with libcr_omit in
 * LD_PRELOAD (cr_run --omit), with their children.
 */
#ifndef CRI_API_OMIT_H
#define CRI_API_OMIT_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * By the environment that the process was started with, which says it without
 * stopping or entering it and is inherited by its children.
 */
bool cri_omit_marked(pid_t pid);
/* The same for the text of an environment, as in /proc/PID/environ. */
bool cri_omit_in_environ(const char *env, size_t len);

#endif
