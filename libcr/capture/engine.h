/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a capture engine does: find and freeze a set of tasks, fill record
 * fields from them, snapshot their memory, let them go.  The user engine
 * (ptrace, injected blob) and the module engine serve the same calls; all
 * that both can do the same way (descriptors, /proc text) is outside, in
 * capture/.  Calls come in the order of this file, from one thread (the
 * guardian's).  All return 0 or -errno and leave the program unharmed on
 * error; release() is always called last and always works.
 */
#ifndef CRI_CAPTURE_ENGINE_H
#define CRI_CAPTURE_ENGINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "image/recset.h"

struct cri_capture;

struct cri_cthread {
	pid_t tid; /* as the tool sees it */
	pid_t inner_tid; /* as the program sees it (NSpid) */
	bool leader;
	void *engine; /* engine's own state */
};

struct cri_cproc {
	pid_t pid; /* as the tool sees it; of a live thread if leaderless */
	pid_t inner_pid;
	pid_t ppid;
	uint32_t n_threads;
	struct cri_cthread *threads; /* leader first where it lives */
	bool zombie;
	bool leaderless;
	bool stopped; /* by a stop signal when the request came */
	uint32_t task_id; /* ids of the records made for it */
	uint32_t mm_id;
	bool owns_mm; /* first of those that share it */
	struct cri_rec_task *task;
	struct cri_rec_mm *mm; /* set for the owner */
	uint64_t hide_start; /* mapping of the engine's own, no record */
	uint64_t hide_end;
	uint64_t private_bytes; /* private memory that is there */
	int pidfd;
	int proc_fd; /* /proc/PID directory */
	void *engine;
};

/* A task id of it whose /proc files tell something (the leader may be dead). */
static inline pid_t cri_live(const struct cri_cproc *p)
{
	return p->n_threads ? p->threads[0].tid : p->pid;
}

/* Pages of one address space that hold something worth saving. */
struct cri_page_range {
	uint64_t start;
	uint64_t end;
};

struct cri_engine {
	const char *name; /* "user", "kmod" */
	/* May it be used here and now?  err says why not. */
	int (*probe)(struct cri_err *err);
	int (*open)(struct cri_capture *cap, struct cri_err *err);
	/*
	 * Freeze the scope: fills cap's procs (parents before children) and
	 * loops until no new task appears.  On return every thread stands.
	 */
	int (*freeze)(struct cri_capture *cap, struct cri_err *err);
	/* All that the program alone can tell; thread and process records. */
	int (*thread)(struct cri_capture *cap, struct cri_cproc *p,
		      struct cri_cthread *t, struct cri_rec_thread *rec,
		      struct cri_err *err);
	int (*process)(struct cri_capture *cap, struct cri_cproc *p,
		       struct cri_rec_task *rec, struct cri_err *err);
	/* Policy, lock and special fields of the mm and its vmas. */
	int (*memory)(struct cri_capture *cap, struct cri_cproc *p,
		      struct cri_rec_mm *rec, struct cri_err *err);
	/*
	 * Snapshot the private memory of every mm at once.  Afterwards pages()
	 * and read() serve the snapshot, whether or not the program runs.
	 */
	int (*snapshot)(struct cri_capture *cap, struct cri_err *err);
	/* Let the program go on; the snapshot stays. */
	int (*thaw)(struct cri_capture *cap, struct cri_err *err);
	/* End it where it stands (hold, then kill). */
	int (*kill)(struct cri_capture *cap, struct cri_err *err);
	/*
	 * The non-empty private pages of a vma, in order: calls emit for each
	 * range.  Skips holes, zero pages known as such, clean file pages.
	 */
	int (*pages)(struct cri_capture *cap, struct cri_cproc *p,
		     const struct cri_vma *vma,
		     int (*emit)(void *arg, uint64_t start, uint64_t end),
		     void *arg, struct cri_err *err);
	/* Copy [start, start + len) of the snapshot. */
	int (*read)(struct cri_capture *cap, struct cri_cproc *p,
		    uint64_t start, void *to, size_t len, struct cri_err *err);
	/* Give everything back: thaw if still frozen, drop the snapshot. */
	void (*release)(struct cri_capture *cap);
};

extern const struct cri_engine cri_engine_user;
extern const struct cri_engine cri_engine_kmod;

#endif
