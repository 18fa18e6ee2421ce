/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes that the driver starts, each with a time-out.  The driver is a
 * child subreaper, so that whatever our tools leave behind becomes its child
 * and is seen; it kills descendants of its own only.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform_int.h"

#define MAX_LEFT 4096

/* CR_BIN, or the build tree that this program is in, or PATH. */
const char *tool_path(const char *name)
{
	static char path[PATH_MAX + 64];
	const char *bin = getenv("CR_BIN");
	char self[PATH_MAX] = "";
	ssize_t n;

	if (bin) {
		snprintf(path, sizeof(path), "%s/%s", bin, name);
		return path;
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		snprintf(path, sizeof(path), "%s/../../tools/%s", dirname(self),
			 name);
		if (!access(path, X_OK))
			return path;
	}
	return name;
}

static void child_stdio(const char *log)
{
	int in = open("/dev/null", O_RDONLY);
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (in < 0 || out < 0)
		_exit(126);
	dup2(in, 0);
	dup2(out, 1);
	dup2(out, 2);
	close_range(3, ~0u, 0);
}

int tool_start(struct tool *t, const char *log, const char *const *argv)
{
	snprintf(t->log, sizeof(t->log), "%s", log);
	t->pid = fork();
	if (t->pid < 0)
		return -errno;
	if (!t->pid) {
		child_stdio(log);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	return 0;
}

int tool_wait(struct tool *t, int timeout_ms, int *status)
{
	uint64_t end = conform_now() + (uint64_t)timeout_ms;
	pid_t got;

	for (;;) {
		got = waitpid(t->pid, status, WNOHANG);
		if (got == t->pid)
			return 0;
		if (got < 0)
			return -errno;
		if (conform_now() >= end)
			break;
		conform_msleep(2);
	}
	kill(t->pid, SIGKILL);
	waitpid(t->pid, status, 0);
	return -ETIMEDOUT;
}

int tool_run(const char *log, int timeout_ms, int *status,
	     const char *const *argv)
{
	struct tool t;
	int ret;

	ret = tool_start(&t, log, argv);
	if (ret)
		return ret;
	return tool_wait(&t, timeout_ms, status);
}

void tool_kill_all(void)
{
	pid_t list[MAX_LEFT];
	int i, n, tries;

	for (tries = 0; tries < 400; tries++) {
		n = observe_descendants(getpid(), list, MAX_LEFT);
		for (i = 0; i < n; i++)
			kill(list[i], SIGKILL);
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (!n)
			return;
		conform_msleep(5);
	}
}

int tool_leftover(int timeout_ms, pid_t except)
{
	uint64_t end = conform_now() + (uint64_t)timeout_ms;
	pid_t list[MAX_LEFT], own[MAX_LEFT];
	int i, j, n, m, left;

	for (;;) {
		n = observe_descendants(getpid(), list, MAX_LEFT);
		m = except ? observe_descendants(except, own, MAX_LEFT) : 0;
		for (i = 0, left = 0; i < n; i++) {
			for (j = 0; j < m && own[j] != list[i]; j++)
				;
			if (list[i] == except || j < m)
				continue;
			if (waitpid(list[i], NULL, WNOHANG | __WALL) <= 0)
				left++;
		}
		if (!left || conform_now() >= end)
			return left;
		conform_msleep(5);
	}
}

void tool_show(const char *log)
{
	char line[512];
	FILE *f = fopen(log, "re");
	int n = 0;

	if (!f)
		return;
	while (fgets(line, sizeof(line), f) && n++ < 20)
		printf("    | %s%s", line, strchr(line, '\n') ? "" : "\n");
	fclose(f);
}
