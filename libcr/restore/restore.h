/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The planner's context.  A restart reads and checks all metadata, opens every
 * object once in the planner, compiles a program for each task (plan.c and its
 * callers), starts the roots (go.c) and takes the finished threads over by
 * ptrace.  Everything here lives in one single-threaded process: the caller,
 * or the init of a new PID namespace (ns.c).
 */
#ifndef CRI_RESTORE_RESTORE_H
#define CRI_RESTORE_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "blob/restore_abi.h"
#include "image/image.h"
#include "libcr_ext.h"
#include "util/err.h"

/* Barriers of the plan, in order. */
enum cri_stage {
	CRI_STAGE_BORN = 0, /* every process lives: groups can be joined */
	CRI_STAGE_JOINED = 1, /* every group has its members */
	CRI_STAGE_READY = 2, /* all but the last touches is there */
	CRI_STAGE_IDS = 3, /* credentials are final in every thread */
	CRI_STAGE_LAST = 4, /* nothing is left to do but to take over */
};

struct cri_vdso_part {
	uint64_t start;
	uint64_t end;
};

/* Pages of one address space, sorted; offset -1: as in the parent's. */
struct cri_pagerun {
	uint64_t page;
	uint64_t count;
	int64_t offset; /* in the reader's descriptor */
};

struct cri_rmm {
	struct cri_rec_mm *rec;
	struct cri_pagerun *runs;
	size_t n_runs;
	uint64_t bytes;
};

struct cri_rthread {
	struct cri_rec_thread *rec;
	struct cri_rtask *task;
	struct rb_prog *prog; /* in the area */
	size_t max_ops;
	pid_t tid; /* once it lives */
	bool seized;
};

struct cri_rtask {
	struct cri_rec_task *rec;
	struct cri_rec_fdtable *files;
	struct cri_rec_fs *fs;
	struct cri_rmm *mm;
	struct cri_rtask *parent;
	struct cri_rtask *child; /* first child */
	struct cri_rtask *sibling;
	struct cri_rthread *threads; /* leader first */
	uint32_t n_threads;
	uint32_t index;
	bool has_locks;
	bool shares_files; /* its parent's descriptor table */
	bool shares_fs;
};

/* Stands in for a dead group leader until its group has its members. */
struct cri_ghost {
	uint32_t pgid;
	struct cri_rtask *parent;
	struct cri_rthread th;
};

struct cri_restore {
	const struct cr_ext_restart_args *args;
	struct cri_reader *reader;
	struct cri_recset *set;
	struct cri_rec_origin *origin;
	/* descriptors, all >= fd_base, by record id; -1 not open */
	int fd_base;
	int *ofd_fd;
	int *map_fd; /* by FILE id: for mappings, read-only */
	int *map_rw_fd;
	int *shmem_fd;
	int data_fd;
	int *opened; /* all of them, to be closed */
	size_t n_opened;
	char *path; /* cri_restore_path's buffer */
	void *kinds; /* what kinds keep, freed at the end */
	uint32_t depth; /* of open files that need each other */
	/* tree */
	struct cri_rtask *tasks;
	uint32_t n_tasks;
	struct cri_rthread *threads;
	uint32_t n_threads;
	struct cri_ghost *ghosts;
	uint32_t n_ghosts;
	struct cri_rmm *mms;
	uint32_t n_mms;
	/* area */
	int area_fd;
	char *area_base;
	size_t area_size;
	size_t area_used;
	struct rb_area *area;
	uint64_t entry; /* of the blob */
	/* this machine */
	struct cri_vdso_part parts[4]; /* vvar pages, then the vdso */
	uint32_t n_parts;
	uint64_t vdso; /* start of our vdso proper */
	uint64_t vdso_size;
	bool vdso_foreign; /* the image's vdso is another kernel's */
	void *vdso_old; /* its bytes, patched, in the area */
	uint64_t vdso_old_size;
	uint64_t vdso_syscall; /* offset of a syscall instruction, 0 none */
	uint32_t ns_flags; /* CLONE_NEW* made for this restart */
	bool fresh_pids; /* --no-restore-pid */
	bool own_ids; /* a PID namespace, whether or not the ids are free */
	int64_t oom_score_adj; /* ours, which the tree inherits */
	uint64_t ignored; /* signals that we ourselves ignore */
	bool set_ids; /* root: users and groups are set */
	bool set_groups; /* setgroups is allowed */
	bool drop_bounding;
	uint64_t cap_limit; /* what the caller itself has */
	bool exe_allowed; /* may we set the exe link? */
	struct cri_rtask **by_pid; /* sorted */
	pid_t eldest;
	uid_t uid; /* before a user namespace */
	gid_t gid;
};

/* check.c: everything that can be refused before anything is created. */
int cri_restore_check(struct cri_restore *rs, struct cri_err *err);
/* tree.c: tasks, threads, memory runs from the records. */
int cri_restore_tree(struct cri_restore *rs, struct cri_err *err);
/* objects.c: open every open file, mapped file and shared memory. */
int cri_restore_objects(struct cri_restore *rs, struct cri_err *err);
int cri_restore_fill_objects(struct cri_restore *rs, struct cri_err *err);
int cri_restore_outside(struct cri_restore *rs, struct cri_err *err);
void cri_restore_objects_close(struct cri_restore *rs);
/* Give an open file its descriptor (a peer made together); takes fd over. */
int cri_restore_place(struct cri_restore *rs, uint32_t ofd, int fd);
/* Descriptor to map a FILE from; opened on demand. */
int cri_restore_map_fd(struct cri_restore *rs, uint32_t file, bool write,
		       int *fd, struct cri_err *err);
/* Move fd to the planner's range and remember it; takes fd over. */
int cri_restore_keep(struct cri_restore *rs, int *fd);
/* area.c */
int cri_area_create(struct cri_restore *rs, struct cri_err *err);
void *cri_area_alloc(struct cri_restore *rs, size_t size, size_t align);
void cri_area_destroy(struct cri_restore *rs);
/* plan.c: compile all programs. */
int cri_plan_tasks(struct cri_restore *rs, struct cri_err *err);
/* groups.c: sessions with the children's forks, groups, the dead. */
int cri_plan_ghosts(struct cri_restore *rs);
int cri_plan_session(struct cri_restore *rs, struct cri_rtask *t);
int cri_plan_group(struct cri_restore *rs, struct cri_rtask *t);
int cri_plan_dead(struct cri_restore *rs, struct cri_rtask *t);
int cri_plan_zombie(struct cri_restore *rs, struct cri_rtask *t);
/* late.c: descriptors that each holder opens itself, and in epoll sets. */
int cri_plan_late(struct cri_restore *rs, struct cri_rtask *t);
int cri_plan_late_items(struct cri_restore *rs, struct cri_rtask *t);
bool cri_late_fd(struct cri_restore *rs, uint32_t ofd);
/* memory.c: one address space, as a difference to the parent's. */
int cri_plan_memory(struct cri_restore *rs, struct cri_rtask *t,
		    struct cri_err *err);
/* environ.c: new values for reserved variables. */
int cri_plan_environ(struct cri_restore *rs, struct cri_rtask *t,
		     struct cri_err *err);
/* threads.c: what a thread sets for itself. */
int cri_plan_thread(struct cri_restore *rs, struct cri_rthread *th,
		    struct cri_err *err);
/* Has it seccomp filters that are to be installed (and suspended)? */
bool cri_task_filtered(const struct cri_rec_task *rec);
int cri_plan_last(struct cri_restore *rs, struct cri_rthread *th,
		  struct cri_err *err);
/* vdso.c: ours is moved to where the program's was. */
int cri_vdso_find(struct cri_restore *rs, struct cri_err *err);
int cri_plan_vdso(struct cri_restore *rs, struct cri_rtask *t,
		  struct cri_err *err);
/* First address of vvar and vdso in the task, once set up and before. */
uint64_t cri_vdso_place(struct cri_restore *rs, const struct cri_rtask *t);
uint64_t cri_vdso_before(struct cri_restore *rs, const struct cri_rtask *t);
uint64_t cri_vdso_span(struct cri_restore *rs);
/*
 * trampoline.c: make old (an image's vdso) jump to new, which will lie at
 * base.  -ENOEXEC: no vdso, -ENOENT: a function has no successor.
 */
int cri_vdso_patch(void *old, size_t old_size, const void *new, size_t new_size,
		   uint64_t base);
/* tty.c: controlling terminal and foreground group. */
int cri_plan_tty(struct cri_restore *rs, struct cri_rtask *t,
		 struct cri_err *err);
int cri_restore_foreground(struct cri_restore *rs, struct cri_err *err);
struct cri_rtask *cri_task_by_pid(struct cri_restore *rs, uint32_t pid);
int cri_prog_new(struct cri_restore *rs, struct cri_rthread *th);
int cri_prog_seal(struct cri_restore *rs, struct cri_rthread *th);
/* ns.c */
int cri_ns_decide(struct cri_restore *rs, struct cri_err *err);
int cri_ns_enter(struct cri_restore *rs, struct cri_err *err);
/* go.c: start, wait for the barriers, take over, let go. */
int cri_restore_go(struct cri_restore *rs, struct cri_err *err);

/* Append an operation to a thread's program. */
struct rb_op *cri_op(struct cri_restore *rs, struct cri_rthread *th,
		     enum rb_code code, const char *label);
struct rb_op *cri_op_sys(struct cri_restore *rs, struct cri_rthread *th,
			 const char *label, int nr, int64_t a, int64_t b,
			 int64_t c, int64_t d, int64_t e, int64_t f);
/* Until the last touches, whoever loses its creator dies with it. */
int cri_op_leash(struct cri_restore *rs, struct cri_rthread *th);
int cri_op_barrier(struct cri_restore *rs, struct cri_rthread *th,
		   enum cri_stage stage);
/* Bytes in the area for an operation to point to; NULL: out of room. */
void *cri_area_copy(struct cri_restore *rs, const void *p, size_t len);

#endif
