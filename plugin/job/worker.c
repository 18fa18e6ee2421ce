/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-worker: everything of the job side that can fail or take time.  The
 * parent starts it, and again when it has died; what it must remember is in
 * the job's directory or with the parent.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <slurm/slurm.h>

#include "worker.h"

#define TICK_MS 250
#define RESTORE_MS 3600000

extern char **environ;

static int write_environ(struct sj_worker *w)
{
	char path[PATH_MAX];
	size_t len = 0;
	size_t n;
	char *text;
	char **e;
	int ret;

	for (e = environ; *e; e++)
		len += strlen(*e) + 1;
	text = malloc(len + 1);
	if (!text)
		return -ENOMEM;
	len = 0;
	for (e = environ; *e; e++) {
		n = strlen(*e) + 1;
		memcpy(text + len, *e, n);
		len += n;
	}
	ret = sj_job_path(&w->job, path, sizeof(path), "environ");
	if (!ret)
		ret = sj_write_file(path, text, len);
	free(text);
	return ret;
}

/* What sruns and tasks of an earlier epoch have left behind. */
static void forget_steps(struct sj_worker *w)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	d = opendir(w->job.dir);
	if (!d)
		return;
	while ((e = readdir(d)))
		if ((!strncmp(e->d_name, "stub.", 5) ||
		     !strncmp(e->d_name, "up.", 3) ||
		     !strcmp(e->d_name, "restored")) &&
		    !sj_job_path(&w->job, path, sizeof(path), e->d_name))
			unlink(path);
	closedir(d);
}

static void find_seq(struct sj_worker *w)
{
	struct sj_set s;
	uint32_t i;

	if (sj_set_list(&s, &w->job))
		return;
	for (i = 0; i < s.n; i++)
		if (s.item[i].epoch == w->job.epoch && s.item[i].seq > w->seq)
			w->seq = s.item[i].seq;
	sj_set_fini(&s);
}

/* Wait for ms, but no longer than Slurm lets the job live. */
static void wait_lease(struct sj_worker *w, uint64_t ms)
{
	uint64_t end = sj_now_ms() + ms;

	if (ms)
		sj_job_log(&w->job,
			   "waiting %llu ms for the lease of an "
			   "earlier copy",
			   (unsigned long long)ms);
	while (sj_now_ms() < end && !w->term)
		sj_worker_pump(w, 100);
}

static int order_start(struct sj_worker *w, const char *name,
		       const char *script)
{
	struct sj_order o = { .what = name ? SJ_ORDER_RESTORE :
					     SJ_ORDER_SCRIPT };
	int ret;

	ret = sj_fmt(o.job_dir, sizeof(o.job_dir), "%s", w->job.dir);
	if (!ret && name)
		ret = sj_fmt(o.path, sizeof(o.path), "%s/%s/batch.img",
			     w->job.dir, name);
	if (!ret && name)
		ret = sj_fmt(o.script, sizeof(o.script), "%s", script);
	if (!ret && name)
		ret = sj_job_path(&w->job, o.restored_file,
				  sizeof(o.restored_file), "restored");
	if (!ret)
		sj_worker_order(w, &o);
	return ret;
}

static int set_aside(struct sj_worker *w, const char *name)
{
	char from[PATH_MAX];
	char to[PATH_MAX];

	if (sj_job_path(&w->job, from, sizeof(from), name) ||
	    sj_fmt(to, sizeof(to), "%s/bad.%s", w->job.dir, name))
		return -ENAMETOOLONG;
	sj_rm_tree(to);
	return rename(from, to) ? -errno : 0;
}

/* The hook's file says that the image runs again. */
static int wait_restored(struct sj_worker *w)
{
	uint64_t end = sj_now_ms() + RESTORE_MS;
	char path[PATH_MAX];
	int started = 0;

	if (sj_job_path(&w->job, path, sizeof(path), "restored"))
		return -ENAMETOOLONG;
	while (sj_now_ms() < end) {
		if (!access(path, F_OK))
			return 0;
		if (w->child)
			started = 1;
		if (started && !w->child)
			return access(path, F_OK) ? -ECHILD : 0;
		sj_worker_pump(w, 20);
	}
	return -ETIMEDOUT;
}

static void parent_hold(struct sj_worker *w, int on)
{
	struct sj_order o = { .what = SJ_ORDER_HOLD, .value = on };

	sj_worker_order(w, &o);
	w->parent_hold = on;
}

static void end_job(struct sj_worker *w, int status)
{
	struct sj_order o = { .what = SJ_ORDER_EXIT, .value = status };

	sj_worker_order(w, &o);
	pause();
}

/* 0: it runs; else why this checkpoint does not do. */
static int restore(struct sj_worker *w, const char *name, const char *script)
{
	char path[PATH_MAX];
	int ret;

	ret = sj_job_path(&w->job, path, sizeof(path), "restore");
	if (!ret)
		ret = sj_write_file(path, name, strlen(name));
	if (!ret)
		ret = order_start(w, name, script);
	if (!ret)
		ret = wait_restored(w);
	if (ret)
		return ret;
	/* So quick that it ended inside the hold: its end is the job's. */
	if (!w->child)
		end_job(w, w->child_status);
	parent_hold(w, 0);
	return 0;
}

static void hold_job(struct sj_worker *w, const char *why)
{
	sj_job_log(&w->job, "held: %s", why);
	sj_worker_status(w, "held");
	if (slurm_requeue(w->job.id, JOB_REQUEUE_HOLD))
		end_job(w, 75 << 8);
	end_job(w, SIGTERM);
}

/* From the newest checkpoint that works, else from the beginning. */
static void restore_newest(struct sj_worker *w)
{
	struct sj_manifest m;
	char name[32];
	int tried = 0;
	int ret;

	sj_manifest_init(&m);
	parent_hold(w, 1);
	while (!sj_set_newest(&w->job, &m, name, sizeof(name))) {
		sj_job_log(&w->job, "restart from %s", name);
		ret = restore(w, name, m.script);
		sj_manifest_fini(&m);
		if (!ret)
			return;
		sj_job_log(&w->job, "restart from %s failed (%s, status %d)",
			   name, strerror(-ret), w->child_status);
		if (w->term)
			end_job(w, SIGTERM);
		if (++tried == 2 || set_aside(w, name))
			hold_job(w, "two restarts have failed");
	}
	if (tried)
		hold_job(w, "no older checkpoint");
	parent_hold(w, 0);
	sj_job_log(&w->job, "no checkpoint: the job starts from its beginning");
	if (order_start(w, NULL, NULL))
		end_job(w, 75 << 8);
}

static void start_job(struct sj_worker *w)
{
	uint64_t wait_ms;
	int ret;

	ret = sj_fence_take(&w->job, w->conf.lease * 1000ull, &wait_ms);
	if (ret == -ESTALE) {
		sj_job_log(&w->job, "this epoch is over: a later one runs");
		end_job(w, SIGKILL);
	}
	if (ret)
		sj_job_log(&w->job, "epoch: %s", strerror(-ret));
	wait_lease(w, wait_ms);
	forget_steps(w);
	ret = write_environ(w);
	if (ret)
		sj_job_log(&w->job, "environ: %s", strerror(-ret));
	sj_worker_status(w, "starting");
	if (w->job.epoch)
		restore_newest(w);
	else if (order_start(w, NULL, NULL))
		end_job(w, 75 << 8);
}

static void request(struct sj_worker *w, struct sj_peer *p)
{
	struct sj_stop s = { .peer = p, .nodes = p->request.text[0] };
	struct sj_result r;
	int ret;

	memset(&r, 0, sizeof(r));
	p->asked = 0;
	switch (p->request.num[0]) {
	case SJ_DO_CHECKPOINT:
		ret = sj_worker_checkpoint(w, 0, &r);
		sj_worker_note(w, "checkpoint", &r, ret);
		sj_worker_status(w, "running");
		break;
	case SJ_DO_REQUEUE:
	case SJ_DO_MIGRATE:
	case SJ_DO_VACATE:
		s.vacate = p->request.num[0] == SJ_DO_VACATE;
		s.why = s.vacate ? "vacate" : "requeue";
		if (*p->request.text[1])
			s.why = p->request.text[1];
		ret = sj_worker_stop(w, &s, &r);
		break;
	case SJ_DO_STATUS:
		ret = 0;
		r = w->last;
		break;
	default:
		ret = -EOPNOTSUPP;
		break;
	}
	sj_worker_reply(p, ret, w, &r);
}

static void serve(struct sj_worker *w)
{
	uint32_t i;

	for (i = 0; i < w->n_peers; i++)
		if (w->peer[i]->asked && w->child && !w->parent_hold) {
			request(w, w->peer[i]);
			/* The list may have changed. */
			return;
		}
}

/* Images of a job that has reached its end are of no use. */
static void tidy_up(struct sj_worker *w)
{
	struct sj_set s;
	char path[PATH_MAX];
	uint32_t i;

	sj_worker_status(w, "ended");
	if (!WIFEXITED(w->end_status) || WEXITSTATUS(w->end_status) ||
	    w->term || sj_set_list(&s, &w->job))
		return;
	for (i = 0; i < s.n; i++)
		if (!sj_job_path(&w->job, path, sizeof(path), s.item[i].name))
			sj_rm_tree(path);
	sj_set_fini(&s);
}

static int setup(struct sj_worker *w, struct cri_err *err)
{
	int ret;

	ret = sj_conf_load(&w->conf, NULL, err);
	if (!ret)
		ret = sj_job_from_env(&w->job, &w->conf, err);
	if (!ret)
		ret = sj_job_create(&w->job, &w->conf, err);
	if (ret)
		return ret;
	ret = sj_job_key(&w->job, w->key_text, sizeof(w->key_text));
	if (!ret)
		ret = sj_fmt(w->stub_path, sizeof(w->stub_path),
			     "%s/stasis-stub", w->conf.libexec_dir);
	if (!ret)
		ret = sj_fmt(w->restart_path, sizeof(w->restart_path),
			     "%s/cr_restart", w->conf.bin_dir);
	if (!ret)
		ret = sj_link_listen(&w->listen_fd, &w->port);
	if (!ret)
		ret = sj_place_write(&w->job, w->port);
	if (ret)
		return cri_fail(err, -ret, "worker: %s", strerror(-ret));
	w->key.munge_socket = w->conf.munge_socket;
	w->key.key = w->key_text;
	w->key.owner = getuid();
	sj_fence_init(&w->fence, w->job.epoch, w->conf.lease * 1000ull,
		      sj_now_ms());
	return 0;
}

static void quiet(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	close(null);
}

/* The job still runs, as it would without us. */
static void run_without(const struct cri_err *err)
{
	struct sj_order o = { .what = SJ_ORDER_SCRIPT };
	const char *count = getenv("SLURM_RESTART_COUNT");

	fprintf(stderr, "stasis: no checkpoints: %s\n", err->text);
	if (count && *count) {
		o.what = SJ_ORDER_EXIT;
		o.value = 75 << 8;
	}
	if (send(SJ_ORDER_FD, &o, sizeof(o), MSG_NOSIGNAL) < 0)
		_exit(71);
	for (;;)
		pause();
}

int main(void)
{
	static struct sj_worker w = { .listen_fd = -1 };
	struct cri_err err = { 0 };

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SJ_WARN_SIGNAL, SIG_IGN);
	sj_manifest_init(&w.manifest);
	sj_crew_init(&w.crew);
	if (setup(&w, &err))
		run_without(&err);
	quiet();
	slurm_init(NULL);
	find_seq(&w);
	/* The parent's first word: whether something runs already. */
	sj_worker_pump(&w, 2000);
	if (!w.child && !w.end)
		start_job(&w);
	else if (w.parent_hold)
		parent_hold(&w, 0);
	sj_clock_init(&w);
	sj_worker_status(&w, "running");
	while (!w.end) {
		sj_worker_pump(&w, TICK_MS);
		serve(&w);
		sj_clock_tick(&w);
	}
	tidy_up(&w);
	return 0;
}
