/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stop and let go by the module: every process found is attached and parked;
 * once a look finds nothing new while all stand, nothing can be born any
 * more.  A vfork() parent does not stand while its child lives: transient.
 */
#include "config.h"

#include "capture/kmod/kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "capture/proctext.h"
#include "util/err.h"

#define STOP_MS 10000
#define LOOK_MS 20 /* wait, then look for newborn */
#define END_MS 10000

#define CR_EPTRACED 2360

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Live, zombie or leaderless; 1: leave it out. */
static int judge(struct cri_capture *cap, struct cri_cproc *p,
		 struct cri_err *err)
{
	struct cri_text text = { 0 };
	struct cri_pstatus st = { 0 };
	int ret;

	ret = cri_text_proc(&text, p->pid, "status");
	if (!ret)
		ret = cri_pstatus_parse(text.p, &st);
	cri_text_fini(&text);
	if (ret)
		return ret == -ENOENT ? -ESRCH : ret;
	p->ppid = st.ppid;
	p->inner_pid = st.inner_pid;
	if (st.state == 'Z' || st.state == 'X') {
		p->zombie = st.threads <= 1;
		p->leaderless = !p->zombie;
		return 0;
	}
	p->stopped = st.state == 'T';
	if (st.tracer) {
		if (cap->flags & CR_EXT_PTRACED_SKIP)
			return 1;
		if (!(cap->flags & CR_EXT_PTRACED_ALLOW))
			return cri_fail(err, CR_EPTRACED,
					"is traced by process %d (a "
					"debugger?)",
					st.tracer);
	}
	if (!st.has_mm)
		return cri_fail(err, EPERM, "is a kernel thread");
	return 0;
}

/* A zombie leader has no memory to open: take any live thread's. */
static int proof(struct cri_cproc *p, pid_t *tid)
{
	pid_t *tids = NULL;
	uint32_t n = 0, room = 0, i;
	char path[80];
	int fd = -1, ret;

	*tid = p->pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	if (!p->leaderless)
		return (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0 ? -errno :
								     fd;
	ret = cri_procs_tids(p->pid, &tids, &n, &room);
	for (i = 0; !ret && fd < 0 && i < n; i++) {
		if (tids[i] == p->pid)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%d/mem", p->pid,
			 tids[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		*tid = tids[i];
	}
	free(tids);
	return fd < 0 ? -ESRCH : fd;
}

static int attach(struct cri_capture *cap, struct cri_cproc *p,
		  struct cri_err *err)
{
	struct stasis_attach a = { .size = sizeof(a) };
	struct kproc *kp = kproc(p);
	int ret;

	kp->mem = proof(p, &a.pid);
	if (kp->mem < 0) {
		ret = kp->mem;
		kp->mem = -1;
		if (ret == -ESRCH || ret == -ENOENT)
			return -ESRCH;
		return cri_fail(err, -ret, "may not be read: %s",
				strerror(-ret));
	}
	a.mem_fd = kp->mem;
	ret = cri_kmod_call(cap, STASIS_IOC_ATTACH, &a);
	if (ret == -ESRCH)
		return ret;
	if (ret)
		return cri_fail(err, -ret, "the module refuses it: %s",
				strerror(-ret));
	kp->id = a.id;
	return 0;
}

static int add_process(struct cri_capture *cap, pid_t pid, struct cri_err *err)
{
	struct cri_cproc *p;
	int ret;

	if (cri_procs_find(cap, pid) || cri_procs_omitted(cap, pid))
		return 0;
	ret = cri_procs_add(cap, pid, &p);
	if (ret)
		return ret;
	p->engine = calloc(1, sizeof(struct kproc));
	if (!p->engine)
		return -ENOMEM;
	kproc(p)->mem = -1;
	ret = judge(cap, p, err);
	if (ret == 0 && !p->zombie)
		ret = attach(cap, p, err);
	if (ret == -ESRCH || ret == 1) {
		cri_kmod_proc_drop(p);
		cri_procs_drop(cap, p);
		return 0;
	}
	return ret ? cri_procs_blame(p, ret, err) : 0;
}

static int add_tree(struct cri_capture *cap, struct cri_err *err)
{
	pid_t *pids = NULL;
	uint32_t n = 0, room = 0, i, k;
	int ret = 0;

	for (i = 0; !ret && i < cap->n_procs; i++) {
		if (cap->procs[i]->zombie)
			continue;
		n = 0;
		ret = cri_procs_children(cap->procs[i]->pid, &pids, &n, &room);
		if (ret == -ESRCH)
			ret = n = 0;
		for (k = 0; !ret && k < n; k++)
			ret = add_process(cap, pids[k], err);
	}
	free(pids);
	return ret;
}

static int add_group(struct cri_capture *cap, int which, struct cri_err *err)
{
	pid_t *pids = NULL;
	uint32_t n = 0, room = 0, i;
	int ret;

	ret = cri_procs_group(cap->target, which, &pids, &n, &room);
	for (i = 0; !ret && i < n; i++)
		ret = add_process(cap, pids[i], err);
	free(pids);
	return ret;
}

static int discover(struct cri_capture *cap, struct cri_err *err)
{
	int ret;

	if (cap->scope == CR_EXT_SCOPE_PGRP)
		return add_group(cap, 1, err);
	if (cap->scope == CR_EXT_SCOPE_SESS)
		return add_group(cap, 2, err);
	ret = add_process(cap, cap->target, err);
	if (!ret && cap->scope == CR_EXT_SCOPE_TREE)
		ret = add_tree(cap, err);
	return ret;
}

static bool waits_for_vfork(pid_t tid)
{
	struct cri_text text = { 0 };
	long nr = -1;

	if (cri_text_proc(&text, tid, "syscall") == 0)
		nr = strtol(text.p, NULL, 10);
	cri_text_fini(&text);
	return nr == SYS_clone || nr == SYS_vfork || nr == SYS_clone3;
}

/* Park what is attached; -EAGAIN: not all stand yet. */
static int stand(struct cri_capture *cap, uint64_t since, struct cri_err *err)
{
	struct stasis_park park = { .size = sizeof(park) };
	struct stasis_wait w = { .size = sizeof(w), .timeout_ms = LOOK_MS };
	int ret;

	ret = cri_kmod_call(cap, STASIS_IOC_PARK, &park);
	if (!ret)
		ret = cri_kmod_call(cap, STASIS_IOC_WAIT, &w);
	if (!ret)
		return 0;
	if (ret == -ESRCH)
		return cri_fail(err, EAGAIN, "a process ended meanwhile");
	if (ret != -ETIMEDOUT)
		return cri_fail(err, -ret, "parking: %s", strerror(-ret));
	if (w.why == STASIS_WHY_VFORK || waits_for_vfork(w.pid))
		return cri_fail(err, EAGAIN,
				"thread %d waits for a vfork "
				"child",
				w.pid);
	if (now_ns() - since > STOP_MS * 1000000ull)
		return cri_fail(err, EBUSY, "thread %d does not stop (%s)",
				w.pid,
				w.why == STASIS_WHY_TRACED ? "a debugger holds "
							     "it" :
							     "sleeps "
							     "uninterruptibly");
	return -EBUSY;
}

static int stop_all(struct cri_capture *cap, struct cri_err *err)
{
	uint64_t since = now_ns();
	uint32_t before;
	int ret;

	cap->pause_from = since;
	for (;;) {
		before = cap->n_procs;
		ret = stand(cap, since, err);
		if (ret && (ret != -EBUSY || err->text[0]))
			return ret;
		if (!ret) {
			ret = discover(cap, err);
			if (ret || before == cap->n_procs)
				return ret;
		}
		ret = cri_capture_alive(cap, err);
		if (ret)
			return ret;
	}
}

int cri_kmod_freeze(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_err own = { 0 };
	uint32_t i;
	int ret;

	if (!err)
		err = &own;
	cap->frozen = true;
	ret = discover(cap, err);
	if (!ret && cap->n_procs == 0)
		ret = cri_fail(err, ESRCH, "no process %d in scope",
			       cap->target);
	if (!ret)
		ret = stop_all(cap, err);
	/* At once: it repairs the calls that the standstill interrupted. */
	for (i = 0; !ret && i < cap->n_procs; i++)
		if (!cap->procs[i]->zombie)
			ret = cri_kmod_tasks(cap, cap->procs[i], err);
	return ret;
}

int cri_kmod_thaw(struct cri_capture *cap, struct cri_err *err)
{
	struct stasis_park park = { .size = sizeof(park) };
	int ret;

	ret = cri_kmod_call(cap, STASIS_IOC_UNPARK, &park);
	if (ret)
		return cri_fail(err, -ret, "thaw: %s", strerror(-ret));
	if (cap->frozen && cap->pause_from)
		cap->pause_ns = now_ns() - cap->pause_from;
	cap->frozen = false;
	return 0;
}

int cri_kmod_kill(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t i;

	(void)err;
	for (i = 0; i < cap->n_procs; i++) {
		struct cri_cproc *p = cap->procs[i];

		if (p->zombie)
			continue;
		if (p->pidfd < 0)
			p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
		kill(p->pid, SIGKILL);
	}
	for (i = 0; i < cap->n_procs; i++) {
		struct pollfd end = { .fd = cap->procs[i]->pidfd,
				      .events = POLLIN };

		if (!cap->procs[i]->zombie && end.fd >= 0)
			(void)poll(&end, 1, END_MS);
	}
	cap->frozen = false;
	return 0;
}
