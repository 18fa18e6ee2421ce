/* SPDX-License-Identifier: GPL-2.0-or-later WITH Linux-syscall-note */
/*
 * /dev/stasis: what the capture module tells about frozen processes.  This
 * file is the whole contract between module and user space; stasis(4) tells
 * the same at leisure.
 *
 * A descriptor of /dev/stasis is a session.  Calls come in this order:
 * ATTACH for each process, PARK where no cgroup freezes the processes, WAIT
 * until all stand, TASKS, VMAS, SNAPSHOT, UNPARK, then PAGES, READ, STREAM
 * from the snapshot, DROP.  Closing the descriptor undoes everything.
 *
 * Rules.  Every struct begins with its size: a caller built against an older
 * header passes a shorter one and the rest reads as zero; a longer one is
 * taken when what the module does not know is zero, else E2BIG.  Reserved
 * members and unknown flags must be zero (EINVAL).  Pointers travel as __u64.
 * Times are nanoseconds, addresses and lengths bytes.  pids are seen from the
 * caller's pid namespace unless called inner.
 *
 * Who may.  ATTACH takes an open descriptor of /proc/PID/mem (or of
 * /proc/PID/task/TID/mem): the kernel has made its ptrace check at the open.
 * Each later call looks again at what may have changed since: the address
 * space (exec), credentials, dumpability.  EPERM where that fails, ESRCH
 * where the process is gone.
 */
#ifndef _UAPI_STASIS_H
#define _UAPI_STASIS_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Version of this contract; a module refuses nothing older than 1. */
#define STASIS_ABI 1

/* Bounds of one session. */
#define STASIS_MAX_PROCS 4096
#define STASIS_MAX_THREADS 65536
#define STASIS_MAX_BUFFER (256u << 20)
#define STASIS_MAX_RANGES 65536

/* stasis_version.features */
#define STASIS_FEATURE_PARK 0x1ull
#define STASIS_FEATURE_COW 0x2ull /* SNAPSHOT knows copy-on-write here */
#define STASIS_FEATURE_FREEZER 0x4ull /* cgroup v2 freezer is understood */

struct stasis_version {
	__u32 size;
	__u32 abi; /* out: STASIS_ABI */
	__u64 features; /* out: STASIS_FEATURE_* */
	__u32 regs_size; /* out: bytes of a STASIS_REC_REGS body */
	__u32 xstate_size; /* out: bytes of a STASIS_REC_XSTATE body, at most */
	__u32 page_size; /* out */
	__u32 reserved;
};

/*
 * Add a process.  mem_fd is the proof, pid any live thread of the process.
 * out: id names it in the other calls.  EBUSY: is attached already; EBADF:
 * not such a descriptor; EPERM: not this process's, or not the caller's;
 * ENOTSUP: kernel thread, init, 32-bit program.
 */
struct stasis_attach {
	__u32 size;
	__s32 mem_fd;
	__s32 pid;
	__u32 id; /* out, from 1 */
	__u32 n_threads; /* out */
	__u32 reserved;
};

/*
 * PARK: make every thread of every attached process stand still at its next
 * return to user mode, where no cgroup does.  Threads born meanwhile are
 * caught by calling again: WAIT tells.  UNPARK (also a closed session) lets
 * all go.  A thread stopped by a signal stands already and parks when it is
 * continued; one in an uninterruptible sleep parks when it wakes.  Until then
 * the module cannot be unloaded.  EAGAIN: too many such threads are waited
 * for on this machine.
 */
struct stasis_park {
	__u32 size;
	__u32 n_threads; /* out: threads asked (PARK), released (UNPARK) */
};

/*
 * Wait until every thread of every attached process is frozen by the cgroup
 * v2 freezer, stopped inside it, or parked, and is off its CPU.  0: all
 * stand.  ETIMEDOUT: running says how many do not, pid names one, why tells
 * what it does.  A vfork() parent inside its call is STASIS_WHY_VFORK: thaw,
 * try again.
 */
#define STASIS_WHY_RUNS 1
#define STASIS_WHY_VFORK 2
#define STASIS_WHY_TRACED 3
#define STASIS_WHY_SLEEPS 4 /* uninterruptible, or frozen elsewhere */
#define STASIS_WHY_STOPPED 5 /* by a signal, neither frozen nor asked */

struct stasis_wait {
	__u32 size;
	__u32 timeout_ms; /* at most 60000; 0: look once */
	__u32 n_threads; /* out: live threads seen */
	__u32 running; /* out */
	__s32 pid; /* out: a thread that does not stand */
	__u32 why; /* out: STASIS_WHY_* */
};

/*
 * Records of one process and its threads into buf: each begins with struct
 * stasis_rec, is a multiple of 8 bytes long and follows the one before.  The
 * order is PROC, SIGACTION, its SIGINFOs, PTIMERs, then for each thread
 * THREAD, REGS, XSTATE, SIGINFOs.  All threads of a process come in one call;
 * ENOSPC: needed says how large buf must be.  EBUSY: not all stand.
 */
#define STASIS_TASKS_REPAIR 0x1u /* write the repaired ax back, see REGS */

struct stasis_tasks {
	__u32 size;
	__u32 id;
	__u32 flags; /* STASIS_TASKS_* */
	__u32 reserved;
	__u64 buf;
	__u64 len;
	__u64 used; /* out */
	__u64 needed; /* out */
};

#define STASIS_REC_PROC 1
#define STASIS_REC_THREAD 2
#define STASIS_REC_REGS 3
#define STASIS_REC_XSTATE 4
#define STASIS_REC_SIGINFO 5
#define STASIS_REC_PTIMER 6
#define STASIS_REC_SIGACTION 7
#define STASIS_REC_VMA 8

struct stasis_rec {
	__u32 size; /* with this header and padding to 8 bytes */
	__u16 type; /* STASIS_REC_* */
	__u16 unused; /* padding bytes at the end */
};

/* stasis_rec_proc.flags */
#define STASIS_PROC_SUBREAPER 0x1u
#define STASIS_PROC_NO_THP 0x2u
#define STASIS_PROC_MDWE 0x4u
#define STASIS_PROC_MDWE_NO_INHERIT 0x8u
#define STASIS_PROC_LEADERLESS 0x10u /* leader gone, others live */
#define STASIS_PROC_STOPPED 0x20u /* by a stop signal: stop_signal */
#define STASIS_PROC_KSM_ANY 0x40u

struct stasis_itimer {
	__u64 value; /* left; 1 where it is due */
	__u64 interval;
};

struct stasis_rec_proc {
	struct stasis_rec rec;
	__s32 pid;
	__s32 inner_pid;
	__u32 flags; /* STASIS_PROC_* */
	__u32 dumpable;
	__u32 exit_signal;
	__u32 stop_signal;
	__u32 lock_flags; /* MCL_FUTURE, MCL_ONFAULT */
	__u32 membarrier; /* mm->membarrier_state */
	__u32 n_threads;
	__u32 n_mm_users; /* of the address space, the module's left out */
	struct stasis_itimer itimer[3]; /* ITIMER_REAL, VIRTUAL, PROF */
	__u64 swap_pages;
	__u64 brk;
};

/* stasis_rec_thread.flags */
#define STASIS_THREAD_LEADER 0x1u
#define STASIS_THREAD_KEEPCAPS 0x2u
#define STASIS_THREAD_SUD 0x4u /* syscall user dispatch */
#define STASIS_THREAD_EINTR 0x8u /* ax was a spurious -EINTR: repaired */
#define STASIS_THREAD_PARKED 0x10u /* by this session */
#define STASIS_THREAD_SAVED_MASK 0x20u /* sigmask is the call's saved one */
#define STASIS_THREAD_IO_WORKER 0x40u /* of io_uring: not the program's */

/* stasis_rec_thread.sleep_kind: the call to be restarted, restart_block */
#define STASIS_SLEEP_NONE 0
#define STASIS_SLEEP_NANOSLEEP 1
#define STASIS_SLEEP_POLL 2
#define STASIS_SLEEP_FUTEX 3
#define STASIS_SLEEP_OTHER 4 /* a kind that this module does not know */

struct stasis_rec_thread {
	struct stasis_rec rec;
	__s32 tid;
	__s32 inner_tid;
	__u32 flags; /* STASIS_THREAD_* */
	__u32 pdeathsig;
	__u64 sigmask;
	__u64 altstack_sp;
	__u64 altstack_size;
	__u32 altstack_flags;
	__u32 rseq_size;
	__u64 clear_tid;
	__u64 robust_list;
	__u64 robust_len;
	__u64 rseq;
	__u32 rseq_sig;
	__u32 securebits;
	__u64 timer_slack;
	__u32 policy; /* MPOL_* with mode flags; 0 default */
	__u32 sleep_kind; /* STASIS_SLEEP_* */
	__u64 nodes[16]; /* node mask of policy */
	__u64 sleep_expiry; /* absolute, of sleep_clock; ~0: none */
	__s32 sleep_clock;
	__u32 sleep_flags; /* futex: FLAGS_* of the kernel */
	__u64 sleep_uaddr; /* futex word, poll array */
	__u64 sud_selector;
	__u64 sud_offset;
	__u64 sud_len;
};

/*
 * Body of REGS: struct user_regs_struct as PTRACE_GETREGSET gives it, but ax
 * = -EINTR of epoll_wait, sigtimedwait, recv with a time-out, semtimedop and
 * io_getevents reads -ERESTARTNOHAND: no signal was the reason, the freeze
 * was.  With STASIS_TASKS_REPAIR the thread itself goes on so.
 * Body of XSTATE: XSAVE area as PTRACE_GETREGSET(NT_X86_XSTATE) gives it.
 * Body of SIGINFO: siginfo_t as PTRACE_PEEKSIGINFO gives it, in order of the
 * queue; after PROC the shared ones, after THREAD the thread's.
 */

/* One for each signal whose action is not the default: */
struct stasis_sigaction {
	__u32 signo;
	__u32 reserved;
	__u64 handler;
	__u64 flags;
	__u64 restorer;
	__u64 mask;
};

/* Body of SIGACTION: array of struct stasis_sigaction. */

struct stasis_rec_ptimer {
	struct stasis_rec rec;
	__u32 timer;
	__s32 clock;
	__u32 notify; /* SIGEV_* */
	__u32 signo;
	__s32 inner_tid; /* SIGEV_THREAD_ID, else 0 */
	__u32 armed;
	__u64 sigval;
	__u64 value; /* left; 1 where it is due */
	__u64 interval;
	__u32 overrun;
	__u32 reserved;
};

/*
 * VMAS: what /proc/PID/maps does not tell, one record for each mapping, into
 * buf as for TASKS.  Needs no standstill.
 */
struct stasis_vmas {
	__u32 size;
	__u32 id;
	__u64 buf;
	__u64 len;
	__u64 used; /* out */
	__u64 needed; /* out */
};

#define STASIS_VMA_READ 0x1u
#define STASIS_VMA_WRITE 0x2u
#define STASIS_VMA_EXEC 0x4u
#define STASIS_VMA_SHARED 0x8u
#define STASIS_VMA_GROWSDOWN 0x10u
#define STASIS_VMA_LOCKED 0x20u
#define STASIS_VMA_LOCKONFAULT 0x40u
#define STASIS_VMA_NORESERVE 0x80u
#define STASIS_VMA_DONTFORK 0x100u
#define STASIS_VMA_WIPEONFORK 0x200u
#define STASIS_VMA_DONTDUMP 0x400u
#define STASIS_VMA_HUGEPAGE 0x800u
#define STASIS_VMA_NOHUGEPAGE 0x1000u
#define STASIS_VMA_MERGEABLE 0x2000u
#define STASIS_VMA_SEQ 0x4000u
#define STASIS_VMA_RAND 0x8000u
#define STASIS_VMA_HUGETLB 0x10000u
#define STASIS_VMA_UFFD 0x20000u /* a userfaultfd watches it */
#define STASIS_VMA_PFN 0x40000u /* device memory: no pages to read */
#define STASIS_VMA_ANON_PAGES 0x80000u /* may hold private pages */
#define STASIS_VMA_FILE 0x100000u
#define STASIS_VMA_MAYWRITE 0x200000u

struct stasis_rec_vma {
	struct stasis_rec rec;
	__u64 start;
	__u64 end;
	__u32 flags; /* STASIS_VMA_* */
	__u32 pkey;
	__u64 offset; /* into the file, bytes */
	__u64 ino;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 policy; /* as in stasis_rec_thread */
	__u32 reserved;
	__u64 nodes[16];
};

/*
 * Hold the private pages of all attached processes as they are now.  All
 * must stand (EBUSY).  Mode REF only takes references: its pages are to be
 * read while the processes stand, and READ and STREAM refuse (EBUSY) when
 * they do not.  Mode COW also write-protects them: the processes may go on
 * and copy a page before they change it.  Pages that a device may write to
 * (pinned) and private huge pages of hugetlbfs are copied.  ENOTSUP: COW is
 * not possible on this machine; EBUSY with strangers = 1: somebody else uses
 * an address space; EAGAIN: pages were on the move for too long.  Replaces
 * nothing: EEXIST while a snapshot is held.
 */
#define STASIS_SNAPSHOT_REF 1
#define STASIS_SNAPSHOT_COW 2

struct stasis_snapshot {
	__u32 size;
	__u32 mode;
	__u64 pages; /* out: in pages of 4 KiB */
	__u64 huge; /* out: of these, in huge pages */
	__u64 copied; /* out */
	__u64 faulted; /* out: brought in from swap */
	__u64 ns; /* out: time it took */
	__u32 strangers; /* out */
	__u32 reserved;
};

struct stasis_range {
	__u64 start;
	__u64 end;
};

/*
 * The held pages of a process in [start, end), in order, as ranges.  next is
 * where to go on, end when complete.
 */
#define STASIS_PAGES_SKIP_ZERO 0x1u /* leave out pages full of zeros */

struct stasis_pages {
	__u32 size;
	__u32 id;
	__u32 flags; /* STASIS_PAGES_* */
	__u32 n_max; /* at most STASIS_MAX_RANGES */
	__u64 start;
	__u64 end;
	__u64 buf; /* struct stasis_range[n_max] */
	__u32 n; /* out */
	__u32 reserved;
	__u64 next; /* out */
};

/* Copy [start, start + len) of the snapshot; what it does not hold is zero. */
struct stasis_read {
	__u32 size;
	__u32 id;
	__u64 start;
	__u64 len; /* at most STASIS_MAX_BUFFER */
	__u64 buf;
};

/*
 * Write ranges of the snapshot one after the other to fd at offset, from the
 * pages themselves.  fd: a regular file, opened for writing; with O_DIRECT
 * offset must suit the file system.  Addresses are multiples of the page
 * size.  out: written, also after an error in the midst; crc32c of what was
 * written, when asked for, continued from the crc passed in.
 */
#define STASIS_STREAM_CRC 0x1u

struct stasis_stream {
	__u32 size;
	__u32 id;
	__u32 flags; /* STASIS_STREAM_* */
	__s32 fd;
	__u64 offset;
	__u64 ranges; /* struct stasis_range[n] */
	__u32 n; /* at most STASIS_MAX_RANGES */
	__u32 crc; /* in, out */
	__u64 written; /* out */
};

/* Give the snapshot back. */
struct stasis_drop {
	__u32 size;
	__u32 reserved;
};

#define STASIS_IOC 0xF5
#define STASIS_IOC_VERSION _IOWR(STASIS_IOC, 0, struct stasis_version)
#define STASIS_IOC_ATTACH _IOWR(STASIS_IOC, 1, struct stasis_attach)
#define STASIS_IOC_PARK _IOWR(STASIS_IOC, 2, struct stasis_park)
#define STASIS_IOC_UNPARK _IOWR(STASIS_IOC, 3, struct stasis_park)
#define STASIS_IOC_WAIT _IOWR(STASIS_IOC, 4, struct stasis_wait)
#define STASIS_IOC_TASKS _IOWR(STASIS_IOC, 5, struct stasis_tasks)
#define STASIS_IOC_VMAS _IOWR(STASIS_IOC, 6, struct stasis_vmas)
#define STASIS_IOC_SNAPSHOT _IOWR(STASIS_IOC, 7, struct stasis_snapshot)
#define STASIS_IOC_PAGES _IOWR(STASIS_IOC, 8, struct stasis_pages)
#define STASIS_IOC_READ _IOWR(STASIS_IOC, 9, struct stasis_read)
#define STASIS_IOC_STREAM _IOWR(STASIS_IOC, 10, struct stasis_stream)
#define STASIS_IOC_DROP _IOWR(STASIS_IOC, 11, struct stasis_drop)

#endif
