/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a job id to an answer of its worker.  Root reads the owner's files as
 * the owner, and restricts its credential to him: a hostile file can at most
 * make us talk to a stranger, who learns nothing and is not believed.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>

#include "cmd.h"
#include "job/place.h"
#include "wire/link.h"

#define CONNECT_MS 5000

int sj_cmd_job_id(const char *text, uint32_t *id)
{
	job_info_msg_t *info = NULL;
	char array[16];
	uint64_t a;
	uint64_t t;
	uint32_t i;
	const char *us = strchr(text, '_');
	int ret = -ESRCH;

	if (!us) {
		ret = sj_parse_num(text, UINT32_MAX - 1, &a);
		*id = ret ? 0 : a;
		return ret || !*id ? -EINVAL : 0;
	}
	if (sj_fmt(array, sizeof(array), "%.*s", (int)(us - text), text) ||
	    sj_parse_num(array, UINT32_MAX - 1, &a) ||
	    sj_parse_num(us + 1, UINT32_MAX - 1, &t))
		return -EINVAL;
	if (slurm_load_job(&info, a, 0))
		return -ESRCH;
	for (i = 0; i < info->record_count && ret; i++)
		if (info->job_array[i].array_task_id == t) {
			*id = info->job_array[i].job_id;
			ret = 0;
		}
	slurm_free_job_info_msg(info);
	return ret;
}

int sj_cmd_owner(uint32_t job, uid_t *uid, struct cri_err *err)
{
	job_info_msg_t *info = NULL;

	if (slurm_load_job(&info, job, 0))
		return cri_fail(err, ESRCH, "job %u: %s", job,
				slurm_strerror(errno));
	*uid = info->record_count ? info->job_array[0].user_id : 0;
	slurm_free_job_info_msg(info);
	return 0;
}

const char *sj_cmd_cluster(void)
{
	static char name[64];
	slurm_conf_t *conf = NULL;
	char line[512];
	const char *path = getenv("SLURM_CONF");
	const char *inside = getenv("SLURM_CLUSTER_NAME");
	FILE *f;

	if (*name)
		return name;
	if (inside && *inside && !sj_fmt(name, sizeof(name), "%s", inside))
		return name;
	/* The file first: status must work without slurmctld. */
	f = fopen(path && *path ? path : "/etc/slurm/slurm.conf", "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, " ClusterName = %63[^ #\n]", name) == 1)
			break;
	if (f)
		fclose(f);
	if (!*name && !slurm_load_ctl_conf(0, &conf)) {
		if (sj_fmt(name, sizeof(name), "%s", conf->cluster_name))
			*name = '\0';
		slurm_free_ctl_conf(conf);
	}
	return name;
}

static int read_link_as(const char *path, uid_t owner, char *buf, size_t size)
{
	ssize_t n;

	if (!geteuid())
		setfsuid(owner);
	n = readlink(path, buf, size - 1);
	if (!geteuid())
		setfsuid(0);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

int sj_cmd_find(const struct sj_conf *c, uint32_t job, uid_t owner,
		struct sj_job *j, struct cri_err *err)
{
	char path[PATH_MAX];
	char want[128];
	const char *base;
	size_t n;
	int ret;

	memset(j, 0, sizeof(*j));
	j->id = job;
	ret = sj_fmt(j->cluster, sizeof(j->cluster), "%s", sj_cmd_cluster());
	if (!ret)
		ret = sj_job_index(c, owner, j->cluster, job, path,
				   sizeof(path));
	if (!ret)
		ret = read_link_as(path, owner, j->dir, sizeof(j->dir));
	if (ret)
		return cri_fail(err, -ret,
				"job %u has no checkpoint directory: was it "
				"submitted with --checkpoint?",
				job);
	base = strrchr(j->dir, '/');
	snprintf(want, sizeof(want), "%s-%u-", j->cluster, job);
	n = strlen(want);
	if (!base || strncmp(base + 1, want, n) ||
	    sj_fmt(j->nonce, sizeof(j->nonce), "%s", base + 1 + n) ||
	    !sj_name_ok(j->nonce))
		return cri_fail(err, EBADMSG, "job %u: %s is no job's place",
				job, j->dir);
	return 0;
}

static int read_place(const struct sj_job *j, uid_t owner, struct sj_place *p,
		      struct cri_err *err)
{
	int ret;

	if (!geteuid())
		setfsuid(owner);
	ret = sj_place_read(p, j->dir);
	if (!geteuid())
		setfsuid(0);
	if (ret)
		return cri_fail(err, -ret, "job %u: no worker known in %s: %s",
				j->id, j->dir, strerror(-ret));
	return 0;
}

static int exchange(struct sj_link *l, const struct sj_link_key *k,
		    const struct sj_ask *ask, struct sj_msg *m,
		    struct cri_err *err)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->type = SJ_REQUEST;
	m->num[0] = ask->what;
	m->num[2] = ask->max_wait;
	snprintf(m->text[0], SJ_MSG_TEXT, "%s", ask->nodes ? ask->nodes : "");
	snprintf(m->text[1], SJ_MSG_TEXT, "%s", ask->reason ? ask->reason : "");
	ret = sj_link_send(l, m);
	if (ret)
		return cri_fail(err, -ret, "request: %s", strerror(-ret));
	ret = sj_link_recv(l, k, m,
			   ask->max_wait ? (int)ask->max_wait * 1000 :
					   INT_MAX / 2);
	if (ret)
		return cri_fail(err, -ret, "no answer of the worker: %s",
				strerror(-ret));
	if (m->type != SJ_REPLY)
		return cri_fail(err, EBADMSG, "a wrong answer of the worker");
	if (m->num[0])
		return cri_fail(err, m->num[0] % 4096, "%s",
				*m->text[0] ? m->text[0] :
					      strerror(m->num[0] % 4096));
	return 0;
}

int sj_cmd_ask(const struct sj_conf *c, uint32_t job, uid_t owner,
	       const struct sj_ask *ask, struct sj_msg *reply,
	       struct cri_err *err)
{
	struct sj_link_key k = { .munge_socket = c->munge_socket };
	struct sj_place place;
	struct sj_link *l;
	struct sj_job j;
	char key[256];
	int ret;

	if (owner == (uid_t)-1)
		owner = getuid();
	if (!getuid() && owner == 0) {
		ret = sj_cmd_owner(job, &owner, err);
		if (ret)
			return ret;
	}
	ret = sj_cmd_find(c, job, owner, &j, err);
	if (!ret)
		ret = read_place(&j, owner, &place, err);
	if (ret)
		return ret;
	ret = sj_job_key(&j, key, sizeof(key));
	if (ret)
		return cri_fail(err, -ret, "job %u: name too long", job);
	k.key = key;
	k.owner = owner;
	l = malloc(sizeof(*l));
	if (!l)
		return cri_fail(err, ENOMEM, "no memory");
	ret = sj_link_connect(l, &k, place.hosts, place.port, CONNECT_MS, err);
	if (!ret) {
		ret = exchange(l, &k, ask, reply, err);
		sj_link_close(l);
	}
	free(l);
	return ret;
}
