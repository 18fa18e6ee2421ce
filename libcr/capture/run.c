/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of a capture, in the guardian.  The pause is everything between
 * engine->freeze and engine->thaw: records, descriptors, shared memory, then
 * the snapshot; whatever fails in it, the program is let go as it was.  What
 * is only in the way for a moment (-EAGAIN: a vfork, data that can be read
 * only by taking it) is tried again with growing intervals.
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "capture/files.h"
#include "capture/proctext.h"
#include "check/cpu.h"
#include "kind/kind.h"
#include "util/err.h"
#include "util/fault.h"

#define RETRY_NS 5000000000u /* how long a transient hindrance may last */

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void cri_capture_logf(struct cri_capture *cap, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	cap->log(cap, line);
}

int cri_capture_alive(struct cri_capture *cap, struct cri_err *err)
{
	if (cap->orphaned(cap))
		return cri_fail(err, ECANCELED, "the caller has gone");
	if (cap->deadline && now_ns() > cap->deadline)
		return cri_fail(err, ETIMEDOUT, "time limit reached");
	return 0;
}

int cri_capture_init(struct cri_capture *cap)
{
	int ret;

	ret = cri_recset_new(&cap->set);
	if (ret)
		return ret;
	cap->inodes = calloc(CRI_REC_MAX, sizeof(*cap->inodes));
	return cap->inodes ? 0 : -ENOMEM;
}

/* All that one attempt has gathered. */
static void forget(struct cri_capture *cap)
{
	uint32_t i;

	cri_capture_contents_clear(cap);
	cri_capture_ofds_free(cap);
	for (i = 0; cap->inodes && i < CRI_REC_MAX; i++)
		cri_idmap_fini(&cap->inodes[i]);
	free(cap->inodes);
	cap->inodes = NULL;
	cri_idmap_fini(&cap->map_files);
	cri_idmap_fini(&cap->by_shared);
	cri_procs_clear(cap);
	cri_recset_free(cap->set);
	cap->set = NULL;
	cap->held_write = false;
	cap->resident = 0;
	memset(cap->namespaces, 0, sizeof(cap->namespaces));
}

void cri_capture_fini(struct cri_capture *cap)
{
	if (cap->engine)
		cap->engine->release(cap);
	forget(cap);
}

static int text_line(struct cri_recset *set, const char *path, char **to)
{
	struct cri_text text = { 0 };
	int ret = cri_text_file(&text, path);

	if (!ret)
		text.p[strcspn(text.p, "\n")] = 0;
	*to = cri_recset_strdup(set, ret ? "" : text.p);
	cri_text_fini(&text);
	return *to ? 0 : -ENOMEM;
}

int cri_capture_origin(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_rec_origin *o = cri_recset_add(cap->set, CRI_REC_ORIGIN);
	struct utsname uts;
	int ret;

	if (!o || uname(&uts) != 0)
		return -ENOMEM;
	o->host = cri_recset_strdup(cap->set, uts.nodename);
	o->kernel = cri_recset_strdup(cap->set, uts.release);
	o->machine = cri_recset_strdup(cap->set, uts.machine);
	o->creator = cri_recset_strdup(cap->set, "stasis " PACKAGE_VERSION);
	o->engine = cri_recset_strdup(cap->set, cap->engine->name);
	if (!o->host || !o->kernel || !o->machine || !o->creator || !o->engine)
		return -ENOMEM;
	ret = text_line(cap->set, "/proc/sys/kernel/random/boot_id",
			&o->boot_id);
	if (ret)
		return ret;
	o->scope = cap->scope;
	o->outer_pid = (uint32_t)cap->target;
	o->target = (uint32_t)cap->target;
	o->uid = getuid();
	o->gid = getgid();
	o->page_size = 4096;
	return cri_cpu_describe(cap->set, o, err);
}

/* Private memory that a fork does not carry: copied while it stands. */
struct unforked {
	struct cri_capture *cap;
	struct cri_cproc *p;
	struct cri_err *err;
};

static int copy_range(void *arg, uint64_t start, uint64_t end)
{
	struct unforked *u = arg;
	void *copy;
	int ret;

	copy = mmap(NULL, end - start, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (copy == MAP_FAILED)
		return -errno;
	ret = u->cap->engine->read(u->cap, u->p, start, copy, end - start,
				   u->err);
	if (!ret)
		ret = cri_capture_content_add(u->cap, u->p->mm_id, start,
					      end - start, copy, -1);
	if (ret)
		munmap(copy, end - start);
	return ret;
}

static int copy_unforked(struct cri_capture *cap, struct cri_cproc *p,
			 struct cri_err *err)
{
	const uint32_t which = CRI_VMA_DONTFORK | CRI_VMA_WIPEONFORK |
			       CRI_VMA_HUGETLB;
	struct unforked u = { .cap = cap, .p = p, .err = err };
	uint32_t i;
	int ret = 0;

	for (i = 0; !ret && i < p->mm->n_vmas; i++) {
		const struct cri_vma *v = &p->mm->vmas[i];

		if (v->flags & which && !(v->flags & CRI_VMA_SHARED) &&
		    (v->kind == CRI_VMA_ANON || v->kind == CRI_VMA_FILE))
			ret = cap->engine->pages(cap, p, v, copy_range, &u,
						 err);
	}
	return ret;
}

static int process_state(struct cri_capture *cap, struct cri_cproc *p,
			 struct cri_err *err)
{
	int ret;

	ret = cri_capture_task(cap, p, err);
	if (ret || p->zombie)
		return ret;
	ret = cri_capture_mm(cap, p, err);
	if (!ret)
		ret = copy_unforked(cap, p, err);
	return ret;
}

static void target_inside(struct cri_capture *cap)
{
	struct cri_rec_origin *o = cri_recset_at(cap->set, CRI_REC_ORIGIN, 0);
	struct cri_cproc *p = cri_procs_find(cap, cap->target);

	if (p)
		o->target = (uint32_t)p->inner_pid;
}

static int state(struct cri_capture *cap, struct cri_err *err)
{
	uint32_t i;
	int ret;

	cap->progress(cap, CR_EXT_PHASE_STATE, 0, 0);
	ret = cri_capture_origin(cap, err);
	for (i = 0; !ret && i < cap->n_procs; i++) {
		ret = cri_fault("capture-state");
		if (!ret)
			ret = process_state(cap, cap->procs[i], err);
		if (ret)
			return cri_procs_blame(cap->procs[i], ret, err);
		ret = cri_capture_alive(cap, err);
	}
	if (!ret)
		target_inside(cap);
	if (!ret)
		ret = cri_fault("capture-files");
	if (!ret)
		ret = cri_capture_files(cap, err);
	return ret;
}

static void send_signals(struct cri_capture *cap)
{
	uint32_t i;

	if (cap->signal <= 0)
		return;
	for (i = 0; i < cap->n_procs; i++)
		if (!cap->procs[i]->zombie)
			kill(cap->procs[i]->pid, cap->signal);
}

static int thaw(struct cri_capture *cap, struct cri_err *err)
{
	struct cri_rec_origin *o = cri_recset_at(cap->set, CRI_REC_ORIGIN, 0);
	int ret = cap->engine->thaw(cap, err);

	if (o)
		o->pause = cap->pause_ns;
	if (!ret)
		send_signals(cap);
	return ret;
}

static int attempt(struct cri_capture *cap, struct cri_err *err)
{
	int ret;

	cap->progress(cap, CR_EXT_PHASE_FREEZE, 0, 0);
	ret = cri_fault("capture-freeze");
	if (!ret)
		ret = cap->engine->freeze(cap, err);
	if (!ret)
		ret = state(cap, err);
	if (ret)
		return ret;
	cap->progress(cap, CR_EXT_PHASE_SNAPSHOT, 0, 0);
	ret = cri_fault("capture-snapshot");
	if (!ret)
		ret = cap->engine->snapshot(cap, err);
	if (!ret)
		ret = cri_fault("capture-thaw");
	if (!ret && !(cap->flags & CR_EXT_HOLD) && !cap->held_write)
		ret = thaw(cap, err);
	return ret;
}

int cri_capture_freeze(struct cri_capture *cap, struct cri_err *err)
{
	int64_t until = now_ns() + (int64_t)RETRY_NS;
	unsigned int wait_us = 1000;
	int ret;

	ret = cap->engine->open(cap, err);
	while (!ret) {
		ret = attempt(cap, err);
		if (ret != -EAGAIN || now_ns() > until)
			break;
		cap->engine->release(cap);
		forget(cap);
		ret = cri_capture_alive(cap, err);
		if (ret)
			break;
		cri_capture_logf(cap, "again: %s", err->text);
		cri_err_clear(err);
		usleep(wait_us);
		wait_us = wait_us < 200000 ? wait_us * 2 : wait_us;
		ret = cri_capture_init(cap);
	}
	if (ret)
		cap->engine->release(cap);
	return ret;
}

int cri_capture_release(struct cri_capture *cap, int how, struct cri_err *err)
{
	int ret = 0;

	if (cap->frozen) {
		if (how == CR_EXT_KILL)
			ret = cap->engine->kill(cap, err);
		else
			ret = thaw(cap, err);
	}
	return ret;
}
