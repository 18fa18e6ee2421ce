// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Page walk: references to all private pages of a standing address space,
 * write-protected on the way for a copy-on-write snapshot.
 *
 * hmm_range_fault() would need no page table knowledge, but it reports a page
 * under migration or in swap as a hole, and a page lost is a program broken.
 * So the tables are read here, under the mmap lock for writing (no fault, no
 * khugepaged, no unmapping can change their shape) and each table's own lock.
 * What is not there (swap, migration) is faulted in with both locks dropped,
 * and the walk goes on at the same address.
 *
 * Write protection is what fork() does: an exclusive anonymous page becomes
 * possibly shared, its entry read-only, under write_protect_seq so that GUP
 * cannot pin it in between.  Our reference then makes the write fault copy.
 */
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/ksm.h>
#include <linux/pagewalk.h>
#include <linux/slab.h>

#include "stasis.h"

/* Why a step stopped before its end; positive, unlike errors. */
#define WALK_FAULT 1 /* the page at .at must be brought in */
#define WALK_PAGE 2 /* a spare page is needed */
#define WALK_ROOM 3 /* the index needs a chunk */

struct walk {
	struct stasis_snap *snap;
	struct mm_struct *mm;
	struct vm_area_struct *vma;
	unsigned long at; /* everything below is done */
	bool cow;
};

/* A page that a device may write to is copied, as fork() does. */
static int page_copy(struct walk *w, struct page *page)
{
	if (!w->snap->spare)
		return WALK_PAGE;
	copy_highpage(w->snap->spare, page);
	stasis_snap_add(w->snap, w->at | STASIS_SNAP_COPY, w->snap->spare);
	w->snap->spare = NULL;
	w->snap->copied++;
	return 0;
}

static int pte_take(struct walk *w, pte_t *ptep)
{
	pte_t pte = ptep_get(ptep);
	struct page *page;

	if (pte_none(pte))
		return 0;
	if (!pte_present(pte))
		return WALK_FAULT;
	if (pte_special(pte) || !pfn_valid(pte_pfn(pte)))
		return 0;
	page = pte_page(pte);
	if (!PageAnon(page))
		return 0;
	/* Pages of KSM change for nobody: a reference is enough. */
	if (w->cow && !PageKsm(page) && PageAnonExclusive(page)) {
		if (stasis_share_pte(page))
			return page_copy(w, page);
		if (pte_write(pte))
			ptep_set_wrprotect(w->mm, w->at, ptep);
	}
	get_page(page);
	stasis_snap_add(w->snap, w->at, page);
	return 0;
}

static int pte_range(struct walk *w, pmd_t *pmd, unsigned long end)
{
	spinlock_t *ptl = pte_lockptr(w->mm, pmd);
	pte_t *ptep;
	int ret = 0;

	spin_lock(ptl);
	ptep = pte_offset_kernel(pmd, w->at);
	for (; w->at < end; w->at += PAGE_SIZE, ptep++) {
		ret = pte_take(w, ptep);
		if (ret)
			break;
	}
	spin_unlock(ptl);
	return ret;
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
/* Under the table's lock.  A huge page in part of the range is split up. */
static int huge_take(struct walk *w, pmd_t *pmd, unsigned long end)
{
	struct page *page = pmd_page(*pmd);
	unsigned long next = (w->at & PMD_MASK) + PMD_SIZE;
	int ret;

	/* Neither the huge zero page nor a file's. */
	if (!PageAnon(page)) {
		w->at = min(next, end);
		return 0;
	}
	if (w->cow && PageAnonExclusive(page)) {
		if (stasis_share_pmd(page)) {
			for (page += (w->at & ~PMD_MASK) >> PAGE_SHIFT;
			     w->at < min(next, end);
			     w->at += PAGE_SIZE, page++) {
				ret = page_copy(w, page);
				if (ret)
					return ret;
			}
			return 0;
		}
		if (pmd_write(*pmd))
			pmdp_set_wrprotect(w->mm, w->at & PMD_MASK, pmd);
	}
	if (w->at & ~PMD_MASK || next > end) {
		for (page += (w->at & ~PMD_MASK) >> PAGE_SHIFT;
		     w->at < min(next, end); w->at += PAGE_SIZE, page++) {
			get_page(page);
			stasis_snap_add(w->snap, w->at, page);
		}
		return 0;
	}
	get_page(page);
	stasis_snap_add(w->snap, w->at | STASIS_SNAP_HUGE, page);
	w->at = next;
	return 0;
}

static int pmd_huge_take(struct walk *w, pmd_t *pmd, unsigned long end,
			 bool *was)
{
	spinlock_t *ptl = pmd_lock(w->mm, pmd);
	int ret = 0;

	*was = true;
	if (pmd_trans_huge(*pmd) && pmd_present(*pmd))
		ret = huge_take(w, pmd, end);
	else if (!pmd_none(*pmd) && !pmd_present(*pmd))
		ret = WALK_FAULT;
	else
		*was = false;
	spin_unlock(ptl);
	return ret;
}
#else
static int pmd_huge_take(struct walk *w, pmd_t *pmd, unsigned long end,
			 bool *was)
{
	*was = false;
	return 0;
}
#endif

static pmd_t *pmd_find(struct mm_struct *mm, unsigned long at,
		       unsigned long *next)
{
	pgd_t *pgd = pgd_offset(mm, at);
	p4d_t *p4d;
	pud_t *pud;

	*next = (at & PGDIR_MASK) + PGDIR_SIZE;
	if (pgd_none(*pgd) || pgd_bad(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, at);
	*next = (at & P4D_MASK) + P4D_SIZE;
	if (p4d_none(*p4d) || p4d_bad(*p4d))
		return NULL;
	pud = pud_offset(p4d, at);
	*next = (at & PUD_MASK) + PUD_SIZE;
	if (pud_none(*pud) || pud_bad(*pud))
		return NULL;
	*next = (at & PMD_MASK) + PMD_SIZE;
	return pmd_offset(pud, at);
}

static int vma_walk(struct walk *w)
{
	unsigned long end = w->vma->vm_end, next;
	bool was;
	pmd_t *pmd;
	int ret;

	while (w->at < end) {
		pmd = pmd_find(w->mm, w->at, &next);
		if (next > end || !next)
			next = end;
		if (pmd) {
			/* One table fills at most two chunks. */
			if (stasis_snap_room(w->snap, PTRS_PER_PTE))
				return WALK_ROOM;
			ret = pmd_huge_take(w, pmd, next, &was);
			if (!ret && !was && !pmd_none(*pmd) && !pmd_bad(*pmd))
				ret = pte_range(w, pmd, next);
			if (ret)
				return ret;
		}
		w->at = next;
		if (need_resched())
			cond_resched();
	}
	return 0;
}

/* Huge pages of hugetlbfs have tables of their own: copied through GUP. */
static int hugetlb_copy(struct walk *w)
{
	struct page *page;
	int ret;

	if (stasis_snap_room(w->snap, 1))
		return WALK_ROOM;
	if (!w->snap->spare)
		return WALK_PAGE;
	ret = stasis_gup(w->mm, w->at, FOLL_FORCE | FOLL_DUMP | FOLL_NOFAULT,
			 &page);
	if (ret == 1) {
		ret = page_copy(w, page);
		put_page(page);
		w->at += PAGE_SIZE;
		return ret;
	}
	w->at = ALIGN(w->at + 1, huge_page_size(hstate_vma(w->vma)));
	return 0;
}

static bool vma_wanted(struct vm_area_struct *vma)
{
	if (vma->vm_flags & (VM_MAYSHARE | VM_IO | VM_PFNMAP))
		return false;
	return is_vm_hugetlb_page(vma) || vma->anon_vma;
}

static int mm_walk(struct walk *w)
{
	struct vm_area_struct *vma;
	int ret = 0;

	while (!ret && (vma = find_vma(w->mm, w->at))) {
		w->vma = vma;
		w->at = max(w->at, vma->vm_start);
		if (!vma_wanted(vma)) {
			w->at = vma->vm_end;
		} else if (is_vm_hugetlb_page(vma)) {
			while (w->at < vma->vm_end && !ret)
				ret = hugetlb_copy(w);
		} else {
			ret = vma_walk(w);
		}
	}
	return ret;
}

static int fault_in(struct walk *w)
{
	struct page *page;
	long got;

	if (mmap_read_lock_killable(w->mm))
		return -EINTR;
	got = stasis_gup(w->mm, w->at, FOLL_FORCE, &page);
	mmap_read_unlock(w->mm);
	if (got == 1)
		put_page(page);
	else
		return got < 0 ? got : -EFAULT;
	w->snap->faulted++;
	return 0;
}

static int make_way(struct walk *w, int why)
{
	struct stasis_snap *snap = w->snap;

	switch (why) {
	case WALK_FAULT:
		return fault_in(w);
	case WALK_PAGE:
		snap->spare = alloc_page(GFP_HIGHUSER | __GFP_ACCOUNT);
		return snap->spare ? 0 : -ENOMEM;
	case WALK_ROOM:
		return -ENOMEM;
	default:
		return why;
	}
}

int stasis_walk(struct stasis_snap *snap)
{
	struct walk w = { .snap = snap, .mm = snap->mm };
	unsigned long last = 1;
	int ret, again = 0;

	w.cow = snap->mode == STASIS_SNAPSHOT_COW;
	for (;;) {
		ret = mmap_write_lock_killable(w.mm);
		if (ret)
			return ret;
		if (w.cow)
			raw_write_seqcount_begin(&w.mm->write_protect_seq);
		ret = mm_walk(&w);
		if (w.cow)
			raw_write_seqcount_end(&w.mm->write_protect_seq);
		/* Entries are read-only before anybody can rely on them. */
		if (w.cow)
			stasis_flush_all();
		mmap_write_unlock(w.mm);
		if (!ret)
			return 0;
		again = w.at == last ? again + 1 : 0;
		last = w.at;
		if (again > 50)
			return -EAGAIN;
		if (again > 2)
			schedule_timeout_killable(1);
		ret = make_way(&w, ret);
		if (ret)
			return ret;
	}
}
