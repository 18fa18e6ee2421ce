/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis evacuate NODE...: drain the nodes, then checkpoint and requeue every
 * job that runs there, one after the other; slurmctld starts them elsewhere.
 */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>

#include "cmd.h"

struct plan {
	const struct sj_conf *conf;
	const char *reason;
	int dry_run;
	int wait;
	uint32_t *moved;
	uint32_t n_moved;
};

static int drain(const struct plan *p, const char *nodes)
{
	update_node_msg_t m;

	slurm_init_update_node_msg(&m);
	m.node_names = (char *)(uintptr_t)nodes;
	m.node_state = NODE_STATE_DRAIN;
	m.reason = (char *)(uintptr_t)p->reason;
	m.reason_uid = getuid();
	if (slurm_update_node(&m)) {
		fprintf(stderr, "stasis: drain of %s: %s\n", nodes,
			slurm_strerror(errno));
		return 1;
	}
	printf("%s: draining, %s\n", nodes, p->reason);
	return 0;
}

static int shares_node(const char *list, const char *nodes)
{
	hostlist_t want = slurm_hostlist_create(nodes);
	hostlist_t have = slurm_hostlist_create(list);
	char *host;
	int yes = 0;

	while (!yes && have && want && (host = slurm_hostlist_shift(have))) {
		yes = slurm_hostlist_find(want, host) >= 0;
		free(host);
	}
	if (want)
		slurm_hostlist_destroy(want);
	if (have)
		slurm_hostlist_destroy(have);
	return yes;
}

static int move(struct plan *p, const slurm_job_info_t *j)
{
	struct sj_ask ask = { .what = SJ_DO_REQUEUE, .reason = "evacuate" };
	struct cri_err err = { 0 };
	struct sj_msg m;
	uint32_t *bigger;

	if (p->dry_run) {
		printf("job %u on %s would move\n", j->job_id, j->nodes);
		return 0;
	}
	if (p->n_moved && p->conf->pace)
		sleep(p->conf->pace);
	if (sj_cmd_ask(p->conf, j->job_id, j->user_id, &ask, &m, &err)) {
		fprintf(stderr, "job %u stays on %s: %s\n", j->job_id, j->nodes,
			err.text);
		return 1;
	}
	printf("job %u left %s: checkpoint %llu.%llu, pause and write %llu "
	       "ms\n",
	       j->job_id, j->nodes, (unsigned long long)m.num[1],
	       (unsigned long long)m.num[2],
	       (unsigned long long)m.num[4] / 1000);
	bigger = reallocarray(p->moved, p->n_moved + 1, sizeof(*bigger));
	if (bigger) {
		p->moved = bigger;
		p->moved[p->n_moved++] = j->job_id;
	}
	return 0;
}

static int move_all(struct plan *p, const char *nodes)
{
	job_info_msg_t *info = NULL;
	uint32_t i;
	int bad = 0;

	if (slurm_load_jobs(0, &info, SHOW_ALL)) {
		fprintf(stderr, "stasis: %s\n", slurm_strerror(errno));
		return 1;
	}
	for (i = 0; i < info->record_count; i++) {
		const slurm_job_info_t *j = &info->job_array[i];

		if ((j->job_state & JOB_STATE_BASE) != JOB_RUNNING ||
		    !j->nodes || !shares_node(j->nodes, nodes))
			continue;
		bad |= move(p, j);
	}
	slurm_free_job_info_msg(info);
	return bad;
}

static int running(uint32_t id, char *where, size_t size)
{
	job_info_msg_t *info = NULL;
	uint32_t state = JOB_PENDING;

	if (slurm_load_job(&info, id, 0))
		return 1;
	if (info->record_count) {
		state = info->job_array[0].job_state;
		if (info->job_array[0].nodes &&
		    sj_fmt(where, size, "%s", info->job_array[0].nodes))
			*where = '\0';
	}
	slurm_free_job_info_msg(info);
	return (state & JOB_STATE_BASE) != JOB_PENDING &&
	       !(state & JOB_COMPLETING);
}

static void wait_all(const struct plan *p)
{
	char where[4096] = "";
	uint32_t i;

	for (i = 0; i < p->n_moved; i++) {
		while (!running(p->moved[i], where, sizeof(where)))
			usleep(300000);
		printf("job %u goes on on %s\n", p->moved[i], where);
	}
}

int sj_cmd_evacuate(const struct sj_conf *c, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "reason", required_argument, NULL, 'r' },
		{ "dry-run", no_argument, NULL, 'd' },
		{ "wait", no_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct plan p = { .conf = c, .reason = "stasis evacuate" };
	int bad = 0;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'r') {
			p.reason = optarg;
		} else if (o == 'd') {
			p.dry_run = 1;
		} else if (o == 'w') {
			p.wait = 1;
		} else {
			return 64;
		}
	}
	if (optind == argc) {
		fprintf(stderr, "stasis evacuate: which nodes?\n");
		return 64;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (; optind < argc; optind++) {
		if (!p.dry_run && drain(&p, argv[optind])) {
			bad = 1;
			continue;
		}
		bad |= move_all(&p, argv[optind]);
	}
	if (p.wait)
		wait_all(&p);
	free(p.moved);
	return bad;
}
