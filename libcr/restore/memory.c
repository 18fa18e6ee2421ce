/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiles how an address space comes to be.  A root starts from the planner's
 * memory and drops all of it; a child starts from a copy of its parent's and
 * keeps each mapping that is the same and whose pages it all has, so that
 * pages shared by a fork stay shared.
 */
#include "config.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <linux/prctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "kind/kind.h"
#include "restore/restore.h"

#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define TOP 0x7ffffffff000ul
#define HUGE (2ul << 20)
#define SLICE (64ul << 20) /* a filler thread's share at least */

static bool special(const struct cri_vma *v)
{
	return v->kind == CRI_VMA_VDSO || v->kind == CRI_VMA_VVAR ||
	       v->kind == CRI_VMA_VSYSCALL;
}

static bool same_vma(const struct cri_vma *a, const struct cri_vma *b)
{
	const uint32_t gone = CRI_VMA_DONTFORK | CRI_VMA_WIPEONFORK;

	return a->start == b->start && a->end == b->end && a->prot == b->prot &&
	       a->kind == b->kind && a->flags == b->flags && a->obj == b->obj &&
	       a->offset == b->offset && a->pkey == b->pkey &&
	       a->policy == b->policy && !strcmp(a->name, b->name) &&
	       !((a->flags | b->flags) & gone);
}

/* First run that ends after the page. */
static size_t run_at(const struct cri_rmm *mm, uint64_t page)
{
	size_t lo = 0, hi = mm->n_runs;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (mm->runs[mid].page + mm->runs[mid].count <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Has the child a page wherever the parent has one in this mapping? */
static bool covers(const struct cri_rmm *child, const struct cri_rmm *parent,
		   const struct cri_vma *v)
{
	uint64_t end = v->end / CRI_PAGE, at;
	size_t p = run_at(parent, v->start / CRI_PAGE), c;

	c = run_at(child, v->start / CRI_PAGE);
	for (; p < parent->n_runs && parent->runs[p].page < end; p++) {
		uint64_t stop = parent->runs[p].page + parent->runs[p].count;

		at = parent->runs[p].page;
		while (at < stop) {
			while (c < child->n_runs &&
			       child->runs[c].page + child->runs[c].count <= at)
				c++;
			if (c == child->n_runs || child->runs[c].page > at)
				return false;
			at = child->runs[c].page + child->runs[c].count;
		}
	}
	return true;
}

/* For each vma of t: does it come over by the fork? */
static char *inherited(struct cri_rtask *t)
{
	const struct cri_rec_mm *mm = t->mm->rec, *pm;
	char *keep = calloc(mm->n_vmas + 1, 1);
	uint32_t i, k = 0;

	if (!keep || !t->parent)
		return keep;
	pm = t->parent->mm->rec;
	for (i = 0; i < mm->n_vmas; i++) {
		const struct cri_vma *v = &mm->vmas[i];

		while (k < pm->n_vmas && pm->vmas[k].start < v->start)
			k++;
		if (k == pm->n_vmas)
			break;
		keep[i] = !special(v) && same_vma(v, &pm->vmas[k]) &&
			  (v->flags & CRI_VMA_SHARED ||
			   covers(t->mm, t->parent->mm, v));
	}
	return keep;
}

static int unmap(struct cri_restore *rs, struct cri_rthread *th, uint64_t start,
		 uint64_t end)
{
	if (start >= end)
		return 0;
	return cri_op_sys(rs, th, "clearing old memory", SYS_munmap,
			  (int64_t)start, (int64_t)(end - start), 0, 0, 0, 0) ?
		       0 :
		       -ENOMEM;
}

struct keep_span {
	uint64_t start;
	uint64_t end;
};

static int span_cmp(const void *a, const void *b)
{
	const struct keep_span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Unmap all but the area, our vdso and what is inherited. */
static int clear(struct cri_restore *rs, struct cri_rtask *t, const char *keep)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	struct keep_span *list;
	uint64_t at = 0, vdso = cri_vdso_before(rs, t);
	uint32_t i, n = 0;
	int ret = 0;

	list = calloc(mm->n_vmas + 2ul, sizeof(*list));
	if (!list)
		return -ENOMEM;
	list[n++] =
		(struct keep_span){ (uint64_t)rs->area_base,
				    (uint64_t)rs->area_base + rs->area_size };
	if (vdso)
		list[n++] =
			(struct keep_span){ vdso, vdso + cri_vdso_span(rs) };
	for (i = 0; i < mm->n_vmas; i++)
		if (keep[i])
			list[n++] = (struct keep_span){ mm->vmas[i].start,
							mm->vmas[i].end };
	qsort(list, n, sizeof(*list), span_cmp);
	for (i = 0; i < n && !ret; i++) {
		ret = unmap(rs, t->threads, at, list[i].start);
		at = list[i].end;
	}
	if (!ret)
		ret = unmap(rs, t->threads, at, TOP);
	free(list);
	return ret;
}

static int mmap_op(struct cri_restore *rs, struct cri_rthread *th,
		   const struct cri_vma *v, uint32_t prot, int flags, int fd)
{
	return cri_op_sys(rs, th, "mapping memory", SYS_mmap, (int64_t)v->start,
			  (int64_t)(v->end - v->start), prot, flags | MAP_FIXED,
			  fd, (int64_t)v->offset) ?
		       0 :
		       -ENOMEM;
}

static int anon_flags(const struct cri_vma *v)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (v->flags & CRI_VMA_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (v->flags & CRI_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	if (v->flags & CRI_VMA_HUGETLB)
		flags |= MAP_HUGETLB;
	return flags;
}

static int map_vma(struct cri_restore *rs, struct cri_rtask *t,
		   const struct cri_vma *v, bool fill, struct cri_err *err)
{
	bool shared = v->flags & CRI_VMA_SHARED;
	uint32_t prot = fill ? v->prot | PROT_READ | PROT_WRITE : v->prot;
	int flags = shared ? MAP_SHARED : MAP_PRIVATE, fd = -1, ret;
	struct cri_vma anon;
	struct cri_rec_sysvshm *shm;

	if (v->flags & CRI_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	switch (v->kind) {
	case CRI_VMA_ANON:
		anon = *v;
		anon.offset = 0;
		return mmap_op(rs, t->threads, &anon, prot, anon_flags(v), -1);
	case CRI_VMA_FILE:
		ret = cri_restore_map_fd(
			rs, v->obj, shared && !(v->flags & CRI_VMA_MAYWRITE_RO),
			&fd, err);
		if (ret)
			return ret;
		return mmap_op(rs, t->threads, v, prot, flags, fd);
	case CRI_VMA_SHMEM:
		ret = cri_restore_shmem(rs, v->obj, &fd, err);
		if (ret)
			return ret;
		return mmap_op(rs, t->threads, v, prot, flags, fd);
	case CRI_VMA_SYSVSHM:
		shm = cri_recset_find(rs->set, CRI_REC_SYSVSHM, v->obj);
		if (!shm)
			return cri_fail(err, EBADMSG,
					"damaged image: shared memory segment");
		return cri_op_sys(rs, t->threads,
				  "attaching a shared memory segment",
				  SYS_shmat, shm->ipc_id, (int64_t)v->start,
				  v->prot & PROT_WRITE ? 0 : 010000, 0, 0, 0) ?
			       0 :
			       -ENOMEM;
	default:
		return cri_fail(err, EBADMSG, "damaged image: mapping kind %u",
				v->kind);
	}
}

static int advise(struct cri_restore *rs, struct cri_rthread *th,
		  const struct cri_vma *v, int advice)
{
	struct rb_op *op;

	op = cri_op_sys(rs, th, "setting a memory advice", SYS_madvise,
			(int64_t)v->start, (int64_t)(v->end - v->start), advice,
			0, 0, 0);
	if (!op)
		return -ENOMEM;
	op->flags |= RB_IGNORE;
	return 0;
}

static const struct {
	uint32_t flag;
	int advice;
} advices[] = {
	{ CRI_VMA_DONTFORK, MADV_DONTFORK },
	{ CRI_VMA_WIPEONFORK, MADV_WIPEONFORK },
	{ CRI_VMA_DONTDUMP, MADV_DONTDUMP },
	{ CRI_VMA_HUGEPAGE, MADV_HUGEPAGE },
	{ CRI_VMA_NOHUGEPAGE, MADV_NOHUGEPAGE },
	{ CRI_VMA_MERGEABLE, MADV_MERGEABLE },
	{ CRI_VMA_SEQ, MADV_SEQUENTIAL },
	{ CRI_VMA_RAND, MADV_RANDOM },
};

static int flags_vma(struct cri_restore *rs, struct cri_rthread *th,
		     const struct cri_vma *v)
{
	size_t i;
	int ret;

	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		if (!(v->flags & advices[i].flag))
			continue;
		ret = advise(rs, th, v, advices[i].advice);
		if (ret)
			return ret;
	}
	if (*v->name) {
		void *p = cri_area_copy(rs, v->name, strlen(v->name) + 1);
		struct rb_op *op;

		op = cri_op_sys(rs, th, "naming memory", SYS_prctl, PR_SET_VMA,
				PR_SET_VMA_ANON_NAME, (int64_t)v->start,
				(int64_t)(v->end - v->start), (int64_t)p, 0);
		if (!op || !p)
			return -ENOMEM;
		op->flags |= RB_IGNORE;
	}
	return 0;
}

/* After the pages are in: final protection, key, policy, lock. */
static int finish_vma(struct cri_restore *rs, struct cri_rthread *th,
		      const struct cri_vma *v, bool filled)
{
	int64_t start = (int64_t)v->start, len = (int64_t)(v->end - v->start);

	if (v->pkey &&
	    !cri_op_sys(rs, th, "setting a protection key", SYS_pkey_mprotect,
			start, len, v->prot, v->pkey, 0, 0))
		return -ENOMEM;
	if (!v->pkey && filled &&
	    (v->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE) &&
	    !cri_op_sys(rs, th, "protecting memory", SYS_mprotect, start, len,
			v->prot, 0, 0, 0))
		return -ENOMEM;
	if (v->flags & CRI_VMA_SEALED &&
	    !cri_op_sys(rs, th, "sealing memory", SYS_mseal, start, len, 0, 0,
			0, 0))
		return -ENOMEM;
	if (v->flags & CRI_VMA_LOCKED &&
	    !cri_op_sys(rs, th, "locking memory", SYS_mlock2, start, len,
			v->flags & CRI_VMA_LOCKONFAULT ? MLOCK_ONFAULT : 0, 0,
			0, 0))
		return -ENOMEM;
	return 0;
}

/* Before the pages come in, so that they land where the policy wants. */
static int policy_vma(struct cri_restore *rs, struct cri_rthread *th,
		      const struct cri_vma *v)
{
	struct rb_op *op;
	void *p;

	if (!v->policy)
		return 0;
	p = cri_area_copy(rs, v->nodes.p, v->nodes.len);
	op = cri_op_sys(rs, th, "setting a memory policy", SYS_mbind,
			(int64_t)v->start, (int64_t)(v->end - v->start),
			v->policy, (int64_t)p, v->nodes.len * 8, 0);
	if (!p || !op)
		return -ENOMEM;
	op->flags |= RB_IGNORE; /* the new node's shape wins */
	return 0;
}

static bool has_pages(const struct cri_rmm *mm, const struct cri_vma *v)
{
	size_t i = run_at(mm, v->start / CRI_PAGE);

	return i < mm->n_runs && mm->runs[i].page < v->end / CRI_PAGE;
}

static int maps(struct cri_restore *rs, struct cri_rtask *t, const char *keep,
		struct cri_err *err)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	uint32_t i;
	int ret;

	for (i = 0; i < mm->n_vmas; i++) {
		const struct cri_vma *v = &mm->vmas[i];

		if (keep[i] || special(v))
			continue;
		ret = map_vma(rs, t, v, has_pages(t->mm, v), err);
		if (ret)
			return ret;
		ret = flags_vma(rs, t->threads, v);
		if (ret)
			return ret;
		ret = policy_vma(rs, t->threads, v);
		if (ret)
			return ret;
	}
	return 0;
}

/* An inherited mapping may be read-only: open it up for this task's pages. */
static int open_kept(struct cri_restore *rs, struct cri_rtask *t,
		     const char *keep)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	uint32_t i;

	for (i = 0; i < mm->n_vmas; i++) {
		const struct cri_vma *v = &mm->vmas[i];

		if (!keep[i] || v->flags & CRI_VMA_SHARED ||
		    (v->prot & 3) == 3 || !has_pages(t->mm, v))
			continue;
		if (!cri_op_sys(rs, t->threads, "opening memory", SYS_mprotect,
				(int64_t)v->start, (int64_t)(v->end - v->start),
				v->prot | PROT_READ | PROT_WRITE, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int fill_extent(struct cri_restore *rs, struct cri_rthread *th,
		       const struct cri_extent *e)
{
	struct iovec *iov;
	struct rb_op *op;
	uint32_t i, n = 0;

	iov = cri_area_alloc(rs, e->n_runs * sizeof(*iov) + 1, 16);
	op = cri_op(rs, th, RB_FILL, "reading memory from the image");
	if (!iov || !op)
		return -ENOMEM;
	for (i = 0; i < e->n_runs; i++) {
		if (e->runs[i].flags & CRI_RUN_PARENT)
			continue;
		iov[n].iov_base = (void *)(e->runs[i].page * CRI_PAGE);
		iov[n++].iov_len = (size_t)e->runs[i].count * CRI_PAGE;
	}
	op->arg[0] = rs->data_fd;
	op->arg[1] = (int64_t)e->offset;
	op->arg[2] = (int64_t)iov;
	op->arg[3] = n;
	op->expect = e->crc;
	return 0;
}

/* Pages like the parent's, in a mapping that did not come over by fork. */
static int fill_from(struct cri_restore *rs, struct cri_rtask *t,
		     struct cri_rtask *from, uint64_t page, uint64_t count)
{
	while (from && count) {
		const struct cri_rmm *mm = from->mm;
		size_t i = run_at(mm, page);
		uint64_t skip, n;
		struct iovec *iov;
		struct rb_op *op;
		int ret;

		if (i == mm->n_runs || mm->runs[i].page > page)
			return -EBADMSG;
		skip = page - mm->runs[i].page;
		n = mm->runs[i].count - skip;
		n = n < count ? n : count;
		if (mm->runs[i].offset < 0) {
			ret = fill_from(rs, t, from->parent, page, n);
			if (ret)
				return ret;
		} else {
			iov = cri_area_alloc(rs, sizeof(*iov), 16);
			op = cri_op(rs, t->threads, RB_FILL,
				    "reading shared memory from the image");
			if (!iov || !op)
				return -ENOMEM;
			iov->iov_base = (void *)(page * CRI_PAGE);
			iov->iov_len = n * CRI_PAGE;
			op->flags = RB_NOCRC;
			op->arg[0] = rs->data_fd;
			op->arg[1] =
				mm->runs[i].offset + (int64_t)(skip * CRI_PAGE);
			op->arg[2] = (int64_t)iov;
			op->arg[3] = 1;
		}
		page += n;
		count -= n;
	}
	return count ? -EBADMSG : 0;
}

static int fill_parents(struct cri_restore *rs, struct cri_rtask *t,
			const char *keep)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	uint32_t v = 0;
	size_t i;
	int ret;

	for (i = 0; i < t->mm->n_runs; i++) {
		const struct cri_pagerun *r = &t->mm->runs[i];
		uint64_t at = r->page, end = r->page + r->count, n;

		while (r->offset < 0 && at < end) {
			while (mm->vmas[v].end <= at * CRI_PAGE)
				v++;
			n = mm->vmas[v].end / CRI_PAGE;
			n = (n < end ? n : end) - at;
			ret = keep[v] ? 0 : fill_from(rs, t, t->parent, at, n);
			if (ret)
				return ret;
			at += n;
		}
	}
	return 0;
}

static const struct cri_vma *vma_at(const struct cri_rec_mm *mm, uint64_t addr)
{
	uint32_t lo = 0, hi = mm->n_vmas;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (mm->vmas[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < mm->n_vmas ? &mm->vmas[lo] : NULL;
}

/* The whole huge pages of a span that is full of data. */
static int collapse_span(struct cri_restore *rs, struct cri_rthread *th,
			 uint64_t start, uint64_t end)
{
	const struct cri_vma *v = vma_at(th->task->mm->rec, start);
	struct rb_op *op;

	start = (start + HUGE - 1) & ~(HUGE - 1);
	end &= ~(HUGE - 1);
	if (!v || v->kind != CRI_VMA_ANON || start >= end ||
	    v->flags & (CRI_VMA_NOHUGEPAGE | CRI_VMA_HUGETLB) ||
	    th->task->rec->thp_disable)
		return 0;
	op = cri_op(rs, th, RB_COLLAPSE, "making huge pages");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)start;
	op->arg[1] = (int64_t)end;
	return 0;
}

/* Extents lie in the order of addresses: join what follows on each other. */
static int collapse(struct cri_restore *rs, struct cri_rthread *th,
		    const struct cri_extent *e, uint32_t n)
{
	uint64_t start = 0, end = 0;
	uint32_t i, j;
	int ret;

	for (i = 0; i < n; i++) {
		for (j = 0; j < e[i].n_runs; j++) {
			const struct cri_run *r = &e[i].runs[j];
			const struct cri_vma *v;
			uint64_t at = r->page * CRI_PAGE;

			if (r->flags & CRI_RUN_PARENT)
				continue;
			v = vma_at(th->task->mm->rec, at);
			if (at != end || (v && v->start == at)) {
				ret = collapse_span(rs, th, start, end);
				if (ret)
					return ret;
				start = at;
			}
			end = at + (uint64_t)r->count * CRI_PAGE;
		}
	}
	return collapse_span(rs, th, start, end);
}

static int fill_some(struct cri_restore *rs, struct cri_rthread *th,
		     const struct cri_extent *e, uint32_t n)
{
	uint32_t i;
	int ret;

	ret = collapse(rs, th, e, n);
	for (i = 0; i < n && !ret; i++)
		if (e[i].n_pages)
			ret = fill_extent(rs, th, &e[i]);
	return ret;
}

#define FILLERS 2

/* Several readers for a large address space, each in a helper thread. */
static int fill_wide(struct cri_restore *rs, struct cri_rtask *t,
		     const struct cri_extent *e, uint32_t n)
{
	uint64_t *list = cri_area_alloc(rs, FILLERS * sizeof(*list), 16);
	struct cri_rthread th[FILLERS];
	struct rb_op *op;
	uint32_t k;
	int ret = 0;

	if (!list)
		return -ENOMEM;
	memset(th, 0, sizeof(th));
	for (k = 0; k < FILLERS && !ret; k++) {
		uint32_t from = n / FILLERS * k;
		uint32_t to = k == FILLERS - 1 ? n : n / FILLERS * (k + 1);

		th[k].task = t;
		ret = cri_prog_new(rs, &th[k]);
		if (ret)
			return ret;
		th[k].prog->kill_tid =
			(uint64_t)cri_area_alloc(rs, sizeof(uint64_t), 8);
		list[k] = (uint64_t)th[k].prog;
		ret = fill_some(rs, &th[k], e + from, to - from);
		if (!ret && !cri_op(rs, &th[k], RB_LEAVE, "reading"))
			ret = -ENOMEM;
		if (!ret)
			ret = cri_prog_seal(rs, &th[k]);
	}
	op = cri_op(rs, t->threads, RB_FILLERS, "reading memory");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)list;
	op->arg[1] = FILLERS;
	return ret;
}

static int fill(struct cri_restore *rs, struct cri_rtask *t, const char *keep)
{
	const struct cri_extent *e;
	uint32_t n;
	int ret;

	e = cri_reader_extents(rs->reader, t->mm->rec->id, &n);
	if (t->mm->bytes >= 2 * SLICE)
		ret = fill_wide(rs, t, e, n);
	else
		ret = fill_some(rs, t->threads, e, n);
	return ret ? ret : fill_parents(rs, t, keep);
}

static int finish(struct cri_restore *rs, struct cri_rtask *t, const char *keep)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	uint32_t i;
	int ret;

	for (i = 0; i < mm->n_vmas; i++) {
		const struct cri_vma *v = &mm->vmas[i];

		if (special(v))
			continue;
		ret = finish_vma(rs, t->threads, v,
				 has_pages(t->mm, v) &&
					 !(keep[i] &&
					   v->flags & CRI_VMA_SHARED));
		if (ret)
			return ret;
	}
	if (mm->lock_flags &&
	    !cri_op_sys(rs, t->threads, "locking future memory", SYS_mlockall,
			mm->lock_flags, 0, 0, 0, 0, 0))
		return -ENOMEM;
	return 0;
}

/* brk, argv, environment, auxv and the exe link. */
static int describe(struct cri_restore *rs, struct cri_rtask *t,
		    struct cri_err *err)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	struct prctl_mm_map map = {
		.start_code = mm->start_code,
		.end_code = mm->end_code,
		.start_data = mm->start_data,
		.end_data = mm->end_data,
		.start_brk = mm->start_brk,
		.brk = mm->brk,
		.start_stack = mm->start_stack,
		.arg_start = mm->arg_start,
		.arg_end = mm->arg_end,
		.env_start = mm->env_start,
		.env_end = mm->env_end,
		.exe_fd = (uint32_t)-1,
	};
	int fd = -1, ret;
	void *p;

	/* The kernel refuses the same again while it is mapped. */
	if (mm->exe && rs->exe_allowed &&
	    !(t->parent && t->parent->mm->rec->exe == mm->exe)) {
		ret = cri_restore_map_fd(rs, mm->exe, false, &fd, err);
		if (ret)
			return ret;
		map.exe_fd = (uint32_t)fd;
	}
	if (mm->auxv.len) {
		map.auxv = cri_area_copy(rs, mm->auxv.p, mm->auxv.len);
		map.auxv_size = mm->auxv.len;
	}
	p = cri_area_copy(rs, &map, sizeof(map));
	if (!p || !cri_op_sys(rs, t->threads, "describing its memory",
			      SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, (int64_t)p,
			      sizeof(map), 0, 0))
		return -ENOMEM;
	return 0;
}

int cri_plan_memory(struct cri_restore *rs, struct cri_rtask *t,
		    struct cri_err *err)
{
	char *keep = inherited(t);
	int ret;

	if (!keep)
		return -ENOMEM;
	ret = clear(rs, t, keep);
	if (ret)
		goto out;
	ret = cri_plan_vdso(rs, t, err);
	if (ret)
		goto out;
	/* Before new mappings: the old exe file must not be mapped any more. */
	ret = describe(rs, t, err);
	if (ret)
		goto out;
	ret = maps(rs, t, keep, err);
	if (ret)
		goto out;
	ret = open_kept(rs, t, keep);
	if (ret)
		goto out;
	ret = fill(rs, t, keep);
	if (ret)
		goto out;
	ret = cri_plan_environ(rs, t, err);
	if (ret)
		goto out;
	ret = finish(rs, t, keep);
out:
	free(keep);
	return ret;
}
