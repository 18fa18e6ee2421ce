/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The story of a failure, where errno loses it: a fixed buffer that the caller
 * owns, never allocated, first failure wins.  Not shared between threads.
 */
#ifndef CRI_UTIL_ERR_H
#define CRI_UTIL_ERR_H

#include <stdarg.h>

struct cri_err {
	int code; /* errno of the first failure, 0 none */
	char text[252]; /* what failed, on what; cut when too long */
};

/*
 * Note a failure and return -code.  err may be NULL; an err that already holds
 * a failure keeps it.  Use: return cri_fail(err, ESRCH, "task %d gone", pid);
 */
int cri_fail(struct cri_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int cri_vfail(struct cri_err *err, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
/* Forget the failure, for a retry. */
void cri_err_clear(struct cri_err *err);
/* Put "what: " before the text of a failure; nothing without one. */
void cri_err_prefix(struct cri_err *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
