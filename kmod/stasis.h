/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the module: the session, its processes, and what the files give
 * each other.  A session is one open descriptor; its mutex is held over every
 * call, so nothing below locks against itself.  Order of locks: session,
 * exec_update_lock, mmap_lock, page table lock.  None of them is held over
 * a copy to or from user space or a write to a file, but the session's.
 */
#ifndef _STASIS_H
#define _STASIS_H

#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "uapi/stasis.h"
#include "compat/compat.h"

struct stasis_gate;
struct stasis_snap;

struct stasis_session {
	struct mutex lock;
	struct xarray procs; /* id -> struct stasis_proc */
	u32 n_procs;
	u32 n_threads; /* counted at attach, for the bound */
	struct stasis_gate *gate; /* parked threads; NULL: none */
	struct list_head snaps; /* one struct stasis_snap an address space */
	u32 snap_mode; /* 0: no snapshot */
};

struct stasis_proc {
	u32 id;
	struct file *proof; /* /proc/PID/mem */
	struct pid *pid; /* of the thread group */
	struct mm_struct *mm; /* mm_count held, not mm_users */
};

/* session.c */
int stasis_ioc_version(struct stasis_session *s, void *arg);
int stasis_ioc_attach(struct stasis_session *s, void *arg);
void stasis_proc_free(struct stasis_proc *p);

/* A process looked at under its exec_update_lock, and allowed. */
struct stasis_hold {
	struct stasis_proc *proc;
	struct task_struct *task; /* some live thread of it */
};
/*
 * Repeat the permission check and keep exec away until _put.  The task
 * stays referenced, its mm is the proof's.  -ESRCH, -EPERM, -EINTR.
 */
int stasis_hold_get(struct stasis_session *s, u32 id, struct stasis_hold *h);
void stasis_hold_put(struct stasis_hold *h);

/* All live threads, referenced, the leader first where it lives. */
int stasis_threads_get(struct task_struct *task, struct task_struct ***list,
		       u32 *n);
void stasis_threads_put(struct task_struct **list, u32 n);

/* freeze.c */
int stasis_ioc_park(struct stasis_session *s, void *arg);
int stasis_ioc_unpark(struct stasis_session *s, void *arg);
int stasis_ioc_wait(struct stasis_session *s, void *arg);
void stasis_unpark(struct stasis_session *s);
bool stasis_parked(struct stasis_session *s, struct task_struct *t);
/* 0: stands and is off its CPU; else STASIS_WHY_*. */
u32 stasis_stands(struct stasis_session *s, struct task_struct *t);
/* Do all threads of the held process stand?  0, -EBUSY, -ENOMEM. */
int stasis_all_stand(struct stasis_session *s, struct stasis_hold *h);

/* record.c: a growing buffer of records in kernel memory */
struct stasis_out {
	char *buf;
	size_t len;
	size_t max; /* allocated */
	size_t used; /* also beyond max: what would be needed */
};
int stasis_out_init(struct stasis_out *o, u64 len);
void stasis_out_fini(struct stasis_out *o);
/* Room for one record with its header filled; NULL: it did not fit. */
void *stasis_out_add(struct stasis_out *o, u16 type, size_t size);
int stasis_out_give(struct stasis_out *o, u64 buf, u64 *used, u64 *needed);
void stasis_policy(struct mempolicy *pol, u32 *policy, u64 nodes[16]);

/* task.c, timer.c, signal.c */
int stasis_ioc_tasks(struct stasis_session *s, void *arg);
void stasis_timers(struct stasis_out *o, struct task_struct *task,
		   struct stasis_rec_proc *rec);
void stasis_sleep(struct task_struct *t, struct stasis_rec_thread *rec);
struct sighand_struct *stasis_sighand_lock(struct task_struct *t,
					   unsigned long *flags);
void stasis_actions(struct stasis_out *o, struct task_struct *t);
void stasis_pending(struct stasis_out *o, struct task_struct *t, bool shared);

/* mm.c */
int stasis_ioc_vmas(struct stasis_session *s, void *arg);

/* snapshot.c, walk.c */
int stasis_ioc_snapshot(struct stasis_session *s, void *arg);
int stasis_ioc_drop(struct stasis_session *s, void *arg);
void stasis_snapshot_drop(struct stasis_session *s);
bool stasis_cow_possible(void);
void stasis_flush_all(void);
/* The held snapshot of a process; checks that it may be read now. */
int stasis_snap_get(struct stasis_session *s, u32 id,
		    struct stasis_snap **snap);

#define STASIS_SNAP_HUGE 0x1ul /* 512 pages from .page on */
#define STASIS_SNAP_COPY 0x2ul /* .page is ours */
#define STASIS_SNAP_FLAGS 0xffful

struct stasis_ent {
	unsigned long addr; /* and STASIS_SNAP_* */
	struct page *page;
};

#define STASIS_CHUNK_ENTS ((4 * PAGE_SIZE - 16) / sizeof(struct stasis_ent))

struct stasis_chunk {
	u32 n;
	struct stasis_ent ent[STASIS_CHUNK_ENTS];
};

/* The index of one address space, sorted by address. */
struct stasis_snap {
	struct list_head node;
	struct mm_struct *mm; /* mm_count held */
	u32 mode;
	struct xarray chunks; /* number -> struct stasis_chunk */
	u32 n_chunks;
	u64 pages;
	u64 huge;
	u64 copied;
	u64 faulted;
	struct page *spare; /* for a copy made under a page table lock */
};

/* Index everything private of snap->mm; the processes stand. */
int stasis_walk(struct stasis_snap *snap);
int stasis_snap_room(struct stasis_snap *snap, u32 n);
void stasis_snap_add(struct stasis_snap *snap, unsigned long addr,
		     struct page *page);

/* A place in an index: the first entry that ends after an address. */
struct stasis_iter {
	struct stasis_snap *snap;
	u32 chunk;
	u32 ent;
};
void stasis_iter_seek(struct stasis_iter *it, struct stasis_snap *snap,
		      unsigned long addr);
struct stasis_ent *stasis_iter_get(struct stasis_iter *it);
void stasis_iter_next(struct stasis_iter *it);

static inline unsigned long stasis_ent_start(const struct stasis_ent *e)
{
	return e->addr & ~STASIS_SNAP_FLAGS;
}

static inline unsigned long stasis_ent_end(const struct stasis_ent *e)
{
	return stasis_ent_start(e) +
	       (e->addr & STASIS_SNAP_HUGE ? PMD_SIZE : PAGE_SIZE);
}

/* The page of an entry that backs addr, a page boundary inside of it. */
static inline struct page *stasis_ent_page(const struct stasis_ent *e,
					   unsigned long addr)
{
	return e->page + ((addr - stasis_ent_start(e)) >> PAGE_SHIFT);
}

/* stream.c */
int stasis_ioc_pages(struct stasis_session *s, void *arg);
int stasis_ioc_read(struct stasis_session *s, void *arg);
int stasis_ioc_stream(struct stasis_session *s, void *arg);

#endif
