/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cases for the kinds of open files: each makes some descriptors and later
 * checks that they behave as if nothing had happened.  The unit test captures
 * and opens them again inside one process; kinds_zoo waits in between for a
 * real checkpoint and restart.
 */
#ifndef TESTS_UNIT_KINDS_CASES_H
#define TESTS_UNIT_KINDS_CASES_H

#define CASE_MAX_FDS 16
#define CASE_WHOLE 0x1 /* needs a whole process: not in the unit test */
#define CASE_ROOT 0x2

struct kindcase {
	const char *name;
	/* Put the descriptors in fds, return their number, -1 on failure. */
	int (*setup)(int *fds);
	/* 0, or -1 with case_why set. */
	int (*check)(const int *fds);
	int flags;
};

extern const struct kindcase kindcases[];
extern const struct kindcase kindcases_socket[];
extern char case_why[256];
/* A fresh directory for the case to work in (current directory). */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			case_fail(__FILE__, __LINE__, #cond);                  \
			return -1;                                             \
		}                                                              \
	} while (0)
void case_fail(const char *file, int line, const char *what);
const struct kindcase *case_find(const char *name);

#endif
