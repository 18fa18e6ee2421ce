/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One capture in progress, as the guardian holds it: what was asked, the
 * processes found, the records made so far, the contents still to write.
 * Everything here runs in the guardian's only thread.
 */
#ifndef CRI_CAPTURE_CAPTURE_H
#define CRI_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "capture/engine.h"
#include "capture/idmap.h"
#include "image/image.h"
#include "image/recset.h"
#include "libcr_ext.h"

/*
 * Content of an object that is not in a private snapshot, to be written as
 * extents: a copy in our memory (start is page times 4096 in the object), or a
 * descriptor of ours whose data is read when it is written.
 */
struct cri_content {
	uint32_t obj;
	uint64_t start; /* byte offset in the object */
	uint64_t len;
	void *copy; /* mmap'ed, NULL: fd */
	int fd;
};

struct cri_ofds;
struct cri_shared;

struct cri_capture {
	/* request */
	uint32_t scope;
	pid_t target;
	uint32_t flags;
	int signal; /* to each process after the thaw */
	const pid_t *omit;
	uint32_t n_omit;
	int64_t deadline; /* CLOCK_MONOTONIC ns, 0 none */

	/* engine */
	const struct cri_engine *engine;
	void *engine_state;
	bool frozen;
	bool held_write; /* no snapshot: write before the thaw */

	/* tasks */
	struct cri_cproc **procs;
	uint32_t n_procs;
	uint32_t cap_procs;
	struct cri_idmap by_pid; /* outer pid -> index + 1 */
	struct cri_idmap by_inner;
	uint32_t n_threads;
	ino_t namespaces[8]; /* of the first process, see task.c */
	uint64_t resident; /* bytes of private memory, about */

	/* objects */
	struct cri_recset *set;
	struct cri_idmap *inodes; /* per record type: (dev, ino) -> id */
	struct cri_idmap map_files; /* (dev, ino) of maps -> FILE id */
	struct cri_idmap by_shared; /* (dev, ino) -> struct cri_shared */
	struct cri_shared *shared;
	struct cri_ofds *ofds;
	struct cri_content *contents;
	uint32_t n_contents;
	uint32_t cap_contents;

	/* to the tool */
	void (*log)(struct cri_capture *cap, const char *line);
	void (*progress)(struct cri_capture *cap, uint32_t phase,
			 uint64_t done, uint64_t total);
	void (*finding)(struct cri_capture *cap, pid_t pid, const char *comm,
			const char *what, const char *remedy, int fatal);
	/* Has the tool gone?  Then everything is to end. */
	bool (*orphaned)(struct cri_capture *cap);
	uint32_t fatal; /* findings that forbid the checkpoint */

	uint64_t pause_from;
	uint64_t pause_ns;
	uint64_t write_ns;
	uint64_t image_bytes;
};

/* --- run.c: the steps; each leaves the program unharmed on error --- */
int cri_capture_init(struct cri_capture *cap);
void cri_capture_fini(struct cri_capture *cap);
int cri_capture_freeze(struct cri_capture *cap, struct cri_err *err);
int cri_capture_write(struct cri_capture *cap, int fd, struct cri_err *err);
int cri_capture_release(struct cri_capture *cap, int how, struct cri_err *err);
int cri_capture_check(struct cri_capture *cap, struct cri_err *err);
/* Deadline or the tool's death: -ETIMEDOUT, -ECANCELED. */
int cri_capture_alive(struct cri_capture *cap, struct cri_err *err);
void cri_capture_logf(struct cri_capture *cap, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* --- procs.c: the table of processes --- */
struct cri_cproc *cri_procs_find(struct cri_capture *cap, pid_t pid);
int cri_procs_add(struct cri_capture *cap, pid_t pid, struct cri_cproc **out);
struct cri_cthread *cri_procs_add_thread(struct cri_cproc *p, pid_t tid);
void cri_procs_drop_thread(struct cri_cproc *p, uint32_t i);
void cri_procs_drop(struct cri_capture *cap, struct cri_cproc *p);
void cri_procs_clear(struct cri_capture *cap);
bool cri_procs_omitted(const struct cri_capture *cap, pid_t pid);
/* Children of a process (by all its threads); pids is realloc'ed. */
int cri_procs_children(pid_t pid, pid_t **pids, uint32_t *n, uint32_t *cap);
/* All processes of a group (which 1) or session (2). */
int cri_procs_group(pid_t id, int which, pid_t **pids, uint32_t *n,
		    uint32_t *cap);
/* Live thread ids of a process. */
int cri_procs_tids(pid_t pid, pid_t **tids, uint32_t *n, uint32_t *cap);
/* "pid 4711 (solver): " in front of what err already says, code kept. */
int cri_procs_blame(const struct cri_cproc *p, int ret, struct cri_err *err);

/* --- records --- */
int cri_capture_task(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_err *err);
int cri_capture_mm(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err);
int cri_capture_files(struct cri_capture *cap, struct cri_err *err);
struct cri_mapline;
/* A mapping known by its name to be beyond us: -ENOTSUP with the reason. */
int cri_capture_map_refused(const struct cri_mapline *m, struct cri_err *err);
int cri_capture_origin(struct cri_capture *cap, struct cri_err *err);

/* --- objects.c: files and shared memory behind mappings --- */
/* FILE record of a path as the process sees it; st from the process's view. */
int cri_capture_file(struct cri_capture *cap, struct cri_cproc *p,
		     const char *path, const struct stat *st, uint32_t *id,
		     struct cri_err *err);
int cri_capture_mapping(struct cri_capture *cap, struct cri_cproc *p,
			struct cri_vma *vma, char *path, uint64_t dev,
			uint64_t ino, struct cri_err *err);
/* A descriptor of an object that is also mapped: take its content from it. */
int cri_capture_shared_fd(struct cri_capture *cap, int fd,
			  const struct stat *st, struct cri_err *err);
/* Copy what no descriptor led to; after all descriptors were seen. */
int cri_capture_shared_finish(struct cri_capture *cap, struct cri_err *err);
/* Note a copied content; takes over copy (munmap'ed at the end). */
int cri_capture_content_add(struct cri_capture *cap, uint32_t obj,
			    uint64_t start, uint64_t len, void *copy, int fd);
void cri_capture_contents_clear(struct cri_capture *cap);

#endif
