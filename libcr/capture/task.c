/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TASK and FS records: what /proc says of a process, completed by the engine.
 * Ids of tasks follow the table of processes, parents first.
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/proctext.h"
#include "util/err.h"

static int groups(struct cri_recset *set, const char *s,
		  struct cri_rec_task *rec)
{
	struct cri_gid *g;
	char *end;

	if (!s)
		return 0;
	while (*s && *s != '\n') {
		unsigned long v = strtoul(s, &end, 10);

		if (end == s || rec->n_groups >= CRI_MAX_GROUPS)
			break;
		g = CRI_GROW(set, rec->groups, rec->n_groups);
		if (!g)
			return -ENOMEM;
		g->gid = (uint32_t)v;
		s = end;
		while (*s == ' ' || *s == '\t')
			s++;
	}
	return 0;
}

static void creds(const struct cri_pstatus *st, struct cri_rec_task *rec)
{
	rec->ruid = st->uid[0];
	rec->euid = st->uid[1];
	rec->suid = st->uid[2];
	rec->fsuid = st->uid[3];
	rec->rgid = st->gid[0];
	rec->egid = st->gid[1];
	rec->sgid = st->gid[2];
	rec->fsgid = st->gid[3];
	rec->cap_inh = st->cap_inh;
	rec->cap_prm = st->cap_prm;
	rec->cap_eff = st->cap_eff;
	rec->cap_bnd = st->cap_bnd;
	rec->cap_amb = st->cap_amb;
	rec->no_new_privs = st->no_new_privs;
	rec->seccomp = st->seccomp;
}

/* id from a pid of the outer namespace, 0 when not seen from the inner one. */
static uint32_t inner_of(struct cri_capture *cap, pid_t pid)
{
	struct cri_cproc *p = cri_procs_find(cap, pid);

	return p ? (uint32_t)p->inner_pid : 0;
}

static void family(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_rec_task *rec)
{
	struct cri_cproc *parent = cri_procs_find(cap, p->ppid);

	rec->parent = parent && parent != p ? parent->task_id : 0;
}

/* A zombie tells nothing itself; ids of its group are translated. */
static void zombie(struct cri_capture *cap, struct cri_cproc *p,
		   const struct cri_pstat *st, struct cri_rec_task *rec)
{
	rec->state = CRI_TASK_ZOMBIE;
	rec->exit_code = st->exit_code;
	rec->pid = (uint32_t)p->inner_pid;
	rec->ppid = inner_of(cap, p->ppid);
	if (p->inner_pid == p->pid) {
		rec->pgid = (uint32_t)st->pgrp;
		rec->sid = (uint32_t)st->session;
	} else {
		rec->pgid = inner_of(cap, st->pgrp);
		rec->sid = inner_of(cap, st->session);
	}
}

static int link_text(struct cri_recset *set, pid_t pid, const char *name,
		     char **to)
{
	char path[64], text[4097];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	n = readlink(path, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	*to = cri_recset_strdup(set, text);
	return *to ? 0 : -ENOMEM;
}

static int fs_record(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *task, uint32_t mask,
		     struct cri_err *err)
{
	struct cri_rec_fs *fs = cri_recset_add(cap->set, CRI_REC_FS);
	pid_t tid = p->threads[0].tid;
	int ret;

	if (!fs)
		return -ENOMEM;
	task->fs = fs->id;
	fs->umask = mask;
	ret = link_text(cap->set, tid, "cwd", &fs->cwd);
	if (!ret)
		ret = link_text(cap->set, tid, "root", &fs->root);
	if (ret)
		return cri_fail(err, -ret, "its directory: %s",
				strerror(-ret));
	return 0;
}

static int oom(struct cri_text *text, pid_t pid, struct cri_rec_task *rec)
{
	int ret = cri_text_proc(text, pid, "oom_score_adj");

	if (!ret)
		rec->oom_score_adj = strtol(text->p, NULL, 10);
	return ret;
}

/* Two tasks must not be halves of one: what they share says the kernel. */
static int sharing(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err)
{
	struct cri_cproc *parent = cri_procs_find(cap, p->ppid);
	pid_t first = p->threads[0].tid;
	uint32_t i;

	if (parent && parent != p && !parent->zombie &&
	    syscall(SYS_kcmp, first, parent->threads[0].tid, KCMP_VM, 0, 0) ==
		    0)
		return cri_fail(err, ENOTSUP,
				"shares its memory with process %d (not "
				"supported)",
				parent->pid);
	for (i = 1; i < p->n_threads; i++) {
		pid_t tid = p->threads[i].tid;

		if (syscall(SYS_kcmp, first, tid, KCMP_FILES, 0, 0) > 0)
			return cri_fail(err, ENOTSUP,
					"thread %d has descriptors of its own "
					"(not supported)",
					tid);
		if (syscall(SYS_kcmp, first, tid, KCMP_FS, 0, 0) > 0)
			return cri_fail(err, ENOTSUP,
					"thread %d has a directory of its own "
					"(not supported)",
					tid);
	}
	return 0;
}

static const struct {
	const char *name;
	uint32_t flag;
} namespaces[] = {
	{ "ns/user", CLONE_NEWUSER }, { "ns/pid", CLONE_NEWPID },
	{ "ns/mnt", CLONE_NEWNS },    { "ns/net", CLONE_NEWNET },
	{ "ns/ipc", CLONE_NEWIPC },   { "ns/uts", CLONE_NEWUTS },
	{ "ns/time", 0x80 /* CLONE_NEWTIME */ },
};

static ino_t namespace_of(pid_t pid, const char *name)
{
	struct stat st;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* All of the tree lives in one set; how it differs from ours is noted. */
static int same_namespaces(struct cri_capture *cap, struct cri_cproc *p,
			   struct cri_err *err)
{
	struct cri_rec_origin *o = cri_recset_at(cap->set, CRI_REC_ORIGIN, 0);
	size_t i, n = sizeof(namespaces) / sizeof(namespaces[0]);

	for (i = 0; i < n; i++) {
		ino_t ino = namespace_of(p->threads[0].tid, namespaces[i].name);

		if (cap->namespaces[i] == 0) {
			cap->namespaces[i] = ino;
			if (ino != namespace_of(getpid(), namespaces[i].name))
				o->ns_flags |= namespaces[i].flag;
		}
		if (ino != cap->namespaces[i])
			return cri_fail(err, ENOTSUP,
					"lives in a %s namespace of its own "
					"(not supported)",
					namespaces[i].name + 3);
	}
	return 0;
}

static int threads(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err)
{
	struct cri_rec_thread *rec;
	uint32_t i;
	int ret;

	for (i = 0; i < p->n_threads; i++) {
		rec = cri_recset_add(cap->set, CRI_REC_THREAD);
		if (!rec)
			return -ENOMEM;
		rec->task = p->task_id;
		ret = cap->engine->thread(cap, p, &p->threads[i], rec, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int live(struct cri_capture *cap, struct cri_cproc *p,
		const struct cri_pstatus *status, struct cri_text *text,
		struct cri_err *err)
{
	struct cri_rec_task *rec = p->task;
	int ret;

	ret = sharing(cap, p, err);
	if (!ret)
		ret = same_namespaces(cap, p, err);
	if (!ret)
		ret = cap->engine->process(cap, p, rec, err);
	if (!ret && p->leaderless)
		rec->state = CRI_TASK_LEADERLESS;
	if (!ret)
		ret = fs_record(cap, p, rec, status->umask, err);
	if (!ret)
		ret = oom(text, p->threads[0].tid, rec);
	if (!ret)
		ret = threads(cap, p, err);
	return ret;
}

int cri_capture_task(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_err *err)
{
	pid_t tid = p->n_threads ? p->threads[0].tid : p->pid;
	struct cri_text status = { 0 }, stat = { 0 };
	struct cri_pstatus ss;
	struct cri_pstat st;
	int ret;

	p->task = cri_recset_add(cap->set, CRI_REC_TASK);
	if (!p->task)
		return -ENOMEM;
	p->task_id = p->task->id;
	ret = cri_text_proc(&status, tid, "status");
	if (!ret)
		ret = cri_pstatus_parse(status.p, &ss);
	if (!ret)
		ret = cri_text_proc(&stat, p->pid, "stat");
	if (!ret)
		ret = cri_pstat_parse(stat.p, &st);
	if (ret)
		goto out;
	p->ppid = ss.ppid;
	creds(&ss, p->task);
	p->task->exit_signal = (uint32_t)st.exit_signal;
	p->task->comm = cri_recset_strdup(cap->set, st.comm);
	if (!p->task->comm) {
		ret = -ENOMEM;
		goto out;
	}
	ret = groups(cap->set, ss.groups, p->task);
	if (ret)
		goto out;
	if (p->zombie)
		zombie(cap, p, &st, p->task);
	else
		ret = live(cap, p, &ss, &stat, err);
	family(cap, p, p->task);
	if (!ret)
		ret = cri_idmap_put(&cap->by_inner, (uint64_t)p->inner_pid, 0,
				    cri_idmap_get(&cap->by_pid,
						  (uint64_t)p->pid, 0));
out:
	cri_text_fini(&status);
	cri_text_fini(&stat);
	return ret;
}
