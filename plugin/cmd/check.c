/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis check: what this cluster and this host lack for checkpoints, and how
 * to mend it.  Exit status 0: nothing; 1: something.
 */
#include <config.h>

#include <errno.h>
#include <munge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>

#include "cmd.h"

static int lack(const char *what, const char *mend)
{
	printf("missing: %s\n   mend: %s\n", what, mend);
	return 1;
}

static int check_programs(const struct sj_conf *c)
{
	static const char *const progs[] = { "stasis-parent", "stasis-worker",
					     "stasis-agent", "stasis-stub",
					     "stasis-task" };
	char path[PATH_MAX];
	size_t i;
	int bad = 0;

	for (i = 0; i < sizeof(progs) / sizeof(*progs); i++)
		if (sj_fmt(path, sizeof(path), "%s/%s", c->libexec_dir,
			   progs[i]) ||
		    access(path, X_OK))
			bad |= lack(path, "install Stasis on this host, or set "
					  "LibexecDir in stasis.conf");
	if (sj_fmt(path, sizeof(path), "%s/cr_restart", c->bin_dir) ||
	    access(path, X_OK))
		bad |= lack(path, "install Stasis on this host, or set BinDir "
				  "in stasis.conf");
	return bad;
}

static int check_munge(const struct sj_conf *c)
{
	munge_ctx_t ctx = munge_ctx_create();
	char *cred = NULL;
	int bad = 0;

	if (ctx && *c->munge_socket)
		munge_ctx_set(ctx, MUNGE_OPT_SOCKET, c->munge_socket);
	if (!ctx || munge_encode(&cred, ctx, NULL, 0) != EMUNGE_SUCCESS)
		bad = lack("an answering munged", "start munged, or set "
						  "MungeSocket in stasis.conf");
	free(cred);
	if (ctx)
		munge_ctx_destroy(ctx);
	return bad;
}

static int check_plugstack(const slurm_conf_t *conf)
{
	char line[1024];
	int found = 0;
	FILE *f;

	f = fopen(conf->plugstack ? conf->plugstack :
				    "/etc/slurm/plugstack.conf",
		  "re");
	while (f && fgets(line, sizeof(line), f))
		if (line[strspn(line, " \t")] != '#' && strstr(line, "/stasis."
								     "so"))
			found = 1;
	if (f)
		fclose(f);
	return found ? 0 :
		       lack("stasis.so in plugstack.conf", "add the line: "
							   "optional "
							   "stasis.so");
}

static int check_cluster(void)
{
	slurm_conf_t *conf = NULL;
	int bad = 0;

	if (slurm_load_ctl_conf(0, &conf))
		return lack("an answer of slurmctld", slurm_strerror(errno));
	bad |= check_plugstack(conf);
	if (!conf->job_requeue)
		bad |= lack("JobRequeue=1 in slurm.conf", "set it: a crashed "
							  "node's jobs are "
							  "else lost");
	if (!conf->slurmctld_params || !strstr(conf->slurmctld_params, "preempt"
								       "_send_"
								       "user_"
								       "signa"
								       "l"))
		bad |= lack("preempt_send_user_signal",
			    "set SlurmctldParameters=preempt_send_user_signal "
			    "so that preempted jobs are checkpointed");
	slurm_free_ctl_conf(conf);
	return bad;
}

int sj_cmd_check(const struct sj_conf *c, int argc, char **argv)
{
	int bad = 0;

	(void)argv;
	if (argc != 1)
		return 64;
	bad |= check_programs(c);
	bad |= check_munge(c);
	bad |= check_cluster();
	if (!bad)
		printf("nothing is missing on this host and cluster\n");
	return bad;
}
