/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kinds of open files: one file of code per kind, one line in kinds.h, one
 * record type.  A kind knows how to recognise a descriptor, to describe what
 * is behind it (capture, in the guardian, on a duplicate of the program's
 * descriptor), and to make it again (restore, in the planner).  Kinds see
 * capture and restore only through the two small contexts below.
 */
#ifndef CRI_KIND_KIND_H
#define CRI_KIND_KIND_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "image/recset.h"

struct cri_capture;
struct cri_restore;
struct cri_cproc;

/* One open file description under capture. */
struct cri_probe {
	struct cri_capture *cap;
	struct cri_recset *set;
	struct cri_cproc *proc; /* a process that holds it */
	int num; /* its descriptor number there */
	int fd; /* our duplicate: same open file description */
	struct stat st;
	char link[4097]; /* text of /proc/PID/fd/N */
	const char *fdinfo; /* text of /proc/PID/fdinfo/N */
	struct cri_rec_ofd *ofd; /* flags, pos, owner already filled */
};

/* What a process opens for itself: a path, or a pidfd when path is NULL. */
struct cri_late {
	char path[512];
	uint32_t flags;
	uint32_t pid; /* pidfd of this task; 0: path */
	uint64_t pos;
};

struct cri_kind {
	enum cri_rec_type type;
	const char *name;
	/* Is it this kind?  Asked in the order of kinds.h. */
	bool (*match)(const struct cri_probe *p);
	/*
	 * Could it be restored?  Called without stopping anything (--check)
	 * and again in the pause.  -ENOTSUP with err "is a …" when not.
	 */
	int (*check)(const struct cri_probe *p, struct cri_err *err);
	/*
	 * Find or add the inode record, set p->ofd->inode.  -EAGAIN: transient
	 * (thaw, try again).
	 */
	int (*capture)(struct cri_probe *p, struct cri_err *err);
	/*
	 * After every descriptor of the tree was captured: peers, watched
	 * files, in-flight descriptors resolved to ids.  NULL: none.
	 */
	int (*link)(struct cri_capture *cap, struct cri_recset *set,
		    struct cri_err *err);
	/*
	 * Does it exist only once the tree does (a process's pidfd or files in
	 * /proc)?  Then it is not opened by the planner but by each process
	 * that holds it, as late says.  NULL: never.
	 */
	bool (*late)(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		     struct cri_late *late);
	/* Before anything is created: files there, unchanged?  NULL: fine. */
	int (*verify)(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      struct cri_err *err);
	/*
	 * Make it: *fd is a new descriptor of the planner with flags and
	 * position set.  Without outside effects.
	 */
	int (*open)(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		    int *fd, struct cri_err *err);
	/* After all were opened: queues, items, peers.  NULL: none. */
	int (*fill)(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		    int fd, struct cri_err *err);
	/* After the all-ready barrier: truncate, bind.  NULL: none. */
	int (*outside)(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		       int fd, struct cri_err *err);
};

const struct cri_kind *cri_kind_find(enum cri_rec_type type);
/*
 * Never NULL: what no kind takes is the kind that refuses, by its check, with
 * the object's name.
 */
const struct cri_kind *cri_kind_match(const struct cri_probe *p);

/* --- services of capture/ for kinds --- */

/* Map (dev, ino, type) to the record id given by an earlier descriptor. */
uint32_t cri_capture_inode_get(struct cri_capture *cap, enum cri_rec_type type,
			       dev_t dev, ino_t ino);
int cri_capture_inode_put(struct cri_capture *cap, enum cri_rec_type type,
			  dev_t dev, ino_t ino, uint32_t id);
/* ofd id of the open file behind an already captured (proc, fd); 0 none. */
uint32_t cri_capture_ofd_of(struct cri_capture *cap, struct cri_cproc *proc,
			    int fd);
/*
 * Capture an open file that no table holds (in flight in a socket): takes
 * over fd, gives its ofd id.
 */
int cri_capture_inflight(struct cri_capture *cap, struct cri_cproc *near,
			 int fd, uint32_t *ofd, struct cri_err *err);
/* Is a process with that pid (as the program sees it) in the tree? */
struct cri_cproc *cri_capture_proc(struct cri_capture *cap, pid_t inner_pid);
/* The same by the guardian's number; its inner number. */
struct cri_cproc *cri_capture_by_pid(struct cri_capture *cap, pid_t pid);
uint32_t cri_capture_inner(const struct cri_cproc *proc);
/* Its TASK record's id. */
uint32_t cri_capture_task_id(const struct cri_cproc *proc);
/* For /proc/PID paths: its number in the guardian's /proc. */
pid_t cri_capture_pid(const struct cri_cproc *proc);
/* Save the content of a file (unlinked) as extents of a new object. */
int cri_capture_content(struct cri_capture *cap, int fd, uint64_t size,
			uint32_t *obj, struct cri_err *err);

/* The same into an object that has its id already (SHMEM: the record's). */
int cri_capture_content_of(struct cri_capture *cap, int fd, uint64_t size,
			   uint32_t obj, struct cri_err *err);

/* --- services of restore/ for kinds --- */

struct cri_recset *cri_restore_records(struct cri_restore *rs);
/* The planner's descriptor of an ofd already opened, -1 none. */
int cri_restore_fd(struct cri_restore *rs, uint32_t ofd);
/* path after --relocate; valid until the next call. */
const char *cri_restore_path(struct cri_restore *rs, const char *path);
/* Fill fd (a regular file or memfd) from the extents of object obj. */
int cri_restore_content(struct cri_restore *rs, uint32_t obj, int fd,
			struct cri_err *err);
/* A memfd (or the like) for a SHMEM record, filled; shared, do not close. */
int cri_restore_shmem(struct cri_restore *rs, uint32_t id, int *fd,
		      struct cri_err *err);
/*
 * A FILE without a name: a descriptor, open for reading and writing, of the
 * one inode that stands for it, filled; shared, do not close.
 */
int cri_restore_nameless(struct cri_restore *rs, uint32_t file, int *fd,
			 struct cri_err *err);
/* The same, opening it first if that is still to come; -errno. */
int cri_restore_need(struct cri_restore *rs, uint32_t ofd, struct cri_err *err);
/* Give another open file its descriptor (made together); takes fd over. */
int cri_restore_place(struct cri_restore *rs, uint32_t ofd, int fd);
/* A place for what kinds keep between calls, freed with free(). */
void **cri_restore_slot(struct cri_restore *rs);
/* First number above all that the program uses. */
int cri_restore_base(const struct cri_restore *rs);
/* Make a named file of /dev/shm again where it is gone. */
int cri_restore_shm_file(struct cri_restore *rs, const struct cri_rec_file *f,
			 const char *path, struct cri_err *err);
/* All of them get the content they had, once everybody is ready. */
int cri_restore_shm_again(struct cri_restore *rs, struct cri_err *err);
void cri_restore_log(struct cri_restore *rs, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
