/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting the agent from slurmstepd's main thread, where we are root: the
 * child joins the cgroups of the first task, becomes the owner for good and
 * execs.  Root reads nothing of the user's here but three environment
 * variables that are passed on as they are.
 */
#include <config.h>

#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <slurm/slurm.h>

#include "job/conf.h"
#include "job/util.h"

#define GROUPS_MAX 1024

struct owner {
	uid_t uid;
	gid_t gid;
	int n;
	gid_t groups[GROUPS_MAX];
};

static int read_owner(spank_t spank, struct owner *o)
{
	gid_t *groups;

	if (spank_get_item(spank, S_JOB_UID, &o->uid) ||
	    spank_get_item(spank, S_JOB_GID, &o->gid) ||
	    spank_get_item(spank, S_JOB_SUPPLEMENTARY_GIDS, &groups, &o->n))
		return -EINVAL;
	if (o->n < 0 || o->n > GROUPS_MAX)
		return -E2BIG;
	memcpy(o->groups, groups, o->n * sizeof(*groups));
	return 0;
}

/*
 * The mount of a controller: its root inside the hierarchy is cut off the
 * task's path when only a subtree is mounted.
 */
static int cgroup_procs(const char *ctrl, const char *path, char *out,
			size_t size)
{
	char line[4096];
	char root[1024];
	char at[1024];
	char opts[1024];
	char type[32];
	const char *dash;
	FILE *f;
	int found = 0;

	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (!found && fgets(line, sizeof(line), f)) {
		dash = strstr(line, " - ");
		if (!dash ||
		    sscanf(dash, " - %31s %*s %1023s", type, opts) != 2 ||
		    sscanf(line, "%*s %*s %*s %1023s %1023s", root, at) != 2)
			continue;
		if (*ctrl ? strcmp(type, "cgroup") || !strstr(opts, ctrl) :
			    strcmp(type, "cgroup2") != 0)
			continue;
		if (!strcmp(root, "/"))
			*root = '\0';
		if (strncmp(path, root, strlen(root)))
			continue;
		found = !sj_fmt(out, size, "%s%s/cgroup.procs", at,
				path + strlen(root));
	}
	fclose(f);
	return found ? 0 : -ENOENT;
}

static void join_one(const char *line)
{
	char procs[PATH_MAX];
	char ctrl[256];
	const char *path;
	const char *colon;
	int fd;

	colon = strchr(line, ':');
	path = colon ? strchr(colon + 1, ':') : NULL;
	if (!path || sj_fmt(ctrl, sizeof(ctrl), "%.*s", (int)(path - colon - 1),
			    colon + 1))
		return;
	/* Only what Slurm has made for the job is ours to join. */
	if (!strstr(path, "/job_") ||
	    cgroup_procs(ctrl, path + 1, procs, sizeof(procs)))
		return;
	fd = open(procs, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "0\n", 2) != 2)
		slurm_debug("stasis: %s: %m", procs);
	close(fd);
}

static void join_cgroups(pid_t task)
{
	char path[64];
	char line[4096];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)task);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		join_one(line);
	}
	fclose(f);
}

static void put_env(spank_t spank, const char *name)
{
	char text[4096];

	if (!spank_getenv(spank, name, text, sizeof(text)))
		setenv(name, text, 1);
}

static void agent_env(spank_t spank, const char *conf)
{
	clearenv();
	put_env(spank, "STASIS_JOBDIR");
	put_env(spank, "STASIS_NONCE");
	put_env(spank, "SLURM_JOB_ID");
	put_env(spank, "SLURM_STEP_ID");
	put_env(spank, "SLURM_RESTART_COUNT");
	put_env(spank, "SLURM_CLUSTER_NAME");
	put_env(spank, "SLURM_ARRAY_TASK_ID");
	put_env(spank, "SLURMD_NODENAME");
	put_env(spank, "SLURM_LAUNCH_NODE_IPADDR");
	if (conf)
		setenv("STASIS_CONF", conf, 1);
}

static void agent_child(spank_t spank, const struct owner *o, int pipe_fd,
			const char *program, const char *conf, pid_t task)
{
	char step[16];
	char tasks[16];
	uint32_t step_id = 0;
	uint32_t total = 0;
	sigset_t none;
	int null;

	join_cgroups(task);
	agent_env(spank, conf);
	if (spank_get_item(spank, S_JOB_STEPID, &step_id) ||
	    spank_get_item(spank, S_JOB_TOTAL_TASK_COUNT, &total))
		_exit(71);
	snprintf(step, sizeof(step), "%u", step_id);
	snprintf(tasks, sizeof(tasks), "%u", total);
	if (setgroups(o->n, o->groups) || setresgid(o->gid, o->gid, o->gid) ||
	    setresuid(o->uid, o->uid, o->uid))
		_exit(71);
	setsid();
	null = open("/dev/null", O_RDWR);
	if (null < 0 || dup2(pipe_fd, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0)
		_exit(71);
	closefrom(3);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl(program, "stasis-agent", step, tasks, (char *)NULL);
	_exit(71);
}

static void start(struct sp_agent *a, spank_t spank, const char *conf,
		  pid_t task)
{
	static struct owner o;
	struct cri_err err = { 0 };
	char program[PATH_MAX];
	struct sj_conf c;
	int p[2];

	if (read_owner(spank, &o) || sj_conf_load(&c, conf, &err) ||
	    sj_fmt(program, sizeof(program), "%s/stasis-agent", c.libexec_dir))
		return;
	if (pipe2(p, O_CLOEXEC))
		return;
	a->pid = fork();
	if (!a->pid) {
		close(p[1]);
		agent_child(spank, &o, p[0], program, conf, task);
	}
	close(p[0]);
	if (a->pid < 0) {
		close(p[1]);
		return;
	}
	/* A dead or stuck agent must not hold slurmstepd up. */
	fcntl(p[1], F_SETFL, O_NONBLOCK);
	a->fd = p[1];
}

static void tell(struct sp_agent *a, const char *line)
{
	struct sigaction ign = { .sa_handler = SIG_IGN };
	struct sigaction old;

	if (a->fd < 0)
		return;
	sigaction(SIGPIPE, &ign, &old);
	if (write(a->fd, line, strlen(line)) < 0 && errno == EPIPE) {
		close(a->fd);
		a->fd = -1;
	}
	sigaction(SIGPIPE, &old, NULL);
}

void sp_agent_task(struct sp_agent *a, spank_t spank, const char *conf)
{
	char text[PATH_MAX];
	uint32_t local = 0;
	uint32_t rank = 0;
	uint32_t step = 0;
	pid_t pid = 0;

	if (spank_get_item(spank, S_JOB_STEPID, &step) ||
	    step > SLURM_MAX_NORMAL_STEP_ID ||
	    spank_getenv(spank, "STASIS_STUB", text, sizeof(text)) ||
	    spank_get_item(spank, S_TASK_GLOBAL_ID, &rank) ||
	    spank_get_item(spank, S_TASK_PID, &pid) ||
	    spank_get_item(spank, S_JOB_LOCAL_TASK_COUNT, &local))
		return;
	if (!a->tried) {
		a->tried = 1;
		start(a, spank, conf, pid);
		snprintf(text, sizeof(text), "local %u\n", local);
		tell(a, text);
	}
	snprintf(text, sizeof(text), "task %u %d\n", rank, (int)pid);
	tell(a, text);
}

void sp_agent_exit(struct sp_agent *a, spank_t spank)
{
	char line[64];
	uint32_t rank = 0;
	int status = 0;

	if (a->fd < 0 || spank_get_item(spank, S_TASK_GLOBAL_ID, &rank) ||
	    spank_get_item(spank, S_TASK_EXIT_STATUS, &status))
		return;
	snprintf(line, sizeof(line), "exit %u %d\n", rank, status);
	tell(a, line);
}
