/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of open files: every case of kinds/cases.h is captured, encoded,
 * decoded and made again inside a child process, then checked; refusals tell
 * by name what they refuse.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kind_cases/cases.h"
#include "kind_cases/harness.h"

static int child(const struct kindcase *c)
{
	char dir[] = "/tmp/stasis-kinds-XXXXXX", cmd[64];
	struct cri_err err = { 0 };
	int fds[CASE_MAX_FDS], n, ret;

	alarm(60);
	if (!mkdtemp(dir) || chdir(dir))
		return 2;
	n = c->setup(fds);
	ret = n < 0 ? -1 : harness_cycle(fds, n, &err);
	if (n < 0)
		fprintf(stderr, "%s: setup: %s\n", c->name, case_why);
	else if (ret)
		fprintf(stderr, "%s: %d: %s\n", c->name, ret, err.text);
	else if (c->check(fds) && (ret = 1))
		fprintf(stderr, "%s: %s\n", c->name, case_why);
	if (chdir("/"))
		return 2;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	if (system(cmd))
		return 2;
	return ret != 0;
}

static void run(void **state)
{
	const struct kindcase *c = *state;
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(child(c));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void refused(int fd, const char *what)
{
	struct cri_err err = { 0 };

	assert_true(fd >= 0);
	assert_true(harness_cycle(&fd, 1, &err) < 0);
	assert_non_null(strstr(err.text, what));
	assert_non_null(strstr(err.text, "(not supported)"));
	close(fd);
}

static void refusals(void **state)
{
	char params[248] = { 0 };
	int fd;

	(void)state;
	refused(socket(AF_NETLINK, SOCK_RAW, 0), "is a netlink socket");
	refused(open("/proc/self/ns/net", O_RDONLY), "is a network namespace");
	fd = (int)syscall(SYS_io_uring_setup, 4, params);
	if (fd >= 0)
		refused(fd, "is an io_uring ring");
	fd = (int)syscall(SYS_userfaultfd, 1);
	if (fd >= 0)
		refused(fd, "is a userfaultfd");
}

#define MAX_CASES 64

int main(void)
{
	struct CMUnitTest tests[MAX_CASES];
	const struct kindcase *c, *lists[] = { kindcases, kindcases_socket };
	size_t n = 0, i;

	memset(tests, 0, sizeof(tests));
	for (i = 0; i < 2; i++) {
		for (c = lists[i]; c->name && n < MAX_CASES - 1; c++) {
			if (c->flags & CASE_WHOLE)
				continue;
			tests[n].name = c->name;
			tests[n].test_func = run;
			tests[n++].initial_state = (void *)(uintptr_t)c;
		}
	}
	tests[n].name = "refusals";
	tests[n++].test_func = refusals;
	return _cmocka_run_group_tests("kinds", tests, n, NULL, NULL);
}
