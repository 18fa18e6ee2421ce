/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What others may read about the job: status.json for "stasis status", which
 * must work without slurmctld and without us; a line a checkpoint in log and
 * events.jsonl.
 */
#include <config.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "worker.h"

static void write_json(const struct sj_worker *w, json_t *o, const char *name)
{
	char path[PATH_MAX];
	char *text;

	text = o ? json_dumps(o, name ? JSON_INDENT(1) : JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return;
	if (!name)
		sj_job_event(&w->job, text);
	else if (sj_job_path(&w->job, path, sizeof(path), name) ||
		 sj_write_file(path, text, strlen(text)))
		sj_job_log(&w->job, "no %s written", name);
	free(text);
}

void sj_worker_status(const struct sj_worker *w, const char *state)
{
	json_t *o;

	o = json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:s, s:I}", "cluster",
		      w->job.cluster, "job", (json_int_t)w->job.id, "state",
		      state, "nonce", w->job.nonce, "epoch",
		      (json_int_t)w->job.epoch, "interval",
		      (json_int_t)w->job.interval, "node", w->job.node,
		      "time_ms", (json_int_t)sj_wall_ms());
	if (o && w->have_last)
		json_object_set_new(
			o, "last",
			json_pack("{s:I, s:I, s:I, s:I}", "seq",
				  (json_int_t)w->last.seq, "pause_us",
				  (json_int_t)w->last.pause_us, "total_us",
				  (json_int_t)w->last.total_us, "bytes",
				  (json_int_t)w->last.bytes));
	if (o && w->next_ms)
		json_object_set_new(
			o, "next_ms",
			json_integer(sj_wall_ms() + w->next_ms - sj_now_ms()));
	write_json(w, o, "status.json");
}

void sj_worker_note(const struct sj_worker *w, const char *what,
		    const struct sj_result *r, int ret)
{
	json_t *o;

	if (ret)
		sj_job_log(&w->job, "%s %u.%u failed: %s", what, w->job.epoch,
			   r->seq, r->err.text);
	else
		sj_job_log(&w->job,
			   "%s %u.%u: %u images, %llu bytes, pause %llu ms, "
			   "write %llu ms, total %llu ms",
			   what, w->job.epoch, r->seq, w->manifest.n_images,
			   (unsigned long long)r->bytes,
			   (unsigned long long)r->pause_us / 1000,
			   (unsigned long long)r->write_us / 1000,
			   (unsigned long long)r->total_us / 1000);
	o = json_pack("{s:I, s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:s}",
		      "time_ms", (json_int_t)sj_wall_ms(), "what", what,
		      "epoch", (json_int_t)w->job.epoch, "seq",
		      (json_int_t)r->seq, "error", -ret, "pause_us",
		      (json_int_t)r->pause_us, "write_us",
		      (json_int_t)r->write_us, "total_us",
		      (json_int_t)r->total_us, "bytes", (json_int_t)r->bytes,
		      "text", r->err.text);
	write_json(w, o, NULL);
}
