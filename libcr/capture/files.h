/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the walk over descriptor tables in the pause (files.c) and the
 * check that stops nothing (check/).
 */
#ifndef CRI_CAPTURE_FILES_H
#define CRI_CAPTURE_FILES_H

#include "capture/capture.h"
#include "kind/kind.h"

/* Put "fd N " before what a kind says; a text of its own if it says nothing. */
int cri_capture_fd_story(const struct cri_probe *p, int ret,
			 struct cri_err *err);
void cri_capture_ofds_free(struct cri_capture *cap);
/* Descriptor numbers of a process; *nums is realloc'ed. */
int cri_procs_fds(pid_t pid, int **nums, uint32_t *n, uint32_t *room);

#endif
