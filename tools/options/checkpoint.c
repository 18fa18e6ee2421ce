/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of cr_checkpoint.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <signal.h>

#include "libcr_ext.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"

#define DUMP_ALL                                                               \
	(CR_EXT_DUMP_EXEC | CR_EXT_DUMP_PRIVATE | CR_EXT_DUMP_SHARED)
#define ALLOW ((int)CR_EXT_PTRACED_ALLOW)

static const struct opt_row rows[] = {
	OPT_HEADING("General"),
	OPT_ROWS_COMMON,
	{ "v", "verbose", OPT_NONE, NULL, KEY_VERBOSE, 0,
	  "say each step on stderr, targets on stdout" },
	{ "q", "quiet", OPT_NONE, NULL, OPT_KEY_QUIET, 0,
	  "say nothing on stderr" },
	{ NULL, "version", OPT_NONE, NULL, OPT_KEY_VERSION, 0,
	  "print the version" },
	OPT_HEADING("What ID means"),
	{ "T", "tree", OPT_NONE, NULL, KEY_SCOPE, CR_EXT_SCOPE_TREE,
	  "a process and its descendants (default)" },
	{ "p", "pid|process", OPT_NONE, NULL, KEY_SCOPE, CR_EXT_SCOPE_PROC,
	  "one process with all its threads" },
	{ "g", "pgid|group", OPT_NONE, NULL, KEY_SCOPE, CR_EXT_SCOPE_PGRP,
	  "a process group" },
	{ "s", "sid|session", OPT_NONE, NULL, KEY_SCOPE, CR_EXT_SCOPE_SESS,
	  "a session" },
	OPT_HEADING("Where the image goes (one of them)"),
	{ "c", "cwd", OPT_NONE, NULL, KEY_CWD, 0,
	  "context.ID in the working directory (default)" },
	{ "d", "dir", OPT_NEED, "DIR", KEY_DIR, 0, "context.ID in DIR" },
	{ "f", "file", OPT_NEED, "FILE", KEY_FILE, 0, "FILE" },
	{ "F", "fd", OPT_NEED, "FD", KEY_FD, 0,
	  "an open descriptor: file, pipe or socket" },
	OPT_HEADING("What becomes of an older image"),
	{ NULL, "atomic", OPT_NONE, NULL, KEY_ATOMIC, 0,
	  "replaced at once, only on success (default)" },
	{ NULL, "backup", OPT_MAY, "NAME", KEY_BACKUP, 0,
	  "kept as NAME, or as FILE.~N~" },
	{ NULL, "clobber", OPT_NONE, NULL, KEY_CLOBBER, 0,
	  "overwritten in place" },
	{ NULL, "noclobber", OPT_NONE, NULL, KEY_NOCLOBBER, 0,
	  "no checkpoint if there is one" },
	OPT_HEADING("Signal sent afterwards"),
	{ NULL, "run", OPT_NONE, NULL, KEY_SIGNAL, 0, "none (default)" },
	{ "S", "signal", OPT_NEED, "N", KEY_SIGNAL, -1,
	  "signal N, a number or a name" },
	{ NULL, "stop", OPT_NONE, NULL, KEY_SIGNAL, SIGSTOP, "SIGSTOP" },
	{ NULL, "term", OPT_NONE, NULL, KEY_SIGNAL, SIGTERM, "SIGTERM" },
	{ NULL, "abort", OPT_NONE, NULL, KEY_SIGNAL, SIGABRT, "SIGABRT" },
	{ NULL, "kill", OPT_NONE, NULL, KEY_SIGNAL, SIGKILL,
	  "SIGKILL, nothing runs between image and end" },
	{ NULL, "cont", OPT_NONE, NULL, KEY_SIGNAL, SIGCONT, "SIGCONT" },
	{ NULL, "leave-stopped", OPT_NONE, NULL, KEY_LEAVE_STOPPED, SIGSTOP,
	  "stopped where the image was taken" },
	{ NULL, "result-fd", OPT_NEED, "FD", KEY_RESULT, 0, NULL },
	{ NULL, "early-stop", OPT_NONE, NULL, KEY_SIGNAL, SIGSTOP, NULL },
	{ NULL, "early-abrt", OPT_NONE, NULL, KEY_SIGNAL, SIGABRT, NULL },
	OPT_HEADING("Durability"),
	{ NULL, "sync", OPT_NONE, NULL, KEY_SYNC, 1,
	  "fsync image and directory (default)" },
	{ NULL, "nosync", OPT_NONE, NULL, KEY_SYNC, 0,
	  "leave that to the kernel" },
	OPT_HEADING("Contents of mapped files to save too"),
	{ NULL, "save-exe", OPT_NONE, NULL, KEY_SAVE, CR_EXT_DUMP_EXEC,
	  "the executable" },
	{ NULL, "save-private", OPT_NONE, NULL, KEY_SAVE, CR_EXT_DUMP_PRIVATE,
	  "private mappings, thus libraries" },
	{ NULL, "save-shared", OPT_NONE, NULL, KEY_SAVE, CR_EXT_DUMP_SHARED,
	  "shared mappings" },
	{ NULL, "save-all", OPT_NONE, NULL, KEY_SAVE, DUMP_ALL,
	  "all of these" },
	{ NULL, "save-none", OPT_NONE, NULL, KEY_SAVE, 0,
	  "none, forget earlier ones (default)" },
	OPT_HEADING("Processes under a debugger, and debuggers"),
	{ NULL, "ptraced-error", OPT_NONE, NULL, KEY_PTRACED, 0,
	  "a traced process is an error (default)" },
	{ NULL, "ptraced-skip", OPT_NONE, NULL, KEY_PTRACED,
	  CR_EXT_PTRACED_SKIP, "is left out" },
	{ NULL, "ptraced-allow", OPT_NONE, NULL, KEY_PTRACED, ALLOW,
	  "is saved" },
	{ NULL, "ptracer-error", OPT_NONE, NULL, KEY_PTRACER, 0,
	  "a tracing process is an error (default)" },
	{ NULL, "ptracer-skip", OPT_NONE, NULL, KEY_PTRACER,
	  CR_EXT_PTRACER_SKIP, "is left out" },
	OPT_HEADING("Messages of the engine"),
	{ NULL, "kmsg-none", OPT_NONE, NULL, KEY_KMSG, 0, "none" },
	{ NULL, "kmsg-error", OPT_NONE, NULL, KEY_KMSG, 1,
	  "when the checkpoint fails (default)" },
	{ NULL, "kmsg-warning", OPT_NONE, NULL, KEY_KMSG, 2, "always" },
	OPT_HEADING("More"),
	{ "t", "time", OPT_NEED, "TIME", KEY_TIME, 0,
	  "give up after TIME (90, 10m, 1h; 0: never)" },
	{ NULL, "check", OPT_NONE, NULL, KEY_CHECK, 0,
	  "only say what could not be saved or restored" },
	{ NULL, "progress", OPT_NONE, NULL, KEY_PROGRESS, 0,
	  "show progress (on a terminal after 1 s)" },
	{ NULL, "engine", OPT_NEED, "NAME", KEY_ENGINE, 0,
	  "auto, user or kmod" },
};

const struct opt_tool opt_checkpoint = {
	.name = "cr_checkpoint",
	.usage = "[OPTION]... ID",
	.about = "Save running processes to a file, from which cr_restart "
		 "continues them.",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.take = checkpoint_take,
};
