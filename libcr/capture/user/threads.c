/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * THREAD records: registers and vector state by ptrace, the rest by one run
 * of the blob on that thread.
 */
#include "config.h"

#include "capture/user/user.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "util/err.h"

#define XSTATE_MAX 65536
#define PEEK_BATCH 32

int cri_user_pending(struct cri_recset *set, pid_t tid, bool shared,
		     struct cri_siginfo **list, uint32_t *n,
		     struct cri_err *err)
{
	struct __ptrace_peeksiginfo_args args = {
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = PEEK_BATCH,
	};
	siginfo_t got[PEEK_BATCH];
	struct cri_siginfo *si;
	long count, i;
	int ret;

	do {
		count = ptrace(PTRACE_PEEKSIGINFO, tid, &args, got);
		if (count < 0)
			return cri_fail(err, errno, "pending signals: %s",
					strerror(errno));
		for (i = 0; i < count; i++) {
			si = CRI_GROW(set, *list, *n);
			if (!si)
				return -ENOMEM;
			ret = cri_recset_bytes(set, &si->raw, &got[i],
					       sizeof(got[i]));
			if (ret)
				return ret;
		}
		args.off += (uint64_t)count;
	} while (count == PEEK_BATCH);
	return 0;
}

static int read_xstate(struct cri_recset *set, pid_t tid,
		       struct cri_rec_thread *rec, struct cri_err *err)
{
	static char buf[XSTATE_MAX];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &iov) != 0)
		return cri_fail(err, errno, "vector state: %s",
				strerror(errno));
	return cri_recset_bytes(set, &rec->xstate, buf, iov.iov_len);
}

static int fill_told(struct cri_recset *set, struct cri_cthread *t,
		     struct cri_rec_thread *rec, struct cri_err *err)
{
	const struct cb_thread *c = &uthread(t)->tell;
	char comm[17];
	uint32_t len = 0, i;
	int ret = 0;

	if (c->tid <= 0)
		return cri_fail(err, EPROTO, "thread %d told nonsense", t->tid);
	t->inner_tid = c->tid;
	rec->tid = (uint32_t)c->tid;
	rec->altstack_sp = c->altstack[0];
	rec->altstack_flags = (uint32_t)c->altstack[1];
	rec->altstack_size = c->altstack[2];
	rec->clear_tid = c->clear_tid;
	rec->robust_list = c->robust_list;
	rec->robust_len = c->robust_len;
	rec->timer_slack = c->timer_slack;
	rec->pdeathsig = (uint32_t)c->pdeathsig;
	rec->ioprio = c->ioprio > 0 ? (uint32_t)c->ioprio : 0;
	rec->keepcaps = c->keepcaps > 0;
	rec->sched_policy = c->attr[1];
	rec->sched_flags = c->attr[2];
	rec->nice = c->nice;
	rec->sched_prio = c->attr[5];
	memcpy(&rec->sched_runtime, &c->attr[6], 8);
	memcpy(&rec->sched_deadline, &c->attr[8], 8);
	memcpy(&rec->sched_period, &c->attr[10], 8);
	memcpy(comm, c->comm, 16);
	comm[16] = 0;
	rec->comm = cri_recset_strdup(set, comm);
	if (!rec->comm)
		return -ENOMEM;
	if (c->affinity_len > 0 &&
	    (size_t)c->affinity_len <= sizeof(c->affinity))
		ret = cri_recset_bytes(set, &rec->affinity, c->affinity,
				       (size_t)c->affinity_len);
	if (!ret && c->policy > 0) {
		rec->policy = (uint32_t)c->policy;
		for (i = 0; i < CB_MAX_NODES; i++)
			if (c->nodes[i])
				len = (i + 1) * 8;
		ret = cri_recset_bytes(set, &rec->nodes, c->nodes, len);
	}
	return ret;
}

static int tell(struct cri_cproc *p, struct cri_cthread *t, struct cri_err *err)
{
	struct uthread *u = uthread(t);
	int ret;

	if (u->told)
		return 0;
	ret = cri_user_blob_in(p, err);
	if (!ret)
		ret = cri_user_blob_run(p, t, CB_THREAD, NULL, err);
	if (ret)
		return ret;
	ret = cri_user_peek(cri_live(p),
			    uproc(p)->area + CB_AREA +
				    offsetof(struct cb_area, thread),
			    &u->tell, sizeof(u->tell));
	if (ret)
		return cri_fail(err, -ret, "blob's answer: %s",
				strerror(-ret));
	u->told = true;
	return 0;
}

int cri_user_thread(struct cri_capture *cap, struct cri_cproc *p,
		    struct cri_cthread *t, struct cri_rec_thread *rec,
		    struct cri_err *err)
{
	struct uthread *u = uthread(t);
	int ret;

	ret = cri_user_regs(p, t, err);
	if (!ret)
		ret = tell(p, t, err);
	if (!ret)
		ret = fill_told(cap->set, t, rec, err);
	if (!ret)
		ret = cri_recset_bytes(cap->set, &rec->regs, &u->regs,
				       sizeof(u->regs));
	if (!ret)
		ret = read_xstate(cap->set, t->tid, rec, err);
	if (!ret)
		ret = cri_user_pending(cap->set, t->tid, false, &rec->pending,
				       &rec->n_pending, err);
	if (ret)
		return ret;
	rec->sigmask = u->sigmask;
	rec->rseq = u->rseq.pointer;
	rec->rseq_size = u->rseq.size;
	rec->rseq_sig = u->rseq.signature;
	rec->rseq_flags = u->rseq.flags;
	rec->flags = t->leader ? CRI_THREAD_LEADER : 0;
	cri_user_sleep_record(u, rec);
	return 0;
}
