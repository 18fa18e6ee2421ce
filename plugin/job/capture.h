/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam to libcr: trees of processes that are frozen together, written to
 * files of a checkpoint's directory, and let go or killed where they stand.
 */
#ifndef SJ_JOB_CAPTURE_H
#define SJ_JOB_CAPTURE_H

#include <stdint.h>
#include <sys/types.h>

#include "libcr/util/err.h"
#include "manifest.h"

struct cr_ext_capture;

struct sj_tree {
	pid_t pid; /* what Slurm or we have started */
	pid_t root; /* of the tree: pid, or what its cr_restart restored */
	int ended; /* no process any more: image.status says how */
	int held;
	struct sj_image image;
	struct cr_ext_capture *capture;
};

struct sj_crew {
	uint32_t n;
	struct sj_tree *tree;
	uint64_t pause_us; /* longest of the trees */
};

void sj_crew_init(struct sj_crew *c);
/* Aborts captures that are under way: the processes go on. */
void sj_crew_fini(struct sj_crew *c);
/* A zeroed tree at the end; NULL: no memory. */
struct sj_tree *sj_crew_add(struct sj_crew *c);
/* Find out whether the trees can be captured; touches nothing. */
int sj_crew_check(struct sj_crew *c, struct cri_err *err)
	__attribute__((warn_unused_result));
/* Freeze all and hold them; on failure all go on. */
int sj_crew_freeze(struct sj_crew *c, const pid_t *omit, uint32_t n_omit,
		   struct cri_err *err) __attribute__((warn_unused_result));
/* Write all images below dir, synced; image.bytes is set. */
int sj_crew_write(struct sj_crew *c, const char *dir, struct cri_err *err)
	__attribute__((warn_unused_result));
/* End the hold: let them go on (kill 0) or kill them as they stand. */
int sj_crew_release(struct sj_crew *c, int kill, struct cri_err *err)
	__attribute__((warn_unused_result));
/* Forget the captures: what is still held goes on. */
void sj_crew_abort(struct sj_crew *c);

#endif
