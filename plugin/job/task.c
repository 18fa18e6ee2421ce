/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-task: what a task of a restarted step runs instead of its program.
 * It becomes cr_restart of the task's image, or ends as a task had ended that
 * was gone at the checkpoint.  It runs with the task's own limits, stdio and
 * binding.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf.h"
#include "manifest.h"
#include "util.h"

static uint32_t env_num(const char *name)
{
	const char *text = getenv(name);
	uint64_t v;

	if (!text || sj_parse_num(text, UINT32_MAX - 1, &v))
		return SJ_ANY;
	return v;
}

static const struct sj_image *find(const struct sj_manifest *m)
{
	uint32_t step = env_num("STASIS_RESTORE_STEP");
	uint32_t task = env_num("SLURM_PROCID");
	uint32_t tasks = env_num("SLURM_NTASKS");
	uint32_t i;

	for (i = 0; i < m->n_images && step != SJ_ANY; i++)
		if (m->images[i].step == step && m->images[i].task == task &&
		    m->images[i].tasks == tasks)
			return &m->images[i];
	return NULL;
}

static int end_as(int status)
{
	struct rlimit none = { 0, 0 };

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int restart(const char *dir, const char *file)
{
	char image[PATH_MAX];
	char prog[PATH_MAX];
	char up[PATH_MAX];
	struct cri_err err = { 0 };
	struct sj_conf c;

	if (sj_conf_load(&c, NULL, &err)) {
		fprintf(stderr, "stasis: %s\n", err.text);
		return 78;
	}
	if (sj_fmt(image, sizeof(image), "%s/%s", dir, file) ||
	    sj_fmt(prog, sizeof(prog), "%s/cr_restart", c.bin_dir) ||
	    sj_fmt(up, sizeof(up), "%s/up.%s.%s", getenv("STASIS_JOBDIR"),
		   getenv("SLURM_STEP_ID"), getenv("SLURM_PROCID")))
		return 78;
	setenv("STASIS_RESTORED", up, 1);
	execl(prog, "cr_restart", "--run-on-success=: >\"$STASIS_RESTORED\"",
	      image, (char *)NULL);
	fprintf(stderr, "stasis: %s: %s\n", prog, strerror(errno));
	return 126;
}

int main(void)
{
	const char *path = getenv("STASIS_RESTORE");
	const struct sj_image *im;
	struct cri_err err = { 0 };
	struct sj_manifest m;
	char dir[PATH_MAX];
	char *name;

	sj_manifest_init(&m);
	if (!path || !getenv("STASIS_JOBDIR") || !getenv("SLURM_STEP_ID") ||
	    sj_fmt(dir, sizeof(dir), "%s", path))
		return 64;
	name = strrchr(dir, '/');
	if (!name)
		return 64;
	*name++ = '\0';
	if (sj_manifest_open(&m, dir, name, &err)) {
		fprintf(stderr, "stasis: %s: %s\n", path, err.text);
		return 78;
	}
	im = find(&m);
	if (!im) {
		fprintf(stderr, "stasis: %s has no image for task %s of %s\n",
			path, getenv("SLURM_PROCID"), getenv("SLURM_NTASKS"));
		return 78;
	}
	if (!*im->file)
		return end_as(im->status);
	return restart(path, im->file);
}
