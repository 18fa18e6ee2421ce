/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages on stderr.  The tool's name and -q are process-wide, as stderr is.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "message.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *tool_name = "cr";
static bool silent;
static char last[1024];

struct kmsg {
	int level;
	char *text;
	size_t len;
};

void message_init(const char *tool, bool quiet)
{
	tool_name = tool;
	silent = quiet;
}

void message(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(last, sizeof(last), fmt, ap);
	va_end(ap);
	if (!silent)
		fprintf(stderr, "%s: %s\n", tool_name, last);
}

const char *message_last(void)
{
	return last;
}

int exit_status(int ret)
{
	int code = (ret < 0 ? -ret : ret) & 0xff;

	/* No failure may look like success. */
	return ret && !code ? EXIT_USAGE : code;
}

int signal_number(const char *text)
{
	const char *name, *abbrev;
	char *end;
	long n;
	int i;

	n = strtol(text, &end, 10);
	if (end != text && !*end)
		return n >= 1 && n <= 64 ? (int)n : -EINVAL;
	name = strncasecmp(text, "SIG", 3) ? text : text + 3;
	for (i = 1; i < 32; i++) {
		abbrev = sigabbrev_np(i);
		if (abbrev && !strcasecmp(abbrev, name))
			return i;
	}
	return -EINVAL;
}

struct kmsg *kmsg_new(int level)
{
	struct kmsg *k = calloc(1, sizeof(*k));

	if (k)
		k->level = level;
	return k;
}

void kmsg_add(struct kmsg *k, const char *line)
{
	size_t n = strlen(line);
	char *p;

	if (!k || !k->level || silent)
		return;
	p = realloc(k->text, k->len + n + 4);
	if (!p)
		return;
	k->text = p;
	k->len += (size_t)sprintf(p + k->len, "- %s\n", line);
}

void kmsg_flush(struct kmsg *k, bool failed)
{
	if (!k)
		return;
	if (k->text && !silent && (k->level > 1 || failed))
		fputs(k->text, stderr);
	free(k->text);
	free(k);
}
