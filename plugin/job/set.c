/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checkpoints of a job: listed, verified, chosen for a restart, trimmed.
 * A directory counts only by its manifest; what has none is a partial one.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcr_ext.h"
#include "manifest.h"
#include "util.h"

static int verify_image(const struct sj_image *im, int dirfd,
			struct cri_err *err)
{
	char msg[200] = "";
	struct stat st;
	int null = -1;
	int ret = 0;
	int fd;

	fd = openat(dirfd, im->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return cri_fail(err, errno, "%s: %s", im->file,
				strerror(errno));
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != im->bytes) {
		ret = cri_fail(err, EBADMSG, "%s: not %llu bytes", im->file,
			       (unsigned long long)im->bytes);
		goto out;
	}
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0) {
		ret = cri_fail(err, errno, "/dev/null: %s", strerror(errno));
		goto out;
	}
	ret = cr_ext_info(fd, null, CR_EXT_INFO_VERIFY, msg, sizeof(msg));
	if (ret)
		cri_fail(err, -ret, "%s: %s", im->file, msg);
out:
	if (null >= 0)
		close(null);
	close(fd);
	return ret;
}

int sj_manifest_verify(const struct sj_manifest *m, const struct sj_job *j,
		       const char *name, struct cri_err *err)
{
	char path[PATH_MAX];
	uint32_t i;
	int dirfd;
	int ret;

	ret = sj_job_path(j, path, sizeof(path), name);
	if (ret)
		return cri_fail(err, -ret, "%s: too long", name);
	dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dirfd < 0)
		return cri_fail(err, errno, "%s", strerror(errno));
	if (!m->n_images)
		ret = cri_fail(err, EBADMSG, "no images");
	for (i = 0; i < m->n_images && !ret; i++)
		if (*m->images[i].file)
			ret = verify_image(&m->images[i], dirfd, err);
	close(dirfd);
	return ret;
}

static int parse_name(const char *name, uint32_t *epoch, uint32_t *seq)
{
	char part[32];
	uint64_t v;
	char *dot;

	if (sj_fmt(part, sizeof(part), "%s", name))
		return -EINVAL;
	dot = strchr(part, '.');
	if (!dot)
		return -EINVAL;
	*dot = '\0';
	if (sj_parse_num(part, UINT32_MAX, &v))
		return -EINVAL;
	*epoch = v;
	if (sj_parse_num(dot + 1, UINT32_MAX, &v))
		return -EINVAL;
	*seq = v;
	return 0;
}

static int newer_first(const void *a, const void *b)
{
	const struct sj_set_item *x = a;
	const struct sj_set_item *y = b;

	if (x->epoch != y->epoch)
		return x->epoch < y->epoch ? 1 : -1;
	if (x->seq != y->seq)
		return x->seq < y->seq ? 1 : -1;
	return 0;
}

int sj_set_list(struct sj_set *s, const struct sj_job *j)
{
	struct sj_set_item it;
	struct sj_set_item *bigger;
	struct dirent *e;
	DIR *d;

	memset(s, 0, sizeof(*s));
	d = opendir(j->dir);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (parse_name(e->d_name, &it.epoch, &it.seq))
			continue;
		if (sj_fmt(it.name, sizeof(it.name), "%s", e->d_name))
			continue;
		bigger = reallocarray(s->item, s->n + 1, sizeof(it));
		if (!bigger) {
			closedir(d);
			sj_set_fini(s);
			return -ENOMEM;
		}
		s->item = bigger;
		s->item[s->n++] = it;
	}
	closedir(d);
	if (s->n)
		qsort(s->item, s->n, sizeof(it), newer_first);
	return 0;
}

void sj_set_fini(struct sj_set *s)
{
	free(s->item);
	memset(s, 0, sizeof(*s));
}

int sj_set_newest(const struct sj_job *j, struct sj_manifest *m, char *name,
		  size_t size)
{
	struct cri_err err;
	struct sj_set s;
	uint32_t i;
	int ret;

	ret = sj_set_list(&s, j);
	if (ret)
		return ret;
	ret = -ENOENT;
	for (i = 0; i < s.n && ret; i++) {
		cri_err_clear(&err);
		/* What an outdated copy has committed since is not ours. */
		if (s.item[i].epoch >= j->epoch)
			continue;
		ret = sj_manifest_load(m, j, s.item[i].name, &err);
		if (!ret)
			ret = sj_manifest_verify(m, j, s.item[i].name, &err);
		if (!ret && m->epoch != s.item[i].epoch)
			ret = cri_fail(&err, EBADMSG, "epoch %u inside",
				       m->epoch);
		if (!ret)
			ret = sj_fmt(name, size, "%s", s.item[i].name);
		if (!ret)
			break;
		sj_manifest_fini(m);
		sj_job_log(j, "checkpoint %s passed over: %s", s.item[i].name,
			   err.text);
		ret = -ENOENT;
	}
	sj_set_fini(&s);
	return ret;
}

static void rm_partial(const struct sj_job *j)
{
	char path[PATH_MAX];
	struct dirent *e;
	DIR *d;

	d = opendir(j->dir);
	if (!d)
		return;
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "partial.", 8) &&
		    !sj_job_path(j, path, sizeof(path), e->d_name))
			sj_rm_tree(path);
	closedir(d);
}

void sj_set_trim(const struct sj_job *j, uint32_t keep)
{
	char path[PATH_MAX];
	char gone[PATH_MAX];
	struct sj_set s;
	uint32_t i;

	rm_partial(j);
	if (sj_set_list(&s, j))
		return;
	for (i = keep; i < s.n; i++) {
		if (sj_job_path(j, path, sizeof(path), s.item[i].name))
			continue;
		/* Half removed it must not look like a checkpoint. */
		if (sj_fmt(gone, sizeof(gone), "%s/partial.%s", j->dir,
			   s.item[i].name) ||
		    rename(path, gone))
			continue;
		sj_rm_tree(gone);
	}
	sj_set_fini(&s);
}
