/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A checkpoint of the whole job: PREPARE, FREEZE, [THAW], WRITE, COMMIT, or
 * ABORT at any failure before COMMIT, after which the job goes on and the
 * last good checkpoint stays.  Tasks are frozen before the script, so that
 * the script's output files contain what the tasks had written.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker.h"

#define PREPARE_MS 5000
#define FREEZE_MS 20000
#define RELEASE_MS 10000
#define WRITE_MS 3600000
#define TRANSIENT_MS 10000
#define SETTLE_MS 2000

/* The srun below a stub: alive, or the step is just ending. */
static int add_srun(struct sj_worker *w, const struct sj_procs *s, pid_t stub)
{
	pid_t *bigger;
	uint32_t i;
	int found = 0;

	for (i = 0; i < s->n; i++) {
		if (s->p[i].ppid != stub)
			continue;
		if (s->p[i].state == 'Z')
			return -EAGAIN;
		bigger = reallocarray(w->omit, w->n_omit + 1, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		w->omit = bigger;
		w->omit[w->n_omit++] = s->p[i].pid;
		found = 1;
	}
	return found ? 0 : -EAGAIN;
}

/* All tasks of a step have agents, which then take part. */
static int step_ready(struct sj_worker *w, uint32_t step)
{
	struct sj_peer *p;
	uint64_t local = 0;
	uint32_t tasks = 0;
	uint32_t running = 0;
	uint32_t i;

	for (i = 0; i < w->n_peers; i++) {
		p = w->peer[i];
		if (p->kind != SJ_PEER_AGENT || p->step != step)
			continue;
		p->in_set = 1;
		tasks = p->tasks;
		local += p->local;
		running += p->running;
	}
	return tasks && local == tasks && running ? 0 : -EAGAIN;
}

static int add_stub(struct sj_worker *w, const struct sj_procs *s,
		    const struct sj_proc *p)
{
	struct sj_stub *stub;
	char name[32];
	uint64_t step;
	int ret;

	stub = sj_manifest_stub(&w->manifest);
	if (!stub)
		return -ENOMEM;
	stub->pid = p->inner;
	stub->step = SJ_ANY;
	ret = add_srun(w, s, p->pid);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "stub.%u", stub->pid);
	ret = sj_job_read_num(&w->job, name, &step);
	/* srun waits for its step: it will ask again after a restart. */
	if (ret == -ENOENT)
		return 0;
	if (ret || step >= SJ_ANY)
		return -EAGAIN;
	stub->step = step;
	return step_ready(w, step);
}

/* Who takes part: the script's tree, its sruns left out, their agents. */
static int muster(struct sj_worker *w)
{
	struct sj_tree *t;
	struct sj_procs s;
	uint32_t i;
	int ret;

	sj_crew_fini(&w->crew);
	sj_manifest_fini(&w->manifest);
	w->n_omit = 0;
	for (i = 0; i < w->n_peers; i++)
		w->peer[i]->in_set = 0;
	if (!w->child)
		return -ESRCH;
	t = sj_crew_add(&w->crew);
	if (!t)
		return -ENOMEM;
	ret = sj_procs_read(&s);
	if (ret)
		return ret;
	t->pid = w->child;
	t->root = sj_procs_eldest(&s, w->child, w->restart_path);
	for (i = 0; i < s.n && !ret; i++)
		if (sj_procs_below(&s, s.p[i].pid, w->child) &&
		    sj_proc_runs(s.p[i].pid, w->stub_path))
			ret = add_stub(w, &s, &s.p[i]);
	sj_procs_free(&s);
	return ret;
}

static int prepare(struct sj_worker *w, const char *dir, struct sj_result *r)
{
	struct sj_msg m = { .type = SJ_PREPARE };
	int ret;

	ret = muster(w);
	if (ret)
		return cri_fail(&r->err, -ret, "%s",
				ret == -EAGAIN ? "a step is starting or "
						 "ending" :
						 strerror(-ret));
	m.num[0] = w->job.epoch;
	m.num[1] = r->seq;
	snprintf(m.text[0], SJ_MSG_TEXT, "%s", dir);
	ret = sj_worker_tell(w, &m);
	if (!ret)
		ret = sj_worker_collect(w, PREPARE_MS);
	return ret ? cri_fail(&r->err, -ret, "%s", w->peer_err.text) : 0;
}

/* Starting and ending steps pass: try again for a while. */
static int prepare_patiently(struct sj_worker *w, const char *dir,
			     struct sj_result *r)
{
	uint64_t end = sj_now_ms() + TRANSIENT_MS;
	int ret;

	for (;;) {
		cri_err_clear(&r->err);
		ret = prepare(w, dir, r);
		if (ret != -EAGAIN || w->end || sj_now_ms() > end)
			return ret;
		sj_worker_pump(w, 50);
	}
}

/* The sruns write out what slurmstepd has sent them: until they rest. */
static void settle(struct sj_worker *w)
{
	uint64_t end = sj_now_ms() + SETTLE_MS;
	uint64_t before = 0;
	uint64_t now;
	uint32_t i;
	int same = 0;

	while (w->n_omit && same < 3 && sj_now_ms() < end) {
		usleep(5000);
		now = 0;
		for (i = 0; i < w->n_omit; i++)
			now = now * 31 + sj_proc_io(w->omit[i]);
		same = now == before ? same + 1 : 0;
		before = now;
	}
}

static int tell_all(struct sj_worker *w, unsigned int type, uint64_t arg,
		    unsigned int timeout_ms)
{
	struct sj_msg m = { .type = type };
	int first;
	int ret;

	m.num[0] = arg;
	first = sj_worker_tell(w, &m);
	ret = sj_worker_collect(w, timeout_ms);
	return first ? first : ret;
}

static int freeze(struct sj_worker *w, struct sj_result *r)
{
	int ret;

	ret = tell_all(w, SJ_FREEZE, 0, FREEZE_MS);
	if (ret)
		return cri_fail(&r->err, -ret, "%s", w->peer_err.text);
	settle(w);
	w->held = 1;
	return sj_crew_freeze(&w->crew, w->omit, w->n_omit, &r->err);
}

void sj_worker_release(struct sj_worker *w, int kill)
{
	struct cri_err err = { 0 };
	struct sj_msg m = { .type = SJ_RELEASE };
	int ret;

	m.num[0] = kill;
	/* All are told before the first is waited for. */
	ret = sj_worker_tell(w, &m);
	if (sj_crew_release(&w->crew, kill, &err))
		sj_job_log(&w->job, "release: %s", err.text);
	if (!ret)
		ret = sj_worker_collect(w, RELEASE_MS);
	if (ret)
		sj_job_log(&w->job, "release: %s", w->peer_err.text);
	w->held = 0;
}

static void abort_all(struct sj_worker *w)
{
	sj_crew_abort(&w->crew);
	if (tell_all(w, SJ_ABORT, 0, RELEASE_MS))
		sj_job_log(&w->job, "abort: %s", w->peer_err.text);
	w->held = 0;
}

static int write_images(struct sj_worker *w, const char *dir,
			struct sj_result *r)
{
	struct sj_msg m = { .type = SJ_WRITE };
	struct sj_image *im;
	int first;
	int ret;

	first = sj_worker_tell(w, &m);
	ret = sj_crew_write(&w->crew, dir, &r->err);
	if (!first)
		first = sj_worker_collect(w, WRITE_MS);
	if (ret)
		return ret;
	if (first)
		return cri_fail(&r->err, -first, "%s", w->peer_err.text);
	im = sj_manifest_image(&w->manifest);
	if (!im)
		return cri_fail(&r->err, ENOMEM, "no memory");
	*im = w->crew.tree[0].image;
	return 0;
}

static int write_manifest(struct sj_worker *w, const char *dir,
			  struct sj_result *r)
{
	struct sj_manifest *m = &w->manifest;
	char path[PATH_MAX];
	char *text = NULL;
	uint32_t i;
	int ret;

	memcpy(m->cluster, w->job.cluster, sizeof(m->cluster));
	memcpy(m->nonce, w->job.nonce, sizeof(m->nonce));
	if (sj_fmt(m->script, sizeof(m->script), "%s",
		   getenv("STASIS_SCRIPT") ? getenv("STASIS_SCRIPT") : ""))
		m->script[0] = '\0';
	m->job = w->job.id;
	m->array_task = w->job.array_task;
	m->epoch = w->job.epoch;
	m->seq = r->seq;
	m->time_ms = sj_wall_ms();
	m->pause_us = r->pause_us;
	m->total_us = r->total_us;
	r->bytes = 0;
	for (i = 0; i < m->n_images; i++)
		r->bytes += m->images[i].bytes;
	ret = sj_manifest_print(m, &text);
	if (!ret)
		ret = sj_fmt(path, sizeof(path), "%s/manifest.json", dir);
	if (!ret)
		ret = sj_write_file(path, text, strlen(text));
	free(text);
	return ret ? cri_fail(&r->err, -ret, "manifest: %s", strerror(-ret)) :
		     0;
}

static int commit(struct sj_worker *w, const char *dir, struct sj_result *r)
{
	char name[32];
	char path[PATH_MAX];
	int ret;

	ret = write_manifest(w, dir, r);
	if (ret)
		return ret;
	/* An outdated copy has nothing to say any more. */
	if (sj_fence_look(&w->fence, &w->job) != SJ_FENCE_GO)
		return cri_fail(&r->err, ESTALE, "another copy of the job");
	snprintf(name, sizeof(name), "%u.%u", w->job.epoch, r->seq);
	ret = sj_job_path(&w->job, path, sizeof(path), name);
	if (!ret && rename(dir, path))
		ret = -errno;
	if (!ret)
		ret = sj_sync_dir(w->job.dir);
	return ret ? cri_fail(&r->err, -ret, "%s: %s", name, strerror(-ret)) :
		     0;
}

static int run_phases(struct sj_worker *w, const char *dir, int hold,
		      struct sj_result *r)
{
	uint64_t start = sj_now_ms();
	uint64_t frozen;
	uint64_t written;
	int ret;

	ret = prepare_patiently(w, dir, r);
	if (ret)
		return ret;
	snprintf(w->crew.tree[0].image.file, sizeof(w->crew.tree[0].image.file),
		 "batch.img");
	memcpy(w->crew.tree[0].image.node, w->job.node, sizeof(w->job.node));
	w->crew.tree[0].image.step = SJ_ANY;
	frozen = sj_now_ms();
	ret = freeze(w, r);
	if (ret)
		return ret;
	if (!hold)
		sj_worker_release(w, 0);
	written = sj_now_ms();
	r->pause_us = (written - frozen) * 1000;
	ret = write_images(w, dir, r);
	if (ret)
		return ret;
	r->write_us = (sj_now_ms() - written) * 1000;
	r->total_us = (sj_now_ms() - start) * 1000;
	return commit(w, dir, r);
}

int sj_worker_checkpoint(struct sj_worker *w, int hold, struct sj_result *r)
{
	char dir[PATH_MAX];
	int ret;

	memset(r, 0, sizeof(*r));
	r->seq = ++w->seq;
	if (w->busy)
		return cri_fail(&r->err, EALREADY, "a checkpoint is running");
	ret = sj_fmt(dir, sizeof(dir), "%s/partial.%u.%u", w->job.dir,
		     w->job.epoch, r->seq);
	if (ret)
		return cri_fail(&r->err, -ret, "path too long");
	w->busy = 1;
	sj_rm_tree(dir);
	if (mkdir(dir, 0700))
		ret = cri_fail(&r->err, errno, "%s: %s", dir, strerror(errno));
	if (!ret)
		ret = run_phases(w, dir, hold, r);
	if (ret)
		abort_all(w);
	sj_set_trim(&w->job, w->job.keep);
	w->busy = 0;
	if (ret)
		return ret;
	w->last = *r;
	w->have_last = 1;
	return 0;
}
