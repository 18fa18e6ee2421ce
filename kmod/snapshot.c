// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Snapshots: an index of page references for each address space.  Memory:
 * 16 bytes a page, charged to the caller; the pages stay charged to the group
 * that they belong to.  The index is dropped with the session.
 */
#include <linux/smp.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/invpcid.h>
#include <asm/special_insns.h>

#include "stasis.h"

/* Write protection needs every CPU's TLB emptied by our own hand. */
bool stasis_cow_possible(void)
{
	if (boot_cpu_has(X86_FEATURE_XENPV))
		return false;
	return !boot_cpu_has(X86_FEATURE_PCID) ||
	       boot_cpu_has(X86_FEATURE_INVPCID);
}

/*
 * flush_tlb_mm_range() is not for modules.  All entries of all address
 * spaces but the kernel's global ones, on all CPUs: no assumption about who
 * has this address space loaded, lazily or by a broadcast id.
 */
static void flush_here(void *unused)
{
	if (boot_cpu_has(X86_FEATURE_INVPCID))
		invpcid_flush_all_nonglobals();
	else
		native_write_cr3(__native_read_cr3());
}

void stasis_flush_all(void)
{
	on_each_cpu(flush_here, NULL, 1);
}

int stasis_snap_room(struct stasis_snap *snap, u32 n)
{
	struct stasis_chunk *c;
	int ret;

	if (snap->n_chunks) {
		c = xa_load(&snap->chunks, snap->n_chunks - 1);
		if (c->n + n <= STASIS_CHUNK_ENTS)
			return 0;
	}
	/* What is left of the last one stays empty. */
	c = kmalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return -ENOMEM;
	c->n = 0;
	ret = xa_err(
		xa_store(&snap->chunks, snap->n_chunks, c, GFP_KERNEL_ACCOUNT));
	if (ret) {
		kfree(c);
		return ret;
	}
	snap->n_chunks++;
	return 0;
}

void stasis_snap_add(struct stasis_snap *snap, unsigned long addr,
		     struct page *page)
{
	struct stasis_chunk *c = xa_load(&snap->chunks, snap->n_chunks - 1);

	c->ent[c->n].addr = addr;
	c->ent[c->n].page = page;
	c->n++;
	if (addr & STASIS_SNAP_HUGE) {
		snap->huge += PTRS_PER_PTE;
		snap->pages += PTRS_PER_PTE;
	} else {
		snap->pages++;
	}
}

static void chunk_free(struct stasis_chunk *c)
{
	u32 i;

	for (i = 0; i < c->n; i++)
		put_page(c->ent[i].page);
	kfree(c);
	cond_resched();
}

static void snap_free(struct stasis_snap *snap)
{
	struct stasis_chunk *c;
	unsigned long i;

	xa_for_each(&snap->chunks, i, c) chunk_free(c);
	xa_destroy(&snap->chunks);
	if (snap->spare)
		__free_page(snap->spare);
	mmdrop(snap->mm);
	list_del(&snap->node);
	kfree(snap);
}

void stasis_snapshot_drop(struct stasis_session *s)
{
	struct stasis_snap *snap, *next;

	list_for_each_entry_safe(snap, next, &s->snaps, node) snap_free(snap);
	s->snap_mode = 0;
}

static struct stasis_snap *snap_of(struct stasis_session *s,
				   struct mm_struct *mm)
{
	struct stasis_snap *snap;

	list_for_each_entry(snap, &s->snaps,
			    node) if (snap->mm == mm) return snap;
	return NULL;
}

static int snap_new(struct stasis_session *s, struct mm_struct *mm, u32 mode)
{
	struct stasis_snap *snap = kzalloc(sizeof(*snap), GFP_KERNEL_ACCOUNT);

	if (!snap)
		return -ENOMEM;
	mmgrab(mm);
	snap->mm = mm;
	snap->mode = mode;
	xa_init(&snap->chunks);
	list_add_tail(&snap->node, &s->snaps);
	return 0;
}

/* Threads of the session that use an address space. */
static u32 users_known(struct stasis_session *s, struct mm_struct *mm)
{
	struct task_struct *t, *leader;
	struct stasis_proc *p;
	unsigned long id;
	u32 n = 0;

	rcu_read_lock();
	xa_for_each(&s->procs, id, p)
	{
		leader = p->mm == mm ? pid_task(p->pid, PIDTYPE_TGID) : NULL;
		if (leader)
			for_each_thread(leader, t) n += t->mm == mm;
	}
	rcu_read_unlock();
	return n;
}

/*
 * Somebody else on the address space (io_uring's poller, vhost, CLONE_VM of
 * a process that was not attached) could write while we believe all stand.
 * Readers of /proc count too, for a moment: look again.
 */
static bool strangers(struct stasis_session *s, struct mm_struct *mm)
{
	int i;

	for (i = 0; i < 20; i++) {
		if (atomic_read(&mm->mm_users) <= users_known(s, mm) + 1)
			return false;
		usleep_range(100, 200);
	}
	return true;
}

static int snap_mm(struct stasis_session *s, struct stasis_snap *snap,
		   struct stasis_snapshot *a)
{
	int ret;

	if (!mmget_not_zero(snap->mm))
		return -ESRCH;
	if (strangers(s, snap->mm))
		a->strangers++;
	ret = a->strangers && snap->mode == STASIS_SNAPSHOT_COW ?
		      -EBUSY :
		      stasis_walk(snap);
	mmput_async(snap->mm);
	a->pages += snap->pages;
	a->huge += snap->huge;
	a->copied += snap->copied;
	a->faulted += snap->faulted;
	return ret;
}

/* The order matters: nothing is touched before all are known to stand. */
static int snap_all(struct stasis_session *s, struct stasis_snapshot *a)
{
	struct stasis_snap *snap;
	struct stasis_proc *p;
	struct stasis_hold h;
	unsigned long id;
	int ret;

	xa_for_each(&s->procs, id, p)
	{
		ret = stasis_hold_get(s, id, &h);
		if (ret)
			return ret;
		ret = stasis_all_stand(s, &h);
		stasis_hold_put(&h);
		if (!ret && !snap_of(s, p->mm))
			ret = snap_new(s, p->mm, a->mode);
		if (ret)
			return ret;
	}
	list_for_each_entry(snap, &s->snaps, node)
	{
		ret = snap_mm(s, snap, a);
		if (ret)
			return ret;
	}
	xa_for_each(&s->procs, id, p)
	{
		ret = stasis_hold_get(s, id, &h);
		if (ret)
			return ret;
		ret = stasis_all_stand(s, &h);
		stasis_hold_put(&h);
		if (ret)
			return ret;
	}
	return 0;
}

int stasis_ioc_snapshot(struct stasis_session *s, void *arg)
{
	struct stasis_snapshot *a = arg;
	u64 begin = ktime_get_ns();
	int ret;

	if ((a->mode != STASIS_SNAPSHOT_REF &&
	     a->mode != STASIS_SNAPSHOT_COW) ||
	    a->pages || a->huge || a->copied || a->faulted || a->ns ||
	    a->strangers || a->reserved)
		return -EINVAL;
	if (a->mode == STASIS_SNAPSHOT_COW && !stasis_cow_possible())
		return -EOPNOTSUPP;
	if (s->snap_mode)
		return -EEXIST;
	if (!s->n_procs)
		return -ENOENT;
	ret = snap_all(s, a);
	if (ret)
		stasis_snapshot_drop(s);
	else
		s->snap_mode = a->mode;
	a->ns = ktime_get_ns() - begin;
	return ret;
}

int stasis_ioc_drop(struct stasis_session *s, void *arg)
{
	struct stasis_drop *a = arg;

	if (a->reserved)
		return -EINVAL;
	stasis_snapshot_drop(s);
	return 0;
}

/*
 * Whoever could take the snapshot may read it, also when the process has
 * ended since.  A process that lives must still be the one that was asked
 * for; a REF snapshot is true only while it stands.
 */
int stasis_snap_get(struct stasis_session *s, u32 id, struct stasis_snap **snap)
{
	struct stasis_proc *p = xa_load(&s->procs, id);
	struct stasis_hold h;
	int ret;

	if (!p || !s->snap_mode)
		return -ENOENT;
	*snap = snap_of(s, p->mm);
	if (!*snap)
		return -ENOENT;
	ret = stasis_hold_get(s, id, &h);
	if (ret == -ESRCH && s->snap_mode == STASIS_SNAPSHOT_COW)
		return 0;
	if (ret)
		return ret;
	if (s->snap_mode == STASIS_SNAPSHOT_REF)
		ret = stasis_all_stand(s, &h);
	stasis_hold_put(&h);
	return ret;
}

void stasis_iter_seek(struct stasis_iter *it, struct stasis_snap *snap,
		      unsigned long addr)
{
	u32 lo = 0, hi = snap->n_chunks, mid;
	struct stasis_chunk *c;

	it->snap = snap;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		c = xa_load(&snap->chunks, mid);
		if (c->n && stasis_ent_end(&c->ent[c->n - 1]) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	it->chunk = lo;
	it->ent = 0;
	c = xa_load(&snap->chunks, lo);
	if (!c)
		return;
	lo = 0;
	hi = c->n;
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (stasis_ent_end(&c->ent[mid]) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	it->ent = lo;
}

struct stasis_ent *stasis_iter_get(struct stasis_iter *it)
{
	struct stasis_chunk *c = xa_load(&it->snap->chunks, it->chunk);

	while (c && it->ent >= c->n) {
		it->ent = 0;
		c = xa_load(&it->snap->chunks, ++it->chunk);
	}
	return c ? &c->ent[it->ent] : NULL;
}

void stasis_iter_next(struct stasis_iter *it)
{
	it->ent++;
}
