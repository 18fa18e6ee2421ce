/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys of the tables' rows, as the tools' take() functions see them.
 */
#ifndef TOOLS_OPTIONS_KEYS_H
#define TOOLS_OPTIONS_KEYS_H

enum key {
	KEY_NONE = 1,
	KEY_VERBOSE,
	KEY_SCOPE, /* value: CR_EXT_SCOPE_* */
	KEY_CWD,
	KEY_FILE,
	KEY_FD,
	KEY_DIR,
	KEY_ATOMIC,
	KEY_BACKUP,
	KEY_CLOBBER,
	KEY_NOCLOBBER,
	KEY_SIGNAL, /* value: the signal, -1: from the argument */
	KEY_LEAVE_STOPPED,
	KEY_SYNC, /* value: 0 or 1 */
	KEY_SAVE, /* value: CR_EXT_DUMP_*, 0: clear */
	KEY_PTRACED, /* value: CR_EXT_PTRACED_*, 0: error */
	KEY_PTRACER,
	KEY_KMSG, /* value: 0 none, 1 error, 2 warning */
	KEY_TIME,
	KEY_CHECK,
	KEY_PROGRESS,
	KEY_ENGINE,
	KEY_OMIT, /* value: enum omit of cr_restart, or 1 of cr_run */
	KEY_HOOK, /* value: bits of HOOK_* */
	KEY_RELOCATE,
	KEY_RESTORE, /* value: CR_EXT_RESTORE_* */
	KEY_NO_RESTORE,
	KEY_DETACH,
	KEY_LAZY,
	KEY_LOG,
	KEY_RUN,
	KEY_CPU,
	KEY_JSON,
	KEY_VERIFY,
	KEY_RESULT, /* libcr's requests: where the outcome goes */
};

#define HOOK_SUCCESS 1
#define HOOK_ARGS 2
#define HOOK_TEMP 4
#define HOOK_ENV 8
#define HOOK_PERM 16

#define OPT_ROWS_COMMON                                                        \
	{ "h?", "help", OPT_NONE, NULL, OPT_KEY_HELP, 0, "print this help" },  \
	{ NULL, "completion", OPT_NONE, NULL, OPT_KEY_COMPLETION, 0, NULL }

#endif
