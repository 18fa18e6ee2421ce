/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Captures by libcr_ext.h, and by nothing else.  A tree whose processes have
 * all ended takes part without an image.
 */
#include <config.h>

#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcr_ext.h"
#include "util.h"

#define FREEZE_MS 10000

void sj_crew_init(struct sj_crew *c)
{
	memset(c, 0, sizeof(*c));
}

void sj_crew_abort(struct sj_crew *c)
{
	uint32_t i;

	for (i = 0; i < c->n; i++) {
		cr_ext_close(c->tree[i].capture);
		c->tree[i].capture = NULL;
		c->tree[i].held = 0;
	}
}

void sj_crew_fini(struct sj_crew *c)
{
	sj_crew_abort(c);
	free(c->tree);
	sj_crew_init(c);
}

struct sj_tree *sj_crew_add(struct sj_crew *c)
{
	struct sj_tree *bigger;

	bigger = reallocarray(c->tree, c->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	c->tree = bigger;
	memset(&bigger[c->n], 0, sizeof(*bigger));
	return &bigger[c->n++];
}

static int tree_fail(struct sj_tree *t, int ret, const char *what,
		     struct cri_err *err)
{
	return cri_fail(err, -ret, "%s of process %d: %s", what, (int)t->root,
			t->capture ? cr_ext_message(t->capture) :
				     strerror(-ret));
}

static int tree_open(struct sj_tree *t, const pid_t *omit, uint32_t n_omit,
		     struct cri_err *err)
{
	struct cr_ext_args a = { .size = sizeof(a) };
	int ret;

	a.scope = CR_EXT_SCOPE_TREE;
	a.target = t->root;
	a.flags = CR_EXT_HOLD | CR_EXT_SYNC;
	a.timeout_ms = FREEZE_MS;
	a.omit = omit;
	a.n_omit = n_omit;
	ret = cr_ext_open(&a, &t->capture);
	return ret ? tree_fail(t, ret, "capture", err) : 0;
}

int sj_crew_check(struct sj_crew *c, struct cri_err *err)
{
	struct sj_tree *t;
	int ret = 0;

	for (t = c->tree; t < c->tree + c->n && !ret; t++) {
		if (t->ended)
			continue;
		ret = tree_open(t, NULL, 0, err);
		if (ret)
			break;
		ret = cr_ext_check(t->capture);
		if (ret)
			ret = tree_fail(t, ret, "check", err);
	}
	sj_crew_abort(c);
	return ret;
}

int sj_crew_freeze(struct sj_crew *c, const pid_t *omit, uint32_t n_omit,
		   struct cri_err *err)
{
	struct sj_tree *t;
	int ret = 0;

	c->pause_us = 0;
	for (t = c->tree; t < c->tree + c->n; t++) {
		if (t->ended)
			continue;
		ret = tree_open(t, omit, n_omit, err);
		if (ret)
			goto out;
		ret = cr_ext_freeze(t->capture);
		if (ret) {
			ret = tree_fail(t, ret, "freeze", err);
			goto out;
		}
		t->held = 1;
	}
out:
	if (ret)
		sj_crew_abort(c);
	return ret;
}

static int tree_write(struct sj_tree *t, int dirfd, struct cri_err *err)
{
	struct stat st;
	int ret;
	int fd;

	fd = openat(dirfd, t->image.file,
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cri_fail(err, errno, "%s: %s", t->image.file,
				strerror(errno));
	ret = cr_ext_write(t->capture, fd);
	if (ret) {
		ret = tree_fail(t, ret, "image", err);
		goto out;
	}
	if (fsync(fd) || fstat(fd, &st)) {
		ret = cri_fail(err, errno, "%s: %s", t->image.file,
			       strerror(errno));
		goto out;
	}
	t->image.bytes = st.st_size;
out:
	close(fd);
	return ret;
}

int sj_crew_write(struct sj_crew *c, const char *dir, struct cri_err *err)
{
	struct cr_ext_stats stats;
	struct sj_tree *t;
	int dirfd;
	int ret = 0;

	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return cri_fail(err, errno, "%s: %s", dir, strerror(errno));
	for (t = c->tree; t < c->tree + c->n && !ret; t++) {
		if (t->ended)
			continue;
		ret = tree_write(t, dirfd, err);
		memset(&stats, 0, sizeof(stats));
		stats.size = sizeof(stats);
		if (!ret && !cr_ext_stats(t->capture, &stats) &&
		    stats.pause_ns / 1000 > c->pause_us)
			c->pause_us = stats.pause_ns / 1000;
	}
	if (!ret && fsync(dirfd) && errno != EINVAL)
		ret = cri_fail(err, errno, "%s: %s", dir, strerror(errno));
	close(dirfd);
	return ret;
}

int sj_crew_release(struct sj_crew *c, int kill, struct cri_err *err)
{
	struct sj_tree *t;
	int first = 0;
	int ret;

	for (t = c->tree; t < c->tree + c->n; t++) {
		if (!t->held)
			continue;
		ret = cr_ext_release(t->capture,
				     kill ? CR_EXT_KILL : CR_EXT_THAW);
		if (ret && !first)
			first = tree_fail(t, ret, "release", err);
		t->held = 0;
	}
	return first;
}
