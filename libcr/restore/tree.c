/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From records to the planner's tree: tasks with their threads, tables and
 * address spaces, and where in the image each page lies.  Records are
 * untrusted: every reference is looked up, every tree must hang together.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/user.h>

#include "restore/restore.h"

static int by_page(const void *a, const void *b)
{
	const struct cri_pagerun *x = a, *y = b;

	return x->page < y->page ? -1 : x->page > y->page;
}

/* Runs must lie inside the mappings and must not overlap. */
static int runs_check(const struct cri_rmm *mm, struct cri_err *err)
{
	const struct cri_rec_mm *rec = mm->rec;
	uint64_t last = 0, at, end;
	uint32_t v = 0;
	size_t i;

	for (i = 0; i < mm->n_runs; i++) {
		at = mm->runs[i].page;
		end = at + mm->runs[i].count;
		if (at < last || end <= at || end > UINT64_MAX / CRI_PAGE)
			return cri_fail(err, EBADMSG,
					"damaged image: pages overlap");
		last = end;
		while (at < end) {
			while (v < rec->n_vmas &&
			       rec->vmas[v].end <= at * CRI_PAGE)
				v++;
			if (v == rec->n_vmas ||
			    rec->vmas[v].start > at * CRI_PAGE)
				return cri_fail(err, EBADMSG,
						"damaged image: page %#lx is "
						"in no mapping",
						(unsigned long)(at * CRI_PAGE));
			at = rec->vmas[v].end / CRI_PAGE;
		}
	}
	return 0;
}

static int vmas_check(const struct cri_rec_mm *rec, struct cri_err *err)
{
	uint64_t last = 0;
	uint32_t i;

	for (i = 0; i < rec->n_vmas; i++) {
		const struct cri_vma *v = &rec->vmas[i];

		if (v->start % CRI_PAGE || v->end % CRI_PAGE ||
		    v->start < last || v->end <= v->start ||
		    (v->end > 0x7ffffffff000ul && v->kind != CRI_VMA_VSYSCALL))
			return cri_fail(err, EBADMSG,
					"damaged image: mapping %#lx-%#lx",
					(unsigned long)v->start,
					(unsigned long)v->end);
		last = v->end;
	}
	return 0;
}

static int mm_runs(struct cri_restore *rs, struct cri_rmm *mm,
		   struct cri_err *err)
{
	const struct cri_extent *ext;
	uint32_t n, i, j;
	size_t k = 0;

	ext = cri_reader_extents(rs->reader, mm->rec->id, &n);
	for (i = 0; i < n; i++)
		mm->n_runs += ext[i].n_runs;
	mm->runs = calloc(mm->n_runs + 1, sizeof(*mm->runs));
	if (!mm->runs)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		uint64_t off = ext[i].offset;

		for (j = 0; j < ext[i].n_runs; j++, k++) {
			const struct cri_run *r = &ext[i].runs[j];
			bool parent = r->flags & CRI_RUN_PARENT;

			mm->runs[k] = (struct cri_pagerun){
				r->page, r->count, parent ? -1 : (int64_t)off
			};
			if (parent)
				continue;
			off += (uint64_t)r->count * CRI_PAGE;
			mm->bytes += (uint64_t)r->count * CRI_PAGE;
		}
	}
	qsort(mm->runs, mm->n_runs, sizeof(*mm->runs), by_page);
	return runs_check(mm, err);
}

static int mms(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_mm *rec;
	uint32_t i;
	int ret;

	rs->n_mms = cri_recset_count(rs->set, CRI_REC_MM);
	rs->mms = calloc(rs->n_mms + 1, sizeof(*rs->mms));
	if (!rs->mms)
		return -ENOMEM;
	cri_for_each(rs->set, CRI_REC_MM, i, rec)
	{
		rs->mms[i].rec = rec;
		ret = vmas_check(rec, err);
		if (ret)
			return ret;
		ret = mm_runs(rs, &rs->mms[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

static struct cri_rmm *mm_find(struct cri_restore *rs, uint32_t id)
{
	struct cri_rec_mm *rec = cri_recset_find(rs->set, CRI_REC_MM, id);
	uint32_t lo = 0, hi = rs->n_mms;

	/* Records and rs->mms are in the same order, ids ascend. */
	while (rec && lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (rs->mms[mid].rec == rec)
			return &rs->mms[mid];
		if (rs->mms[mid].rec->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The task before it in the list: capture writes parents first. */
static struct cri_rtask *parent_find(struct cri_restore *rs, uint32_t n,
				     uint32_t id)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (rs->tasks[mid].rec->id == id)
			return &rs->tasks[mid];
		if (rs->tasks[mid].rec->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Tables can only be shared between a parent and its child. */
static int task_shares(struct cri_rtask *t, struct cri_err *err)
{
	const struct cri_rtask *p = t->parent;

	t->shares_files = p && p->files == t->files;
	t->shares_fs = p && p->fs == t->fs;
	if (p && p->mm == t->mm)
		return cri_fail(err, ENOTSUP,
				"processes %u and %u share their memory",
				p->rec->pid, t->rec->pid);
	return 0;
}

static int task_refs(struct cri_restore *rs, struct cri_rtask *t,
		     struct cri_err *err)
{
	struct cri_rec_task *rec = t->rec;

	if (t->index && rec->id <= rs->tasks[t->index - 1].rec->id)
		return cri_fail(err, EBADMSG, "damaged image: order of tasks");
	if (rec->parent) {
		t->parent = parent_find(rs, t->index, rec->parent);
		if (!t->parent)
			return cri_fail(err, EBADMSG,
					"damaged image: parent of process %u",
					rec->pid);
		t->sibling = t->parent->child;
		t->parent->child = t;
	}
	if (!rec->pid || rec->pid > INT32_MAX)
		return cri_fail(err, EBADMSG, "damaged image: pid %u",
				rec->pid);
	if (rec->state == CRI_TASK_ZOMBIE)
		return t->parent ? 0 :
				   cri_fail(err, EBADMSG,
					    "damaged image: zombie %u has no "
					    "parent",
					    rec->pid);
	if (t->parent && t->parent->rec->state == CRI_TASK_ZOMBIE)
		return cri_fail(err, EBADMSG,
				"damaged image: child of a zombie");
	t->files = cri_recset_find(rs->set, CRI_REC_FDTABLE, rec->files);
	t->fs = cri_recset_find(rs->set, CRI_REC_FS, rec->fs);
	t->mm = mm_find(rs, rec->mm);
	if (!t->files || !t->fs || !t->mm)
		return cri_fail(err, EBADMSG,
				"damaged image: process %u lacks its tables",
				rec->pid);
	return task_shares(t, err);
}

static int thread_check(const struct cri_rec_thread *rec, struct cri_err *err)
{
	if (rec->regs.len != sizeof(struct user_regs_struct) || !rec->tid ||
	    rec->tid > INT32_MAX || rec->xstate.len < 512)
		return cri_fail(err, EBADMSG, "damaged image: thread %u",
				rec->tid);
	return 0;
}

/* Threads lie in the order of their tasks. */
static int threads(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_thread *rec;
	struct cri_rtask *t;
	uint32_t i, k = 0;
	int ret;

	rs->n_threads = cri_recset_count(rs->set, CRI_REC_THREAD);
	rs->threads = calloc(rs->n_threads + 1, sizeof(*rs->threads));
	if (!rs->threads)
		return -ENOMEM;
	cri_for_each(rs->set, CRI_REC_THREAD, i, rec)
	{
		ret = thread_check(rec, err);
		if (ret)
			return ret;
		while (k < rs->n_tasks && rs->tasks[k].rec->id < rec->task)
			k++;
		t = k < rs->n_tasks ? &rs->tasks[k] : NULL;
		if (!t || t->rec->id != rec->task || !t->mm)
			return cri_fail(err, EBADMSG,
					"damaged image: thread %u", rec->tid);
		if (!t->n_threads++)
			t->threads = &rs->threads[i];
		rs->threads[i].rec = rec;
		rs->threads[i].task = t;
	}
	for (k = 0; k < rs->n_tasks; k++) {
		t = &rs->tasks[k];
		if (t->mm &&
		    (!t->n_threads || t->threads->rec->tid != t->rec->pid))
			return cri_fail(err, EBADMSG,
					"damaged image: process %u has no "
					"leading thread",
					t->rec->pid);
	}
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct cri_rtask *x = *(struct cri_rtask *const *)a;
	const struct cri_rtask *y = *(struct cri_rtask *const *)b;

	return x->rec->pid < y->rec->pid ? -1 : x->rec->pid > y->rec->pid;
}

struct cri_rtask *cri_task_by_pid(struct cri_restore *rs, uint32_t pid)
{
	uint32_t lo = 0, hi = rs->n_tasks;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (rs->by_pid[mid]->rec->pid == pid)
			return rs->by_pid[mid];
		if (rs->by_pid[mid]->rec->pid < pid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* No two processes may have one pid. */
static int pids(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t i;

	rs->by_pid = calloc(rs->n_tasks + 1, sizeof(*rs->by_pid));
	if (!rs->by_pid)
		return -ENOMEM;
	for (i = 0; i < rs->n_tasks; i++)
		rs->by_pid[i] = &rs->tasks[i];
	qsort(rs->by_pid, rs->n_tasks, sizeof(*rs->by_pid), by_pid);
	for (i = 1; i < rs->n_tasks; i++)
		if (rs->by_pid[i]->rec->pid == rs->by_pid[i - 1]->rec->pid)
			return cri_fail(err, EBADMSG,
					"damaged image: pid %u twice",
					rs->by_pid[i]->rec->pid);
	return 0;
}

/* POSIX locks belong to processes, which have to take them themselves. */
static void locks(struct cri_restore *rs)
{
	struct cri_rec_lock *lock;
	struct cri_rtask *t;
	uint32_t i;

	cri_for_each(rs->set, CRI_REC_LOCK, i, lock)
	{
		t = parent_find(rs, rs->n_tasks, lock->task);
		if (t && !lock->kind)
			t->has_locks = true;
	}
}

int cri_restore_tree(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_task *rec;
	uint32_t i;
	int ret;

	rs->origin = cri_recset_at(rs->set, CRI_REC_ORIGIN, 0);
	rs->n_tasks = cri_recset_count(rs->set, CRI_REC_TASK);
	if (!rs->origin || !rs->n_tasks)
		return cri_fail(err, EBADMSG,
				"damaged image: it holds no process");
	ret = mms(rs, err);
	if (ret)
		return ret;
	rs->tasks = calloc(rs->n_tasks + 1, sizeof(*rs->tasks));
	if (!rs->tasks)
		return -ENOMEM;
	cri_for_each(rs->set, CRI_REC_TASK, i, rec)
	{
		rs->tasks[i].rec = rec;
		rs->tasks[i].index = i;
		ret = task_refs(rs, &rs->tasks[i], err);
		if (ret)
			return ret;
	}
	ret = pids(rs, err);
	locks(rs);
	return ret ? ret : threads(rs, err);
}
