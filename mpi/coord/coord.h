/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The coordinator of one MPI job's checkpoints: ranks' helper threads connect
 * to it, it leads them through a cycle, and it is the PMI-1 server of MPICH's
 * ranks.  One thread, driven by sm_coord_step(); linked by cr_run and by
 * Slurm's agent.  Functions return 0 or -errno.
 */
#ifndef SM_COORD_H
#define SM_COORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sm_coord;

/* Where a cycle's time went, in microseconds. */
struct sm_coord_times {
	uint64_t gate, drain, finish, down, away, up, resume;
	uint32_t rounds;
};

struct sm_coord_conf {
	/* "/path" of a unix socket, or "ADDR:PORT" (port 0: any). */
	const char *address;
	const char *key; /* shared with the ranks by STASIS_MPI_KEY */
	unsigned limit_ms; /* of a drain, 0: 60 s */
	/*
	 * All ranks are plain processes and have closed their connections:
	 * capture them now.  An error is reported, the job goes on.
	 */
	int (*away)(void *arg, const pid_t *pids, int n);
	/* The cycle is over; err 0 or -errno with a message. */
	void (*done)(void *arg, int err, const char *message);
	/* A request by a control connection; answer with its id. */
	void (*request)(void *arg, int id, const char *text);
	/* A rank called MPI_Abort. */
	void (*aborted)(void *arg, int rank, int code);
	void *arg;
};

int sm_coord_open(const struct sm_coord_conf *conf, struct sm_coord **out);
void sm_coord_close(struct sm_coord *c);
/* The address to give to ranks in STASIS_MPI_COORD. */
const char *sm_coord_address(const struct sm_coord *c);
/* Handle what has happened; waits up to timeout_ms for something to happen. */
int sm_coord_step(struct sm_coord *c, int timeout_ms);
/* Ranks known, and how many the job has (0: none has said hello yet). */
int sm_coord_ranks(const struct sm_coord *c, int *size);
/* Begin a checkpoint: -EBUSY, -ENOTCONN while ranks are missing. */
int sm_coord_begin(struct sm_coord *c);
bool sm_coord_busy(const struct sm_coord *c);
const struct sm_coord_times *sm_coord_times(const struct sm_coord *c);
/*
 * This is a restart: size ranks will come back from images, and each has a
 * launcher that sends its new environment first (SM_M_ENV).
 */
int sm_coord_restart(struct sm_coord *c, int size, bool with_env);
void sm_coord_answer(struct sm_coord *c, int id, int err, const char *text);

/* The client's side: send one request and wait for the answer. */
int sm_coord_ask(const char *address, const char *key, const char *request,
		 int timeout_ms, char *answer, size_t size);
/* A launcher gives rank's new environment (NAME=value, NUL-separated). */
int sm_coord_send_env(const char *address, const char *key, int rank,
		      const char *env, uint32_t len);

#ifdef __cplusplus
}
#endif

#endif
