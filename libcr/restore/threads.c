/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each thread sets for itself: name, scheduling, stacks and lists known
 * to the kernel, pending signals.  Registers and the signal mask come last, by
 * ptrace (takeover.c).  plan_last() holds what must wait until ptrace has the
 * thread: credentials, limits, dumpability.
 */
#include "config.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "restore/restore.h"

#define IOPRIO_WHO_PROCESS 1

struct sched_attr_v0 {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime;
	uint64_t deadline;
	uint64_t period;
};

static int sched(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_thread *rec = th->rec;
	struct sched_attr_v0 attr = {
		.size = sizeof(attr),
		.policy = rec->sched_policy,
		.flags = rec->sched_flags & 1,
		.nice = (int32_t)rec->nice,
		.priority = rec->sched_prio,
		.runtime = rec->sched_runtime,
		.deadline = rec->sched_deadline,
		.period = rec->sched_period,
	};
	struct rb_op *op;
	void *p;

	/* Policies without a nice value keep it for their way back. */
	if (rec->nice && rec->sched_policy != SCHED_OTHER &&
	    rec->sched_policy != SCHED_BATCH &&
	    !cri_op_sys(rs, th, "setting its nice value", SYS_setpriority,
			PRIO_PROCESS, 0, rec->nice, 0, 0, 0))
		return -ENOMEM;
	if (rec->sched_policy || rec->nice || rec->sched_flags) {
		p = cri_area_copy(rs, &attr, sizeof(attr));
		op = cri_op_sys(rs, th, "setting its scheduling",
				SYS_sched_setattr, 0, (int64_t)p, 0, 0, 0, 0);
		if (!p || !op)
			return -ENOMEM;
	}
	if (rec->affinity.len) {
		p = cri_area_copy(rs, rec->affinity.p, rec->affinity.len);
		op = cri_op_sys(rs, th, "setting its affinity",
				SYS_sched_setaffinity, 0, rec->affinity.len,
				(int64_t)p, 0, 0, 0);
		if (!p || !op)
			return -ENOMEM;
		op->flags |= RB_IGNORE; /* the launcher's cpuset wins */
	}
	if (rec->ioprio &&
	    !cri_op_sys(rs, th, "setting its I/O priority", SYS_ioprio_set,
			IOPRIO_WHO_PROCESS, 0, rec->ioprio, 0, 0, 0))
		return -ENOMEM;
	return 0;
}

static int lists(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_thread *rec = th->rec;
	stack_t ss;
	void *p;

	if (!cri_op_sys(rs, th, "setting its exit address", SYS_set_tid_address,
			(int64_t)rec->clear_tid, 0, 0, 0, 0, 0))
		return -ENOMEM;
	if (rec->robust_len &&
	    !cri_op_sys(rs, th, "setting its robust list", SYS_set_robust_list,
			(int64_t)rec->robust_list, (int64_t)rec->robust_len, 0,
			0, 0, 0))
		return -ENOMEM;
	if (rec->rseq && !cri_op_sys(rs, th, "registering its rseq area",
				     SYS_rseq, (int64_t)rec->rseq,
				     rec->rseq_size, 0, rec->rseq_sig, 0, 0))
		return -ENOMEM;
	if (rec->altstack_size && !(rec->altstack_flags & SS_DISABLE)) {
		memset(&ss, 0, sizeof(ss));
		ss.ss_sp = (void *)rec->altstack_sp;
		ss.ss_size = rec->altstack_size;
		ss.ss_flags = (int)(rec->altstack_flags & ~SS_ONSTACK);
		p = cri_area_copy(rs, &ss, sizeof(ss));
		if (!p ||
		    !cri_op_sys(rs, th, "setting its signal stack",
				SYS_sigaltstack, (int64_t)p, 0, 0, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int pending(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_thread *rec = th->rec;
	uint32_t i;

	for (i = 0; i < rec->n_pending; i++) {
		const struct cri_bytes *raw = &rec->pending[i].raw;
		void *p;
		int sig;

		if (raw->len != sizeof(siginfo_t))
			return -EBADMSG;
		memcpy(&sig, raw->p, sizeof(sig));
		p = cri_area_copy(rs, raw->p, raw->len);
		if (!p || !cri_op_sys(rs, th, "queueing a pending signal",
				      SYS_rt_tgsigqueueinfo, th->task->rec->pid,
				      rec->tid, sig, (int64_t)p, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int prctls(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_thread *rec = th->rec;
	void *name = cri_area_copy(rs, rec->comm, strlen(rec->comm) + 1);

	if (!name || !cri_op_sys(rs, th, "setting its name", SYS_prctl,
				 PR_SET_NAME, (int64_t)name, 0, 0, 0, 0))
		return -ENOMEM;
	if (rec->timer_slack &&
	    !cri_op_sys(rs, th, "setting its timer slack", SYS_prctl,
			PR_SET_TIMERSLACK, (int64_t)rec->timer_slack, 0, 0, 0,
			0))
		return -ENOMEM;
	if (rec->policy) {
		void *p = cri_area_copy(rs, rec->nodes.p, rec->nodes.len);
		struct rb_op *op;

		op = cri_op_sys(rs, th, "setting its memory policy",
				SYS_set_mempolicy, rec->policy, (int64_t)p,
				rec->nodes.len * 8, 0, 0, 0);
		if (!p || !op)
			return -ENOMEM;
		op->flags |= RB_IGNORE;
	}
	return 0;
}

int cri_plan_thread(struct cri_restore *rs, struct cri_rthread *th,
		    struct cri_err *err)
{
	int ret;

	ret = sched(rs, th);
	if (!ret)
		ret = lists(rs, th);
	if (!ret)
		ret = prctls(rs, th);
	if (!ret)
		ret = pending(rs, th);
	return ret ? cri_fail(err, -ret, "cannot plan thread %u",
			      th->rec->tid) :
		     0;
}

static int limits(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_task *rec = th->task->rec;
	uint32_t i;

	for (i = 0; i < rec->n_rlimits; i++) {
		struct rlimit64 lim = { rec->rlimits[i].cur,
					rec->rlimits[i].max };
		void *p = cri_area_copy(rs, &lim, sizeof(lim));

		if (!p ||
		    !cri_op_sys(rs, th, "setting a resource limit",
				SYS_prlimit64, 0, rec->rlimits[i].resource,
				(int64_t)p, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int identity(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_task *rec = th->task->rec;
	uint32_t *groups, i;

	if (rec->n_groups || rs->set_groups) {
		groups = cri_area_alloc(rs, (rec->n_groups + 1) * 4ul, 8);
		if (!groups)
			return -ENOMEM;
		for (i = 0; i < rec->n_groups; i++)
			groups[i] = rec->groups[i].gid;
		if (!cri_op_sys(rs, th, "setting its groups", SYS_setgroups,
				rec->n_groups, (int64_t)groups, 0, 0, 0, 0))
			return -ENOMEM;
	}
	if (!cri_op_sys(rs, th, "setting its group", SYS_setresgid, rec->rgid,
			rec->egid, rec->sgid, 0, 0, 0) ||
	    !cri_op_sys(rs, th, "keeping capabilities", SYS_prctl,
			PR_SET_KEEPCAPS, 1, 0, 0, 0, 0) ||
	    !cri_op_sys(rs, th, "setting its user", SYS_setresuid, rec->ruid,
			rec->euid, rec->suid, 0, 0, 0) ||
	    !cri_op_sys(rs, th, "setting its file system user", SYS_setfsuid,
			rec->fsuid, 0, 0, 0, 0, 0) ||
	    !cri_op_sys(rs, th, "setting its file system group", SYS_setfsgid,
			rec->fsgid, 0, 0, 0, 0, 0))
		return -ENOMEM;
	return 0;
}

/* Never more than both the image and the caller have. */
static int capabilities(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_task *rec = th->task->rec;
	struct {
		struct __user_cap_header_struct head;
		struct __user_cap_data_struct data[2];
	} caps;
	uint64_t prm = rec->cap_prm & rs->cap_limit;
	uint64_t eff = rec->cap_eff & prm, inh = rec->cap_inh & rs->cap_limit;
	struct rb_op *op;
	char *p;
	int i;

	if (rs->drop_bounding)
		for (i = 0; i <= CAP_LAST_CAP; i++) {
			if (rec->cap_bnd >> i & 1)
				continue;
			op = cri_op_sys(rs, th, "dropping a capability",
					SYS_prctl, PR_CAPBSET_DROP, i, 0, 0, 0,
					0);
			if (!op)
				return -ENOMEM;
			op->flags |= RB_IGNORE; /* unknown to this kernel */
		}
	memset(&caps, 0, sizeof(caps));
	caps.head.version = _LINUX_CAPABILITY_VERSION_3;
	caps.data[0].permitted = (uint32_t)prm;
	caps.data[1].permitted = (uint32_t)(prm >> 32);
	caps.data[0].effective = (uint32_t)eff;
	caps.data[1].effective = (uint32_t)(eff >> 32);
	caps.data[0].inheritable = (uint32_t)inh;
	caps.data[1].inheritable = (uint32_t)(inh >> 32);
	p = cri_area_copy(rs, &caps, sizeof(caps));
	if (!p || !cri_op_sys(rs, th, "setting its capabilities", SYS_capset,
			      (int64_t)p, (int64_t)(p + sizeof(caps.head)), 0,
			      0, 0, 0))
		return -ENOMEM;
	for (i = 0; i <= CAP_LAST_CAP; i++) {
		if (!(rec->cap_amb & prm & inh) || !(rec->cap_amb >> i & 1))
			continue;
		if (!cri_op_sys(rs, th, "raising an ambient capability",
				SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
				i, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

/*
 * While privileges are still there to install them; the tracer suspends them
 * until it lets the thread go (takeover.c).
 */
static int seccomp(struct cri_restore *rs, struct cri_rthread *th)
{
	const struct cri_rec_task *rec = th->task->rec;
	struct sock_fprog prog;
	uint32_t i;
	void *p;

	if (!cri_task_filtered(rec))
		return 0;
	if (rec->seccomp == SECCOMP_MODE_STRICT)
		return cri_op_sys(rs, th, "entering strict seccomp",
				  SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, 0, 0,
				  0, 0) ?
			       0 :
			       -ENOMEM;
	for (i = 0; i < rec->n_filters; i++) {
		const struct cri_bytes *code = &rec->filters[i].data;

		if (code->len % sizeof(struct sock_filter) ||
		    code->len / sizeof(struct sock_filter) > BPF_MAXINSNS)
			return -EBADMSG;
		prog.len = (unsigned short)(code->len /
					    sizeof(struct sock_filter));
		prog.filter = cri_area_copy(rs, code->p, code->len);
		p = cri_area_copy(rs, &prog, sizeof(prog));
		if (!p || !prog.filter ||
		    !cri_op_sys(rs, th, "installing a seccomp filter",
				SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
				(int64_t)p, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

bool cri_task_filtered(const struct cri_rec_task *rec)
{
	return rec->seccomp && !rec->seccomp_ambient;
}

int cri_plan_last(struct cri_restore *rs, struct cri_rthread *th,
		  struct cri_err *err)
{
	const struct cri_rec_task *rec = th->task->rec;
	bool leader = th == th->task->threads;
	int ret = 0;

	if (leader)
		ret = limits(rs, th);
	if (!ret)
		ret = seccomp(rs, th);
	if (!ret && rs->set_ids)
		ret = identity(rs, th);
	if (!ret && rec->securebits && rs->set_ids &&
	    !cri_op_sys(rs, th, "setting its secure bits", SYS_prctl,
			PR_SET_SECUREBITS, rec->securebits, 0, 0, 0, 0))
		ret = -ENOMEM;
	if (!ret)
		ret = capabilities(rs, th);
	if (!ret && rec->no_new_privs &&
	    !cri_op_sys(rs, th, "giving up new privileges", SYS_prctl,
			PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0))
		ret = -ENOMEM;
	if (!ret && (rs->set_ids || th->rec->keepcaps) &&
	    !cri_op_sys(rs, th, "setting keep-capabilities", SYS_prctl,
			PR_SET_KEEPCAPS, !!th->rec->keepcaps, 0, 0, 0, 0))
		ret = -ENOMEM;
	/* Changing credentials clears these two, so they wait for all. */
	if (!ret)
		ret = cri_op_barrier(rs, th, CRI_STAGE_IDS);
	if (!ret &&
	    !cri_op_sys(rs, th, "setting its parent-death signal", SYS_prctl,
			PR_SET_PDEATHSIG, th->rec->pdeathsig, 0, 0, 0, 0))
		ret = -ENOMEM;
	if (!ret && leader &&
	    !cri_op_sys(rs, th, "setting dumpability", SYS_prctl,
			PR_SET_DUMPABLE, rec->dumpable == 1, 0, 0, 0, 0))
		ret = -ENOMEM;
	return ret ? cri_fail(err, -ret, "cannot plan thread %u",
			      th->rec->tid) :
		     0;
}
