/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis checkpoint, requeue, vacate, migrate: one request to the worker of
 * each job named.
 */
#include <config.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

struct verb {
	const char *name;
	unsigned int what;
	const char *done;
};

static const struct verb verbs[] = {
	{ "checkpoint", SJ_DO_CHECKPOINT, "saved" },
	{ "requeue", SJ_DO_REQUEUE, "saved and requeued" },
	{ "vacate", SJ_DO_VACATE, "saved and held" },
	{ "migrate", SJ_DO_MIGRATE, "saved and on its way" },
};

static int one(const struct sj_conf *c, const struct verb *v,
	       const struct sj_ask *ask, const char *text)
{
	struct cri_err err = { 0 };
	struct sj_msg m;
	uint32_t id;

	if (sj_cmd_job_id(text, &id)) {
		fprintf(stderr, "stasis: %s: no such job\n", text);
		return 1;
	}
	if (sj_cmd_ask(c, id, (uid_t)-1, ask, &m, &err)) {
		fprintf(stderr, "stasis: %s of job %s failed: %s\n", v->name,
			text, err.text);
		return 1;
	}
	printf("job %s: checkpoint %llu.%llu %s, %llu bytes, pause %llu ms, "
	       "total %llu ms\n",
	       text, (unsigned long long)m.num[1], (unsigned long long)m.num[2],
	       v->done, (unsigned long long)m.num[5],
	       (unsigned long long)m.num[3] / 1000,
	       (unsigned long long)m.num[4] / 1000);
	return 0;
}

int sj_cmd_checkpoint(const struct sj_conf *c, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "nodes", required_argument, NULL, 'n' },
		{ "max-wait", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	struct sj_ask ask = { 0 };
	const struct verb *v = verbs;
	uint64_t wait_s;
	int bad = 0;
	int o;

	while (strcmp(v->name, argv[0]))
		v++;
	ask.what = v->what;
	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o == 'n' && v->what == SJ_DO_MIGRATE) {
			ask.nodes = optarg;
		} else if (o == 'w' && !sj_parse_num(optarg, 86400, &wait_s)) {
			ask.max_wait = wait_s;
		} else {
			fprintf(stderr,
				"usage: stasis %s [--max-wait=SECONDS]"
				"%s JOB...\n",
				v->name,
				v->what == SJ_DO_MIGRATE ? " [--nodes=LIST]" :
							   "");
			return 64;
		}
	}
	if (optind == argc) {
		fprintf(stderr, "stasis %s: which job?\n", v->name);
		return 64;
	}
	for (; optind < argc; optind++)
		bad |= one(c, v, &ask, argv[optind]);
	return bad;
}
