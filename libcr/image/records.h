/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of an image as C structs (struct cri_rec_NAME, list elements
 * struct cri_NAME), generated from records.def, and the enums they use.
 * A record lives in a record set, which owns it and all it points to.
 */
#ifndef CRI_IMAGE_RECORDS_H
#define CRI_IMAGE_RECORDS_H

#include <stdint.h>

#include "image/schema.h"

/* Numbers are part of the format and never reused. */
enum cri_rec_type {
	CRI_REC_ORIGIN = 1,
	CRI_REC_TASK = 2,
	CRI_REC_THREAD = 3,
	CRI_REC_MM = 4,
	CRI_REC_FDTABLE = 5,
	CRI_REC_FS = 6,
	CRI_REC_OFD = 7,
	CRI_REC_FILE = 8,
	CRI_REC_SHMEM = 9,
	CRI_REC_PIPE = 10,
	CRI_REC_EVENTFD = 11,
	CRI_REC_TIMERFD = 12,
	CRI_REC_SIGNALFD = 13,
	CRI_REC_EPOLL = 14,
	CRI_REC_INOTIFY = 15,
	CRI_REC_PIDFD = 16,
	CRI_REC_SOCKET = 17,
	CRI_REC_TTY = 18,
	CRI_REC_SPECIAL = 19,
	CRI_REC_LOCK = 20,
	CRI_REC_SYSVSHM = 21,
	CRI_REC_SEMSET = 22,
	CRI_REC_MSGQ = 23,
	CRI_REC_NOTE = 24,
	CRI_REC_MAX = 25,
};

enum cri_task_state {
	CRI_TASK_RUNNING = 0,
	CRI_TASK_STOPPED = 1, /* by a stop signal, stop_signal says which */
	CRI_TASK_ZOMBIE = 2, /* exit_code; no threads, mm 0 */
	CRI_TASK_LEADERLESS = 3, /* leader gone, other threads live */
};

enum cri_vma_kind {
	CRI_VMA_ANON = 0, /* private anonymous (also heap, stack) */
	CRI_VMA_FILE = 1, /* private or shared mapping of a FILE */
	CRI_VMA_SHMEM = 2, /* mapping of a SHMEM object */
	CRI_VMA_SYSVSHM = 3,
	CRI_VMA_VDSO = 4,
	CRI_VMA_VVAR = 5,
	CRI_VMA_VSYSCALL = 6, /* never mapped by us */
};

#define CRI_VMA_SHARED 0x1u
#define CRI_VMA_GROWSDOWN 0x2u
#define CRI_VMA_LOCKED 0x4u
#define CRI_VMA_LOCKONFAULT 0x8u
#define CRI_VMA_NORESERVE 0x10u
#define CRI_VMA_DONTFORK 0x20u
#define CRI_VMA_WIPEONFORK 0x40u
#define CRI_VMA_DONTDUMP 0x80u
#define CRI_VMA_HUGEPAGE 0x100u
#define CRI_VMA_NOHUGEPAGE 0x200u
#define CRI_VMA_MERGEABLE 0x400u
#define CRI_VMA_SEQ 0x800u
#define CRI_VMA_RAND 0x1000u
#define CRI_VMA_HUGETLB 0x2000u /* page size in vma.offset's shmem or below */
#define CRI_VMA_HAD_THP 0x4000u /* was backed by huge pages */
#define CRI_VMA_MAYWRITE_RO 0x8000u /* shared file opened read-only */
#define CRI_VMA_HEAP 0x10000u
#define CRI_VMA_STACK 0x20000u
#define CRI_VMA_SEALED 0x40000u /* mseal */

enum cri_shmem_kind {
	CRI_SHMEM_ANON = 0, /* MAP_SHARED | MAP_ANONYMOUS */
	CRI_SHMEM_MEMFD = 1,
	CRI_SHMEM_UNLINKED = 2, /* file on tmpfs without a name */
};

/* An interrupted call with a time-out whose rest is thread.sleep_left. */
enum cri_sleep {
	CRI_SLEEP_NONE = 0,
	CRI_SLEEP_NANOSLEEP = 1, /* relative nanosleep, clock_nanosleep */
	CRI_SLEEP_POLL = 2,
	CRI_SLEEP_FUTEX = 3,
	CRI_SLEEP_OTHER = 4, /* epoll_wait & co: rest patched into a register */
};

#define CRI_THREAD_LEADER 0x1u

enum cri_sock_state {
	CRI_SOCK_OPEN = 0, /* neither listening nor connected */
	CRI_SOCK_LISTEN = 1,
	CRI_SOCK_CONNECTED = 2,
	CRI_SOCK_PENDING = 3, /* connected, not yet accepted */
	CRI_SOCK_DEAD = 4, /* peer gone or outside: EOF, EPIPE */
	CRI_SOCK_OUTSIDE = 5, /* datagram to an outside path: reconnect */
};

enum cri_tty_kind {
	CRI_TTY_PTY = 0, /* master in the tree */
	CRI_TTY_OUTSIDE = 1, /* taken from cr_restart's own terminal */
};

#define CRI_FILE_EXE 0x1u /* mapped executable: compared by build id */
#define CRI_FILE_GHOST_DIR 0x2u
#define CRI_FILE_WRITTEN 0x4u /* open for writing somewhere in the tree */
#define CRI_FILE_SHM 0x8u /* named, in memory: .content holds it too */

#define SUB(n) struct cri_##n {
#define RECORD(T, n, v) struct cri_rec_##n {
#define U32(n, f) uint32_t f;
#define U64(n, f) uint64_t f;
#define I64(n, f) int64_t f;
#define STR(n, f) char *f;
#define BYTES(n, f) struct cri_bytes f;
#define LIST(n, s, f)                                                          \
	struct cri_##s *f;                                                     \
	uint32_t n_##f;
/* Fields of a later version of their record. */
#define U32_V(n, f, since) U32(n, f)
#define U64_V(n, f, since) U64(n, f)
#define I64_V(n, f, since) I64(n, f)
#define STR_V(n, f, since) STR(n, f)
#define BYTES_V(n, f, since) BYTES(n, f)
#define LIST_V(n, s, f, since) LIST(n, s, f)
#define END(n)                                                                 \
	}                                                                      \
	;
#include "image/records.def"
#undef SUB
#undef RECORD
#undef U32
#undef U64
#undef I64
#undef STR
#undef BYTES
#undef LIST
#undef U32_V
#undef U64_V
#undef I64_V
#undef STR_V
#undef BYTES_V
#undef LIST_V
#undef END

#endif
