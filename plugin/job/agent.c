/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-agent STEP TASKS: beside the tasks of one step on one node, as the
 * job's owner.  slurmstepd says over stdin which tasks there are and how they
 * end; the worker says over the link what to do with them.  The agent watches
 * the fence by itself, so that it acts also where the worker cannot reach it.
 */
#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture.h"
#include "fence.h"
#include "place.h"
#include "proc.h"
#include "wire/link.h"

#define TICK_MS 500
#define DRAIN_MS 2000

struct agent {
	struct sj_conf conf;
	struct sj_job job;
	struct sj_fence fence;
	struct sj_link link;
	struct sj_link_key key;
	struct sj_crew crew;
	char key_text[256];
	char dir[PATH_MAX]; /* of the images under way */
	char restart_path[PATH_MAX];
	uint32_t step;
	uint32_t tasks; /* of the whole step */
	uint32_t local; /* of this node */
	uint32_t ended;
	int changed; /* the worker does not know yet */
	int stopped; /* by the fence */
	int eof; /* slurmstepd is gone or done */
	size_t have;
	char line[256];
};

static struct sj_tree *task_of(struct agent *a, uint32_t rank)
{
	uint32_t i;

	for (i = 0; i < a->crew.n; i++)
		if (a->crew.tree[i].image.task == rank)
			return &a->crew.tree[i];
	return NULL;
}

static void add_task(struct agent *a, uint32_t rank, pid_t pid)
{
	struct sj_tree *t = sj_crew_add(&a->crew);

	if (!t)
		return;
	t->pid = pid;
	t->image.step = a->step;
	t->image.task = rank;
	t->image.tasks = a->tasks;
	snprintf(t->image.node, sizeof(t->image.node), "%s", a->job.node);
}

static void read_line(struct agent *a, const char *line)
{
	struct sj_tree *t;
	unsigned int rank;
	int v;

	a->changed = 1;
	if (sscanf(line, "local %d", &v) == 1) {
		a->local = v;
	} else if (sscanf(line, "task %u %d", &rank, &v) == 2) {
		add_task(a, rank, v);
	} else if (sscanf(line, "exit %u %d", &rank, &v) == 2) {
		t = task_of(a, rank);
		if (t && !t->ended) {
			t->ended = 1;
			t->image.status = v;
			a->ended++;
		}
	}
}

static void read_stepd(struct agent *a)
{
	char *nl;
	ssize_t n;

	n = read(0, a->line + a->have, sizeof(a->line) - 1 - a->have);
	if (n <= 0) {
		a->eof = n == 0 || errno != EINTR;
		return;
	}
	a->have += n;
	a->line[a->have] = '\0';
	while ((nl = strchr(a->line, '\n'))) {
		*nl = '\0';
		read_line(a, a->line);
		a->have -= nl + 1 - a->line;
		memmove(a->line, nl + 1, a->have + 1);
	}
	if (a->have == sizeof(a->line) - 1)
		a->have = 0;
}

static int send_tasks(struct agent *a)
{
	struct sj_msg m = { .type = SJ_TASKS };

	m.num[0] = a->local;
	m.num[1] = a->crew.n - a->ended;
	m.num[2] = a->crew.n;
	a->changed = 0;
	return sj_link_send(&a->link, &m);
}

static void connect_worker(struct agent *a)
{
	struct sj_msg m = { .type = SJ_HELLO };
	struct sj_place place;
	struct cri_err err = { 0 };

	if (sj_place_read(&place, a->job.dir) || place.epoch != a->job.epoch)
		return;
	if (sj_link_connect(&a->link, &a->key, place.hosts, place.port, 2000,
			    &err))
		return;
	m.num[0] = a->step;
	m.num[1] = a->tasks;
	m.num[2] = a->local;
	snprintf(m.text[0], SJ_MSG_TEXT, "%s", a->job.node);
	if (sj_link_send(&a->link, &m) || send_tasks(a))
		sj_link_close(&a->link);
}

/* Still between fork and exec, or cr_restart at work: not yet the program. */
static int task_ready(const struct agent *a, const struct sj_tree *t)
{
	char path[PATH_MAX];
	char mine[PATH_MAX];
	char parent[64];
	ssize_t n;

	if (t->ended)
		return 1;
	snprintf(parent, sizeof(parent), "/proc/%d/exe", (int)t->pid);
	n = readlink(parent, mine, sizeof(mine) - 1);
	if (n <= 0)
		return 0;
	mine[n] = '\0';
	if (strstr(mine, "slurmstepd") || strstr(mine, "stasis-task"))
		return 0;
	if (!sj_proc_runs(t->pid, a->restart_path))
		return 1;
	if (sj_fmt(path, sizeof(path), "%s/up.%u.%u", a->job.dir, a->step,
		   t->image.task))
		return 0;
	return !access(path, F_OK);
}

static int prepare(struct agent *a, const struct sj_msg *m, struct cri_err *err)
{
	struct sj_procs s;
	struct sj_tree *t;

	if (m->num[0] != a->job.epoch)
		return cri_fail(err, ESTALE, "this is epoch %u", a->job.epoch);
	if (sj_fmt(a->dir, sizeof(a->dir), "%s", m->text[0]) ||
	    strncmp(a->dir, a->job.dir, strlen(a->job.dir)))
		return cri_fail(err, EINVAL, "not a place of the job");
	if (a->crew.n != a->local)
		return cri_fail(err, EAGAIN, "step %u is starting", a->step);
	for (t = a->crew.tree; t < a->crew.tree + a->crew.n; t++) {
		if (!task_ready(a, t))
			return cri_fail(err, EAGAIN, "task %u is starting",
					t->image.task);
		*t->image.file = '\0';
		if (!t->ended)
			snprintf(t->image.file, sizeof(t->image.file),
				 "step.%u.task.%u.img", a->step, t->image.task);
	}
	/* A restarted task is below its cr_restart. */
	if (sj_procs_read(&s))
		return cri_fail(err, EIO, "/proc cannot be read");
	for (t = a->crew.tree; t < a->crew.tree + a->crew.n; t++)
		t->root = sj_procs_eldest(&s, t->pid, a->restart_path);
	sj_procs_free(&s);
	return 0;
}

/* What the frozen tasks have written, slurmstepd must have taken. */
static void drain(struct agent *a)
{
	uint64_t end = sj_now_ms() + DRAIN_MS;
	struct sj_tree *t;
	int bytes;

	do {
		bytes = 0;
		for (t = a->crew.tree; t < a->crew.tree + a->crew.n; t++)
			if (!t->ended)
				bytes += sj_proc_pipe_bytes(t->root, 1) +
					 sj_proc_pipe_bytes(t->root, 2);
		if (bytes)
			usleep(2000);
	} while (bytes && sj_now_ms() < end);
}

static int send_images(struct agent *a)
{
	struct sj_msg m = { .type = SJ_IMAGE };
	struct sj_tree *t;
	int ret = 0;

	for (t = a->crew.tree; t < a->crew.tree + a->crew.n && !ret; t++) {
		m.num[0] = t->image.task;
		m.num[1] = !t->ended;
		m.num[2] = t->image.status;
		m.num[3] = t->image.bytes;
		snprintf(m.text[0], SJ_MSG_TEXT, "%s", t->image.file);
		ret = sj_link_send(&a->link, &m);
	}
	return ret;
}

static int obey(struct agent *a, const struct sj_msg *m, struct cri_err *err)
{
	int ret;

	switch (m->type) {
	case SJ_PREPARE:
		return prepare(a, m, err);
	case SJ_FREEZE:
		ret = sj_crew_freeze(&a->crew, NULL, 0, err);
		if (!ret)
			drain(a);
		return ret;
	case SJ_WRITE:
		ret = sj_crew_write(&a->crew, a->dir, err);
		return ret ? ret : send_images(a);
	case SJ_RELEASE:
		return sj_crew_release(&a->crew, m->num[0] == 1, err);
	case SJ_ABORT:
		sj_crew_abort(&a->crew);
		return 0;
	default:
		return cri_fail(err, EBADMSG, "message %u is not for agents",
				m->type);
	}
}

static int answer(struct agent *a, struct sj_msg *m)
{
	struct cri_err err = { 0 };
	unsigned int op = m->type;
	int ret;

	ret = obey(a, m, &err);
	memset(m, 0, sizeof(*m));
	m->type = SJ_DONE;
	m->num[0] = op;
	m->num[1] = -ret;
	m->num[2] = a->crew.pause_us;
	snprintf(m->text[0], SJ_MSG_TEXT, "%s", err.text);
	return sj_link_send(&a->link, m);
}

static void read_link(struct agent *a)
{
	struct sj_msg m;
	int ret;

	ret = sj_link_fill(&a->link);
	while (!ret) {
		ret = sj_link_next(&a->link, &a->key, &m);
		if (!ret)
			ret = answer(a, &m);
	}
	if (ret == -EAGAIN)
		return;
	/* The worker is gone: what it held goes on. */
	sj_crew_abort(&a->crew);
	sj_link_close(&a->link);
}

static void signal_all(struct agent *a, int sig)
{
	struct sj_procs s;
	struct sj_tree *t;
	uint32_t i;

	if (sj_procs_read(&s))
		return;
	for (t = a->crew.tree; t < a->crew.tree + a->crew.n; t++)
		for (i = 0; i < s.n && !t->ended; i++)
			if (sj_procs_below(&s, s.p[i].pid, t->pid))
				kill(s.p[i].pid, sig);
	sj_procs_free(&s);
}

static void watch_fence(struct agent *a)
{
	enum sj_verdict v = sj_fence_look(&a->fence, &a->job);

	if (v == SJ_FENCE_DIE) {
		signal_all(a, SIGKILL);
		a->eof = 1;
	} else if (v == SJ_FENCE_FREEZE && !a->stopped) {
		signal_all(a, SIGSTOP);
		a->stopped = 1;
	} else if (v == SJ_FENCE_GO && a->stopped) {
		signal_all(a, SIGCONT);
		a->stopped = 0;
	}
}

static void loop(struct agent *a)
{
	struct pollfd fds[2];
	uint64_t next = 0;

	while (!a->eof && (!a->crew.n || a->ended < a->crew.n)) {
		fds[0] = (struct pollfd){ .fd = 0, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = a->link.fd, .events = POLLIN };
		if (poll(fds, 2, TICK_MS) < 0)
			continue;
		if (fds[0].revents)
			read_stepd(a);
		if (a->link.fd >= 0 && fds[1].revents)
			read_link(a);
		if (a->link.fd < 0 && a->local && a->crew.n == a->local)
			connect_worker(a);
		if (a->changed && a->link.fd >= 0 && send_tasks(a))
			sj_link_close(&a->link);
		if (sj_now_ms() < next)
			continue;
		next = sj_now_ms() + TICK_MS;
		watch_fence(a);
	}
	if (a->changed && a->link.fd >= 0 && send_tasks(a))
		return;
}

int main(int argc, char **argv)
{
	static struct agent a;
	struct cri_err err = { 0 };
	const char *dir = getenv("STASIS_JOBDIR");
	uint64_t step;
	uint64_t tasks;

	signal(SIGPIPE, SIG_IGN);
	/* Slurm's wish to end the tasks is not meant for us. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sj_link_init(&a.link);
	sj_crew_init(&a.crew);
	if (argc != 3 || !dir || sj_parse_num(argv[1], SJ_ANY - 1, &step) ||
	    sj_parse_num(argv[2], SJ_ANY - 1, &tasks))
		return 64;
	a.step = step;
	a.tasks = tasks;
	if (sj_conf_load(&a.conf, NULL, &err) ||
	    sj_fmt(a.restart_path, sizeof(a.restart_path), "%s/cr_restart",
		   a.conf.bin_dir) ||
	    sj_job_from_env(&a.job, &a.conf, &err) ||
	    sj_fmt(a.job.dir, sizeof(a.job.dir), "%s", dir) ||
	    sj_job_key(&a.job, a.key_text, sizeof(a.key_text)))
		return 78;
	a.key.munge_socket = a.conf.munge_socket;
	a.key.key = a.key_text;
	a.key.owner = getuid();
	sj_fence_init(&a.fence, a.job.epoch, a.conf.lease * 1000ull,
		      sj_now_ms());
	loop(&a);
	sj_crew_fini(&a.crew);
	sj_link_close(&a.link);
	return 0;
}
