/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence: which copy of a job may act.  The job's directory holds the
 * highest epoch; a copy that finds a higher one than its own is outdated and
 * must die, one that cannot read the file for a lease time must stand still
 * until it can.  The new copy waits out the lease of an old one that has not
 * said farewell.  The state machine is pure: time and readings come in,
 * a verdict comes out.
 */
#ifndef SJ_JOB_FENCE_H
#define SJ_JOB_FENCE_H

#include <stdint.h>

#include "jobdir.h"

enum sj_verdict {
	SJ_FENCE_GO, /* ours: run */
	SJ_FENCE_FREEZE, /* blind for a lease time: stand still */
	SJ_FENCE_DIE, /* outdated: kill everything */
};

struct sj_fence {
	uint64_t epoch;
	uint64_t lease_ms;
	uint64_t seen_ms; /* last time that our epoch was read */
	enum sj_verdict verdict;
};

void sj_fence_init(struct sj_fence *f, uint64_t epoch, uint64_t lease_ms,
		   uint64_t now_ms);
/* A reading: ret of the read, and the epoch when ret is 0. */
enum sj_verdict sj_fence_step(struct sj_fence *f, int ret, uint64_t epoch,
			      uint64_t now_ms);
/* Read the file and step. */
enum sj_verdict sj_fence_look(struct sj_fence *f, const struct sj_job *j);
/*
 * Take the job for this epoch; -ESTALE when a higher one has it.  *wait_ms is
 * how long the old copy may still act without seeing us.
 */
int sj_fence_take(const struct sj_job *j, uint64_t lease_ms, uint64_t *wait_ms)
	__attribute__((warn_unused_result));

#endif
