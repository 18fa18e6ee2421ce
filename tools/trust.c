/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Root and the images of others.  A file is root's alone when root owns it,
 * nobody else may write it, and nobody else can put another in its place.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "trust.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool only_root_writes(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* In a sticky directory others cannot touch what is root's. */
static bool directory_is_safe(int fd)
{
	char self[64], path[4096];
	struct stat st;
	char *slash;
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (!slash || path[0] != '/')
		return true; /* a memory file or the like: no directory */
	*(slash == path ? slash + 1 : slash) = '\0';
	if (stat(path, &st))
		return true; /* without a name by now */
	return st.st_uid == 0 &&
	       (st.st_mode & S_ISVTX || !(st.st_mode & (S_IWGRP | S_IWOTH)));
}

int image_trusted(int fd, char *text, size_t size)
{
	struct stat st;

	if (geteuid())
		return 0;
	if (fstat(fd, &st)) {
		snprintf(text, size, "%s", strerror(errno));
		return -errno;
	}
	/* A pipe of root's own making; the other end was root's to give. */
	if (!S_ISREG(st.st_mode) && st.st_uid == 0)
		return 0;
	if (!only_root_writes(&st)) {
		snprintf(text, size,
			 "the image belongs to uid %u or others may write it; "
			 "root restarts only images that root alone could have "
			 "written (become that user first)",
			 st.st_uid);
		return -EPERM;
	}
	if (!directory_is_safe(fd)) {
		snprintf(text, size,
			 "others may write to the image's directory; root "
			 "restarts only images that nobody else can exchange");
		return -EPERM;
	}
	return 0;
}

int become_owner(int fd)
{
	struct stat st;

	if (geteuid())
		return 0;
	if (fstat(fd, &st))
		return -errno;
	if (!st.st_uid)
		return 0;
	if (setgroups(0, NULL) || setresgid(st.st_gid, st.st_gid, st.st_gid) ||
	    setresuid(st.st_uid, st.st_uid, st.st_uid))
		return -errno;
	return 0;
}
