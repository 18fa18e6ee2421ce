/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands on success and failure, run by the shell as BLCR did, and the
 * parsing of --relocate.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "restart_hooks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "options/keys.h"

void hooks_set(struct hooks *h, unsigned int bits, const char *cmd)
{
	unsigned int i;

	for (i = 0; i < N_HOOKS; i++)
		if (bits & 1u << i)
			h->cmd[i] = cmd;
}

int hooks_run(const struct hooks *h, unsigned int bit)
{
	unsigned int i;
	int status;

	for (i = 0; i < N_HOOKS; i++) {
		if (bit != 1u << i || !h->cmd[i])
			continue;
		status = system(h->cmd[i]);
		if (status < 0)
			return 255;
		if (WIFEXITED(status))
			return WEXITSTATUS(status);
		return 128 + WTERMSIG(status);
	}
	return 0;
}

unsigned int hook_of(int ret)
{
	switch (-ret) {
	case EBUSY:
	case ENOMEM:
	case EAGAIN:
		return HOOK_TEMP;
	case EACCES:
	case EPERM:
	case ENOENT:
	case EEXIST:
	case EISDIR:
	case ENOTDIR:
	case ESTALE:
		return HOOK_ENV;
	default:
		return HOOK_PERM;
	}
}

/* Up to an unescaped end character; the rest through *arg. */
static char *unescape(const char **arg, char end)
{
	const char *p = *arg;
	char *text, *q;

	text = malloc(strlen(p) + 1);
	if (!text)
		return NULL;
	for (q = text; *p && *p != end; p++) {
		if (*p == '\\' && (p[1] == '=' || p[1] == '\\'))
			p++;
		*q++ = *p;
	}
	*q = '\0';
	while (q > text + 1 && q[-1] == '/')
		*--q = '\0';
	*arg = p;
	return text;
}

int relocate_parse(const char *arg, struct cr_ext_relocate *to)
{
	char *from, *dest = NULL;
	int ret = -EINVAL;

	from = unescape(&arg, '=');
	if (!from)
		return -ENOMEM;
	if (*arg == '=') {
		arg++;
		dest = unescape(&arg, '\0');
	}
	if (dest && from[0] == '/' && dest[0] == '/')
		ret = strcmp(from, dest) != 0;
	if (ret > 0) {
		to->from = from;
		to->to = dest;
		return ret;
	}
	free(from);
	free(dest);
	return ret;
}
