/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory by kind for the summary: what is mapped, and how much of it is in
 * the image.  A page belongs to the mapping that holds its address.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/info.h"

#include <string.h>

enum bucket {
	B_HEAP,
	B_STACK,
	B_ANON,
	B_PRIVATE_FILE,
	B_SHARED_FILE,
	B_SHARED,
	B_KERNEL,
	B_CONTENT,
	N_BUCKETS,
};

static const char *const names[N_BUCKETS] = {
	"heap",
	"stack",
	"anonymous",
	"private mappings of files",
	"shared mappings of files",
	"shared memory",
	"vdso and the like",
	"contents of unlinked files",
};

struct totals {
	uint64_t mapped[N_BUCKETS];
	uint64_t saved[N_BUCKETS];
};

static enum bucket bucket_of(const struct cri_vma *v)
{
	switch (v->kind) {
	case CRI_VMA_ANON:
		if (v->flags & CRI_VMA_HEAP)
			return B_HEAP;
		return v->flags & CRI_VMA_STACK ? B_STACK : B_ANON;
	case CRI_VMA_FILE:
		return v->flags & CRI_VMA_SHARED ? B_SHARED_FILE :
						   B_PRIVATE_FILE;
	case CRI_VMA_SHMEM:
	case CRI_VMA_SYSVSHM:
		return B_SHARED;
	default:
		return B_KERNEL;
	}
}

/* The last mapping that begins at or below the page; lists are sorted. */
static const struct cri_vma *vma_at(const struct cri_rec_mm *mm, uint64_t addr)
{
	uint32_t low = 0, high = mm->n_vmas, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (mm->vmas[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || addr >= mm->vmas[low - 1].end)
		return NULL;
	return &mm->vmas[low - 1];
}

static void add_run(const struct cri_rec_mm *mm, const struct cri_run *run,
		    struct totals *t)
{
	uint64_t bytes = (uint64_t)run->count * CRI_PAGE;
	const struct cri_vma *v;

	if (run->flags & CRI_RUN_PARENT)
		return;
	v = vma_at(mm, run->page * CRI_PAGE);
	t->saved[v ? bucket_of(v) : B_ANON] += bytes;
}

static void add_extent(const struct cri_recset *set,
		       const struct cri_extent *e, struct totals *t)
{
	const struct cri_rec_mm *mm = cri_recset_find(set, CRI_REC_MM, e->obj);
	uint64_t bytes = (uint64_t)e->n_pages * CRI_PAGE;
	uint32_t i;

	if (mm)
		for (i = 0; i < e->n_runs; i++)
			add_run(mm, &e->runs[i], t);
	else if (cri_recset_find(set, CRI_REC_SHMEM, e->obj) ||
		 cri_recset_find(set, CRI_REC_SYSVSHM, e->obj))
		t->saved[B_SHARED] += bytes;
	else
		t->saved[B_CONTENT] += bytes;
}

void cri_info_memory(struct cri_reader *r, FILE *to)
{
	const struct cri_rec_mm *mm;
	struct totals t = { 0 };
	char mapped[32], saved[32];
	uint64_t all = 0;
	uint32_t i, k;

	cri_for_each(r->set, CRI_REC_MM, i, mm)
		for (k = 0; k < mm->n_vmas; k++)
			if (mm->vmas[k].end > mm->vmas[k].start)
				t.mapped[bucket_of(&mm->vmas[k])] +=
					mm->vmas[k].end - mm->vmas[k].start;
	for (i = 0; i < r->n_extents; i++)
		add_extent(r->set, &r->extents[i], &t);
	for (i = 0; i < N_BUCKETS; i++)
		all += t.saved[i];
	fprintf(to, "Memory     %s in the image\n", cri_info_size(saved, all));
	for (i = 0; i < N_BUCKETS; i++) {
		if (!t.mapped[i] && !t.saved[i])
			continue;
		fprintf(to, "           %-26s %10s saved", names[i],
			cri_info_size(saved, t.saved[i]));
		if (t.mapped[i])
			fprintf(to, ", %s mapped",
				cri_info_size(mapped, t.mapped[i]));
		fputs("\n", to);
	}
}
