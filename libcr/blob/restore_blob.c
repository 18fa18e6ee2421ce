/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs inside a process that is being restored: an interpreter of the
 * planner's programs (restore_abi.h).  Freestanding: no libc, no data, no
 * relocation, general registers only.  Its stacks lie in the plan area, which
 * parent and child share, so a new task must never touch its creator's stack.
 */
#include <linux/futex.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "blob/restore_abi.h"

#define CHUNK (512u * 1024)
#define MAX_IOV 64
#define HUGE (2ul << 20)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static inline long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define SYS(nr, a, b, c, d)                                                    \
	sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

__attribute__((used, noreturn)) void rb_run(struct rb_prog *prog);

/*
 * The planner's child arrives here on the planner's stack: take ours and
 * never look back.
 */
__attribute__((naked, used, section(".entry"))) void rb_entry(void)
{
	__asm__ volatile("mov %c0(%%rdi), %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call rb_run\n\t"
			 "hlt"
			 :
			 : "i"(offsetof(struct rb_prog, stack)));
}

/* clone3; the child pops its program from its own stack and runs it. */
static long clone_run(struct clone_args *ca)
{
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rdi\n\t"
			 "call rb_run\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(ca), "S"(sizeof(*ca))
			 : "rcx", "r11", "memory");
	return ret;
}

static void futex_wake(uint32_t *word)
{
	SYS(SYS_futex, word, FUTEX_WAKE, 0x7fffffff, 0);
}

static void __attribute__((noreturn))
fail(struct rb_prog *prog, const struct rb_op *op, long value)
{
	struct rb_area *area = (struct rb_area *)prog->area;

	if (!__atomic_exchange_n(&area->failed, 1, __ATOMIC_SEQ_CST)) {
		area->err_no = value < 0 ? (int32_t)-value : 0;
		area->err_value = value;
		area->err_task = prog->task;
		area->err_op = (uint64_t)op;
		__atomic_store_n(&area->failed, 2, __ATOMIC_SEQ_CST);
	}
	__atomic_add_fetch(&area->arrived, 1, __ATOMIC_SEQ_CST);
	futex_wake(&area->arrived);
	for (;;)
		SYS(SYS_exit_group, 127, 0, 0, 0);
}

static void barrier(struct rb_area *area, unsigned int i)
{
	__atomic_add_fetch(&area->count[i], 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&area->arrived, 1, __ATOMIC_SEQ_CST);
	futex_wake(&area->arrived);
	while (!__atomic_load_n(&area->open[i], __ATOMIC_SEQ_CST))
		SYS(SYS_futex, &area->open[i], FUTEX_WAIT, 0, 0);
}

static uint32_t crc(uint32_t c, const uint8_t *p, size_t n)
{
	uint64_t c64 = c;

	for (; n >= 8; n -= 8, p += 8)
		__asm__("crc32q %1, %0"
			: "+r"(c64)
			: "m"(*(const uint64_t *)p));
	for (; n; n--, p++)
		__asm__("crc32b %1, %k0" : "+r"(c64) : "m"(*p));
	return (uint32_t)c64;
}

/* Read exactly what iov holds; it is used up. */
static long read_all(int fd, long offset, struct iovec *iov, unsigned int n)
{
	while (n) {
		long got = sys6(SYS_preadv, fd, (long)iov, n, offset, 0, 0);

		if (got == -4)
			continue;
		if (got <= 0)
			return got ? got : -61; /* ENODATA */
		offset += got;
		while (n && (size_t)got >= iov->iov_len) {
			got -= (long)iov->iov_len;
			iov++;
			n--;
		}
		if (n && got) {
			iov->iov_base = (char *)iov->iov_base + got;
			iov->iov_len -= (size_t)got;
		}
	}
	return 0;
}

/* The next piece of at most CHUNK bytes of the list, at (i, off). */
static unsigned int cut(const struct iovec *iov, unsigned int n,
			unsigned int *i, size_t *off, struct iovec *piece,
			size_t *len)
{
	unsigned int k = 0;

	*len = 0;
	while (*i < n && k < MAX_IOV && *len < CHUNK) {
		size_t part = iov[*i].iov_len - *off;

		if (part > CHUNK - *len)
			part = CHUNK - *len;
		piece[k].iov_base = (char *)iov[*i].iov_base + *off;
		piece[k].iov_len = part;
		k++;
		*len += part;
		*off += part;
		if (*off == iov[*i].iov_len) {
			(*i)++;
			*off = 0;
		}
	}
	return k;
}

/* Read an extent to its addresses, checking it while it is in the cache. */
static long fill(const struct rb_op *op)
{
	const struct iovec *iov = (const struct iovec *)op->arg[2];
	unsigned int n = (unsigned int)op->arg[3], i = 0, k, j;
	struct iovec piece[MAX_IOV], read[MAX_IOV];
	long offset = op->arg[1], ret;
	uint32_t c = 0xffffffff;
	size_t off = 0, len;

	while (i < n) {
		k = cut(iov, n, &i, &off, piece, &len);
		for (j = 0; j < k; j++) {
			read[j].iov_base = piece[j].iov_base;
			read[j].iov_len = piece[j].iov_len;
		}
		ret = read_all((int)op->arg[0], offset, read, k);
		if (ret)
			return ret;
		offset += (long)len;
		for (j = 0; j < k && !(op->flags & RB_NOCRC); j++)
			c = crc(c, piece[j].iov_base, piece[j].iov_len);
	}
	if (op->flags & RB_NOCRC)
		return 0;
	return ~c == (uint32_t)op->expect ? 0 : -74; /* EBADMSG */
}

/*
 * Huge pages without an advice that would stay: one small page in each, then
 * collapse.  Where that fails the fill faults small pages in.
 */
static void collapse(uint64_t start, uint64_t end)
{
	uint64_t at;

	for (at = start; at < end; at += HUGE)
		*(volatile char *)at = 0;
	SYS(SYS_madvise, start, end - start, MADV_COLLAPSE, 0);
}

static long spawn(const struct rb_op *op)
{
	struct rb_prog *prog = (struct rb_prog *)op->arg[0];
	int32_t tid = (int32_t)op->arg[3];
	struct clone_args ca;
	uint64_t *top = (uint64_t *)(prog->stack - 8);
	char *p = (char *)&ca;
	size_t i;

	for (i = 0; i < sizeof(ca); i++)
		p[i] = 0;
	ca.flags = (uint64_t)op->arg[1];
	ca.exit_signal = (uint64_t)op->arg[2];
	ca.stack = prog->stack - RB_STACK;
	ca.stack_size = RB_STACK - 8;
	if (tid) {
		ca.set_tid = (uint64_t)&tid;
		ca.set_tid_size = 1;
	}
	if (prog->kill_tid) {
		ca.flags |= CLONE_CHILD_CLEARTID;
		ca.child_tid = prog->kill_tid;
	}
	*top = (uint64_t)prog;
	return clone_run(&ca);
}

static long fillers(const struct rb_op *op)
{
	struct rb_prog **list = (struct rb_prog **)op->arg[0];
	struct rb_op one;
	int64_t i;
	long ret;

	one.arg[1] = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
		     CLONE_THREAD | CLONE_SYSVSEM;
	one.arg[2] = 0;
	one.arg[3] = 0;
	for (i = 0; i < op->arg[1]; i++) {
		one.arg[0] = (int64_t)list[i];
		*(uint32_t *)list[i]->kill_tid = 1;
		ret = spawn(&one);
		if (ret < 0)
			return ret;
	}
	for (i = 0; i < op->arg[1]; i++) {
		uint32_t *word = (uint32_t *)list[i]->kill_tid;

		while (__atomic_load_n(word, __ATOMIC_SEQ_CST))
			SYS(SYS_futex, word, FUTEX_WAIT, 1, 0);
	}
	return 0;
}

/* A POSIX timer with the id it had: older kernels only count upwards. */
static long timer(const struct rb_op *op)
{
	int32_t want = (int32_t)op->arg[2], id;
	long ret;

	for (;;) {
		id = want; /* where the kernel lets us choose */
		ret = SYS(SYS_timer_create, op->arg[0], op->arg[1], &id, 0);
		if (ret < 0)
			return ret;
		if (id == want)
			return 0;
		SYS(SYS_timer_delete, id, 0, 0, 0);
		if (id > want)
			return -17; /* EEXIST */
	}
}

static void __attribute__((noreturn)) die(int64_t status)
{
	int sig = (int)(status & 0x7f);
	uint64_t mask = 0;
	long pid = SYS(SYS_getpid, 0, 0, 0, 0);

	if (sig) {
		SYS(SYS_rt_sigprocmask, 2, &mask, 0, 8);
		SYS(SYS_kill, pid, sig, 0, 0);
	}
	for (;;)
		SYS(SYS_exit_group, (status >> 8) & 0xff, 0, 0, 0);
}

/* A task writes its id when it is born; others may have to wait for it. */
static long pid_of(int64_t addr)
{
	struct rb_prog *prog = (struct rb_prog *)addr;
	long pid;

	while (!(pid = __atomic_load_n(&prog->pid, __ATOMIC_SEQ_CST)))
		SYS(SYS_sched_yield, 0, 0, 0, 0);
	return pid;
}

/* Until the child is dead, leaving it a zombie for the program to reap. */
static long dead(int64_t prog)
{
	long ret, pid = pid_of(prog);

	do {
		ret = sys6(SYS_waitid, P_PID, pid, 0,
			   WEXITED | WNOWAIT | __WALL, 0, 0);
	} while (ret == -4);
	return ret;
}

static long reap(int64_t prog)
{
	long ret, pid = pid_of(prog);

	do {
		ret = SYS(SYS_wait4, pid, 0, __WALL, 0);
	} while (ret == -4);
	return ret;
}

static void copy(char *to, const char *from, int64_t n)
{
	while (n-- > 0)
		*to++ = *from++;
}

static long step(struct rb_prog *prog, const struct rb_op *op)
{
	struct rb_area *area = (struct rb_area *)prog->area;

	switch (op->code) {
	case RB_SYS:
		return sys6(op->nr, op->arg[0], op->arg[1], op->arg[2],
			    op->arg[3], op->arg[4], op->arg[5]);
	case RB_FILL:
		return fill(op);
	case RB_FORK:
	case RB_THREAD:
		return spawn(op);
	case RB_BARRIER:
		barrier(area, (unsigned int)op->arg[0]);
		return 0;
	case RB_COPY:
		copy((char *)op->arg[0], (const char *)op->arg[1], op->arg[2]);
		return 0;
	case RB_TIMER:
		return timer(op);
	case RB_EXIT:
		die(op->arg[0]);
	case RB_DEAD:
		return dead(op->arg[0]);
	case RB_REAP:
		return reap(op->arg[0]);
	case RB_PARK:
		__atomic_store_n(&prog->state, RB_PARKED, __ATOMIC_SEQ_CST);
		barrier(area, (unsigned int)op->arg[0]);
		return 0;
	case RB_FILLERS:
		return fillers(op);
	case RB_COLLAPSE:
		collapse((uint64_t)op->arg[0], (uint64_t)op->arg[1]);
		return 0;
	case RB_SETPGID:
		return SYS(SYS_setpgid, 0, pid_of(op->arg[0]), 0, 0);
	case RB_LEAVE:
		for (;;)
			SYS(SYS_exit, 0, 0, 0, 0);
	default:
		return -22;
	}
}

void rb_run(struct rb_prog *prog)
{
	const struct rb_op *op = (const struct rb_op *)prog->ops;
	uint32_t i;
	long ret;

	__atomic_store_n(&prog->pid, (uint32_t)SYS(SYS_gettid, 0, 0, 0, 0),
			 __ATOMIC_SEQ_CST);
	__atomic_store_n(&prog->state, RB_BORN, __ATOMIC_SEQ_CST);
	for (i = 0; i < prog->n_ops; i++, op++) {
		ret = step(prog, op);
		if ((op->flags & RB_EXPECT) && op->code != RB_FILL &&
		    ret != op->expect && ret >= 0)
			fail(prog, op, ret);
		if (ret < 0 && !(op->flags & RB_IGNORE))
			fail(prog, op, ret);
	}
	/* A leader or thread never gets here: its last word is RB_PARK. */
	die(0);
}
