/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The module engine's own state: one session on /dev/stasis, the proof and
 * the records of each process.  It traces nobody and injects nothing; see
 * stasis(4).  Closing the session lets everything go, so that release() and
 * the guardian's death are the same.
 */
#ifndef CRI_CAPTURE_KMOD_KMOD_H
#define CRI_CAPTURE_KMOD_KMOD_H

#include <stdint.h>
#include <sys/types.h>

#include "../../../kmod/uapi/stasis.h"
#include "capture/capture.h"

struct kstate {
	int fd; /* the session, -1 none */
	uint64_t features;
	bool held; /* a snapshot is there */
	bool final; /* it is the one that is written */
	struct stasis_range *ranges; /* of cri_kmod_pages */
};

struct kproc {
	int mem; /* /proc/PID/mem, the proof; -1 none */
	uint32_t id; /* in the session, 0 not attached */
	char *records;
	size_t len;
	const struct stasis_rec_proc *rec;
	uint64_t clock; /* CLOCK_MONOTONIC when the records were read */
	uint64_t realtime;
};

static inline struct kstate *kstate(const struct cri_capture *cap)
{
	return cap->engine_state;
}

static inline struct kproc *kproc(const struct cri_cproc *p)
{
	return p->engine;
}

/* A call: 0 or -errno, tried again on EINTR. */
int cri_kmod_call(const struct cri_capture *cap, unsigned long nr, void *arg);
void cri_kmod_proc_drop(struct cri_cproc *p);

/* --- freeze.c --- */
int cri_kmod_freeze(struct cri_capture *cap, struct cri_err *err);
int cri_kmod_thaw(struct cri_capture *cap, struct cri_err *err);
int cri_kmod_kill(struct cri_capture *cap, struct cri_err *err);

/* --- records.c --- */
/* Read all records of p, repair interrupted calls, fill p->threads. */
int cri_kmod_tasks(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err);
int cri_kmod_thread(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_cthread *t, struct cri_rec_thread *rec,
		    struct cri_err *err);

/* --- process.c --- */
int cri_kmod_process(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err);
int cri_kmod_memory(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_rec_mm *rec, struct cri_err *err);

/* --- pages.c --- */
int cri_kmod_snapshot(struct cri_capture *cap, struct cri_err *err);
int cri_kmod_pages(struct cri_capture *cap, struct cri_cproc *p,
		   const struct cri_vma *vma,
		   int (*emit)(void *arg, uint64_t start, uint64_t end),
		   void *arg, struct cri_err *err);
int cri_kmod_read(struct cri_capture *cap, struct cri_cproc *p, uint64_t start,
		  void *to, size_t len, struct cri_err *err);

#endif
