/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named fault points.  The list is parsed at each point that is reached while
 * CR_FAULT is set; there is no state to share.
 */
#include "config.h"

#include "util/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct {
	const char *name;
	int code;
} codes[] = {
	{ "EIO", EIO },	      { "ENOSPC", ENOSPC }, { "ENOMEM", ENOMEM },
	{ "EINTR", EINTR },   { "EPERM", EPERM },   { "EACCES", EACCES },
	{ "EAGAIN", EAGAIN }, { "EDQUOT", EDQUOT }, { "ESRCH", ESRCH },
	{ "EROFS", EROFS },   { "ENOENT", ENOENT }, { "EPIPE", EPIPE },
};

static int act(const char *action, size_t len)
{
	struct timespec ts;
	char *end;
	size_t i;
	long ms;

	if (!len)
		return -EIO;
	if (len == 4 && !strncmp(action, "kill", 4))
		kill(getpid(), SIGKILL);
	if (len == 4 && !strncmp(action, "stop", 4))
		return kill(getpid(), SIGSTOP) ? -errno : 0;
	for (i = 0; i < sizeof(codes) / sizeof(*codes); i++)
		if (strlen(codes[i].name) == len &&
		    !strncmp(codes[i].name, action, len))
			return -codes[i].code;
	ms = strtol(action, &end, 10);
	if (end != action + len || ms < 0)
		return -EINVAL;
	ts = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&ts, NULL);
	return 0;
}

int cri_fault(const char *point)
{
	const char *list = getenv("CR_FAULT"), *end;
	size_t n = strlen(point), len;

	if (!list)
		return 0;
	for (;; list = end + 1) {
		end = strchrnul(list, ',');
		if (!strncmp(list, point, n) && list + n <= end &&
		    (list[n] == ':' || list + n == end)) {
			len = (size_t)(end - list) - n;
			return len ? act(list + n + 1, len - 1) : act("", 0);
		}
		if (!*end)
			return 0;
	}
}
