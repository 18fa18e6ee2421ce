// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mappings: what /proc/PID/maps and smaps do not say, or say slowly.
 */
#include <linux/mempolicy.h>
#include <linux/pkeys.h>
#include <linux/userfaultfd_k.h>

#include "stasis.h"

static const struct {
	unsigned long vm;
	u32 flag;
} vma_flags[] = {
	{ VM_READ, STASIS_VMA_READ },
	{ VM_WRITE, STASIS_VMA_WRITE },
	{ VM_EXEC, STASIS_VMA_EXEC },
	{ VM_MAYSHARE, STASIS_VMA_SHARED },
	{ VM_GROWSDOWN, STASIS_VMA_GROWSDOWN },
	{ VM_LOCKED, STASIS_VMA_LOCKED },
	{ VM_LOCKONFAULT, STASIS_VMA_LOCKONFAULT },
	{ VM_NORESERVE, STASIS_VMA_NORESERVE },
	{ VM_DONTCOPY, STASIS_VMA_DONTFORK },
	{ VM_WIPEONFORK, STASIS_VMA_WIPEONFORK },
	{ VM_DONTDUMP, STASIS_VMA_DONTDUMP },
	{ VM_HUGEPAGE, STASIS_VMA_HUGEPAGE },
	{ VM_NOHUGEPAGE, STASIS_VMA_NOHUGEPAGE },
	{ VM_MERGEABLE, STASIS_VMA_MERGEABLE },
	{ VM_SEQ_READ, STASIS_VMA_SEQ },
	{ VM_RAND_READ, STASIS_VMA_RAND },
	{ VM_HUGETLB, STASIS_VMA_HUGETLB },
	{ VM_IO | VM_PFNMAP, STASIS_VMA_PFN },
	{ VM_MAYWRITE, STASIS_VMA_MAYWRITE },
};

static void vma_record(struct stasis_out *o, struct vm_area_struct *vma)
{
	struct stasis_rec_vma *rec;
	struct inode *inode;
	u32 i;

	rec = stasis_out_add(o, STASIS_REC_VMA, sizeof(*rec));
	if (!rec)
		return;
	rec->start = vma->vm_start;
	rec->end = vma->vm_end;
	for (i = 0; i < ARRAY_SIZE(vma_flags); i++)
		if (vma->vm_flags & vma_flags[i].vm)
			rec->flags |= vma_flags[i].flag;
	if (vma->vm_flags & (VM_UFFD_MISSING | VM_UFFD_WP))
		rec->flags |= STASIS_VMA_UFFD;
	if (vma->anon_vma)
		rec->flags |= STASIS_VMA_ANON_PAGES;
	rec->pkey = vma_pkey(vma);
	if (vma->vm_file) {
		inode = file_inode(vma->vm_file);
		rec->flags |= STASIS_VMA_FILE;
		rec->offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
		rec->ino = inode->i_ino;
		rec->dev_major = MAJOR(inode->i_sb->s_dev);
		rec->dev_minor = MINOR(inode->i_sb->s_dev);
	}
#ifdef CONFIG_NUMA
	stasis_policy(vma->vm_policy, &rec->policy, rec->nodes);
#endif
}

int stasis_ioc_vmas(struct stasis_session *s, void *arg)
{
	struct stasis_vmas *a = arg;
	struct vm_area_struct *vma;
	struct stasis_hold h;
	struct stasis_out o;
	struct mm_struct *mm;
	unsigned long at = 0;
	int ret;

	if (a->used || a->needed)
		return -EINVAL;
	ret = stasis_out_init(&o, a->len);
	if (ret)
		return ret;
	ret = stasis_hold_get(s, a->id, &h);
	if (ret)
		goto out;
	mm = h.proc->mm;
	ret = -ESRCH;
	if (!mmget_not_zero(mm))
		goto out_hold;
	ret = mmap_read_lock_killable(mm);
	if (ret)
		goto out_mm;
	while ((vma = find_vma(mm, at))) {
		vma_record(&o, vma);
		at = vma->vm_end;
		cond_resched();
	}
	mmap_read_unlock(mm);
out_mm:
	mmput_async(mm);
out_hold:
	stasis_hold_put(&h);
	if (!ret)
		ret = stasis_out_give(&o, a->buf, &a->used, &a->needed);
out:
	stasis_out_fini(&o);
	return ret;
}
