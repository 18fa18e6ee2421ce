/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of the module share: a checking macro, one session on
 * /dev/stasis, targets with threads in many kinds of waits, a cgroup that
 * freezes them.  Every failed check prints its place and ends the program.
 */
#ifndef TESTS_GUEST_SESSION_H
#define TESTS_GUEST_SESSION_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "../../kmod/uapi/stasis.h"

#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__,     \
				#cond);                                        \
			fprintf(stderr, __VA_ARGS__);                          \
			fprintf(stderr, " (errno %d)\n", errno);               \
			exit(1);                                               \
		}                                                              \
	} while (0)

struct session {
	int fd;
	int mem; /* /proc/PID/mem of the last attached */
	uint32_t id;
};

/* A call: 0 or -errno. */
static inline int call(int fd, unsigned long nr, void *arg)
{
	return ioctl(fd, nr, arg) == 0 ? 0 : -errno;
}

void session_open(struct session *s);
void session_close(struct session *s);
int session_attach(struct session *s, pid_t pid);
int session_park(struct session *s);
int session_wait(struct session *s, unsigned int ms, struct stasis_wait *w);
/* Park and wait until all stand; dies otherwise. */
void session_stop(struct session *s);
/* Records of the attached process; freed by the caller. */
char *session_tasks(struct session *s, uint32_t flags, size_t *len);
int session_snapshot(struct session *s, uint32_t mode,
		     struct stasis_snapshot *out);
/* All held ranges in [start, end). */
struct stasis_range *session_pages(struct session *s, uint64_t start,
				   uint64_t end, uint32_t flags, uint32_t *n);
int session_read(struct session *s, uint64_t start, void *to, size_t len);

static inline const struct stasis_rec *rec_next(const struct stasis_rec *r)
{
	return (const void *)((const char *)r + r->size);
}

/*
 * A child with n_threads threads (the main one spins, the others wait in
 * turn in many kinds of calls) and size bytes of patterned memory.
 */
struct target {
	pid_t pid;
	struct shared *shared;
};

struct shared {
	volatile uint64_t beats; /* of the spinning thread */
	volatile uint64_t eintr; /* spurious returns */
	volatile uint64_t ready;
	volatile uint64_t round; /* of the writer, see TARGET_WRITER */
	volatile uint64_t memory; /* address and size of the pattern */
	volatile uint64_t size;
	volatile uint64_t spinner; /* its tid */
};

#define TARGET_WRITER 1u /* the main thread rewrites all pages in rounds */
#define TARGET_HUGE 2u
#define TARGET_QUIET 4u /* the main thread sleeps: nothing changes */

void target_start(struct target *t, unsigned int n_threads, size_t size,
		  unsigned int flags);
/* Be such a target oneself; never returns. */
void target_be(unsigned int n_threads, size_t size, unsigned int flags);
void target_alive(const struct target *t);
void target_end(struct target *t);

/* cgroup v2 freezer; false where there is none to write to. */
bool cgroup_put(pid_t pid);
void cgroup_freeze(bool on);
void cgroup_drop(void);

#endif
