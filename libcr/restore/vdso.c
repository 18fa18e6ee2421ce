/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel's own mappings.  A program keeps pointers into its vdso, so ours
 * is moved to the address where the program's was; that works as long as both
 * are the same, which check.c has made sure of.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "restore/restore.h"

/* Free in every address space of the plan: the guard above the area. */
static uint64_t limbo(const struct cri_restore *rs)
{
	return (uint64_t)rs->area_base + rs->area_size + (256ul << 10);
}

static void find_syscall(struct cri_restore *rs)
{
	const uint8_t *p = (const uint8_t *)rs->vdso;
	uint64_t i;

	for (i = 0; i + 1 < rs->vdso_size; i++) {
		if (p[i] == 0x0f && p[i + 1] == 0x05) {
			rs->vdso_syscall = i;
			return;
		}
	}
}

int cri_vdso_find(struct cri_restore *rs, struct cri_err *err)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], name[64];
	unsigned long start, end;

	if (!f)
		return cri_fail(err, errno, "/proc/self/maps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %63s", &start, &end,
			   name) != 3)
			continue;
		if (strncmp(name, "[vvar", 5) != 0 && strcmp(name, "[vdso]"))
			continue;
		if (rs->n_parts == 4)
			break;
		rs->parts[rs->n_parts++] = (struct cri_vdso_part){ start, end };
		if (!strcmp(name, "[vdso]")) {
			rs->vdso = start;
			rs->vdso_size = end - start;
		}
	}
	fclose(f);
	if (rs->vdso)
		find_syscall(rs);
	if (!rs->vdso_syscall)
		return cri_fail(err, ENOTSUP,
				"this kernel gives processes no vdso");
	return 0;
}

uint64_t cri_vdso_span(struct cri_restore *rs)
{
	return rs->parts[rs->n_parts - 1].end - rs->parts[0].start;
}

/*
 * A program without a vdso, or with another kernel's, has ours parked in the
 * guard for good.
 */
uint64_t cri_vdso_place(struct cri_restore *rs, const struct cri_rtask *t)
{
	if (!t->mm->rec->vdso || rs->vdso_old)
		return limbo(rs);
	return t->mm->rec->vdso - (rs->vdso - rs->parts[0].start);
}

uint64_t cri_vdso_before(struct cri_restore *rs, const struct cri_rtask *t)
{
	return t->parent ? cri_vdso_place(rs, t->parent) : rs->parts[0].start;
}

static int move(struct cri_restore *rs, struct cri_rtask *t, uint64_t from,
		uint64_t to)
{
	uint64_t first = rs->parts[0].start;
	uint32_t i;

	for (i = 0; i < rs->n_parts; i++) {
		uint64_t off = rs->parts[i].start - first;
		uint64_t len = rs->parts[i].end - rs->parts[i].start;

		if (!cri_op_sys(rs, t->threads, "moving the vdso", SYS_mremap,
				(int64_t)(from + off), (int64_t)len,
				(int64_t)len, MREMAP_MAYMOVE | MREMAP_FIXED,
				(int64_t)(to + off), 0))
			return -ENOMEM;
	}
	return 0;
}

/* The other kernel's vdso as plain memory that jumps to ours. */
static int plant_old(struct cri_restore *rs, struct cri_rtask *t)
{
	uint64_t at = t->mm->rec->vdso, len = rs->vdso_old_size;
	struct rb_op *op;

	if (!at)
		return 0;
	if (!cri_op_sys(rs, t->threads, "mapping the old vdso", SYS_mmap,
			(int64_t)at, (int64_t)len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0))
		return -ENOMEM;
	op = cri_op(rs, t->threads, RB_COPY, "filling the old vdso");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)at;
	op->arg[1] = (int64_t)rs->vdso_old;
	op->arg[2] = (int64_t)len;
	if (!cri_op_sys(rs, t->threads, "protecting the old vdso", SYS_mprotect,
			(int64_t)at, (int64_t)len, PROT_READ | PROT_EXEC, 0, 0,
			0))
		return -ENOMEM;
	return 0;
}

/* Once, when the first address space is planned. */
static int prepare_old(struct cri_restore *rs, struct cri_err *err)
{
	const struct cri_bytes *old = &rs->origin->vdso;
	int ret;

	rs->vdso_old = cri_area_copy(rs, old->p, old->len);
	if (!rs->vdso_old)
		return -ENOMEM;
	rs->vdso_old_size = (old->len + CRI_PAGE - 1) & ~(CRI_PAGE - 1ul);
	ret = cri_vdso_patch(rs->vdso_old, old->len, (const void *)rs->vdso,
			     rs->vdso_size,
			     limbo(rs) + (rs->vdso - rs->parts[0].start));
	return ret ? cri_fail(err, ENOTSUP,
			      "the vdso of %s cannot be mapped to this "
			      "kernel's",
			      rs->origin->kernel) :
		     0;
}

int cri_plan_vdso(struct cri_restore *rs, struct cri_rtask *t,
		  struct cri_err *err)
{
	uint64_t from = cri_vdso_before(rs, t), to, span = cri_vdso_span(rs);
	int ret;

	if (rs->vdso_foreign && !rs->vdso_old) {
		ret = prepare_old(rs, err);
		if (ret)
			return ret;
	}
	to = cri_vdso_place(rs, t);
	if (from == to)
		return rs->vdso_old ? plant_old(rs, t) : 0;
	if (from < to + span && to < from + span) {
		ret = move(rs, t, from, limbo(rs));
		if (ret)
			return ret;
		from = limbo(rs);
	}
	ret = move(rs, t, from, to);
	return ret || !rs->vdso_old ? ret : plant_old(rs, t);
}
