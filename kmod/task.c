// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Records of a process and its threads, read from outside while they stand:
 * registers and xstate through the regset view that ptrace and core dumps
 * use, the rest from the structures themselves.  Each thread is looked at
 * before and after, so that a caller who thaws too early gets EBUSY.
 */
#include <linux/mman.h>
#include <linux/pid_namespace.h>
#include <linux/regset.h>
#include <linux/sched/task_stack.h>
#include <linux/securebits.h>
#include <linux/syscall_user_dispatch.h>
#include <linux/thread_info.h>
#include <asm/fpu/api.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#include "stasis.h"

static u32 proc_flags(struct task_struct *t, struct mm_struct *mm)
{
	u32 flags = 0;

	if (t->signal->is_child_subreaper)
		flags |= STASIS_PROC_SUBREAPER;
	if (stasis_mm_flag(mm, MMF_DISABLE_THP))
		flags |= STASIS_PROC_NO_THP;
#ifdef MMF_HAS_MDWE_MASK
	if (stasis_mm_flag(mm, MMF_HAS_MDWE))
		flags |= STASIS_PROC_MDWE;
#endif
#ifdef MMF_HAS_MDWE_NO_INHERIT
	if (stasis_mm_flag(mm, MMF_HAS_MDWE_NO_INHERIT))
		flags |= STASIS_PROC_MDWE_NO_INHERIT;
#endif
	if (t->group_leader->exit_state)
		flags |= STASIS_PROC_LEADERLESS;
	if (t->signal->flags & SIGNAL_STOP_STOPPED)
		flags |= STASIS_PROC_STOPPED;
	return flags;
}

static void proc_record(struct stasis_out *o, struct stasis_hold *h, u32 n)
{
	struct mm_struct *mm = h->proc->mm;
	struct task_struct *t = h->task;
	struct stasis_rec_proc *rec, none;

	rec = stasis_out_add(o, STASIS_REC_PROC, sizeof(*rec));
	if (!rec) {
		memset(&none, 0, sizeof(none));
		rec = &none;
	}
	rec->pid = task_tgid_vnr(t);
	rec->inner_pid = task_tgid_nr_ns(t, task_active_pid_ns(t));
	rec->flags = proc_flags(t, mm);
	rec->dumpable = get_dumpable(mm);
	rec->exit_signal = t->group_leader->exit_signal;
	if (rec->flags & STASIS_PROC_STOPPED)
		rec->stop_signal = t->signal->group_exit_code;
	if (mm->def_flags & VM_LOCKED)
		rec->lock_flags |= MCL_FUTURE;
	if (mm->def_flags & VM_LOCKONFAULT)
		rec->lock_flags |= MCL_ONFAULT;
	rec->membarrier = atomic_read(&mm->membarrier_state);
	rec->n_threads = n;
	rec->n_mm_users = atomic_read(&mm->mm_users);
	rec->swap_pages = get_mm_counter(mm, MM_SWAPENTS);
	rec->brk = mm->brk;
	stasis_timers(o, t, rec);
	stasis_actions(o, t);
	stasis_pending(o, t, true);
	stasis_timers(o, t, NULL);
}

/* Calls that return EINTR after any freeze though no signal came. */
static bool eintr_is_ours(const struct pt_regs *regs)
{
	if ((long)regs->orig_ax < 0 || (long)regs->ax != -EINTR)
		return false;
	switch (regs->orig_ax) {
	case __NR_epoll_wait:
	case __NR_epoll_pwait:
	case __NR_epoll_pwait2:
	case __NR_rt_sigtimedwait:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_accept:
	case __NR_accept4:
	case __NR_connect:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
	case __NR_semop:
	case __NR_semtimedop:
	case __NR_io_getevents:
	case __NR_io_pgetevents:
	case __NR_read:
	case __NR_readv:
	case __NR_write:
	case __NR_writev:
		return true;
	default:
		return false;
	}
}

static void thread_ids(struct task_struct *t, struct stasis_rec_thread *rec)
{
	const struct cred *c = get_task_cred(t);

	rec->tid = task_pid_vnr(t);
	rec->inner_tid = task_pid_nr_ns(t, task_active_pid_ns(t));
	rec->securebits = c->securebits;
	if (issecure_mask(SECURE_KEEP_CAPS) & c->securebits)
		rec->flags |= STASIS_THREAD_KEEPCAPS;
	if (thread_group_leader(t))
		rec->flags |= STASIS_THREAD_LEADER;
	if (t->flags & PF_IO_WORKER)
		rec->flags |= STASIS_THREAD_IO_WORKER;
	put_cred(c);
}

static void thread_sud(struct task_struct *t, struct stasis_rec_thread *rec)
{
	if (!test_task_syscall_work(t, SYSCALL_USER_DISPATCH))
		return;
	rec->flags |= STASIS_THREAD_SUD;
	rec->sud_selector = (unsigned long)t->syscall_dispatch.selector;
	rec->sud_offset = t->syscall_dispatch.offset;
	rec->sud_len = t->syscall_dispatch.len;
}

static void thread_fields(struct stasis_session *s, struct task_struct *t,
			  struct stasis_rec_thread *rec)
{
	if (stasis_parked(s, t))
		rec->flags |= STASIS_THREAD_PARKED;
	rec->pdeathsig = t->pdeath_signal;
	rec->sigmask = t->blocked.sig[0];
	if (test_tsk_restore_sigmask(t)) {
		rec->sigmask = t->saved_sigmask.sig[0];
		rec->flags |= STASIS_THREAD_SAVED_MASK;
	}
	rec->altstack_sp = t->sas_ss_sp;
	rec->altstack_size = t->sas_ss_size;
	rec->altstack_flags = t->sas_ss_flags;
	rec->clear_tid = (unsigned long)t->clear_child_tid;
	rec->robust_list = stasis_robust(t);
	rec->robust_len = 24;
	rec->rseq = stasis_rseq_ptr(t);
	rec->rseq_size = stasis_rseq_len(t);
	rec->rseq_sig = stasis_rseq_sig(t);
	rec->timer_slack = t->timer_slack_ns;
	thread_sud(t, rec);
	stasis_policy(t->mempolicy, &rec->policy, rec->nodes);
}

static void regs_record(struct stasis_out *o, struct task_struct *t, u32 note,
			u16 type)
{
	const struct user_regset_view *view = task_user_regset_view(t);
	const struct user_regset *rs = NULL;
	struct stasis_rec *rec;
	unsigned int i;
	size_t size;
	int got;

	for (i = 0; i < view->n; i++)
		if (view->regsets[i].core_note_type == note)
			rs = &view->regsets[i];
	if (!rs)
		return;
	size = (size_t)rs->n * rs->size;
	rec = stasis_out_add(o, type, sizeof(*rec) + size);
	if (!rec)
		return;
	got = regset_get(t, rs, size, rec + 1);
	if (got >= 0 && (size_t)got < size)
		rec->unused = rec->size - sizeof(*rec) - got;
}

/* What the interrupted call left behind; true: its EINTR is our doing. */
static bool call_state(struct task_struct *t, struct stasis_rec_thread *rec,
		       u32 flags)
{
	struct pt_regs *regs = task_pt_regs(t);

	if ((long)regs->ax == -ERESTART_RESTARTBLOCK)
		stasis_sleep(t, rec);
	if (!eintr_is_ours(regs))
		return false;
	rec->flags |= STASIS_THREAD_EINTR;
	/* Only what the user could do himself by ptrace, and nothing else. */
	if (flags & STASIS_TASKS_REPAIR)
		regs->ax = -ERESTARTNOHAND;
	return true;
}

/*
 * May the registers be read from outside, under a spin lock?  A larger FPU
 * buffer (AMX) is swapped in while a thread runs; only the one inside of the
 * task stays.  Without FSGSBASE a base behind an LDT needs a mutex.
 */
static int regs_check(struct stasis_session *s, struct task_struct *t)
{
	if (!t->mm || stasis_stands(s, t))
		return -EBUSY;
	if (stasis_fpu(t)->fpstate != &stasis_fpu(t)->__fpstate)
		return -EOPNOTSUPP;
	if (!boot_cpu_has(X86_FEATURE_FSGSBASE) &&
	    (t->thread.fsindex | t->thread.gsindex) & 4)
		return -EOPNOTSUPP;
	return 0;
}

static void state_records(struct stasis_out *o, struct task_struct *t,
			  struct stasis_rec_thread *rec, u32 flags)
{
	bool eintr = call_state(t, rec, flags);
	size_t at = o->used;
	struct user_regs_struct *regs;

	regs_record(o, t, NT_PRSTATUS, STASIS_REC_REGS);
	if (eintr && o->used <= o->max) {
		regs = (void *)(o->buf + at + sizeof(struct stasis_rec));
		regs->ax = -ERESTARTNOHAND;
	}
	regs_record(o, t, NT_X86_XSTATE, STASIS_REC_XSTATE);
}

/*
 * The task lock keeps a killed thread from leaving its address space, hence
 * from ending: its kernel stack, where the registers are, stays its own.
 */
static int thread_record(struct stasis_session *s, struct stasis_out *o,
			 struct task_struct *t, u32 flags)
{
	struct stasis_rec_thread *rec, none;
	int ret;

	rec = stasis_out_add(o, STASIS_REC_THREAD, sizeof(*rec));
	if (!rec) {
		memset(&none, 0, sizeof(none));
		rec = &none;
	}
	thread_ids(t, rec);
	task_lock(t);
	ret = regs_check(s, t);
	if (!ret) {
		thread_fields(s, t, rec);
		state_records(o, t, rec, flags);
	}
	task_unlock(t);
	if (ret)
		return ret;
	stasis_pending(o, t, false);
	return stasis_stands(s, t) ? -EBUSY : 0;
}

int stasis_ioc_tasks(struct stasis_session *s, void *arg)
{
	struct stasis_tasks *a = arg;
	struct task_struct **list;
	struct stasis_hold h;
	struct stasis_out o;
	u32 n, i;
	int ret;

	if (a->flags & ~STASIS_TASKS_REPAIR || a->reserved || a->used ||
	    a->needed)
		return -EINVAL;
	ret = stasis_out_init(&o, a->len);
	if (ret)
		return ret;
	ret = stasis_hold_get(s, a->id, &h);
	if (ret)
		goto out;
	ret = stasis_threads_get(h.task, &list, &n);
	if (ret)
		goto out_hold;
	ret = stasis_all_stand(s, &h);
	if (!ret)
		proc_record(&o, &h, n);
	for (i = 0; i < n && !ret; i++) {
		ret = thread_record(s, &o, list[i], a->flags);
		cond_resched();
	}
	stasis_threads_put(list, n);
out_hold:
	stasis_hold_put(&h);
	if (!ret)
		ret = stasis_out_give(&o, a->buf, &a->used, &a->needed);
out:
	stasis_out_fini(&o);
	return ret;
}
