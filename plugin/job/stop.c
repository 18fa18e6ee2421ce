/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The job goes away after a checkpoint, without a loss: it stays frozen until
 * the images are durable and slurmctld has accepted the requeue, and is then
 * killed where it stands.  No instruction runs twice, no clean-up handler
 * removes what the images name.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>

#include "worker.h"

static void hold_parent(struct sj_worker *w, int on)
{
	struct sj_order o = { .what = SJ_ORDER_HOLD, .value = on };

	sj_worker_order(w, &o);
	w->parent_hold = on;
}

/* slurmctld's word, for as long as it may take. */
static int requeue(struct sj_worker *w, const struct sj_stop *s,
		   struct sj_result *r)
{
	uint64_t end = sj_now_ms() + w->conf.commit_wait * 1000ull;
	uint32_t flags = s->vacate ? JOB_REQUEUE_HOLD : 0;
	int code;

	for (;;) {
		if (!slurm_requeue(w->job.id, flags))
			return 0;
		code = errno;
		/* Its answer was lost, or somebody else was quicker. */
		if (code == ESLURM_JOB_PENDING || w->term)
			return 0;
		if (code == ESLURM_ACCESS_DENIED || code == ESLURM_DISABLED ||
		    code == ESLURM_INVALID_JOB_ID || sj_now_ms() > end)
			return cri_fail(&r->err, EREMOTE,
					"slurmctld did not requeue: %s",
					slurm_strerror(code));
		sj_worker_pump(w, 500);
	}
}

/*
 * While the old run is completing: let the new one start soon instead of
 * after the site's credential lifetime, and where it is wanted.  slurmctld
 * keeps a start time only if it is still to come when the run has completed,
 * which takes a second or two.
 */
#define START_DELAY 5

static void place_next_run(struct sj_worker *w, const struct sj_stop *s)
{
	job_desc_msg_t d;

	slurm_init_job_desc_msg(&d);
	d.job_id = w->job.id;
	if (!s->vacate)
		d.begin_time = time(NULL) + START_DELAY;
	if (s->nodes && *s->nodes)
		d.req_nodes = (char *)(uintptr_t)s->nodes;
	if (slurm_update_job(&d))
		sj_job_log(&w->job, "next run not placed: %s",
			   slurm_strerror(errno));
}

static void leave(struct sj_worker *w)
{
	struct sj_order o = { .what = SJ_ORDER_EXIT, .value = SIGTERM };
	uint64_t end = sj_now_ms() + 3000;

	while (w->child && sj_now_ms() < end)
		sj_worker_pump(w, 50);
	sj_worker_order(w, &o);
	/* The parent's end is ours; it kills nothing that it must not. */
	for (;;)
		pause();
}

int sj_worker_stop(struct sj_worker *w, const struct sj_stop *s,
		   struct sj_result *r)
{
	int ret;

	w->term = 0;
	hold_parent(w, 1);
	ret = sj_worker_checkpoint(w, 1, r);
	if (!ret) {
		ret = requeue(w, s, r);
		if (ret)
			sj_worker_release(w, 0);
	}
	if (ret) {
		hold_parent(w, 0);
		/* What Slurm asked meanwhile was kept from the program. */
		if (w->term && w->child)
			kill(w->child, SIGTERM);
		sj_worker_note(w, s->why, r, ret);
		return ret;
	}
	ret = sj_job_write_num(&w->job, "released", w->job.epoch);
	if (ret)
		sj_job_log(&w->job, "no farewell: the next run waits: %s",
			   strerror(-ret));
	place_next_run(w, s);
	sj_worker_release(w, 1);
	sj_worker_note(w, s->why, r, 0);
	sj_worker_status(w, s->vacate ? "vacated" : "requeued");
	if (s->peer)
		sj_worker_reply(s->peer, 0, w, r);
	leave(w);
	return 0;
}
