/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of the processor's state: general, x87, SSE, AVX and AVX-512
 * registers of threads that spin in user mode, fs and gs base, and restartable
 * sequences that are stopped in their middle.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

/*
 * In and out of the spinning code.  Order of gpr: rax rbx rcx rdx rsi rdi rbp
 * r8..r15.  The first 16 registers of vec are used as 16, 32 or 64 bytes.
 */
struct regs {
	uint64_t gpr[15];
	double x87[8];
	uint16_t fcw;
	uint32_t mxcsr;
	uint64_t k[8];
	unsigned char vec[32][64] __attribute__((aligned(64)));
};

struct regs cpu_in, cpu_out;
int cpu_stop;
uint64_t cpu_saved[8];
void cpu_spin_avx512(void);
void cpu_spin_avx(void);

#define FOR16(x)                                                               \
	x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12)    \
		x(13) x(14) x(15)
#define FOR16B(x)                                                              \
	x(16) x(17) x(18) x(19) x(20) x(21) x(22) x(23) x(24) x(25) x(26)      \
		x(27) x(28) x(29) x(30) x(31)
#define FOR7(x) x(1) x(2) x(3) x(4) x(5) x(6) x(7)
#define VEC "256"
#define LDY(n) "vmovdqu cpu_in+" VEC "+64*" #n "(%rip), %ymm" #n "\n"
#define STY(n) "vmovdqu %ymm" #n ", cpu_out+" VEC "+64*" #n "(%rip)\n"
#define LDZ(n) "vmovdqu64 cpu_in+" VEC "+64*" #n "(%rip), %zmm" #n "\n"
#define STZ(n) "vmovdqu64 %zmm" #n ", cpu_out+" VEC "+64*" #n "(%rip)\n"
#define LDK(n) "kmovw cpu_in+192+8*" #n "(%rip), %k" #n "\n"
#define STK(n) "kmovw %k" #n ", cpu_out+192+8*" #n "(%rip)\n"
#define LDX(n) "fldl cpu_in+120+8*" #n "(%rip)\n"
#define STX(n) "fstpl cpu_out+120+8*" #n "(%rip)\n"

#define SAVE                                                                   \
	"movq %rbx, cpu_saved(%rip)\n movq %rbp, cpu_saved+8(%rip)\n"          \
	"movq %r12, cpu_saved+16(%rip)\n movq %r13, cpu_saved+24(%rip)\n"      \
	"movq %r14, cpu_saved+32(%rip)\n movq %r15, cpu_saved+40(%rip)\n"      \
	"stmxcsr cpu_saved+48(%rip)\n fnstcw cpu_saved+56(%rip)\n"
#define RESTORE                                                                \
	"movq cpu_saved(%rip), %rbx\n movq cpu_saved+8(%rip), %rbp\n"          \
	"movq cpu_saved+16(%rip), %r12\n movq cpu_saved+24(%rip), %r13\n"      \
	"movq cpu_saved+32(%rip), %r14\n movq cpu_saved+40(%rip), %r15\n"      \
	"ldmxcsr cpu_saved+48(%rip)\n fldcw cpu_saved+56(%rip)\n"              \
	"vzeroupper\n ret\n"
#define GPRS(op)                                                               \
	op("rax", "0") op("rbx", "8") op("rcx", "16") op("rdx", "24")          \
		op("rsi", "32") op("rdi", "40") op("rbp", "48") op("r8", "56") \
			op("r9", "64") op("r10", "72") op("r11", "80")         \
				op("r12", "88") op("r13", "96")                \
					op("r14", "104") op("r15", "112")
#define LDG(r, off) "movq cpu_in+" off "(%rip), %" r "\n"
#define STG(r, off) "movq %" r ", cpu_out+" off "(%rip)\n"
#define X87_LOAD                                                               \
	"fninit\n fldcw cpu_in+184(%rip)\n ldmxcsr cpu_in+188(%rip)\n" LDX(7)  \
		LDX(6) LDX(5) LDX(4) LDX(3) LDX(2) LDX(1) LDX(0)
#define X87_STORE                                                              \
	"fnstcw cpu_out+184(%rip)\n stmxcsr cpu_out+188(%rip)\n" STX(0) STX(1) \
		STX(2) STX(3) STX(4) STX(5) STX(6) STX(7)
#define SPIN "1: cmpl $0, cpu_stop(%rip)\n je 1b\n"

__asm__(".text\n.globl cpu_spin_avx\ncpu_spin_avx:\n" SAVE X87_LOAD FOR16(LDY)
		GPRS(LDG) SPIN GPRS(STG) FOR16(STY) X87_STORE RESTORE);
__asm__(".globl cpu_spin_avx512\ncpu_spin_avx512:\n" SAVE X87_LOAD FOR16(LDZ)
		FOR16B(LDZ) FOR7(LDK) GPRS(LDG) SPIN GPRS(STG) FOR7(STK)
			FOR16(STZ) FOR16B(STZ) X87_STORE RESTORE);

_Static_assert(offsetof(struct regs, x87) == 120, "the code above");
_Static_assert(offsetof(struct regs, fcw) == 184, "the code above");
_Static_assert(offsetof(struct regs, mxcsr) == 188, "the code above");
_Static_assert(offsetof(struct regs, k) == 192, "the code above");
_Static_assert(offsetof(struct regs, vec) == 256, "the code above");

static pthread_t spinner;

static bool wide(void)
{
	return __builtin_cpu_supports("avx512f");
}

static void *spin(void *arg)
{
	if (wide())
		cpu_spin_avx512();
	else
		cpu_spin_avx();
	return arg;
}

static void regs_values(struct conform *c)
{
	int i;

	for (i = 0; i < 15; i++)
		cpu_in.gpr[i] = conform_rand(c->nonce, 100 + (uint64_t)i);
	for (i = 0; i < 8; i++) {
		cpu_in.x87[i] =
			(double)(conform_rand(c->nonce, 200 + (uint64_t)i) >>
				 12) /
			8;
		cpu_in.k[i] = conform_rand(c->nonce, 300 + (uint64_t)i) &
			      0xffff;
	}
	cpu_in.fcw = 0x0b7f; /* round up, extended precision */
	cpu_in.mxcsr = 0x5f80; /* round down */
	conform_fill(cpu_in.vec, sizeof(cpu_in.vec), c->nonce + 7);
}

static void regs_setup(struct conform *c)
{
	if (!__builtin_cpu_supports("avx"))
		conform_skip("this processor has no AVX");
	regs_values(c);
	CHECK(!pthread_create(&spinner, NULL, spin, NULL), "no thread");
}

static void regs_compare(void)
{
	size_t len = wide() ? 64 : 32;
	int i;

	for (i = 0; i < 15; i++)
		CHECK(cpu_out.gpr[i] == cpu_in.gpr[i],
		      "general register %d is %#lx, not %#lx", i,
		      (unsigned long)cpu_out.gpr[i],
		      (unsigned long)cpu_in.gpr[i]);
	for (i = 0; i < 8; i++)
		CHECK(!memcmp(&cpu_out.x87[i], &cpu_in.x87[i], 8),
		      "x87 register %d differs", i);
	CHECK_EQ(cpu_out.fcw, cpu_in.fcw);
	CHECK_EQ(cpu_out.mxcsr & 0xffc0, cpu_in.mxcsr & 0xffc0);
	for (i = 0; i < (wide() ? 32 : 16); i++)
		CHECK(!memcmp(cpu_out.vec[i], cpu_in.vec[i], len),
		      "vector register %d differs", i);
	for (i = 1; wide() && i < 8; i++)
		CHECK_EQ(cpu_out.k[i], cpu_in.k[i]);
}

static void regs_after(struct conform *c)
{
	regs_values(c);
	cpu_stop = 1;
	CHECK(!pthread_join(spinner, NULL), "the spinning thread is lost");
	regs_compare();
}

/* The same in the only thread of a child, ended by a signal handler. */
static pid_t regs_pid;

static void stop_spinning(int sig)
{
	cpu_stop = sig;
}

static void regs_child(struct conform *c, long arg)
{
	regs_values(c);
	CHECK(signal(SIGUSR1, stop_spinning) != SIG_ERR, "signal: %m");
	conform_child_ready();
	spin(NULL);
	regs_compare();
	CHECK_EQ(arg, 0);
}

static void single_setup(struct conform *c)
{
	if (!__builtin_cpu_supports("avx"))
		conform_skip("this processor has no AVX");
	regs_pid = conform_child(c, regs_child, 0);
}

static void single_after(struct conform *c)
{
	NEED(kill(regs_pid, SIGUSR1));
	conform_join(c, regs_pid, 0);
}

/* --- fs and gs base --- */

static __thread uint64_t tls_value[64];
static pthread_barrier_t tls_barrier;
static pthread_t tls_thread[8];

static void tls_set(uint64_t seed)
{
	conform_fill(tls_value, sizeof(tls_value), seed);
	NEED(syscall(SYS_arch_prctl, ARCH_SET_GS,
		     (seed & 0x3fffffffffff) << 1));
}

static void tls_check(uint64_t seed)
{
	unsigned long gs = 0;

	CHECK_SAME(tls_value, sizeof(tls_value), seed);
	NEED(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	CHECK(gs == (seed & 0x3fffffffffff) << 1, "gs base is %#lx", gs);
}

static void *tls_main(void *arg)
{
	uint64_t seed = *(uint64_t *)arg;

	tls_set(seed);
	pthread_barrier_wait(&tls_barrier);
	pthread_barrier_wait(&tls_barrier);
	tls_check(seed);
	return NULL;
}

static uint64_t tls_seed[9];

static void tls_setup(struct conform *c)
{
	int i;

	pthread_barrier_init(&tls_barrier, NULL, 9);
	for (i = 0; i < 9; i++)
		tls_seed[i] = conform_rand(c->nonce, 400 + (uint64_t)i);
	for (i = 0; i < 8; i++)
		CHECK(!pthread_create(&tls_thread[i], NULL, tls_main,
				      &tls_seed[i]),
		      "no thread");
	tls_set(tls_seed[8]);
	pthread_barrier_wait(&tls_barrier);
}

static void tls_after(struct conform *c)
{
	int i;

	(void)c;
	pthread_barrier_wait(&tls_barrier);
	for (i = 0; i < 8; i++)
		pthread_join(tls_thread[i], NULL);
	tls_check(tls_seed[8]);
}

/* --- rseq --- */

#define RSEQ_THREADS 3

static int64_t rseq_count[1024] __attribute__((aligned(64)));
static int64_t rseq_done[RSEQ_THREADS];
static int64_t rseq_aborts[RSEQ_THREADS];
static pthread_t rseq_thread[RSEQ_THREADS];
static atomic_int rseq_stop;

static struct rseq *rseq_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() +
			       __rseq_offset);
}

/*
 * Adds one to the counter of this processor, most of the time spent inside
 * the critical section.  1 if it was aborted.
 */
static int rseq_add(struct rseq *rs, unsigned int cpu, int64_t *v)
{
	__asm__ goto(".pushsection __rseq_cs, \"aw\"\n\t"
		     ".balign 32\n"
		     "3:\n\t.long 0, 0\n\t.quad 1f, 2f - 1f, 4f\n\t"
		     ".popsection\n\t"
		     "leaq 3b(%%rip), %%rax\n\t"
		     "movq %%rax, %[cs]\n"
		     "1:\n\t"
		     "cmpl %[cpu], %[now]\n\t"
		     "jne 4f\n\t"
		     "movl $20000, %%eax\n"
		     "5:\n\tdecl %%eax\n\tjne 5b\n\t"
		     "incq %[v]\n"
		     "2:\n\t"
		     ".pushsection __rseq_failure, \"ax\"\n\t"
		     ".byte 0x0f, 0xb9, 0x3d\n\t.long 0x53053053\n"
		     "4:\n\tjmp %l[aborted]\n\t"
		     ".popsection"
		     :
		     : [cs] "m"(rs->rseq_cs), [cpu] "r"(cpu),
		       [now] "m"(rs->cpu_id), [v] "m"(*v)
		     : "rax", "memory", "cc"
		     : aborted);
	return 0;
aborted:
	return 1;
}

static void *rseq_main(void *arg)
{
	struct rseq *rs = rseq_area();
	long i = (long)arg;

	while (!rseq_stop) {
		unsigned int cpu = rs->cpu_id_start;

		CHECK(cpu < 128, "rseq is not registered (cpu %u)", cpu);
		if (rseq_add(rs, cpu, &rseq_count[cpu * 8]))
			rseq_aborts[i]++;
		else
			rseq_done[i]++;
	}
	return NULL;
}

static void rseq_setup(struct conform *c)
{
	long i;

	(void)c;
	if (!__rseq_size)
		conform_skip("glibc has not registered rseq");
	for (i = 0; i < RSEQ_THREADS; i++)
		CHECK(!pthread_create(&rseq_thread[i], NULL, rseq_main,
				      (void *)i),
		      "no thread");
	conform_msleep(100);
}

static void rseq_after(struct conform *c)
{
	int64_t sum = 0, done = 0;
	int i;

	(void)c;
	conform_msleep(300);
	rseq_stop = 1;
	for (i = 0; i < RSEQ_THREADS; i++)
		CHECK(!pthread_join(rseq_thread[i], NULL), "thread lost");
	for (i = 0; i < 1024; i++)
		sum += rseq_count[i];
	for (i = 0; i < RSEQ_THREADS; i++)
		done += rseq_done[i];
	CHECK(done > 0, "no critical section was ever finished");
	CHECK(sum == done, "counters say %ld, the threads did %ld", (long)sum,
	      (long)done);
}

/* After a move to another processor the area must say so. */
static void rseq_follow(struct conform *c)
{
	cpu_set_t all, one;
	int i;

	rseq_after(c);
	NEED(sched_getaffinity(0, sizeof(all), &all));
	for (i = 0; i < CPU_SETSIZE; i++) {
		if (!CPU_ISSET(i, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		NEED(sched_setaffinity(0, sizeof(one), &one));
		CHECK_EQ(rseq_area()->cpu_id, i);
	}
}

const struct conform_kind conform_kinds[] = {
	{ .name = "cpu_regs",
	  .setup = regs_setup,
	  .continued = regs_after,
	  .before_ms = 20 },
	{ .name = "cpu_regs_child",
	  .setup = single_setup,
	  .continued = single_after,
	  .before_ms = 20 },
	{ .name = "cpu_tls", .setup = tls_setup, .continued = tls_after },
	{ .name = "cpu_rseq", .setup = rseq_setup, .continued = rseq_follow },
	{ .name = NULL },
};
