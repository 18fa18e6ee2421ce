/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of cr_run.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"

static const struct opt_row rows[] = {
	OPT_HEADING("General"),
	OPT_ROWS_COMMON,
	{ NULL, "version", OPT_NONE, NULL, OPT_KEY_VERSION, 0,
	  "print the version" },
	OPT_HEADING("How the command runs"),
	{ NULL, "run", OPT_NONE, NULL, KEY_OMIT, 0,
	  "its owner can checkpoint it (default)" },
	{ NULL, "omit", OPT_NONE, NULL, KEY_OMIT, 1,
	  "it and its children leave every checkpoint" },
	{ NULL, "cpu", OPT_NEED, "LEVEL", KEY_CPU, 0,
	  "for older nodes too: x86-64, -v2, -v3 or -v4" },
};

const struct opt_tool opt_run = {
	.name = "cr_run",
	.usage = "[OPTION]... COMMAND [ARG]...",
	.about = "Run a command so that it can be checkpointed.",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.stop_at_operand = true,
	.take = run_take,
};
