/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis(1): checkpoint, move and look at jobs.  The table below is the list
 * of subcommands, for dispatch and for help.
 */
#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>

#include "cmd.h"

static const struct sub {
	const char *name;
	const char *args;
	const char *what;
	int (*run)(const struct sj_conf *c, int argc, char **argv);
} subs[] = {
	{ "checkpoint", "JOB...", "save the job; it goes on",
	  sj_cmd_checkpoint },
	{ "requeue", "JOB...", "save it and put it back into the queue",
	  sj_cmd_checkpoint },
	{ "vacate", "JOB...", "save it, requeue and hold it",
	  sj_cmd_checkpoint },
	{ "restart", "JOB...", "release a vacated job", sj_cmd_restart },
	{ "migrate", "[--nodes=LIST] JOB...", "save it; it goes on elsewhere",
	  sj_cmd_checkpoint },
	{ "evacuate", "[--reason=TEXT] [--dry-run] [--wait] NODE...",
	  "drain nodes and move their jobs away", sj_cmd_evacuate },
	{ "status", "[--json] [JOB...]", "checkpoints of jobs", sj_cmd_status },
	{ "check", "", "what is missing on this cluster", sj_cmd_check },
};

static int usage(FILE *f)
{
	const struct sub *s;

	fprintf(f, "usage: stasis COMMAND ...\n");
	for (s = subs; s < subs + sizeof(subs) / sizeof(*subs); s++)
		fprintf(f, "  %s %s\n        %s\n", s->name, s->args, s->what);
	return f == stdout ? 0 : 64;
}

int sj_cmd_restart(const struct sj_conf *c, int argc, char **argv)
{
	job_desc_msg_t d;
	uint32_t id;
	int bad = 0;
	int i;

	(void)c;
	for (i = 1; i < argc; i++) {
		slurm_init_job_desc_msg(&d);
		if (sj_cmd_job_id(argv[i], &id)) {
			fprintf(stderr, "stasis: %s: no such job\n", argv[i]);
			bad = 1;
			continue;
		}
		d.job_id = id;
		d.priority = INFINITE;
		d.begin_time = time(NULL);
		if (slurm_update_job(&d)) {
			fprintf(stderr, "stasis: restart of job %s: %s\n",
				argv[i], slurm_strerror(errno));
			bad = 1;
		}
	}
	return argc < 2 ? 64 : bad;
}

int main(int argc, char **argv)
{
	struct cri_err err = { 0 };
	const struct sub *s;
	struct sj_conf c;

	if (argc < 2)
		return usage(stderr);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return usage(stdout);
	if (!strcmp(argv[1], "--version")) {
		printf("stasis %s\n", PACKAGE_VERSION);
		return 0;
	}
	for (s = subs; s < subs + sizeof(subs) / sizeof(*subs); s++)
		if (!strcmp(s->name, argv[1]))
			break;
	if (s == subs + sizeof(subs) / sizeof(*subs))
		return usage(stderr);
	if (sj_conf_load(&c, NULL, &err)) {
		fprintf(stderr, "stasis: %s\n", err.text);
		return 78;
	}
	slurm_init(NULL);
	return s->run(&c, argc - 1, argv + 1);
}
