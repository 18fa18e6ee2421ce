/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SPANK plugin: the options of sbatch, salloc and srun; the parent in the
 * batch task's argv[0]; the stub in place of srun inside a job; stasis-task in
 * a restarted task's argv[0]; an agent beside the tasks of a step.  Thin: it
 * reads, sets and execs.  Jobs without --checkpoint meet none of it, and no
 * failure of ours ends a daemon: every callback returns success but for the
 * words of a wrong option.
 */
#include <config.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <slurm/slurm.h>
#include <slurm/spank.h>

#include "agent.h"
#include "job/conf.h"
#include "job/order.h"
#include "job/util.h"

SPANK_PLUGIN(stasis, 1);

#define OPT_TIME 1
#define OPT_DIR 2
#define OPT_KEEP 3

static struct {
	int on; /* --checkpoint with a time */
	uint32_t interval; /* seconds */
	uint32_t keep;
	char dir[SJ_CONF_TEXT];
	const char *conf; /* conf= of the plugstack line */
	struct sp_agent agent;
} sp = { .agent = { .fd = -1 } };

static int opt_time(const char *arg, int remote)
{
	struct cri_err err = { 0 };
	struct sj_conf c;
	uint32_t s;

	if (!strcasecmp(arg, "no")) {
		sp.on = 0;
		return 0;
	}
	if (sj_parse_time(arg, &s)) {
		slurm_error("--checkpoint=%s: not a time", arg);
		return -1;
	}
	sp.on = 1;
	sp.interval = s;
	if (remote)
		return 0;
	if (sj_conf_load(&c, sp.conf, &err)) {
		slurm_error("--checkpoint refused: %s", err.text);
		return -1;
	}
	if (s && s < c.min_interval) {
		slurm_error("--checkpoint=%s: below MinInterval, %u seconds",
			    arg, c.min_interval);
		return -1;
	}
	return 0;
}

static int opt_dir(const char *arg, int remote)
{
	if (*arg != '/' || sj_fmt(sp.dir, sizeof(sp.dir), "%s", arg)) {
		if (!remote)
			slurm_error("--checkpoint-dir=%s: an absolute path "
				    "is needed",
				    arg);
		return -1;
	}
	return 0;
}

static int opt_keep(const char *arg, int remote)
{
	uint64_t v;

	if (sj_parse_num(arg, 1000, &v) || !v) {
		if (!remote)
			slurm_error("--checkpoint-keep=%s: 1 to 1000", arg);
		return -1;
	}
	sp.keep = v;
	return 0;
}

static int option(int val, const char *arg, int remote)
{
	if (!arg)
		return -1;
	switch (val) {
	case OPT_TIME:
		return opt_time(arg, remote);
	case OPT_DIR:
		return opt_dir(arg, remote);
	default:
		return opt_keep(arg, remote);
	}
}

#define T(text) ((char *)(uintptr_t)(text))
static struct spank_option options[] = {
	{ T("checkpoint"), T("TIME|no"),
	  T("checkpoint the job each TIME (minutes, min:sec, h:m:s, d-h)"), 1,
	  OPT_TIME, option },
	{ T("checkpoint-dir"), T("DIR"), T("directory for checkpoint images"),
	  1, OPT_DIR, option },
	{ T("checkpoint-keep"), T("N"), T("good checkpoints kept of the job"),
	  1, OPT_KEEP, option },
};

static void read_args(int ac, char **av)
{
	int i;

	for (i = 0; i < ac; i++)
		if (!strncmp(av[i], "conf=", 5))
			sp.conf = av[i] + 5;
}

/*
 * The old Slurm's variables stand behind the options.  They reach the batch
 * task through its environment, as nothing else of ours does.
 */
static void read_environment(void)
{
	const char *v;

	unsetenv("STASIS_CHECKPOINT");
	unsetenv("STASIS_DIR");
	v = getenv("SBATCH_CHECKPOINT");
	if (!v)
		v = getenv("SLURM_CHECKPOINT");
	if (v && *v && !sp.on && !opt_time(v, 0))
		setenv("STASIS_CHECKPOINT", v, 1);
	v = getenv("SBATCH_CHECKPOINT_DIR");
	if (!v)
		v = getenv("SLURM_CHECKPOINT_DIR");
	if (v && *v && !*sp.dir && !opt_dir(v, 0))
		setenv("STASIS_DIR", v, 1);
}

/*
 * srun inside a job of ours: the stub takes this process, and the real srun
 * becomes its child.
 */
static void become_stub(void)
{
	char line[131072];
	char exe[PATH_MAX];
	char stub[PATH_MAX];
	char **argv;
	struct cri_err err = { 0 };
	struct sj_conf c;
	ssize_t n;
	size_t i;
	int k = 2;
	int fd;

	if (!getenv("STASIS_JOBDIR") || !getenv("SLURM_JOB_ID") ||
	    getenv("STASIS_STUB"))
		return;
	if (sj_conf_load(&c, sp.conf, &err))
		return;
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n <= 0)
		return;
	exe[n] = '\0';
	fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, line, sizeof(line));
	close(fd);
	/* Longer ones run as they are: not moved, but not broken. */
	if (n <= 0 || n == sizeof(line) || line[n - 1])
		return;
	argv = calloc(n + 3, sizeof(*argv));
	if (!argv ||
	    sj_fmt(stub, sizeof(stub), "%s/stasis-stub", c.libexec_dir))
		return;
	argv[0] = T("stasis-stub");
	argv[1] = exe;
	for (i = 0; i < (size_t)n; i += strlen(line + i) + 1)
		argv[k++] = line + i;
	execv(stub, argv);
	free(argv);
}

int slurm_spank_init(spank_t spank, int ac, char **av)
{
	spank_context_t ctx = spank_context();
	size_t i;

	if (ctx == S_CTX_SLURMD)
		return ESPANK_SUCCESS;
	read_args(ac, av);
	for (i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (spank_option_register(spank, &options[i]))
			slurm_error("stasis: option --%s is not free",
				    options[i].name);
	if (ctx == S_CTX_LOCAL)
		become_stub();
	return ESPANK_SUCCESS;
}

/*
 * Ask for what a job needs that is to go on: output files in append mode and
 * a signal ahead of a preemption, unless the user has said otherwise.
 */
static void submit_defaults(void)
{
	int (*set)(void *, const char *, const char *, int);
	int (*isset)(void *, const char *);
	char append[] = "append";
	char sig[32];
	void *opt;

	*(void **)&set = dlsym(RTLD_DEFAULT, "slurm_option_set");
	*(void **)&isset = dlsym(RTLD_DEFAULT, "slurm_option_isset");
	opt = dlsym(RTLD_DEFAULT, "opt");
	if (!set || !isset || !opt)
		return;
	if (!isset(opt, "open-mode") && set(opt, "open-mode", append, 0))
		setenv("STASIS_APPEND", "1", 1);
	snprintf(sig, sizeof(sig), "B:%d@60", SJ_WARN_SIGNAL);
	if (!isset(opt, "signal"))
		set(opt, "signal", sig, 0);
}

int slurm_spank_init_post_opt(spank_t spank, int ac, char **av)
{
	char nonce[SJ_CONF_TEXT];

	(void)spank;
	(void)ac;
	(void)av;
	if (spank_context() != S_CTX_ALLOCATOR)
		return ESPANK_SUCCESS;
	read_environment();
	if (!sp.on)
		return ESPANK_SUCCESS;
	/* The job's own, even when sbatch runs inside another such job. */
	unsetenv("STASIS_JOBDIR");
	unsetenv("STASIS_STUB");
	if (!sj_random_hex(nonce, 8))
		setenv("STASIS_NONCE", nonce, 1);
	submit_defaults();
	return ESPANK_SUCCESS;
}

/* The real srun, below a stub, knows its step now: the stub's file says it. */
int slurm_spank_local_user_init(spank_t spank, int ac, char **av)
{
	const char *file = getenv("STASIS_STUB");
	uint32_t step = 0;
	char text[16];

	(void)ac;
	(void)av;
	if (!file || spank_get_item(spank, S_JOB_STEPID, &step))
		return ESPANK_SUCCESS;
	snprintf(text, sizeof(text), "%u\n", step);
	if (sj_write_file(file, text, strlen(text)))
		slurm_error("stasis: %s: %m", file);
	return ESPANK_SUCCESS;
}

static void put_number(spank_t spank, const char *name, uint32_t v)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", v);
	spank_setenv(spank, name, text, 1);
}

static void replace_program(spank_t spank, const char *name)
{
	struct cri_err err = { 0 };
	static char path[PATH_MAX];
	struct sj_conf c;
	char **argv;
	int argc;

	if (sj_conf_load(&c, sp.conf, &err))
		return;
	if (spank_get_item(spank, S_JOB_ARGV, &argc, &argv) || argc < 1 ||
	    sj_fmt(path, sizeof(path), "%s/%s", c.libexec_dir, name))
		return;
	if (access(path, X_OK)) {
		slurm_error("stasis: %s: %m; the job runs without checkpoints",
			    path);
		return;
	}
	spank_setenv(spank, "STASIS_SCRIPT", argv[0], 1);
	argv[0] = path;
}

static void batch_task(spank_t spank)
{
	put_number(spank, "STASIS_INTERVAL", sp.interval);
	if (sp.keep)
		put_number(spank, "STASIS_KEEP", sp.keep);
	if (*sp.dir)
		spank_setenv(spank, "STASIS_DIR", sp.dir, 1);
	if (sp.conf)
		spank_setenv(spank, "STASIS_CONF", sp.conf, 1);
	replace_program(spank, "stasis-parent");
}

int slurm_spank_task_init(spank_t spank, int ac, char **av)
{
	char text[PATH_MAX];
	uint32_t step = 0;

	(void)ac;
	(void)av;
	if (spank_get_item(spank, S_JOB_STEPID, &step))
		return ESPANK_SUCCESS;
	if (step == SLURM_BATCH_SCRIPT) {
		if (!sp.on && !spank_getenv(spank, "STASIS_CHECKPOINT", text,
					    sizeof(text)))
			opt_time(text, 1);
		if (sp.on)
			batch_task(spank);
		return ESPANK_SUCCESS;
	}
	if (spank_getenv(spank, "STASIS_STUB", text, sizeof(text)))
		return ESPANK_SUCCESS;
	spank_unsetenv(spank, "STASIS_STUB");
	if (!spank_getenv(spank, "STASIS_RESTORE", text, sizeof(text)))
		replace_program(spank, "stasis-task");
	return ESPANK_SUCCESS;
}

int slurm_spank_task_post_fork(spank_t spank, int ac, char **av)
{
	(void)ac;
	(void)av;
	sp_agent_task(&sp.agent, spank, sp.conf);
	return ESPANK_SUCCESS;
}

int slurm_spank_task_exit(spank_t spank, int ac, char **av)
{
	(void)ac;
	(void)av;
	sp_agent_exit(&sp.agent, spank);
	return ESPANK_SUCCESS;
}
