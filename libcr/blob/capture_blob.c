/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs inside a process that is being captured, on one of its threads, while
 * all others stand: tells what only the process itself can tell and clones
 * the snapshot.  Freestanding: no libc, no data, no relocation, and general
 * registers only, so that the thread's vector state stays where it is.
 *
 * It ends with a signal to itself whose default action is to be ignored.  A
 * living guardian sees a stop there, puts the registers back and never lets
 * the signal through.  If the guardian was killed, the signal does nothing
 * and leave() goes back to the program by iretq: unlike rt_sigreturn that
 * keeps both the vector state and a sleeping call's restart block.
 */
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "blob/capture_abi.h"

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif
#ifndef PR_GET_MDWE
#define PR_GET_MDWE 66
#endif
#define MEMBARRIER_REGISTRATIONS (1 << 9)
#define UNSHARE_FDS 2 /* CLOSE_RANGE_UNSHARE */
#define SIG_SETMASK_ 2
#define OF_ADDRESS 2 /* MPOL_F_ADDR */
#define WALL 0x40000000

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

__attribute__((used, noreturn)) void cb_run(struct cb_area *area);

/* rdi: the area; rsp: top of the blob's stack. */
__attribute__((naked, used, section(".entry"))) void cb_entry(void)
{
	__asm__ volatile("xor %ebp, %ebp\n\t"
			 "call cb_run\n\t"
			 "hlt");
}

/*
 * Unmap what rsi and rdx say, the stack among it, then back to the program
 * with all its registers, from the struct at rdi.
 */
__attribute__((naked, used, noreturn)) void
cb_leave(__attribute__((unused)) struct cb_regs *regs,
	 __attribute__((unused)) uint64_t start,
	 __attribute__((unused)) uint64_t len)
{
	__asm__ volatile("mov %%rdi, %%rsp\n\t"
			 "mov %%rsi, %%rdi\n\t"
			 "mov %%rdx, %%rsi\n\t"
			 "mov %0, %%eax\n\t"
			 "syscall\n\t"
			 "pop %%r15\n\t"
			 "pop %%r14\n\t"
			 "pop %%r13\n\t"
			 "pop %%r12\n\t"
			 "pop %%rbp\n\t"
			 "pop %%rbx\n\t"
			 "pop %%r11\n\t"
			 "pop %%r10\n\t"
			 "pop %%r9\n\t"
			 "pop %%r8\n\t"
			 "pop %%rax\n\t"
			 "pop %%rcx\n\t"
			 "pop %%rdx\n\t"
			 "pop %%rsi\n\t"
			 "pop %%rdi\n\t"
			 "iretq"
			 :
			 : "i"(SYS_munmap));
}

/*
 * Only the first page, which the code runs in, cannot go: the price of a
 * killed guardian.  The registers move into it, behind the code.
 */
static void __attribute__((noreturn)) leave(struct cb_area *a)
{
	struct cb_regs *regs = (struct cb_regs *)(a->base + CB_LAST_REGS);
	uint64_t base = a->base, size = a->size;

	*regs = a->regs;
	SYS(SYS_rt_sigprocmask, SIG_SETMASK_, &a->sigmask, 0, 8);
	cb_leave(regs, base + CB_PAGE, size - CB_PAGE);
}

static void tell_thread(struct cb_thread *t)
{
	struct {
		uint64_t sp;
		uint32_t flags;
		uint64_t size;
	} ss = { 0, 0, 0 };
	long ret;

	t->tid = (int32_t)SYS(SYS_gettid, 0, 0, 0, 0);
	if (SYS(SYS_sigaltstack, 0, &ss, 0, 0) == 0) {
		t->altstack[0] = ss.sp;
		t->altstack[1] = ss.flags;
		t->altstack[2] = ss.size;
	}
	SYS(SYS_prctl, PR_GET_TID_ADDRESS, &t->clear_tid, 0, 0);
	SYS(SYS_get_robust_list, 0, &t->robust_list, &t->robust_len, 0);
	SYS(SYS_prctl, PR_GET_PDEATHSIG, &t->pdeathsig, 0, 0);
	t->timer_slack = (uint64_t)SYS(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0);
	t->keepcaps = (int32_t)SYS(SYS_prctl, PR_GET_KEEPCAPS, 0, 0, 0);
	SYS(SYS_prctl, PR_GET_NAME, t->comm, 0, 0);
	t->ioprio = (int32_t)SYS(SYS_ioprio_get, 1, 0, 0, 0);
	ret = SYS(SYS_sched_getaffinity, 0, sizeof(t->affinity), t->affinity,
		  0);
	t->affinity_len = (int32_t)ret;
	SYS(SYS_sched_getattr, 0, t->attr, sizeof(t->attr), 0);
	/* The attributes of a real-time thread leave its nice value out. */
	t->nice = 20 - (int32_t)SYS(SYS_getpriority, 0, 0, 0, 0);
	ret = SYS(SYS_get_mempolicy, &t->policy, t->nodes,
		  sizeof(t->nodes) * 8, 0);
	if (ret < 0)
		t->policy = (int32_t)ret;
}

static void tell_timers(struct cb_process *p)
{
	int32_t i;

	for (i = 0; i < 3; i++)
		SYS(SYS_getitimer, i, p->itimers[i], 0, 0);
	for (i = 0; i < p->n_timers && i < CB_MAX_TIMERS; i++) {
		struct cb_timer *t = &p->timers[i];

		SYS(SYS_timer_gettime, t->id, t->value, 0, 0);
		t->overrun =
			(int32_t)SYS(SYS_timer_getoverrun, t->id, 0, 0, 0);
	}
	SYS(SYS_clock_gettime, 0, p->clocks[0], 0, 0);
	SYS(SYS_clock_gettime, 1, p->clocks[1], 0, 0);
	SYS(SYS_clock_gettime, 7, p->clocks[2], 0, 0);
}

static void tell_process(struct cb_process *p)
{
	int i;

	p->pid = (int32_t)SYS(SYS_getpid, 0, 0, 0, 0);
	p->ppid = (int32_t)SYS(SYS_getppid, 0, 0, 0, 0);
	p->pgid = (int32_t)SYS(SYS_getpgid, 0, 0, 0, 0);
	p->sid = (int32_t)SYS(SYS_getsid, 0, 0, 0, 0);
	p->dumpable = (int32_t)SYS(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0);
	SYS(SYS_prctl, PR_GET_CHILD_SUBREAPER, &p->subreaper, 0, 0);
	p->thp_disable = (int32_t)SYS(SYS_prctl, PR_GET_THP_DISABLE, 0, 0, 0);
	p->mdwe = (int32_t)SYS(SYS_prctl, PR_GET_MDWE, 0, 0, 0);
	p->securebits = (int32_t)SYS(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0);
	p->personality = (int32_t)SYS(SYS_personality, 0xffffffffUL, 0, 0, 0);
	p->membarrier = (int32_t)SYS(SYS_membarrier, MEMBARRIER_REGISTRATIONS,
				     0, 0, 0);
	p->brk = (uint64_t)SYS(SYS_brk, 0, 0, 0, 0);
	for (i = 0; i < 16; i++)
		SYS(SYS_prlimit64, 0, i, 0, p->rlimits[i]);
	for (i = 0; i < 64; i++)
		SYS(SYS_rt_sigaction, i + 1, 0, p->actions[i], 8);
	tell_timers(p);
}

static void __attribute__((noreturn)) quit(void)
{
	for (;;)
		SYS(SYS_exit_group, 0, 0, 0, 0);
}

/*
 * B, the snapshot: lets go of descriptors, directories and all memory that
 * is not private, then stands at the signal until it is killed.
 */
static void be_snapshot(struct cb_area *a)
{
	struct cb_range *r = (struct cb_range *)(a + 1);
	uint32_t i;
	volatile char slash[2]; /* volatile: never from read-only data */

	slash[0] = '/';
	slash[1] = 0;
	SYS(SYS_close_range, 0, ~0U, UNSHARE_FDS, 0);
	SYS(SYS_chdir, slash, 0, 0, 0);
	for (i = 0; i < a->ranges; i++)
		SYS(SYS_munmap, r[i].start, r[i].len, 0, 0);
	SYS(SYS_kill, SYS(SYS_getpid, 0, 0, 0, 0), a->end_signal, 0, 0);
	quit();
}

/*
 * clone with a stack and a function of its own: the blob's memory is shared,
 * so nobody may run on its creator's stack.
 */
static long spawn(long flags, uint64_t stack, struct cb_area *a,
		  void (*fn)(struct cb_area *a))
{
	long ret;

	__asm__ volatile("xor %%r10d, %%r10d\n\t"
			 "xor %%r8d, %%r8d\n\t"
			 "syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %[area], %%rdi\n\t"
			 "call *%[fn]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(flags), "S"(stack),
			   "d"(0L), [area] "b"(a), [fn] "r"(fn)
			 : "rcx", "r8", "r10", "r11", "memory");
	return ret;
}

/*
 * A shares our memory, so B's parent is A and not the program; A ends at
 * once and is reaped here, and the program never has a child to wait for.
 */
static void be_helper(struct cb_area *a)
{
	a->child = (int32_t)spawn(CLONE_FILES, a->base + a->size - CB_STACK -
				  CB_HELPER_STACK, a, be_snapshot);
	quit();
}

static void snapshot(struct cb_area *a)
{
	long ret;

	ret = spawn(CLONE_VM | CLONE_VFORK | CLONE_FILES,
		    a->base + a->size - CB_STACK, a, be_helper);
	a->helper = (int32_t)ret;
	if (ret > 0)
		a->reaped = (int32_t)SYS(SYS_wait4, ret, 0, WALL, 0);
}

/* A snapshot that fell to us: reap it and take its SIGCHLD out again. */
static void reap(struct cb_area *a)
{
	uint64_t chld = 1ul << 16, now[2] = { 0, 0 };

	a->reaped = (int32_t)SYS(SYS_wait4, *(int32_t *)&a->thread, 0, WALL, 0);
	if (!(a->ops & CB_KEEP_CHLD))
		SYS(SYS_rt_sigtimedwait, &chld, 0, now, 8);
}

static void tell_policies(struct cb_area *a)
{
	struct cb_policy *p = (struct cb_policy *)(a + 1);
	uint32_t i;

	for (i = 0; i < a->ranges; i++) {
		int32_t mode = 0;
		long ret = sys6(SYS_get_mempolicy, (long)&mode,
				(long)p[i].nodes, CB_POLICY_WORDS * 64,
				(long)p[i].addr, OF_ADDRESS, 0);

		p[i].mode = ret < 0 ? ret : mode;
	}
}

void cb_run(struct cb_area *a)
{
	if (a->ops & CB_REAP)
		reap(a);
	if (a->ops & CB_THREAD)
		tell_thread(&a->thread);
	if (a->ops & CB_PROCESS)
		tell_process(&a->process);
	if (a->ops & CB_POLICY)
		tell_policies(a);
	if (a->ops & CB_SNAPSHOT)
		snapshot(a);
	a->done = 1;
	SYS(SYS_tgkill, SYS(SYS_getpid, 0, 0, 0, 0),
	    SYS(SYS_gettid, 0, 0, 0, 0), a->end_signal, 0);
	leave(a);
}
