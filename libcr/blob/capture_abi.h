/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the guardian and the capture blob: the area mapped into a process
 * while it stands.  Blob code first (page aligned), then this struct at
 * CB_AREA, then a list of ranges; the stack grows down from the end.  The
 * guardian fills the struct, runs a thread in the blob, and reads the answer
 * as hostile bytes.
 */
#ifndef CRI_BLOB_CAPTURE_ABI_H
#define CRI_BLOB_CAPTURE_ABI_H

#include <stdint.h>

#define CB_PAGE 4096u /* the code fits in the first page */
#define CB_LAST_REGS 3840u /* behind the code: struct cb_regs for the way out */
#define CB_AREA 4096u /* offset of struct cb_area */
#define CB_SIZE 49152u /* whole mapping, without ranges */
#define CB_STACK 8192u /* at the end of the mapping */
#define CB_HELPER_STACK 2048u /* below it A's, below that B's */

/* cb_area.ops */
#define CB_THREAD 0x1u
#define CB_PROCESS 0x2u
#define CB_SNAPSHOT 0x4u
#define CB_REAP 0x8u /* wait4 for the pid at .thread, nothing else */
#define CB_POLICY 0x20u /* of .ranges mappings: struct cb_policy */
#define CB_KEEP_CHLD 0x10u /* a SIGCHLD was pending before: leave it */

#define CB_MAX_TIMERS 64
#define CB_MAX_NODES 16 /* words of a node mask */
#define CB_MAX_CPUS 32 /* words of a cpu mask */

/* What the program's registers were, for the way out without a guardian. */
struct cb_regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8;
	uint64_t rax, rcx, rdx, rsi, rdi;
	uint64_t rip, cs, eflags, rsp, ss;
};

struct cb_thread {
	uint64_t altstack[3]; /* sp, flags (32 bits used), size */
	uint64_t clear_tid;
	uint64_t robust_list;
	uint64_t robust_len;
	uint64_t timer_slack;
	int32_t pdeathsig;
	int32_t ioprio;
	int32_t keepcaps;
	int32_t policy; /* memory policy, -errno unknown */
	int32_t tid;
	int32_t affinity_len; /* bytes, or -errno */
	int32_t nice;
	int32_t reserved;
	uint64_t nodes[CB_MAX_NODES];
	uint64_t affinity[CB_MAX_CPUS];
	uint32_t attr[14]; /* struct sched_attr, 56 bytes */
	char comm[16];
};

struct cb_timer {
	int32_t id;
	int32_t overrun;
	int64_t value[4]; /* struct itimerspec */
};

struct cb_process {
	int32_t pid;
	int32_t ppid;
	int32_t pgid;
	int32_t sid;
	int32_t dumpable;
	int32_t subreaper;
	int32_t thp_disable;
	int32_t mdwe;
	int32_t securebits;
	int32_t personality;
	int32_t membarrier;
	int32_t n_timers; /* in: how many of timers[].id are set */
	uint64_t brk;
	int64_t clocks[3][2]; /* realtime, monotonic, boottime */
	int64_t itimers[3][4]; /* struct itimerval */
	uint64_t rlimits[16][2];
	uint64_t actions[64][4]; /* kernel struct sigaction */
	struct cb_timer timers[CB_MAX_TIMERS];
};

/* A mapping to drop in B. */
struct cb_range {
	uint64_t start;
	uint64_t len;
};

#define CB_POLICY_WORDS 2 /* 128 nodes */
struct cb_policy {
	uint64_t addr; /* in */
	int64_t mode; /* MPOL_* with flags, -errno unknown */
	uint64_t nodes[CB_POLICY_WORDS];
};

struct cb_area {
	uint64_t base; /* address of the mapping */
	uint64_t size;
	uint64_t sigmask; /* the thread's own */
	uint64_t end_signal;
	uint32_t ops;
	uint32_t done; /* the blob has finished */
	int32_t helper; /* CB_SNAPSHOT: pid of A, -errno */
	int32_t child; /* pid of B, -errno */
	int32_t reaped;
	uint32_t ranges; /* in the list behind this struct */
	struct cb_regs regs;
	struct cb_thread thread;
	struct cb_process process;
};

#endif
