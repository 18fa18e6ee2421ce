/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What BLCR's libcr.h could not say: captures in steps (freeze, write, thaw or
 * kill frozen), checks without touching, progress, the choice of the engine,
 * and restart as a call.  Used by the cr_* tools, by the Slurm side and by the
 * MPI layer.  Needs no config.h, compiles as C++.
 *
 * All functions return 0 or -errno; cr_ext_message() has the story of the
 * last failure of a handle.  A handle is used by one thread at a time and is
 * not inherited by fork().
 */
#ifndef LIBCR_EXT_H
#define LIBCR_EXT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Scopes, with BLCR's values. */
#define CR_EXT_SCOPE_PROC 0
#define CR_EXT_SCOPE_PGRP 1
#define CR_EXT_SCOPE_SESS 2
#define CR_EXT_SCOPE_TREE 3

/* cr_ext_args.flags */
#define CR_EXT_PTRACED_ALLOW 0x2u
#define CR_EXT_PTRACED_SKIP 0x4u
#define CR_EXT_PTRACER_SKIP 0x8u
#define CR_EXT_DUMP_EXEC 0x200u
#define CR_EXT_DUMP_PRIVATE 0x400u
#define CR_EXT_DUMP_SHARED 0x800u
#define CR_EXT_HOLD 0x10000u /* stay frozen until cr_ext_release() */
#define CR_EXT_SYNC 0x20000u /* fsync the image before write returns */

struct cr_ext_progress {
	uint32_t phase; /* CR_EXT_PHASE_* */
	uint32_t tasks;
	uint64_t done; /* bytes written */
	uint64_t total; /* bytes expected, 0 unknown */
};
#define CR_EXT_PHASE_CHECK 1
#define CR_EXT_PHASE_FREEZE 2
#define CR_EXT_PHASE_STATE 3
#define CR_EXT_PHASE_SNAPSHOT 4
#define CR_EXT_PHASE_WRITE 5
#define CR_EXT_PHASE_DONE 6

/* One finding of a check: what cannot be saved or restored, and a remedy. */
struct cr_ext_finding {
	pid_t pid;
	const char *comm;
	const char *what; /* "fd 7 is an io_uring ring (not supported)" */
	const char *remedy; /* may be "" */
	int fatal; /* 0: a warning only */
};

struct cr_ext_args {
	uint32_t size; /* sizeof(struct cr_ext_args) */
	uint32_t scope; /* CR_EXT_SCOPE_* */
	pid_t target;
	uint32_t flags; /* CR_EXT_* */
	int signal; /* to each process after the thaw, 0 none */
	uint32_t timeout_ms; /* 0: none */
	const char *engine; /* NULL or "auto", "user", "kmod" */
	const pid_t *omit; /* processes left out with their children */
	uint32_t n_omit;
	void (*progress)(void *arg, const struct cr_ext_progress *p);
	void (*finding)(void *arg, const struct cr_ext_finding *f);
	void (*log)(void *arg, const char *line); /* verbose steps */
	void *arg;
};

struct cr_ext_stats {
	uint32_t size; /* sizeof(struct cr_ext_stats) */
	uint32_t processes;
	uint32_t threads;
	uint32_t pad;
	uint64_t pause_ns; /* first task stopped to last one going on */
	uint64_t write_ns;
	uint64_t image_bytes;
};

struct cr_ext_capture;

/* Start the guardian and find the target; nothing is touched yet. */
int cr_ext_open(const struct cr_ext_args *args, struct cr_ext_capture **out);
/* Findings without stopping anything; -ENOTSUP if one is fatal. */
int cr_ext_check(struct cr_ext_capture *c);
/*
 * Freeze, read all state, snapshot memory.  Without CR_EXT_HOLD the program
 * goes on before this returns.  On error it goes on as if nothing happened.
 */
int cr_ext_freeze(struct cr_ext_capture *c);
/*
 * Write the image to fd (file, pipe or socket), with the program running or
 * held.  fd stays the caller's; temp file and rename are the caller's too.
 */
int cr_ext_write(struct cr_ext_capture *c, int fd);
/* End a hold: thaw, or kill every process where it stands. */
#define CR_EXT_THAW 0
#define CR_EXT_KILL 1
int cr_ext_release(struct cr_ext_capture *c, int how);
int cr_ext_stats(struct cr_ext_capture *c, struct cr_ext_stats *s);
/* Never NULL; valid until the next call on the handle or its close. */
const char *cr_ext_message(const struct cr_ext_capture *c);
/* Abort whatever is left (a held program goes on); NULL allowed. */
void cr_ext_close(struct cr_ext_capture *c);

/* Restart. */
#define CR_EXT_RESTORE_PID 2u
#define CR_EXT_RESTORE_PGID 4u
#define CR_EXT_RESTORE_SID 8u
#define CR_EXT_LAZY 0x100u
#define CR_EXT_CHECK_ONLY 0x200u

struct cr_ext_relocate {
	const char *from;
	const char *to;
};

struct cr_ext_restart_args {
	uint32_t size; /* sizeof(struct cr_ext_restart_args) */
	uint32_t flags;
	int fd; /* image: file, pipe or socket */
	int signal; /* to each process at the start, 0 none */
	const struct cr_ext_relocate *relocate;
	uint32_t n_relocate;
	/*
	 * "NAME=value": written over the value that NAME had in the
	 * environment at the program's start, where that is at least as long.
	 */
	const char *const *setenv;
	uint32_t n_setenv;
	void (*progress)(void *arg, const struct cr_ext_progress *p);
	void (*finding)(void *arg, const struct cr_ext_finding *f);
	void (*log)(void *arg, const char *line);
	void *arg;
};

struct cr_ext_restart;

/*
 * Restore the tree as children of the caller (or of a namespace's init that
 * is the caller's child) and let it go.  *pid is the eldest process, as the
 * caller sees it, or the init that ends as the eldest does.
 */
int cr_ext_restart_run(const struct cr_ext_restart_args *args,
		       struct cr_ext_restart **out);
pid_t cr_ext_restart_pid(const struct cr_ext_restart *r);
/* Wait for the eldest's end: its wait status.  Reaps other orphans. */
int cr_ext_restart_wait(struct cr_ext_restart *r, int *status);
/* Pass a signal on to the eldest, async-signal-safe. */
int cr_ext_restart_signal(struct cr_ext_restart *r, int sig);
const char *cr_ext_restart_message(const struct cr_ext_restart *r);
void cr_ext_restart_close(struct cr_ext_restart *r);

/*
 * How the cr_checkpoint that a program asked for by cr_request_checkpoint()
 * tells it the outcome: one page of a memory file that both have mapped.
 */
#define CR_EXT_RESULT_SIZE 4096u
#define CR_EXT_RESULT_PENDING 0u
#define CR_EXT_RESULT_DONE 1u
struct cr_ext_result {
	uint32_t state; /* a futex; written last */
	int32_t ret; /* 0 or -errno, -CR_E* */
	int32_t helper; /* pid, as the program sees it */
	uint32_t pad;
	char log[CR_EXT_RESULT_SIZE - 16];
};

/* Image summary for people or as JSON, to fd; verify reads every checksum. */
#define CR_EXT_INFO_JSON 1u
#define CR_EXT_INFO_VERIFY 2u
int cr_ext_info(int image_fd, int out_fd, uint32_t flags, char *msg,
		size_t msg_size);

#ifdef __cplusplus
}
#endif

#endif
