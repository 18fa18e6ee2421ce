/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of cr_restart.  -v is the version here, as in BLCR.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <signal.h>

#include "libcr_ext.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"

static const struct opt_row rows[] = {
	OPT_HEADING("General"),
	OPT_ROWS_COMMON,
	{ "v", "version", OPT_NONE, NULL, OPT_KEY_VERSION, 0,
	  "print the version" },
	{ "q", "quiet", OPT_NONE, NULL, OPT_KEY_QUIET, 0,
	  "say nothing on stderr" },
	{ NULL, "verbose", OPT_NONE, NULL, KEY_VERBOSE, 0,
	  "say each step on stderr" },
	OPT_HEADING("The image (one of them, or as operand)"),
	{ "f", "file", OPT_NEED, "FILE", KEY_FILE, 0, "FILE" },
	{ "F", "fd", OPT_NEED, "FD", KEY_FD, 0,
	  "an open descriptor: file, pipe or socket" },
	{ "d", "dir", OPT_NEED, "DIR", KEY_DIR, 0,
	  "the one context.* file in DIR" },
	OPT_HEADING("Signal sent afterwards"),
	{ NULL, "run", OPT_NONE, NULL, KEY_SIGNAL, 0, "none (default)" },
	{ "S", "signal", OPT_NEED, "N", KEY_SIGNAL, -1,
	  "signal N, a number or a name" },
	{ NULL, "stop|freeze", OPT_NONE, NULL, KEY_SIGNAL, SIGSTOP, "SIGSTOP" },
	{ NULL, "term", OPT_NONE, NULL, KEY_SIGNAL, SIGTERM, "SIGTERM" },
	{ NULL, "abort", OPT_NONE, NULL, KEY_SIGNAL, SIGABRT, "SIGABRT" },
	{ NULL, "kill", OPT_NONE, NULL, KEY_SIGNAL, SIGKILL, "SIGKILL" },
	{ NULL, "cont", OPT_NONE, NULL, KEY_SIGNAL, SIGCONT, "SIGCONT" },
	OPT_HEADING("cr_restart itself in later checkpoints"),
	{ NULL, "omit-maybe", OPT_NONE, NULL, KEY_OMIT, 0,
	  "left out as the root or below init (default)" },
	{ NULL, "omit-always", OPT_NONE, NULL, KEY_OMIT, 1, "left out" },
	{ NULL, "omit-never", OPT_NONE, NULL, KEY_OMIT, 2, "saved" },
	OPT_HEADING("Commands run by the shell"),
	{ NULL, "run-on-success", OPT_NEED, "CMD", KEY_HOOK, HOOK_SUCCESS,
	  "when the processes run again" },
	{ NULL, "run-on-fail-args", OPT_NEED, "CMD", KEY_HOOK, HOOK_ARGS,
	  "wrong usage, or no such image" },
	{ NULL, "run-on-fail-temp", OPT_NEED, "CMD", KEY_HOOK, HOOK_TEMP,
	  "may work later (pid in use, memory)" },
	{ NULL, "run-on-fail-env", OPT_NEED, "CMD", KEY_HOOK, HOOK_ENV,
	  "something is missing here (files, rights)" },
	{ NULL, "run-on-fail-perm", OPT_NEED, "CMD", KEY_HOOK, HOOK_PERM,
	  "will never work (damaged image)" },
	{ NULL, "run-on-failure", OPT_NEED, "CMD", KEY_HOOK,
	  HOOK_ARGS | HOOK_TEMP | HOOK_ENV | HOOK_PERM, "any of these four" },
	OPT_HEADING("Paths and identifiers"),
	{ NULL, "relocate", OPT_NEED, "OLD=NEW", KEY_RELOCATE, 0,
	  "paths below OLD are now below NEW" },
	{ NULL, "restore-pid", OPT_NONE, NULL, KEY_RESTORE,
	  CR_EXT_RESTORE_PID, "same process ids (default)" },
	{ NULL, "no-restore-pid", OPT_NONE, NULL, KEY_NO_RESTORE,
	  CR_EXT_RESTORE_PID, "fresh process ids" },
	{ NULL, "restore-pgid", OPT_NONE, NULL, KEY_RESTORE,
	  CR_EXT_RESTORE_PGID, "same process groups" },
	{ NULL, "no-restore-pgid", OPT_NONE, NULL, KEY_NO_RESTORE,
	  CR_EXT_RESTORE_PGID, "outside leaders: cr_restart's (default)" },
	{ NULL, "restore-sid", OPT_NONE, NULL, KEY_RESTORE,
	  CR_EXT_RESTORE_SID, "same sessions" },
	{ NULL, "no-restore-sid", OPT_NONE, NULL, KEY_NO_RESTORE,
	  CR_EXT_RESTORE_SID, "outside leaders: cr_restart's (default)" },
	OPT_HEADING("Messages of the engine"),
	{ NULL, "kmsg-none", OPT_NONE, NULL, KEY_KMSG, 0, "none" },
	{ NULL, "kmsg-error", OPT_NONE, NULL, KEY_KMSG, 1,
	  "when the restart fails (default)" },
	{ NULL, "kmsg-warning", OPT_NONE, NULL, KEY_KMSG, 2, "always" },
	OPT_HEADING("More"),
	{ NULL, "check", OPT_NONE, NULL, KEY_CHECK, 0,
	  "only say what stands in the way here" },
	{ NULL, "detach", OPT_NONE, NULL, KEY_DETACH, 0,
	  "print the pid and do not wait" },
	{ NULL, "lazy", OPT_NONE, NULL, KEY_LAZY, 0,
	  "run at once, read memory when it is touched" },
	{ NULL, "log", OPT_NEED, "FILE", KEY_LOG, 0,
	  "write the steps to FILE" },
	{ NULL, "progress", OPT_NONE, NULL, KEY_PROGRESS, 0,
	  "show progress (on a terminal after 1 s)" },
};

const struct opt_tool opt_restart = {
	.name = "cr_restart",
	.usage = "[OPTION]... [FILE]",
	.about = "Continue the processes that cr_checkpoint saved, and end "
		 "as they do.",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.take = restart_take,
};
