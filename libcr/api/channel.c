/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guardian's side of the request channel.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "api/channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_channel(int dir, const char *tid)
{
	char path[64], comm[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%.20s/comm", tid);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, comm, sizeof(comm) - 1);
	close(fd);
	if (n <= 0)
		return false;
	comm[n] = '\0';
	return !strcmp(comm, CRI_CHANNEL_NAME "\n");
}

/* Any thread's name can be set by the program; at worst it gets a signal. */
static pid_t find_thread(pid_t pid)
{
	struct dirent *e;
	char path[64];
	pid_t tid = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return 0;
	while (!tid && (e = readdir(d)))
		if (e->d_name[0] != '.' && is_channel(dirfd(d), e->d_name))
			tid = (pid_t)atol(e->d_name);
	closedir(d);
	return tid;
}

static int poke(pid_t pid)
{
	pid_t tid = find_thread(pid);

	if (!tid)
		return -ENOENT;
	if (syscall(SYS_tgkill, pid, tid, CRI_CHANNEL_SIGNAL))
		return -errno;
	return 0;
}

int cri_channel_arm(pid_t pid)
{
	return poke(pid);
}
