/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cr_restart's --run-on-* commands and its --relocate argument.
 */
#ifndef TOOLS_RESTART_HOOKS_H
#define TOOLS_RESTART_HOOKS_H

#include "libcr_ext.h"

#define N_HOOKS 5

struct hooks {
	const char *cmd[N_HOOKS]; /* by bit of HOOK_* */
};

void hooks_set(struct hooks *h, unsigned int bits, const char *cmd);
/* Run the command of one kind: its exit status, 0 without one. */
int hooks_run(const struct hooks *h, unsigned int bit);
/* The kind of failure: HOOK_TEMP, HOOK_ENV or HOOK_PERM. */
unsigned int hook_of(int ret);
/*
 * OLD=NEW with \= and \\: 1 taken, 0 nothing to do, -EINVAL.  The strings stay
 * allocated.
 */
int relocate_parse(const char *arg, struct cr_ext_relocate *to);

#endif
