/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What parent and worker say to each other over their socket pair: one
 * datagram of this struct.  The parent starts the script or the restart,
 * relays signals, and outlives workers; the worker decides.
 */
#ifndef SJ_JOB_ORDER_H
#define SJ_JOB_ORDER_H

#include <limits.h>
#include <stdint.h>

enum sj_order_what {
	/* worker to parent */
	SJ_ORDER_SCRIPT = 1, /* start the script from its beginning */
	SJ_ORDER_RESTORE, /* start cr_restart of path */
	SJ_ORDER_HOLD, /* value 1: the script's end is not the job's */
	SJ_ORDER_EXIT, /* end with status value, whatever still runs */
	/* parent to worker */
	SJ_ORDER_STATE, /* value: pid of the script, 0 none yet; hold */
	SJ_ORDER_SIGNAL, /* value: what Slurm sent */
	SJ_ORDER_END, /* the script has ended: wait status in value */
};

struct sj_order {
	uint32_t what;
	int32_t value;
	int32_t hold;
	int32_t restored; /* STATE: pid is cr_restart's */
	char path[PATH_MAX]; /* RESTORE: the image */
	char script[PATH_MAX]; /* RESTORE: where the script was then */
	char job_dir[PATH_MAX]; /* SCRIPT, RESTORE: of the job */
	char restored_file[PATH_MAX]; /* RESTORE: made when it has worked */
};

/* The descriptor that the worker inherits. */
#define SJ_ORDER_FD 3
/*
 * The signal that our submission asks Slurm for before a preemption or the
 * time limit: one that programs hardly use.
 */
#define SJ_WARN_SIGNAL 45

#endif
