/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at processes through /proc: the tree below one, what a process
 * runs, how it is numbered in its own PID namespace.  Everything may have
 * changed by the time it is returned.
 */
#ifndef SJ_JOB_PROC_H
#define SJ_JOB_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct sj_proc {
	pid_t pid;
	pid_t ppid;
	pid_t inner; /* in its innermost PID namespace */
	char state; /* of /proc/PID/stat */
};

struct sj_procs {
	uint32_t n;
	struct sj_proc *p;
};

/* All processes. */
int sj_procs_read(struct sj_procs *s) __attribute__((warn_unused_result));
void sj_procs_free(struct sj_procs *s);
const struct sj_proc *sj_procs_find(const struct sj_procs *s, pid_t pid);
/* Is pid root or below it? */
int sj_procs_below(const struct sj_procs *s, pid_t pid, pid_t root);
/*
 * The eldest process of a restarted tree: the first below pid that does not
 * run cr_restart (whose path is given); pid itself when it is none.
 */
pid_t sj_procs_eldest(const struct sj_procs *s, pid_t pid, const char *path);
/* Does the process run this file? */
int sj_proc_runs(pid_t pid, const char *path);
/* Bytes in a pipe that is descriptor fd of the process; 0 when it is none. */
int sj_proc_pipe_bytes(pid_t pid, int fd);
/* A number that changes while the process moves data. */
uint64_t sj_proc_io(pid_t pid);

#endif
