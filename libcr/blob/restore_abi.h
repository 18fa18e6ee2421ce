/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the planner and the restore blob: the plan area.  It is a memory
 * file mapped shared at one address that is free in every old and new address
 * space of the tree: blob code first, then this header, programs, strings and
 * the stacks of the restored threads until they get their own back.  The
 * planner writes programs; a blob only executes them and reports.
 */
#ifndef CRI_BLOB_RESTORE_ABI_H
#define CRI_BLOB_RESTORE_ABI_H

#include <stdint.h>

enum rb_code {
	RB_SYS = 1, /* system call nr with arg[0..5] */
	RB_FILL = 2, /* fd, offset, iov, n_iov, length; expect = crc32c */
	RB_FORK = 3, /* program, clone flags, exit signal, pid */
	RB_THREAD = 4, /* program, clone flags, -, tid */
	RB_BARRIER = 5, /* index */
	RB_COPY = 6, /* to, from, length */
	RB_TIMER = 7, /* clock, sigevent, timer id wanted */
	RB_EXIT = 8, /* wait status to die with */
	RB_DEAD = 9, /* wait until that program's process is a zombie */
	RB_PARK = 10, /* index: ready, wait to be taken over */
	RB_FILLERS = 11, /* programs, count: run them in helper threads */
	RB_LEAVE = 12, /* end of this thread only */
	RB_SETPGID = 13, /* program of the group's leader */
	RB_REAP = 15, /* wait for that program's process and reap it */
	RB_COLLAPSE = 14, /* start, end: back with huge pages before a fill */
};

#define RB_IGNORE 0x1u /* a failure does not matter */
#define RB_EXPECT 0x2u /* result must equal expect */
#define RB_NOCRC 0x4u /* RB_FILL: part of an extent, not checked here */

struct rb_op {
	uint16_t code;
	uint16_t flags;
	int32_t nr;
	uint64_t label; /* the planner's own text: what was being done */
	int64_t arg[6];
	int64_t expect;
};

struct rb_prog {
	uint64_t area; /* struct rb_area */
	uint64_t ops; /* struct rb_op[] */
	uint32_t n_ops;
	uint32_t task; /* index, for messages */
	uint64_t stack; /* top; the program address lies at its word */
	uint32_t pid; /* the thread's id, 0 until it lives */
	uint32_t state; /* RB_BORN once it runs, RB_PARKED when ready */
	uint64_t kill_tid; /* RB_FILLERS: futex cleared at the helper's end */
};

#define RB_BORN 1u
#define RB_PARKED 2u

#define RB_BARRIERS 8
#define RB_STACK 8192u

struct rb_area {
	uint64_t size; /* of the whole area, bytes */
	uint32_t count[RB_BARRIERS]; /* arrivals */
	uint32_t open[RB_BARRIERS]; /* futex: 1 lets them pass */
	uint32_t arrived; /* futex: bumped at each arrival */
	uint32_t failed; /* 1 once err_* are being set, 2 when set */
	int32_t err_no;
	uint32_t err_task;
	uint64_t err_op; /* the op that failed */
	int64_t err_value;
};

#endif
