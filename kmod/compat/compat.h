/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The differences between kernels, one branch for each probe in compat/.
 * generated.h is what compat/probe found out about the kernel at hand.
 */
#ifndef _STASIS_COMPAT_H
#define _STASIS_COMPAT_H

#include <linux/mm.h>
#include <linux/posix-timers.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/sched/signal.h>

#include "compat-generated.h"

#ifdef STASIS_HAVE_GUP_VMAS
#define stasis_gup(mm, addr, flags, page)                                      \
	get_user_pages_remote(mm, addr, 1, flags, page, NULL, NULL)
#else
#define stasis_gup(mm, addr, flags, page)                                      \
	get_user_pages_remote(mm, addr, 1, flags, page, NULL)
#endif

#ifdef STASIS_HAVE_FOLIO_SHARE
static inline int stasis_share_pte(struct page *page)
{
	return folio_try_share_anon_rmap_pte(page_folio(page), page);
}

static inline int stasis_share_pmd(struct page *page)
{
	return folio_try_share_anon_rmap_pmd(page_folio(page), page);
}
#else
static inline int stasis_share_pte(struct page *page)
{
	return page_try_share_anon_rmap(page);
}

static inline int stasis_share_pmd(struct page *page)
{
	return page_try_share_anon_rmap(page);
}
#endif

#ifdef STASIS_HAVE_PTIMER_HLIST
#define stasis_for_each_ptimer(t, sig)                                         \
	hlist_for_each_entry(t, &(sig)->posix_timers, list)
#else
#define stasis_for_each_ptimer(t, sig)                                         \
	list_for_each_entry(t, &(sig)->posix_timers, list)
#endif

#ifdef STASIS_HAVE_PTIMER_SIGQ
#define stasis_ptimer_info(t) (&(t)->sigq->info)
#else
#define stasis_ptimer_info(t) (&(t)->sigq.info)
#endif

#ifdef STASIS_HAVE_PTIMER_ACTIVE
#define stasis_ptimer_armed(t)                                                 \
	((t)->it_active || ((t)->it_interval && (t)->it_requeue_pending & 1))
#else
#define stasis_ptimer_armed(t) ((t)->it_status != POSIX_TIMER_DISARMED)
#endif

#ifdef STASIS_HAVE_RSEQ_STRUCT
#define stasis_rseq_ptr(t) ((unsigned long)(t)->rseq.usrptr)
#define stasis_rseq_len(t) ((t)->rseq.len)
#define stasis_rseq_sig(t) ((t)->rseq.sig)
#else
#define stasis_rseq_ptr(t) ((unsigned long)(t)->rseq)
#define stasis_rseq_sig(t) ((t)->rseq_sig)
#ifdef STASIS_HAVE_RSEQ_LEN
#define stasis_rseq_len(t) ((t)->rseq_len)
#else
#define stasis_rseq_len(t) ((t)->rseq ? 32 : 0)
#endif
#endif

#ifdef STASIS_HAVE_ROBUST_FUTEX
#define stasis_robust(t) ((unsigned long)(t)->futex.robust_list)
#else
#define stasis_robust(t) ((unsigned long)(t)->robust_list)
#endif

#ifdef STASIS_HAVE_MM_FLAGS
#define stasis_mm_flag(mm, bit) mm_flags_test(bit, mm)
#else
#define stasis_mm_flag(mm, bit) test_bit(bit, &(mm)->flags)
#endif

#ifdef STASIS_HAVE_POLL_END
#define stasis_poll_expiry(b)                                                  \
	((b)->poll.has_timeout ? timespec64_to_ns(&(b)->poll.end_time) : -1)
#else
#define stasis_poll_expiry(b)                                                  \
	((b)->poll.has_timeout ?                                               \
		 (s64)(b)->poll.tv_sec * NSEC_PER_SEC + (b)->poll.tv_nsec :    \
		 -1)
#endif

#ifdef STASIS_HAVE_TASK_FPU
#define stasis_fpu(t) x86_task_fpu(t)
#else
#define stasis_fpu(t) (&(t)->thread.fpu)
#endif

#endif
