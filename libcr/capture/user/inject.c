/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Make a stopped thread do something for us.  The blob's memory is mapped by
 * one system call at the vdso's `syscall` instruction, as a shared mapping:
 * it merges with no neighbour and the snapshot does not copy it.  After each
 * step the thread has its own registers and mask back.  Only while it maps
 * or unmaps the blob (two stops, some 10 us) would a killed guardian leave it
 * with registers that are not its own; within the blob it finds its way out.
 */
#include "config.h"

#include "capture/user/user.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blob/capture_blob.h"
#include "util/err.h"

static_assert(sizeof(cri_capture_blob) <= CB_LAST_REGS, "blob grew");
static_assert(CB_LAST_REGS + sizeof(struct cb_regs) <= CB_PAGE, "layout");

#define EVENT_STOPPED (SIGTRAP | PTRACE_EVENT_STOP << 8)
#define STEP_MS 30000 /* for one system call of the program */
#define ERESTARTSYS_ 512
#define ERESTARTNOHAND_ 514
#define ERESTARTNOINTR_ 513
#define ERESTART_RESTARTBLOCK_ 516

int cri_user_peek(pid_t pid, uint64_t addr, void *to, size_t len)
{
	struct iovec local = { .iov_base = to, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = len };
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int cri_user_poke(pid_t pid, uint64_t addr, const void *from, size_t len)
{
	struct iovec local = { .iov_base = (void *)from, .iov_len = len };
	struct iovec remote = { .iov_base = (void *)addr, .iov_len = len };
	ssize_t n = process_vm_writev(pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

static int set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = (void *)regs,
			     .iov_len = sizeof(*regs) };

	if (ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &iov) != 0)
		return -errno;
	return 0;
}

static int get_regs(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = { .iov_base = regs, .iov_len = sizeof(*regs) };

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov) != 0)
		return -errno;
	return iov.iov_len == sizeof(*regs) ? 0 : -EOPNOTSUPP;
}

/*
 * Calls that give a stopped thread -EINTR although no signal came
 * (reference: a stop wakes them, and they know no restart).
 */
static bool repairable(uint64_t nr)
{
	switch (nr) {
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_rt_sigtimedwait:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_accept:
	case SYS_accept4:
	case SYS_connect:
	case SYS_read:
	case SYS_write:
	case SYS_readv:
	case SYS_writev:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
		return true;
	default:
		return false;
	}
}

static void repair_call(struct uthread *u)
{
	if ((int64_t)u->regs.orig_rax >= 0 &&
	    (int64_t)u->regs.rax == -EINTR && repairable(u->regs.orig_rax)) {
		u->regs.rax = (uint64_t)-ERESTARTNOHAND_;
		u->changed = true;
	}
}

#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#define RSEQ_CS_OFFSET 8 /* of rseq_cs in struct rseq */

struct rseq_cs {
	uint32_t version;
	uint32_t flags;
	uint64_t start;
	uint64_t len;
	uint64_t abort;
};

/* Stopped inside a restartable sequence: abort it as the kernel would. */
static void repair_rseq(pid_t tid, struct uthread *u)
{
	struct rseq_cs cs;
	uint64_t ptr, zero = 0;

	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid,
		   (void *)sizeof(u->rseq), &u->rseq) != sizeof(u->rseq) ||
	    u->rseq.pointer == 0)
		return;
	if (cri_user_peek(tid, u->rseq.pointer + RSEQ_CS_OFFSET, &ptr,
			  sizeof(ptr)) ||
	    ptr == 0 || cri_user_peek(tid, ptr, &cs, sizeof(cs)))
		return;
	if (u->regs.rip - cs.start >= cs.len)
		return;
	if (cri_user_poke(tid, u->rseq.pointer + RSEQ_CS_OFFSET, &zero,
			  sizeof(zero)) == 0) {
		u->regs.rip = cs.abort;
		u->changed = true;
	}
}

int cri_user_regs(struct cri_cproc *p, struct cri_cthread *t,
		  struct cri_err *err)
{
	struct uthread *u = uthread(t);
	int ret;

	if (u->have_regs)
		return 0;
	ret = get_regs(t->tid, &u->regs);
	if (ret == -EOPNOTSUPP || (!ret && u->regs.cs != 0x33))
		return cri_fail(err, ENOTSUP,
				"is a 32-bit program (not supported)");
	if (!ret && ptrace(PTRACE_GETSIGMASK, t->tid,
			   (void *)sizeof(u->sigmask), &u->sigmask) != 0)
		ret = -errno;
	if (ret)
		return cri_fail(err, -ret, "registers of thread %d: %s", t->tid,
				strerror(-ret));
	repair_call(u);
	repair_rseq(t->tid, u);
	cri_user_sleep(p, t);
	if (u->changed) {
		ret = set_regs(t->tid, &u->regs);
		if (ret)
			return cri_fail(err, -ret, "repair of thread %d",
					t->tid);
		u->changed = false;
	}
	u->have_regs = true;
	return 0;
}

/*
 * The mask first: should the guardian die in between, the blob's way out sets
 * it again; with the registers first it would stay blocked for ever.
 */
static int give_back(struct cri_cthread *t)
{
	struct uthread *u = uthread(t);
	int ret = 0;

	if (ptrace(PTRACE_SETSIGMASK, t->tid, (void *)sizeof(u->sigmask),
		   &u->sigmask) != 0)
		ret = -errno;
	if (set_regs(t->tid, &u->regs) != 0)
		ret = -EIO;
	return ret;
}

static int block_signals(pid_t tid, int but)
{
	uint64_t mask = ~0ULL;

	if (but)
		mask &= ~(1ULL << (but - 1));
	if (ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof(mask), &mask) != 0)
		return -errno;
	return 0;
}

/*
 * Wait for a stop.  An interrupt that was still under way (a task found in a
 * group stop has one) comes first: go on with how.  Any other stop that we did
 * not ask for ends the capture.
 */
static int expect_stop(pid_t tid, int want, int how, struct cri_err *err)
{
	int status, ret, tries;

	for (tries = 0; tries < 8; tries++) {
		ret = cri_user_wait(tid, &status, STEP_MS);
		if (ret)
			return cri_fail(err, -ret, "thread %d is lost: %s", tid,
					strerror(-ret));
		if (!WIFSTOPPED(status))
			return cri_fail(err, ESRCH, "thread %d has ended", tid);
		/* In a group stop the event comes with that stop's signal. */
		if (status >> 16 == PTRACE_EVENT_STOP) {
			if (want == EVENT_STOPPED)
				return 0;
			ptrace(how, tid, NULL, NULL);
			continue;
		}
		if (status >> 8 == want)
			return 0;
		break;
	}
	return cri_fail(err, EPROTO, "thread %d: odd stop 0x%x", tid,
			status >> 8);
}

/*
 * One system call on a stopped thread, which ends in a stop that restarts
 * calls.  Its registers are spoilt; the caller gives them back.
 */
static int remote_call(struct cri_cproc *p, struct cri_cthread *t, long nr,
		       const uint64_t *arg, int64_t *result,
		       struct cri_err *err)
{
	struct user_regs_struct r = uthread(t)->regs;
	int ret;

	r.rip = uproc(p)->insn;
	r.rax = (uint64_t)nr;
	r.orig_rax = (uint64_t)-1;
	r.rdi = arg[0];
	r.rsi = arg[1];
	r.rdx = arg[2];
	r.r10 = arg[3];
	r.r8 = arg[4];
	r.r9 = arg[5];
	r.eflags &= ~0x500ULL; /* no single step, upwards */
	ret = set_regs(t->tid, &r);
	if (!ret)
		ret = block_signals(t->tid, 0);
	if (!ret && ptrace(PTRACE_SYSCALL, t->tid, NULL, NULL) != 0)
		ret = -errno;
	if (ret)
		return cri_fail(err, -ret, "cannot run a call: %s",
				strerror(-ret));
	ret = expect_stop(t->tid, SIGTRAP | 0x80, PTRACE_SYSCALL, err);
	if (ret)
		return ret;
	ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
	if (ptrace(PTRACE_CONT, t->tid, NULL, NULL) != 0)
		return cri_fail(err, errno, "cannot run a call");
	ret = expect_stop(t->tid, EVENT_STOPPED, 0, err);
	if (ret)
		return ret;
	ret = get_regs(t->tid, &r);
	if (ret)
		return cri_fail(err, -ret, "result of a call");
	*result = (int64_t)r.rax;
	return 0;
}

/* Offset of a syscall instruction in our own vdso: theirs is the same. */
static uint64_t vdso_insn(void)
{
	static uint64_t offset;
	const unsigned char *v = (void *)getauxval(AT_SYSINFO_EHDR);
	uint64_t i;

	if (offset || !v)
		return offset;
	for (i = 64; i < 8190; i++) {
		if (v[i] == 0x0f && v[i + 1] == 0x05) {
			offset = i;
			break;
		}
	}
	return offset;
}

static bool is_syscall(pid_t pid, uint64_t addr)
{
	unsigned char code[2];

	return cri_user_peek(pid, addr, code, 2) == 0 && code[0] == 0x0f &&
	       code[1] == 0x05;
}

/* Look through executable memory for the two bytes. */
static uint64_t search_insn(pid_t pid, uint64_t start, uint64_t end)
{
	unsigned char buf[4096];
	uint64_t at;
	size_t i;

	for (at = start; at < end; at += sizeof(buf)) {
		if (cri_user_peek(pid, at, buf, sizeof(buf)))
			return 0;
		for (i = 0; i + 1 < sizeof(buf); i++)
			if (buf[i] == 0x0f && buf[i + 1] == 0x05)
				return at + i;
	}
	return 0;
}

static int find_insn(struct cri_cproc *p, struct cri_cthread *t,
		     struct cri_err *err)
{
	struct uproc *u = uproc(p);
	struct cri_text text = { 0 };
	struct cri_mapline m;
	const char *s;
	int pass;

	if (u->insn)
		return 0;
	if ((int64_t)uthread(t)->regs.orig_rax >= 0 &&
	    is_syscall(cri_live(p), uthread(t)->regs.rip - 2)) {
		u->insn = uthread(t)->regs.rip - 2;
		return 0;
	}
	if (cri_text_proc(&text, t->tid, "maps"))
		return cri_fail(err, ESRCH, "its memory map cannot be read");
	for (pass = 0; pass < 2 && !u->insn; pass++) {
		for (s = text.p; !u->insn && cri_mapline_next(&s, &m) == 1;) {
			bool vdso = m.path_len == 6 &&
				    memcmp(m.path, "[vdso]", 6) == 0;

			if (!(m.prot & PROT_EXEC) || m.start >> 63)
				continue;
			if (pass == 0 && vdso && vdso_insn() &&
			    is_syscall(cri_live(p), m.start + vdso_insn()))
				u->insn = m.start + vdso_insn();
			else if (pass == 1)
				u->insn = search_insn(cri_live(p), m.start,
						      m.end);
		}
	}
	cri_text_fini(&text);
	if (!u->insn)
		return cri_fail(err, ENOTSUP,
				"has no syscall instruction to be used");
	return 0;
}

/*
 * Signals whose default action is to be ignored.  One is free if the program
 * does not handle it, blocks it nowhere (somebody could wait for it) and has
 * none pending.
 */
static int pick_signal(const struct uproc *u)
{
	static const int can[] = { SIGWINCH, SIGURG, SIGCHLD };
	uint64_t busy = u->status.sig_cgt | u->status.sig_blk | u->blocked |
			u->status.shd_pnd | u->status.sig_pnd;
	size_t i;

	for (i = 0; i < sizeof(can) / sizeof(can[0]); i++)
		if (!(busy & 1ULL << (can[i] - 1)))
			return can[i];
	return 0;
}

int cri_user_blob_in(struct cri_cproc *p, struct cri_err *err)
{
	struct cri_cthread *t = &p->threads[0];
	struct uproc *u = uproc(p);
	uint64_t arg[6] = { 0, CB_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_SHARED | MAP_ANONYMOUS, (uint64_t)-1, 0 };
	int64_t at = 0;
	uint32_t k;
	int ret;

	if (u->area)
		return 0;
	for (k = 0; k < p->n_threads; k++) {
		ret = cri_user_regs(p, &p->threads[k], err);
		if (ret)
			return ret;
		u->blocked |= uthread(&p->threads[k])->sigmask;
	}
	ret = find_insn(p, t, err);
	if (ret)
		return ret;
	u->end_signal = pick_signal(u);
	ret = remote_call(p, t, SYS_mmap, arg, &at, err);
	if (give_back(t) && !ret)
		ret = cri_fail(err, EIO, "registers cannot be put back");
	if (ret)
		return ret;
	if (at < 0 && at > -4096)
		return cri_fail(err, (int)-at,
				"no memory to work in: %s (address space "
				"limit?)",
				strerror((int)-at));
	u->area = (uint64_t)at;
	u->area_size = CB_SIZE;
	p->hide_start = u->area;
	p->hide_end = u->area + CB_SIZE;
	ret = cri_user_poke(cri_live(p), u->area, cri_capture_blob,
			    sizeof(cri_capture_blob));
	if (ret)
		return cri_fail(err, -ret, "blob: %s", strerror(-ret));
	return 0;
}

int cri_user_blob_out(struct cri_cproc *p, struct cri_err *err)
{
	struct uproc *u = uproc(p);
	uint64_t arg[6] = { u->area, u->area_size, 0, 0, 0, 0 };
	int64_t result = 0;
	int ret;

	if (!u->area || p->n_threads == 0)
		return 0;
	ret = remote_call(p, &p->threads[0], SYS_munmap, arg, &result, err);
	u->area = 0;
	if (give_back(&p->threads[0]) && !ret)
		ret = cri_fail(err, EIO, "registers cannot be put back");
	return ret;
}

static void fill_head(struct cri_cproc *p, struct cri_cthread *t, uint32_t ops,
		      struct cb_area *a)
{
	const struct user_regs_struct *r = &uthread(t)->regs;
	int64_t ax = (int64_t)r->rax;

	a->base = uproc(p)->area;
	a->size = uproc(p)->area_size;
	a->sigmask = uthread(t)->sigmask;
	a->end_signal = (uint64_t)uproc(p)->end_signal;
	a->ops = ops;
	a->ranges = uproc(p)->ranges;
	a->regs = (struct cb_regs){
		.r15 = r->r15, .r14 = r->r14, .r13 = r->r13, .r12 = r->r12,
		.rbp = r->rbp, .rbx = r->rbx, .r11 = r->r11, .r10 = r->r10,
		.r9 = r->r9, .r8 = r->r8, .rax = r->rax, .rcx = r->rcx,
		.rdx = r->rdx, .rsi = r->rsi, .rdi = r->rdi, .rip = r->rip,
		.cs = r->cs, .eflags = r->eflags, .rsp = r->rsp, .ss = r->ss,
	};
	if ((int64_t)r->orig_rax < 0)
		return;
	/* What the kernel would do on the way back to an interrupted call. */
	if (ax == -ERESTARTSYS_ || ax == -ERESTARTNOHAND_ ||
	    ax == -ERESTARTNOINTR_)
		a->regs.rax = r->orig_rax;
	else if (ax == -ERESTART_RESTARTBLOCK_)
		a->regs.rax = SYS_restart_syscall;
	else
		return;
	a->regs.rip -= 2;
}

/* Without a free signal: watch its calls until it has said done. */
static bool is_done(struct cri_cproc *p)
{
	uint32_t done = 0;

	return cri_user_peek(cri_live(p), uproc(p)->area + CB_AREA +
			     offsetof(struct cb_area, done), &done, 4) == 0 &&
	       done == 1;
}

static int run_to_end(struct cri_cproc *p, struct cri_cthread *t,
		      int (*on_event)(struct cri_cproc *p, int event,
				      pid_t msg, struct cri_err *err),
		      struct cri_err *err)
{
	int end = uproc(p)->end_signal;
	int how = end ? PTRACE_CONT : PTRACE_SYSCALL;
	unsigned long msg;
	int status, ret;

	for (;;) {
		if (ptrace(how, t->tid, NULL, NULL) != 0)
			return cri_fail(err, errno, "cannot go on");
		ret = cri_user_wait(t->tid, &status, STEP_MS);
		if (ret || !WIFSTOPPED(status))
			return cri_fail(err, ret ? -ret : ESRCH,
					"thread %d is lost", t->tid);
		if (end && status >> 8 == end)
			return 0;
		if (!end && status >> 8 == (SIGTRAP | 0x80) && is_done(p))
			return 0;
		if (status >> 16 != 0 && status >> 16 != PTRACE_EVENT_STOP &&
		    on_event) {
			msg = 0;
			ptrace(PTRACE_GETEVENTMSG, t->tid, NULL, &msg);
			ret = on_event(p, status >> 16, (pid_t)msg, err);
			if (ret)
				return ret;
		}
	}
}

int cri_user_blob_run(struct cri_cproc *p, struct cri_cthread *t, uint32_t ops,
		      int (*on_event)(struct cri_cproc *p, int event,
				      pid_t msg, struct cri_err *err),
		      struct cri_err *err)
{
	struct user_regs_struct r = uthread(t)->regs;
	struct uproc *u = uproc(p);
	struct cb_area head = { 0 };
	int ret;

	fill_head(p, t, ops, &head);
	ret = cri_user_poke(cri_live(p), u->area + CB_AREA, &head,
			    offsetof(struct cb_area, thread));
	if (ret)
		return cri_fail(err, -ret, "blob: %s", strerror(-ret));
	r.rip = u->area;
	r.rdi = u->area + CB_AREA;
	r.rsp = u->area + u->area_size;
	r.orig_rax = (uint64_t)-1;
	r.eflags &= ~0x500ULL;
	ret = set_regs(t->tid, &r);
	if (!ret)
		ret = block_signals(t->tid, u->end_signal);
	if (ret)
		(void)cri_fail(err, -ret, "blob: %s", strerror(-ret));
	else
		ret = run_to_end(p, t, on_event, err);
	if (!u->end_signal) {
		/* A call's stop restarts nothing: get to one that does. */
		ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL);
		ptrace(PTRACE_CONT, t->tid, NULL, NULL);
		if (!ret)
			ret = expect_stop(t->tid, EVENT_STOPPED, 0, err);
	}
	if (give_back(t) && !ret)
		ret = cri_fail(err, EIO, "registers cannot be put back");
	return ret;
}
