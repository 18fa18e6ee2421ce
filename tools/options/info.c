/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of cr_info.
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
	{ "q", "quiet", OPT_NONE, NULL, OPT_KEY_QUIET, 0,
	  "say nothing on stderr" },
	OPT_HEADING("What to show"),
	{ NULL, "json", OPT_NONE, NULL, KEY_JSON, 0,
	  "every record, for programs" },
	{ NULL, "verify", OPT_NONE, NULL, KEY_VERIFY, 0,
	  "read every checksum" },
};

const struct opt_tool opt_info = {
	.name = "cr_info",
	.usage = "[OPTION]... FILE...",
	.about = "Show what is in an image of cr_checkpoint.",
	.rows = rows,
	.n_rows = sizeof(rows) / sizeof(rows[0]),
	.take = info_take,
};
