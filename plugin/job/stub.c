/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-stub: stands in the job's script for srun, so that srun with its
 * threads and connections is never part of an image.  It keeps the process
 * that the shell waits for, runs the real srun as its child, passes signals
 * on and ends as it ends.  When it finds itself restarted - the child is gone
 * without having been waited for - it runs the same srun again, whose tasks
 * then go on from their images.
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

#include "manifest.h"
#include "util.h"

#define ENVIRON_BYTES (1u << 20)

static volatile sig_atomic_t child;

static void forward(int sig)
{
	int saved = errno;

	if (child > 0)
		kill(child, sig);
	errno = saved;
}

static void catch_signals(void)
{
	static const int sigs[] = { SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				    SIGUSR1, SIGUSR2, SIGALRM, SIGCONT };
	struct sigaction sa = { .sa_handler = forward };
	struct sigaction old;
	size_t i;

	sa.sa_flags = SA_RESTART;
	for (i = 0; i < sizeof(sigs) / sizeof(*sigs); i++)
		if (!sigaction(sigs[i], NULL, &old) &&
		    old.sa_handler != SIG_IGN)
			sigaction(sigs[i], &sa, NULL);
}

static int finish(int status)
{
	struct rlimit none = { 0, 0 };
	sigset_t all;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	raise(sig);
	return 128 + sig;
}

static const char *value_of(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (; *text; text += strlen(text) + 1)
		if (!strncmp(text, name, n) && text[n] == '=')
			return text + n + 1;
	return "";
}

/*
 * Take over Slurm's and our variables from the epoch that runs now, when the
 * shell, and with it our own environment, comes from an earlier one.
 */
static void new_environment(const char *dir)
{
	const char *mine = getenv("SLURM_RESTART_COUNT");
	char path[PATH_MAX];
	char *text;
	char *p;
	char *eq;

	text = calloc(1, ENVIRON_BYTES);
	if (!text || sj_fmt(path, sizeof(path), "%s/environ", dir))
		return;
	if (sj_read_file(path, text, ENVIRON_BYTES) ||
	    !strcmp(value_of(text, "SLURM_RESTART_COUNT"), mine ? mine : "")) {
		free(text);
		return;
	}
	for (p = text; *p; p += strlen(p) + 1) {
		eq = strchr(p, '=');
		if (!eq || (strncmp(p, "SLURM", 5) && strncmp(p, "STASIS", 6)))
			continue;
		*eq = '\0';
		setenv(p, eq + 1, 1);
		*eq = '=';
	}
	free(text);
}

/* The checkpoint that the job goes on from, and our step in it. */
static void set_restore_of(const char *dir, pid_t me)
{
	struct sj_manifest m;
	struct cri_err err = { 0 };
	char path[PATH_MAX];
	char name[32];
	char num[16];
	uint32_t i;

	sj_manifest_init(&m);
	unsetenv("STASIS_RESTORE");
	if (sj_fmt(path, sizeof(path), "%s/restore", dir) ||
	    sj_read_file(path, name, sizeof(name)) ||
	    sj_manifest_open(&m, dir, name, &err))
		return;
	for (i = 0; i < m.n_stubs; i++)
		if (m.stubs[i].pid == (uint32_t)me && m.stubs[i].step != SJ_ANY)
			break;
	if (i == m.n_stubs)
		goto out;
	snprintf(num, sizeof(num), "%u", m.stubs[i].step);
	setenv("STASIS_RESTORE_STEP", num, 1);
	if (!sj_fmt(path, sizeof(path), "%s/%s", dir, name))
		setenv("STASIS_RESTORE", path, 1);
	/* What the tasks have written so far belongs to the step. */
	setenv("SLURM_OPEN_MODE", "a", 1);
out:
	sj_manifest_fini(&m);
}

static pid_t start(char **argv, const char *dir, int again)
{
	char file[PATH_MAX];
	pid_t me = getpid();
	pid_t pid;

	if (sj_fmt(file, sizeof(file), "%s/stub.%d", dir, (int)me))
		return -1;
	unlink(file);
	pid = fork();
	if (pid)
		return pid;
	setpgid(0, 0);
	new_environment(dir);
	if (again)
		set_restore_of(dir, me);
	setenv("STASIS_STUB", file, 1);
	execv(argv[0], argv + 1);
	fprintf(stderr, "stasis: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void forget(const char *dir)
{
	char file[PATH_MAX];

	if (!sj_fmt(file, sizeof(file), "%s/stub.%d", dir, (int)getpid()))
		unlink(file);
}

/* stasis-stub /path/of/srun srun ARGUMENTS... */
int main(int argc, char **argv)
{
	const char *dir = getenv("STASIS_JOBDIR");
	sigset_t none;
	pid_t pid;
	int status;
	int again = 0;

	if (argc < 3 || !dir)
		return 64;
	/* srun had signals blocked, and its library descriptors open. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	closefrom(3);
	catch_signals();
	for (;;) {
		child = start(argv + 1, dir, again);
		if (child < 0)
			return 71;
		do {
			pid = waitpid(child, &status, 0);
		} while (pid < 0 && errno == EINTR);
		if (pid == child) {
			forget(dir);
			return finish(status);
		}
		/* ECHILD: no child of this life.  We have been restarted. */
		again = 1;
	}
}
