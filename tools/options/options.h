/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option tables: one row per option, from which come the parsing, --help and
 * the shell completion; a test compares the rows with the man pages.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum opt_arg { OPT_NONE, OPT_NEED, OPT_MAY };

struct opt_row {
	const char *shorts; /* "h?" : any of these letters; NULL none */
	const char *longs; /* "pid|process"; NULL none */
	enum opt_arg arg;
	const char *metavar;
	int key; /* given to take() */
	int value;
	const char *help; /* NULL: accepted, not shown */
};

/* A heading: neither letter nor word, the text in help. */
#define OPT_HEADING(text) { NULL, NULL, OPT_NONE, NULL, 0, 0, text }

/* Keys that the parser serves itself. */
#define OPT_KEY_HELP (-1)
#define OPT_KEY_VERSION (-2)
#define OPT_KEY_QUIET (-3)
#define OPT_KEY_COMPLETION (-4)

struct opt_tool {
	const char *name;
	const char *usage; /* "[OPTION]... ID" */
	const char *about; /* one sentence */
	const struct opt_row *rows;
	unsigned int n_rows;
	bool stop_at_operand; /* what follows belongs to somebody else */
	/* 0, or -errno with a complaint printed by opt_complain(). */
	int (*take)(void *ctx, const struct opt_row *row, const char *arg);
};

struct opt_result {
	int first; /* index in argv of the first operand */
	bool quiet;
	bool done; /* help or version was printed: exit 0 */
	bool wrong; /* wrong usage; complaint holds why */
	char complaint[256];
};

/*
 * Parse all options, also behind a wrong one (hooks and -q count then too).
 * argv is permuted like getopt_long(3) does it.  Prints only what --help and
 * --version ask for.
 */
void opt_parse(const struct opt_tool *tool, int argc, char **argv, void *ctx,
	       struct opt_result *res);
/* Usage to the stream; brief without the list of options. */
void opt_help(const struct opt_tool *tool, FILE *to);
/* A bash completion for the tool. */
void opt_completion(const struct opt_tool *tool, FILE *to);

/* A whole number in [min, max]; -EINVAL when it is none. */
int opt_number(const char *text, long min, long max, long *value);
/* Seconds, or with a unit: 90, 1.5s, 10m, 2h, 1d; in milliseconds. */
int opt_time(const char *text, long *ms);

extern const struct opt_tool opt_checkpoint;
extern const struct opt_tool opt_restart;
extern const struct opt_tool opt_run;
extern const struct opt_tool opt_info;

#endif
