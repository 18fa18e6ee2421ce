/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user engine's own state: ptrace in the guardian, the blob in the
 * program.  A thread's registers in here are what it is to go on with; they
 * are put back after every run of the blob, so that at any moment but within
 * such a run a dead guardian leaves the program as it was.
 */
#ifndef CRI_CAPTURE_USER_USER_H
#define CRI_CAPTURE_USER_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "blob/capture_abi.h"
#include "capture/capture.h"
#include "capture/proctext.h"

enum uthread_state {
	UT_SEIZED, /* runs, traced */
	UT_STOPPED, /* in a stop from which a detach restarts calls */
	UT_GONE,
};

/* As PTRACE_GET_RSEQ_CONFIGURATION gives it. */
struct urseq {
	uint64_t pointer;
	uint32_t size;
	uint32_t signature;
	uint32_t flags;
	uint32_t pad;
};

/* A call with a time-out, as seen before the stop and reckoned after it. */
struct usleep {
	long nr; /* -1 none */
	int64_t since; /* CLOCK_MONOTONIC, ns */
	uint64_t runs;
	enum cri_sleep kind;
	int64_t left;
};

struct uthread {
	enum uthread_state state;
	int group_stop; /* signal of the group stop it was found in */
	bool have_regs;
	bool changed; /* regs differ from what the kernel holds */
	struct user_regs_struct regs;
	uint64_t sigmask;
	struct urseq rseq;
	struct usleep sleep;
	bool told;
	struct cb_thread tell;
};

struct uproc {
	uint64_t insn; /* address of a syscall instruction */
	uint64_t area; /* the blob's mapping, 0 none */
	uint64_t area_size;
	int end_signal; /* 0: none is free, run under PTRACE_SYSCALL */
	bool told;
	struct cb_process tell;
	pid_t snap; /* B, 0 none */
	uint32_t ranges; /* in the list behind the area, for the next run */
	bool seccomp_off; /* filters suspended while we work */
	pid_t reaped_by; /* in the tree: will get B's zombie, 0 nobody */
	int pagemap; /* open, 0 none */
	pid_t pagemap_of;
	uint64_t blocked; /* signals blocked by any thread */
	struct cri_pstatus status;
};

static inline struct uthread *uthread(const struct cri_cthread *t)
{
	return t->engine;
}

static inline struct uproc *uproc(const struct cri_cproc *p)
{
	return p->engine;
}

/* --- seize.c --- */
int cri_user_freeze(struct cri_capture *cap, struct cri_err *err);
/*
 * Next wait status of one tracee; -EAGAIN when it does not come in time_ms,
 * -ECHILD when it is gone.
 */
int cri_user_wait(pid_t tid, int *status, unsigned int time_ms);
int cri_user_thaw(struct cri_capture *cap, struct cri_err *err);
int cri_user_kill(struct cri_capture *cap, struct cri_err *err);

/* --- inject.c --- */
/* Registers, repaired (interrupted calls, rseq), and the mask; once. */
int cri_user_regs(struct cri_cproc *p, struct cri_cthread *t,
		  struct cri_err *err);
/* Map the blob; a live stopped thread of p does it. */
int cri_user_blob_in(struct cri_cproc *p, struct cri_err *err);
int cri_user_blob_out(struct cri_cproc *p, struct cri_err *err);
/*
 * Run the blob's ops on a thread: result read by the caller.  on_event is
 * called for stops with a ptrace event (CB_SNAPSHOT), NULL none.
 */
int cri_user_blob_run(struct cri_cproc *p, struct cri_cthread *t, uint32_t ops,
		      int (*on_event)(struct cri_cproc *p, int event,
				      pid_t msg, struct cri_err *err),
		      struct cri_err *err);
int cri_user_peek(pid_t pid, uint64_t addr, void *to, size_t len);
int cri_user_poke(pid_t pid, uint64_t addr, const void *from, size_t len);

/* --- seccomp.c --- */
/* May it be captured under its filters?  Says so before it is touched. */
int cri_user_seccomp(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_err *err);
int cri_user_filters(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err);

/* --- sleep.c --- */
/* Before the stop: note every blocked thread with a time-out. */
void cri_user_observe(struct cri_capture *cap);
/* After it: what is left; shortens calls that would begin anew. */
void cri_user_sleep(struct cri_cproc *p, struct cri_cthread *t);
void cri_user_sleep_record(const struct uthread *u, struct cri_rec_thread *rec);

/* --- threads.c, process.c, snapshot.c, pages.c --- */
int cri_user_thread(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_cthread *t, struct cri_rec_thread *rec,
		    struct cri_err *err);
int cri_user_process(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err);
int cri_user_memory(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_rec_mm *rec, struct cri_err *err);
/* Queue of pending signals, shared or the thread's own. */
int cri_user_pending(struct cri_recset *set, pid_t tid, bool shared,
		     struct cri_siginfo **list, uint32_t *n,
		     struct cri_err *err);
int cri_user_snapshot(struct cri_capture *cap, struct cri_err *err);
void cri_user_snapshot_drop(struct cri_capture *cap);
/* Is there memory to spare for a copy of all private pages? */
bool cri_user_headroom(struct cri_capture *cap);
int cri_user_pages(struct cri_capture *cap, struct cri_cproc *p,
		   const struct cri_vma *vma,
		   int (*emit)(void *arg, uint64_t start, uint64_t end),
		   void *arg, struct cri_err *err);
void cri_user_pages_close(struct cri_cproc *p);
int cri_user_read(struct cri_capture *cap, struct cri_cproc *p, uint64_t start,
		  void *to, size_t len, struct cri_err *err);

#endif
