/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's context, shared by its files: worker.c (loop and start),
 * peers.c (links), phases.c (a checkpoint), stop.c (the job goes away),
 * clock.c (when).  One thread, so no locks.
 */
#ifndef SJ_JOB_WORKER_H
#define SJ_JOB_WORKER_H

#include <time.h>

#include "capture.h"
#include "fence.h"
#include "order.h"
#include "place.h"
#include "proc.h"
#include "wire/link.h"

#define SJ_PEERS 4200 /* agents of 4096 nodes and some commands */

enum sj_peer_kind { SJ_PEER_NEW, SJ_PEER_AGENT, SJ_PEER_COMMAND };

struct sj_peer {
	struct sj_link link;
	enum sj_peer_kind kind;
	/* agent */
	uint32_t step;
	uint32_t tasks;
	uint32_t local;
	uint32_t running;
	char node[64];
	unsigned int waiting; /* for DONE of this message, 0 none */
	int in_set; /* takes part in the checkpoint under way */
	/* command */
	int asked;
	struct sj_msg request;
};

/* What a checkpoint has come to. */
struct sj_result {
	uint32_t seq;
	uint64_t pause_us;
	uint64_t total_us;
	uint64_t write_us;
	uint64_t bytes;
	struct cri_err err;
};

struct sj_worker {
	struct sj_conf conf;
	struct sj_job job;
	struct sj_fence fence;
	struct sj_link_key key;
	char key_text[256];
	char stub_path[PATH_MAX];
	char restart_path[PATH_MAX];
	int listen_fd;
	uint16_t port;
	struct sj_peer **peer;
	uint32_t n_peers;
	/* the parent and what it runs */
	pid_t child;
	int parent_hold;
	int child_restored;
	int child_status; /* when it ended in a hold */
	int end; /* the script has ended */
	int end_status;
	int term; /* Slurm wants the job to end */
	int warned; /* Slurm's signal ahead of a preemption has come */
	int stopped; /* by the fence */
	/* a checkpoint under way */
	int busy;
	struct cri_err peer_err; /* first failure that an agent reported */
	struct sj_manifest manifest;
	struct sj_crew crew; /* the script's tree */
	pid_t *omit; /* real sruns */
	uint32_t n_omit;
	int held; /* frozen and not released */
	/* the clock */
	uint32_t seq;
	uint64_t next_ms; /* monotonic, 0: no periodic ones */
	time_t end_time; /* of the allocation, 0 unknown */
	uint64_t ask_ms; /* when to ask for end_time again */
	uint64_t retry_ms; /* not before, after a failure */
	struct sj_result last;
	int have_last;
};

/* peers.c */
/* Let everything that comes in be handled for at most timeout_ms. */
void sj_worker_pump(struct sj_worker *w, int timeout_ms);
/* A message to all agents that take part; they are waited for. */
int sj_worker_tell(struct sj_worker *w, const struct sj_msg *m)
	__attribute__((warn_unused_result));
/* Until all have answered: 0, or the first failure in peer_err. */
int sj_worker_collect(struct sj_worker *w, unsigned int timeout_ms)
	__attribute__((warn_unused_result));
void sj_worker_reply(struct sj_peer *p, int ret, const struct sj_worker *w,
		     const struct sj_result *r);
void sj_worker_order(struct sj_worker *w, const struct sj_order *o);

/* phases.c */
/*
 * PREPARE to WRITE and COMMIT.  With hold the job is still frozen afterwards,
 * sj_worker_release() ends that.  On failure the job goes on.
 */
int sj_worker_checkpoint(struct sj_worker *w, int hold, struct sj_result *r)
	__attribute__((warn_unused_result));
void sj_worker_release(struct sj_worker *w, int kill);

/* stop.c */
struct sj_stop {
	int vacate; /* hold the requeued job */
	const char *why;
	const char *nodes; /* wanted, "" any */
	struct sj_peer *peer; /* who is to be told, or NULL */
};

/* Checkpoint, requeue, kill frozen.  Does not return when it works. */
int sj_worker_stop(struct sj_worker *w, const struct sj_stop *s,
		   struct sj_result *r) __attribute__((warn_unused_result));

/* clock.c */
void sj_clock_init(struct sj_worker *w);
/* Do what is due. */
void sj_clock_tick(struct sj_worker *w);
/* Slurm has sent its warning. */
void sj_clock_warned(struct sj_worker *w);

/* status.c */
void sj_worker_status(const struct sj_worker *w, const char *state);
void sj_worker_note(const struct sj_worker *w, const char *what,
		    const struct sj_result *r, int ret);

#endif
