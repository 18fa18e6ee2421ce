/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failure stories.  Formatting keeps errno, so that a caller may note a
 * failure and still look at it.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "util/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int cri_vfail(struct cri_err *err, int code, const char *fmt, va_list ap)
{
	int saved = errno;

	if (err && !err->code) {
		err->code = code;
		vsnprintf(err->text, sizeof(err->text), fmt, ap);
	}
	errno = saved;
	return -code;
}

int cri_fail(struct cri_err *err, int code, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = cri_vfail(err, code, fmt, ap);
	va_end(ap);
	return ret;
}

void cri_err_clear(struct cri_err *err)
{
	if (!err)
		return;
	err->code = 0;
	err->text[0] = '\0';
}

void cri_err_prefix(struct cri_err *err, const char *fmt, ...)
{
	char old[sizeof(err->text)];
	va_list ap;
	int n;

	if (!err || !err->code)
		return;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 3 >= sizeof(err->text)) {
		memcpy(err->text, old, sizeof(old));
		return;
	}
	snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
}
