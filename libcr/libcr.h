/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcr: the interface that programs and MPI libraries know from BLCR, with
 * its names, values and structure sizes.  What it could not say is in
 * libcr_ext.h.  Needs no config.h, compiles as C++.
 *
 * Functions return -1 with errno set on failure unless another rule is given;
 * errno may be one of CR_E* below, for which cr_strerror() has the text.
 */
#ifndef LIBCR_H
#define LIBCR_H

#include <errno.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The release of BLCR whose interface this is. */
#define CR_RELEASE_MAJOR 0
#define CR_RELEASE_MINOR 8
#define CR_RELEASE_PATCH 5
#define LIBCR_MAJOR 0
#define LIBCR_MINOR 5
#define LIBCR_PATCH 5
/* The signal that libcr takes for itself. */
#define CR_SIGNUM 64

#define CR_ETEMPFAIL 2354 /* a callback put it off, try later */
#define CR_EPERMFAIL 2355 /* a callback ended it, processes were killed */
#define CR_ENOSUPPORT 2356 /* a process in scope has no libcr (not used) */
#define CR_EVERSION 2357 /* interface version not supported */
#define CR_EOMITTED 2358 /* left out at a callback's wish */
#define CR_EBADARCH 2359 /* image of another architecture */
#define CR_EPTRACED 2360 /* a process in scope is being traced */
#define CR_EPTRACER 2361 /* a process in scope traces another */
#define CR_ERSTRTABRT 2362 /* restart aborted by a callback */
#define CR_ERESTARTED 2363 /* this is the restarted copy */
#define CR_ENOTCB 2364 /* only valid inside a callback */
#define CR_ENOINIT 2365 /* the thread has not called cr_init() */

typedef int cr_client_id_t;
typedef int cr_callback_id_t;
typedef int cr_version_t;
typedef int cr_scope_t;
typedef int (*cr_callback_t)(void *arg);
typedef unsigned int cr_spinlock_t;
typedef unsigned long cr_checkpoint_handle_t;
typedef unsigned long cr_restart_handle_t;

#define CR_SCOPE_PROC 0
#define CR_SCOPE_PGRP 1
#define CR_SCOPE_SESS 2
#define CR_SCOPE_TREE 3
#define CR_SCOPE_INVALID (-1)

#define CR_CHKPT_PROHIBIT_SELF 0x1
#define CR_CHKPT_PTRACED_ALLOW 0x2
#define CR_CHKPT_PTRACED_SKIP 0x4
#define CR_CHKPT_PTRACER_SKIP 0x8
#define CR_CHKPT_ASYNC_ERR 0x10
#define CR_CHKPT_DUMP_EXEC 0x200
#define CR_CHKPT_DUMP_PRIVATE 0x400
#define CR_CHKPT_DUMP_SHARED 0x800
#define CR_CHKPT_DUMP_ALL                                                      \
	(CR_CHKPT_DUMP_EXEC | CR_CHKPT_DUMP_PRIVATE | CR_CHKPT_DUMP_SHARED)

#define CR_RSTRT_ASYNC_ERR 0x1
#define CR_RSTRT_RESTORE_PID 0x2
#define CR_RSTRT_RESTORE_PGID 0x4
#define CR_RSTRT_RESTORE_SID 0x8

/* As cr_fd: files context.PID in the requester's working directory. */
#define CR_DEST_CWD (-4096)

typedef struct {
	cr_version_t cr_version;
	cr_scope_t cr_scope;
	pid_t cr_target; /* 0: the caller */
	int cr_fd;
	int cr_signal; /* sent afterwards, 0 none */
	unsigned int cr_timeout; /* seconds, 0 none */
	unsigned int cr_flags; /* CR_CHKPT_* */
} cr_checkpoint_args_t;

#define CR_MAX_RSTRT_RELOC 16
struct cr_rstrt_relocate_pair {
	char *oldpath;
	char *newpath;
};
struct cr_rstrt_relocate {
	unsigned int count;
	struct cr_rstrt_relocate_pair path[1]; /* count of them */
};
#define CR_RSTRT_RELOCATE_SIZE(n)                                              \
	(sizeof(struct cr_rstrt_relocate) +                                    \
	 ((n) > 1 ? (n) - 1 : 0) * sizeof(struct cr_rstrt_relocate_pair))

typedef struct {
	cr_version_t cr_version;
	int cr_fd;
	int cr_signal;
	unsigned int cr_flags; /* CR_RSTRT_* */
	struct cr_rstrt_relocate *cr_relocate;
} cr_restart_args_t;

/* Sets all defaults; scope and descriptor are the caller's to fill in. */
int cri_init_checkpoint_args_t(cr_version_t version,
			       cr_checkpoint_args_t *args);
int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args);
#define cr_initialize_checkpoint_args_t(args)                                  \
	cri_init_checkpoint_args_t(1, (args))
#define cr_initialize_restart_args_t(args) cri_init_restart_args_t(1, (args))

/* Once per thread before anything else: an id counting from 0. */
cr_client_id_t cr_init(void);

/* Both errno and CR_E* texts; never NULL. */
const char *cr_strerror(int err);

/*
 * Ask for a checkpoint.  Returns before it is complete; wait, log and reap
 * with the handle, or poll, which does all three.
 */
int cr_request_checkpoint(cr_checkpoint_args_t *args,
			  cr_checkpoint_handle_t *handle);
/* As select(2): 1 complete, 0 the time is over, -1. */
int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);
/* Bytes needed for all messages with their NUL, 0 none. */
int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int len,
		      char *buf);
/*
 * The result, and release of the handle: 0, or -1 with EAGAIN not complete,
 * CR_ERESTARTED this is the restarted copy, ESRCH nobody was saved, ...
 */
int cr_reap_checkpoint(cr_checkpoint_handle_t *handle);
#define CR_POLL_CHKPT_ERR_PRE (-1) /* before completion */
#define CR_POLL_CHKPT_ERR_POST (-2) /* the checkpoint itself failed */
#define CR_POLL_CHKPT_ERR_LOG (-3)
int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout);
int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle,
			   struct timeval *timeout, char **msg);

/* Of the whole process. */
#define CR_STATE_IDLE 0
#define CR_STATE_PENDING 1
#define CR_STATE_ACTIVE 2

/* Locks that a signal handler may take. */
#define CR_SPINLOCK_INITIALIZER 0
void cr_spinlock_init(cr_spinlock_t *lock);
void cr_spinlock_lock(cr_spinlock_t *lock);
void cr_spinlock_unlock(cr_spinlock_t *lock);
int cr_spinlock_trylock(cr_spinlock_t *lock); /* not 0: taken */

/* For -u at the link. */
extern int cr_link_me;

#ifdef __cplusplus
}
#endif

#endif
