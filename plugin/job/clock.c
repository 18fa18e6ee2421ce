/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the worker acts by itself: periodic checkpoints, the time limit,
 * Slurm's warning ahead of a preemption, the fence.  slurmctld is asked for
 * the end time once, and again when half of what was left has passed.
 */
#include <config.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <slurm/slurm.h>

#include "worker.h"

#define RETRY_MS 30000

static void next_period(struct sj_worker *w)
{
	w->next_ms = w->job.interval ? sj_now_ms() + w->job.interval * 1000ull :
				       0;
}

static void ask_end_time(struct sj_worker *w)
{
	time_t now = time(NULL);
	job_info_msg_t *info = NULL;
	time_t left;

	w->ask_ms = sj_now_ms() + 60000;
	if (slurm_load_job(&info, w->job.id, 0))
		return;
	if (info->record_count)
		w->end_time = info->job_array[0].end_time;
	slurm_free_job_info_msg(info);
	left = w->end_time > now ? w->end_time - now : 0;
	if (left > 86400)
		left = 86400;
	w->ask_ms = sj_now_ms() + (left / 2 + 1) * 1000ull;
}

void sj_clock_init(struct sj_worker *w)
{
	next_period(w);
	ask_end_time(w);
}

static int preempted(struct sj_worker *w)
{
	job_info_msg_t *info = NULL;
	int yes = 0;

	/* No answer: take it for what it is meant for. */
	if (slurm_load_job(&info, w->job.id, 0))
		return 1;
	if (info->record_count)
		yes = info->job_array[0].preempt_time != 0;
	slurm_free_job_info_msg(info);
	return yes;
}

void sj_clock_warned(struct sj_worker *w)
{
	struct sj_stop s = { .why = "preemption" };
	struct sj_result r;

	w->warned = 0;
	/* The same signal comes, too early, ahead of the time limit. */
	if (!preempted(w))
		return;
	if (sj_worker_stop(w, &s, &r))
		sj_job_log(&w->job,
			   "preemption: %s; the last checkpoint "
			   "counts",
			   r.err.text);
}

static void time_limit(struct sj_worker *w)
{
	struct sj_stop s = { .why = "timelimit" };
	struct sj_result r;

	/* Somebody may have given it more time meanwhile. */
	ask_end_time(w);
	if (w->end_time - time(NULL) > (time_t)w->conf.limit_margin)
		return;
	if (sj_worker_stop(w, &s, &r))
		w->retry_ms = sj_now_ms() + 5000;
}

static void periodic(struct sj_worker *w)
{
	struct sj_result r;
	int ret;

	ret = sj_worker_checkpoint(w, 0, &r);
	sj_worker_note(w, "periodic", &r, ret);
	next_period(w);
	if (ret)
		w->retry_ms = sj_now_ms() + RETRY_MS;
	sj_worker_status(w, "running");
}

static void signal_tree(struct sj_worker *w, int sig)
{
	struct sj_procs s;
	uint32_t i;

	if (!w->child || sj_procs_read(&s))
		return;
	for (i = 0; i < s.n; i++)
		if (sj_procs_below(&s, s.p[i].pid, w->child))
			kill(s.p[i].pid, sig);
	sj_procs_free(&s);
}

static void watch_fence(struct sj_worker *w)
{
	struct sj_order o = { .what = SJ_ORDER_EXIT, .value = SIGKILL };
	enum sj_verdict v = sj_fence_look(&w->fence, &w->job);

	if (v == SJ_FENCE_DIE) {
		signal_tree(w, SIGKILL);
		sj_job_log(&w->job, "outdated: this copy has ended itself");
		sj_worker_order(w, &o);
	} else if (v == SJ_FENCE_FREEZE && !w->stopped) {
		signal_tree(w, SIGSTOP);
		w->stopped = 1;
	} else if (v == SJ_FENCE_GO && w->stopped) {
		signal_tree(w, SIGCONT);
		w->stopped = 0;
	}
}

void sj_clock_tick(struct sj_worker *w)
{
	uint64_t now = sj_now_ms();

	watch_fence(w);
	if (w->stopped || !w->child || w->end || w->parent_hold)
		return;
	if (w->warned)
		sj_clock_warned(w);
	if (now >= w->ask_ms)
		ask_end_time(w);
	if (now < w->retry_ms)
		return;
	if (w->end_time &&
	    w->end_time - time(NULL) <= (time_t)w->conf.limit_margin)
		time_limit(w);
	else if (w->next_ms && now >= w->next_ms)
		periodic(w);
}
