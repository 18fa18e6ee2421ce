/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between the parts of the conformance framework: the subject, the driver
 * (who runs legs and tools) and the observer (who reads /proc).
 */
#ifndef TESTS_CONFORM_INT_H
#define TESTS_CONFORM_INT_H

#include "conform.h"

/* subject.c */
int conform_subject(const struct conform_kind *k, const char *dir);
uint64_t conform_value(const void *p, const char *stage);
uint64_t conform_expect(uint64_t nonce, const char *stage);
int conform_status(uint64_t nonce);

/* observe.c: what /proc tells of a tree; the text is the caller's to free. */
#define OBSERVE_MOVED 1u /* a restart: inode numbers and times differ */
char *observe_tree(pid_t root, unsigned int flags);
/* The first line that differs, "a | b", or NULL; the caller frees it. */
char *observe_diff(const char *a, const char *b);
/* Descendants of pid (not itself), at most max; returns how many. */
int observe_descendants(pid_t pid, pid_t *list, int max);
/* The descendant of top whose innermost pid is pid, or 0. */
pid_t observe_find(pid_t top, pid_t pid);
int observe_state(pid_t pid); /* letter of /proc/PID/stat, 0 if gone */
pid_t observe_tracer(pid_t pid);
int observe_fds(pid_t pid);

/* tool.c: processes of the driver, all with time-outs */
struct tool {
	pid_t pid;
	char log[320];
};
/* Start argv with stdio /dev/null and log; 0 or -errno. */
int tool_start(struct tool *t, const char *log, const char *const *argv);
/* Its wait status, or -ETIMEDOUT (killed then). */
int tool_wait(struct tool *t, int timeout_ms, int *status);
int tool_run(const char *log, int timeout_ms, int *status,
	     const char *const *argv);
/* Full path of one of our tools. */
const char *tool_path(const char *name);
/* Kill and reap every descendant of this process. */
void tool_kill_all(void);
/* Wait for descendants to go by themselves; how many stay. */
int tool_leftover(int timeout_ms, pid_t except);
/* Print a log, indented. */
void tool_show(const char *log);

#endif
