/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a job's checkpoints live, from its environment, and the small files
 * there.  Everything is done with the job owner's rights.
 */
#include <config.h>

#include "jobdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util.h"

static int env_num(const char *name, uint32_t def, uint32_t *v,
		   struct cri_err *err)
{
	const char *text = getenv(name);
	uint64_t n;

	*v = def;
	if (!text || !*text)
		return 0;
	if (sj_parse_num(text, UINT32_MAX, &n))
		return cri_fail(err, EINVAL, "%s=%s is no number", name, text);
	*v = n;
	return 0;
}

static int env_text(const char *name, const char *def, char *buf, size_t size,
		    struct cri_err *err)
{
	const char *text = getenv(name);

	if (!text || !*text)
		text = def;
	if (!text)
		return cri_fail(err, EINVAL, "%s is not set", name);
	if (sj_fmt(buf, size, "%s", text) || !sj_name_ok(buf))
		return cri_fail(err, EINVAL, "%s is no name", name);
	return 0;
}

static int job_dir(struct sj_job *j, const struct sj_conf *c,
		   struct cri_err *err)
{
	const char *base = getenv("STASIS_DIR");
	char own[SJ_CONF_TEXT];
	int ret;

	if (!base || !*base) {
		ret = sj_conf_directory(c, getuid(), own, sizeof(own));
		if (ret)
			return cri_fail(err, -ret, "Directory=%s: %s",
					c->directory, strerror(-ret));
		base = own;
	}
	if (*base != '/')
		return cri_fail(err, EINVAL, "%s: not an absolute path", base);
	ret = sj_fmt(j->dir, sizeof(j->dir), "%s/%s-%u-%s", base, j->cluster,
		     j->id, j->nonce);
	if (ret)
		return cri_fail(err, -ret, "%s: too long", base);
	return 0;
}

int sj_job_from_env(struct sj_job *j, const struct sj_conf *c,
		    struct cri_err *err)
{
	int ret;

	memset(j, 0, sizeof(*j));
	ret = env_num("SLURM_JOB_ID", 0, &j->id, err);
	if (ret)
		return ret;
	if (!j->id)
		return cri_fail(err, EINVAL, "SLURM_JOB_ID is not set");
	ret = env_num("SLURM_ARRAY_TASK_ID", SJ_ANY, &j->array_task, err);
	if (ret)
		return ret;
	ret = env_num("SLURM_RESTART_COUNT", 0, &j->epoch, err);
	if (ret)
		return ret;
	ret = env_num("STASIS_INTERVAL", 0, &j->interval, err);
	if (ret)
		return ret;
	ret = env_num("STASIS_KEEP", c->keep, &j->keep, err);
	if (ret)
		return ret;
	if (!j->keep)
		j->keep = 1;
	ret = env_text("SLURM_CLUSTER_NAME", NULL, j->cluster,
		       sizeof(j->cluster), err);
	if (ret)
		return ret;
	ret = env_text("SLURMD_NODENAME", NULL, j->node, sizeof(j->node), err);
	if (ret)
		return ret;
	ret = env_text("STASIS_NONCE", "0", j->nonce, sizeof(j->nonce), err);
	if (ret)
		return ret;
	return job_dir(j, c, err);
}

int sj_job_index(const struct sj_conf *c, uid_t uid, const char *cluster,
		 uint32_t id, char *buf, size_t size)
{
	char base[SJ_CONF_TEXT];
	int ret;

	ret = sj_conf_directory(c, uid, base, sizeof(base));
	if (ret)
		return ret;
	return sj_fmt(buf, size, "%s/jobs/%s-%u", base, cluster, id);
}

static int make_index(const struct sj_job *j, const struct sj_conf *c)
{
	char path[PATH_MAX];
	char tmp[PATH_MAX];
	char *slash;
	int ret;

	ret = sj_job_index(c, getuid(), j->cluster, j->id, path, sizeof(path));
	if (ret)
		return ret;
	slash = strrchr(path, '/');
	*slash = '\0';
	ret = sj_mkdirs(path, 0700);
	if (ret)
		return ret;
	*slash = '/';
	ret = sj_fmt(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid());
	if (ret)
		return ret;
	unlink(tmp);
	if (symlink(j->dir, tmp))
		return -errno;
	if (rename(tmp, path)) {
		ret = -errno;
		unlink(tmp);
	}
	return ret;
}

int sj_job_create(const struct sj_job *j, const struct sj_conf *c,
		  struct cri_err *err)
{
	struct stat st;
	int ret;

	ret = sj_mkdirs(j->dir, 0700);
	if (ret)
		return cri_fail(err, -ret, "%s: %s", j->dir, strerror(-ret));
	if (lstat(j->dir, &st))
		return cri_fail(err, errno, "%s: %s", j->dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != getuid())
		return cri_fail(err, EPERM, "%s: not a directory of ours",
				j->dir);
	ret = make_index(j, c);
	if (ret)
		return cri_fail(err, -ret, "index of %s: %s", j->dir,
				strerror(-ret));
	return 0;
}

int sj_job_path(const struct sj_job *j, char *buf, size_t size,
		const char *name)
{
	return sj_fmt(buf, size, "%s/%s", j->dir, name);
}

static void append_line(const struct sj_job *j, const char *name,
			const char *line)
{
	char path[PATH_MAX];
	int fd;

	if (sj_job_path(j, path, sizeof(path), name))
		return;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return;
	/* A full disk must not stop the job for the sake of its log. */
	if (sj_write_all(fd, line, strlen(line)))
		(void)fd;
	close(fd);
}

void sj_job_log(const struct sj_job *j, const char *fmt, ...)
{
	char line[2048];
	struct tm tm;
	time_t now = time(NULL);
	size_t at;
	va_list ap;

	localtime_r(&now, &tm);
	at = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S ", &tm);
	at += snprintf(line + at, sizeof(line) - at, "%s epoch %u: ", j->node,
		       j->epoch);
	va_start(ap, fmt);
	vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	append_line(j, "log", line);
}

void sj_job_event(const struct sj_job *j, const char *json)
{
	char line[8192];

	if (!sj_fmt(line, sizeof(line), "%s\n", json))
		append_line(j, "events.jsonl", line);
}

int sj_job_read_num(const struct sj_job *j, const char *name, uint64_t *v)
{
	char path[PATH_MAX];
	char text[32];
	int ret;

	ret = sj_job_path(j, path, sizeof(path), name);
	if (ret)
		return ret;
	ret = sj_read_file(path, text, sizeof(text));
	if (ret)
		return ret;
	text[strcspn(text, "\n")] = '\0';
	return sj_parse_num(text, UINT64_MAX / 16, v) ? -EBADMSG : 0;
}

int sj_job_write_num(const struct sj_job *j, const char *name, uint64_t v)
{
	char path[PATH_MAX];
	char text[32];
	int ret;

	ret = sj_job_path(j, path, sizeof(path), name);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)v);
	return sj_write_file(path, text, strlen(text));
}
