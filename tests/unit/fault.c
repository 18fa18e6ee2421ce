/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fault points: which point a list names, and each action.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/fault.h"

static int with(const char *list, const char *point)
{
	setenv("CR_FAULT", list, 1);
	return cri_fault(point);
}

static void names(void **state)
{
	(void)state;
	unsetenv("CR_FAULT");
	assert_int_equal(cri_fault("write"), 0);
	assert_int_equal(with("", "write"), 0);
	assert_int_equal(with("write", "write"), -EIO);
	assert_int_equal(with("write", "writ"), 0);
	assert_int_equal(with("write", "writes"), 0);
	assert_int_equal(with("write-more", "write"), 0);
	assert_int_equal(with("a,write,b", "write"), -EIO);
	assert_int_equal(with("a:ENOMEM,b", "b"), -EIO);
	assert_int_equal(with("a,b:ENOSPC", "b"), -ENOSPC);
	assert_int_equal(with("a,b:ENOSPC", "a"), -EIO);
	unsetenv("CR_FAULT");
}

static void bad_actions_are_noticed(void **state)
{
	(void)state;
	assert_int_equal(with("a:ENOSPCX", "a"), -EINVAL);
	assert_int_equal(with("a:10ms", "a"), -EINVAL);
	assert_int_equal(with("a:killer", "a"), -EINVAL);
	unsetenv("CR_FAULT");
}

static void delay(void **state)
{
	struct timespec a, b;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &a);
	assert_int_equal(with("a:30", "a"), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec -
			    a.tv_nsec >=
		    30000000L);
	unsetenv("CR_FAULT");
}

static void kill_and_stop(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(with("a:kill", "a") ? 1 : 2);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(with("a:stop", "a") ? 1 : 2);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(bad_actions_are_noticed),
		cmocka_unit_test(delay),
		cmocka_unit_test(kill_and_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
