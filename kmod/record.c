// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records are gathered in kernel memory, so that no lock on the target is
 * held over a page fault in the caller's buffer, and given in one copy.
 */
#include <linux/mempolicy.h>
#include <linux/nodemask.h>

#include "stasis.h"

int stasis_out_init(struct stasis_out *o, u64 len)
{
	memset(o, 0, sizeof(*o));
	if (len > STASIS_MAX_BUFFER)
		return -EINVAL;
	o->max = len;
	if (!len)
		return 0;
	/* Zeroed: padding goes to user space too. */
	o->buf = kvzalloc(len, GFP_KERNEL_ACCOUNT);
	return o->buf ? 0 : -ENOMEM;
}

void stasis_out_fini(struct stasis_out *o)
{
	kvfree(o->buf);
}

void *stasis_out_add(struct stasis_out *o, u16 type, size_t size)
{
	size_t whole = ALIGN(size, 8);
	struct stasis_rec *rec;

	if (o->used + whole > o->max) {
		o->used += whole;
		return NULL;
	}
	rec = (void *)(o->buf + o->used);
	rec->size = whole;
	rec->type = type;
	rec->unused = whole - size;
	o->used += whole;
	return rec;
}

int stasis_out_give(struct stasis_out *o, u64 buf, u64 *used, u64 *needed)
{
	*needed = o->used;
	*used = 0;
	if (o->used > o->max)
		return -ENOSPC;
	if (copy_to_user(u64_to_user_ptr(buf), o->buf, o->used))
		return -EFAULT;
	*used = o->used;
	return 0;
}

void stasis_policy(struct mempolicy *pol, u32 *policy, u64 nodes[16])
{
#ifdef CONFIG_NUMA
	const nodemask_t *mask;

	if (!pol)
		return;
	*policy = pol->mode | (pol->flags & MPOL_MODE_FLAGS);
	mask = pol->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES) ?
		       &pol->w.user_nodemask :
		       &pol->nodes;
	if (pol->mode != MPOL_LOCAL)
		memcpy(nodes, mask, min_t(size_t, sizeof(*mask), 128));
#endif
}
