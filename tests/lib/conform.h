/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The conformance framework.  A kind is a table of callbacks; the program it
 * is linked into starts itself again as the *subject*, gives it a nonce, lets
 * it set up, and then checkpoints, kills and restarts it with the real tools.
 * Each way of doing so is a *leg*:
 *   dry        no checkpoint at all: is the test itself right?
 *   continued  the original after a checkpoint
 *   restarted  the image after the original was killed
 * A leg passes only if the subject left a result file whose value follows
 * from the nonce and from memory filled before the checkpoint, and ended with
 * an exit status that follows from the nonce.  The nonce is in no file,
 * argument or environment at the time of the checkpoint.
 *
 * All functions but conform_rand(), conform_fill() and conform_same() are for
 * the subject (any process or thread of it) unless said otherwise.
 */
#ifndef TESTS_CONFORM_H
#define TESTS_CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conform {
	uint64_t nonce;
	char dir[256]; /* driver's directory; the subject's cwd is dir/w */
	bool root; /* the leg runs as root */
	bool restarted; /* set before restarted() is called */
	bool eintr_ok; /* this kind has handlers: waits may be interrupted */
	pid_t pid; /* at setup */
	void *arg; /* the kind's own */
};

#define CONFORM_ROOT 1u /* as root only */
#define CONFORM_BUSY 2u /* processes come and go: do not compare /proc */
#define CONFORM_NODRYRESTART 4u /* restarted() means nothing in a dry leg */
#define CONFORM_TRANSIENT 16u /* refused, but --check need not see it */
#define CONFORM_NOGEN 8u /* left out of --generations */

struct conform_kind {
	const char *name;
	/* Make the state, in the subject's cwd. */
	void (*setup)(struct conform *c);
	/* Last step before the report that it is ready; may be NULL. */
	void (*ready)(struct conform *c);
	/* All must be as it was, in the original ... */
	void (*continued)(struct conform *c);
	/* ... and in the restarted program; NULL: as continued. */
	void (*restarted)(struct conform *c);
	/* Driver: between the kill and the restart, cwd as the subject's. */
	void (*between)(uint64_t nonce);
	/* cr_checkpoint must refuse and name this; no restart then. */
	const char *refused;
	/* cr_restart must refuse and name this. */
	const char *no_restart;
	unsigned int before_ms; /* from ready to the checkpoint */
	unsigned int dead_ms; /* from the kill to the restart */
	unsigned int max_image_kb; /* 0: any size */
	unsigned int flags; /* CONFORM_* */
};

/* The kinds of this program, ended by one without a name. */
extern const struct conform_kind conform_kinds[];

/* The i-th value that follows from the nonce. */
uint64_t conform_rand(uint64_t nonce, uint64_t i);
void conform_fill(void *p, size_t len, uint64_t seed);
/* The offset of the first byte that differs from conform_fill(), or -1. */
ssize_t conform_same(const void *p, size_t len, uint64_t seed);

/* End this leg as failed, from any process of the subject. */
void conform_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4), noreturn));
/* This machine cannot do it; setup and ready only. */
void conform_skip(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* Tell the driver: "fd" is used with refused. */
void conform_fact(const char *name, long value);
/*
 * The rest of the subject after its setup, for a kind whose first thread
 * ends in setup or ready: another thread calls this.
 */
void conform_after_ready(const struct conform_kind *k);
/* Wait until the driver lets the subject go on; fails on spurious EINTR. */
void conform_wait_go(struct conform *c);
/* Sleep on, whatever signals come. */
void conform_msleep(unsigned int ms);
/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t conform_now(void);

/*
 * A process that runs fn and ends with a status of the nonce.  fn calls
 * conform_child_ready() when set up; conform_child() returns after that.
 */
pid_t conform_child(struct conform *c, void (*fn)(struct conform *, long),
		    long arg);
void conform_child_ready(void);
int conform_child_status(const struct conform *c, long arg);
/* Wait for it and check that status. */
void conform_join(struct conform *c, pid_t pid, long arg);
/* Wait at most ms for pid and check its wait status. */
void conform_reap(pid_t pid, int wstatus, unsigned int ms);

/* Text of a small file of /proc, for one call at a time per thread. */
const char *conform_slurp(const char *path);
/* The value of "Name:" in /proc/self/status or another such text. */
long conform_field(const char *text, const char *name, int base);
/* The VmFlags line of the mapping that holds p. */
const char *conform_vmflags(const void *p);
/* A number of the mapping's smaps in kB, "AnonHugePages" and so on. */
long conform_smaps(const void *p, const char *name);

#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond))                                                   \
			conform_fail(__FILE__, __LINE__, __VA_ARGS__);         \
	} while (0)

/* A call that must succeed; names itself and errno. */
#define NEED(call)                                                             \
	__extension__({                                                        \
		long need_ = (long)(call);                                     \
		if (need_ == -1)                                               \
			conform_fail(__FILE__, __LINE__, "%s: %m", #call);     \
		need_;                                                         \
	})

#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		long a_ = (long)(a), b_ = (long)(b);                           \
		if (a_ != b_)                                                  \
			conform_fail(__FILE__, __LINE__,                       \
				     "%s is %ld, not %ld (%s)", #a, a_, b_,    \
				     #b);                                      \
	} while (0)

/* Memory filled by conform_fill(). */
#define CHECK_SAME(p, len, seed)                                               \
	do {                                                                   \
		ssize_t off_ = conform_same(p, len, seed);                     \
		if (off_ >= 0)                                                 \
			conform_fail(__FILE__, __LINE__,                       \
				     "%s differs at offset %zd of %zu", #p,    \
				     off_, (size_t)(len));                     \
	} while (0)

#endif
