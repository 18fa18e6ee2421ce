/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plan area: a sparse memory file mapped shared at an address that is free
 * in the planner and in every address space of the image, so that parents,
 * children and the planner all see the same programs at the same place.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "blob/restore_blob.h"
#include "restore/restore.h"

#define GUARD (2ul << 20) /* more than stack_guard_gap on either side */
#define LOWEST 0x10000000000ul
#define HIGHEST 0x7f0000000000ul

struct span {
	uint64_t start;
	uint64_t end;
};

static int by_start(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int own_spans(struct span **list, size_t *n)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];
	int ret = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		struct span *grown;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		grown = realloc(*list, (*n + 1) * sizeof(**list));
		if (!grown) {
			ret = -ENOMEM;
			break;
		}
		*list = grown;
		grown[(*n)++] = (struct span){ start, end };
	}
	fclose(f);
	return ret;
}

static int image_spans(struct cri_restore *rs, struct span **list, size_t *n)
{
	struct span *grown;
	size_t more = 0;
	uint32_t i, j;

	for (i = 0; i < rs->n_mms; i++)
		more += rs->mms[i].rec->n_vmas;
	grown = realloc(*list, (*n + more + 1) * sizeof(**list));
	if (!grown)
		return -ENOMEM;
	*list = grown;
	for (i = 0; i < rs->n_mms; i++) {
		const struct cri_rec_mm *mm = rs->mms[i].rec;

		for (j = 0; j < mm->n_vmas; j++)
			grown[(*n)++] = (struct span){ mm->vmas[j].start,
						       mm->vmas[j].end };
	}
	return 0;
}

/* The lowest gap that leaves a guard on both sides. */
static int find_hole(struct cri_restore *rs, size_t size, uint64_t *at)
{
	uint64_t low = LOWEST;
	struct span *list = NULL;
	size_t n = 0, i;
	int ret;

	ret = own_spans(&list, &n);
	if (ret)
		goto out;
	ret = image_spans(rs, &list, &n);
	if (ret)
		goto out;
	qsort(list, n, sizeof(*list), by_start);
	for (i = 0; i < n; i++) {
		if (list[i].end + GUARD <= low)
			continue;
		if (list[i].start > low &&
		    list[i].start - low >= size + 2 * GUARD)
			break;
		if (list[i].end > low)
			low = (list[i].end + 4095) & ~4095ul;
	}
	if (low + size + 2 * GUARD > HIGHEST)
		ret = -ENOMEM;
	*at = low + GUARD;
out:
	free(list);
	return ret;
}

/* What a process has beyond its mappings and descriptors. */
static size_t attributes(const struct cri_rtask *t, size_t per_op)
{
	const struct cri_rec_task *rec = t->rec;
	size_t size, each = per_op + 192, i;

	size = (512ul + rec->n_pending + rec->n_actions + rec->n_rlimits +
		rec->n_groups + rec->n_itimers + 4ul * rec->n_ptimers +
		rec->n_filters) *
	       each;
	for (i = 0; i < rec->n_filters; i++)
		size += rec->filters[i].data.len * (size_t)t->n_threads;
	for (i = 0; i < t->n_threads; i++)
		size += t->threads[i].rec->n_pending * each +
			t->threads[i].rec->affinity.len +
			t->threads[i].rec->nodes.len + rec->n_filters * each;
	if (t->fs)
		size += strlen(t->fs->cwd) + strlen(t->fs->root);
	return size;
}

/* An upper bound; the file is sparse, so room costs nothing. */
static size_t estimate(struct cri_restore *rs)
{
	size_t size = 4ul << 20, per_op = sizeof(struct rb_op) + 64;
	uint32_t i;

	size += rs->n_threads * (RB_STACK + 128 * per_op);
	for (i = 0; i < rs->n_tasks; i++) {
		struct cri_rtask *t = &rs->tasks[i];

		size += attributes(t, per_op);
		if (t->files)
			size += t->files->n_fds * per_op;
		if (t->mm)
			size += (t->mm->rec->n_vmas * 8ul) * per_op +
				t->mm->n_runs * (per_op + 32) +
				t->mm->rec->auxv.len;
		if (t->parent && t->parent->mm)
			size += t->parent->mm->rec->n_vmas * per_op +
				t->parent->mm->n_runs * 48;
	}
	return (size + 4095) & ~4095ul;
}

int cri_area_create(struct cri_restore *rs, struct cri_err *err)
{
	uint64_t at = 0;
	char *p;
	int ret;

	rs->area_size = estimate(rs);
	ret = find_hole(rs, rs->area_size, &at);
	if (ret)
		return cri_fail(err, -ret,
				"no free address range of %zu bytes is left "
				"beside the program's memory",
				rs->area_size);
	rs->area_fd = memfd_create("stasis-plan", MFD_CLOEXEC);
	if (rs->area_fd < 0)
		return cri_fail(err, errno, "memfd_create: the plan's memory");
	if (ftruncate(rs->area_fd, (off_t)rs->area_size))
		return cri_fail(err, errno, "the plan's memory");
	p = mmap((void *)at, rs->area_size, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_SHARED | MAP_FIXED_NOREPLACE, rs->area_fd, 0);
	if (p == MAP_FAILED)
		return cri_fail(err, errno, "mapping the plan's memory");
	close(rs->area_fd);
	rs->area_fd = -1;
	rs->area_base = p;
	memcpy(p, cri_restore_blob, sizeof(cri_restore_blob));
	rs->entry = (uint64_t)p;
	rs->area_used = (sizeof(cri_restore_blob) + 63) & ~63ul;
	rs->area = cri_area_alloc(rs, sizeof(*rs->area), 64);
	rs->area->size = rs->area_size;
	return 0;
}

void *cri_area_alloc(struct cri_restore *rs, size_t size, size_t align)
{
	size_t at = (rs->area_used + align - 1) & ~(align - 1);

	if (at > rs->area_size || size > rs->area_size - at)
		return NULL;
	rs->area_used = at + size;
	return rs->area_base + at;
}

void *cri_area_copy(struct cri_restore *rs, const void *p, size_t len)
{
	void *to = cri_area_alloc(rs, len ? len : 1, 16);

	if (to)
		memcpy(to, p, len);
	return to;
}

void cri_area_destroy(struct cri_restore *rs)
{
	if (rs->area_base)
		munmap(rs->area_base, rs->area_size);
	rs->area_base = NULL;
	rs->area = NULL;
	if (rs->area_fd >= 0)
		close(rs->area_fd);
	rs->area_fd = -1;
}
