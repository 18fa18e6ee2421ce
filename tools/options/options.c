/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine behind the option tables: builds what getopt_long(3) wants from
 * the rows, and prints help and completion from the same rows.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "options/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LONGS 128
#define LONG_BASE 1024 /* getopt's value of row n is LONG_BASE + n */
#define HELP_COLUMN 30

struct lexicon {
	struct option longs[MAX_LONGS];
	char names[MAX_LONGS][32];
	unsigned int n_longs;
	char shorts[128];
};

static int has_arg(const struct opt_row *row)
{
	if (row->arg == OPT_NEED)
		return required_argument;
	return row->arg == OPT_MAY ? optional_argument : no_argument;
}

static void add_longs(struct lexicon *lex, const struct opt_row *row, int val)
{
	const char *p = row->longs;
	struct option *o;
	size_t n;

	while (p && *p && lex->n_longs < MAX_LONGS - 1) {
		n = strcspn(p, "|");
		if (n >= sizeof(lex->names[0]))
			break;
		memcpy(lex->names[lex->n_longs], p, n);
		o = &lex->longs[lex->n_longs];
		o->name = lex->names[lex->n_longs];
		o->has_arg = has_arg(row);
		o->val = val;
		lex->n_longs++;
		p += n + (p[n] == '|');
	}
}

static void add_shorts(struct lexicon *lex, const struct opt_row *row)
{
	const char *p;
	size_t n = strlen(lex->shorts);

	for (p = row->shorts; p && *p && n < sizeof(lex->shorts) - 3; p++) {
		lex->shorts[n++] = *p;
		if (row->arg == OPT_NEED)
			lex->shorts[n++] = ':';
	}
}

static void make_lexicon(const struct opt_tool *tool, struct lexicon *lex)
{
	unsigned int i;

	memset(lex, 0, sizeof(*lex));
	lex->shorts[0] = tool->stop_at_operand ? '+' : ':';
	if (tool->stop_at_operand)
		lex->shorts[1] = ':';
	for (i = 0; i < tool->n_rows; i++) {
		add_longs(lex, &tool->rows[i], LONG_BASE + (int)i);
		add_shorts(lex, &tool->rows[i]);
	}
}

static const struct opt_row *row_of(const struct opt_tool *tool, int c)
{
	const struct opt_row *row;
	unsigned int i;

	if (c >= LONG_BASE)
		return &tool->rows[c - LONG_BASE];
	for (i = 0; c && i < tool->n_rows; i++) {
		row = &tool->rows[i];
		if (row->shorts && strchr(row->shorts, c))
			return row;
	}
	return NULL;
}

static void complain(struct opt_result *res, const char *why, const char *what)
{
	if (!res->wrong)
		snprintf(res->complaint, sizeof(res->complaint), "%s%s%s", why,
			 what ? " " : "", what ? what : "");
	res->wrong = true;
}

/* getopt returns ? for what it does not know, but -? is also our help. */
static bool wrong_option(struct opt_result *res, int c, char **argv)
{
	char letter[3] = { '-', (char)optopt, '\0' };
	const char *word = argv[optind - 1];

	if (c == ':') {
		complain(res, "this option needs a value:",
			 optopt && optopt < LONG_BASE ? letter : word);
		return true;
	}
	if (c != '?' || optopt == '?' || !strcmp(word, "-?"))
		return false;
	complain(res, "unknown or ambiguous option, or a value too much:",
		 optopt && optopt < LONG_BASE ? letter : word);
	return true;
}

static void serve(const struct opt_tool *tool, const struct opt_row *row,
		  void *ctx, struct opt_result *res)
{
	int ret;

	switch (row->key) {
	case OPT_KEY_HELP:
		if (!res->done)
			opt_help(tool, stdout);
		res->done = true;
		break;
	case OPT_KEY_VERSION:
		if (!res->done)
			printf("%s version %s (Stasis)\n", tool->name,
			       PACKAGE_VERSION);
		res->done = true;
		break;
	case OPT_KEY_COMPLETION:
		if (!res->done)
			opt_completion(tool, stdout);
		res->done = true;
		break;
	case OPT_KEY_QUIET:
		res->quiet = true;
		break;
	default:
		ret = tool->take(ctx, row, optarg);
		if (ret)
			complain(res, "not a valid value for",
				 row->longs ? row->longs : row->shorts);
	}
}

void opt_parse(const struct opt_tool *tool, int argc, char **argv, void *ctx,
	       struct opt_result *res)
{
	const struct opt_row *row;
	struct lexicon lex;
	int c;

	memset(res, 0, sizeof(*res));
	make_lexicon(tool, &lex);
	opterr = 0;
	optind = 0;
	for (;;) {
		c = getopt_long(argc, argv, lex.shorts, lex.longs, NULL);
		if (c < 0)
			break;
		if (wrong_option(res, c, argv)) {
			if (tool->stop_at_operand)
				break;
			continue;
		}
		row = row_of(tool, c);
		if (row)
			serve(tool, row, ctx, res);
		if (res->done)
			break;
	}
	res->first = optind;
}

/* "-p, --pid" with what the value is called. */
static int spell(const struct opt_row *row, char *to, size_t size)
{
	const char *first = row->longs ? row->longs : "";
	int n = (int)strcspn(first, "|");
	char letter[8] = "    ";
	char value[40] = "";

	if (row->shorts)
		snprintf(letter, sizeof(letter), "-%c%s", row->shorts[0],
			 n ? ", " : "");
	if (row->arg == OPT_NEED)
		snprintf(value, sizeof(value), "%s%s", n ? "=" : " ",
			 row->metavar);
	if (row->arg == OPT_MAY)
		snprintf(value, sizeof(value), "[=%s]", row->metavar);
	return snprintf(to, size, "  %s%s%.*s%s", letter, n ? "--" : "", n,
			first, value);
}

void opt_help(const struct opt_tool *tool, FILE *to)
{
	const struct opt_row *row;
	char left[80];
	unsigned int i;
	int n;

	fprintf(to, "Usage: %s %s\n%s\n", tool->name, tool->usage, tool->about);
	for (i = 0; i < tool->n_rows; i++) {
		row = &tool->rows[i];
		if (!row->help)
			continue;
		if (!row->shorts && !row->longs) {
			fprintf(to, "\n%s:\n", row->help);
			continue;
		}
		n = spell(row, left, sizeof(left));
		if (n < HELP_COLUMN - 1)
			fprintf(to, "%-*s%s\n", HELP_COLUMN, left, row->help);
		else
			fprintf(to, "%s\n%*s%s\n", left, HELP_COLUMN, "",
				row->help);
	}
}

static void complete_row(const struct opt_row *row, FILE *to)
{
	const char *p = row->longs;
	size_t n;

	while (p && *p) {
		n = strcspn(p, "|");
		fprintf(to, " --%.*s%s", (int)n, p,
			row->arg == OPT_NEED ? "=" : "");
		p += n + (p[n] == '|');
	}
	for (p = row->shorts; p && *p; p++)
		if (isalpha((unsigned char)*p))
			fprintf(to, " -%c", *p);
}

/* Words of the table after a dash, else what bash does by itself. */
void opt_completion(const struct opt_tool *tool, FILE *to)
{
	unsigned int i;

	fprintf(to, "# bash completion for %s, made from its option table\n",
		tool->name);
	fprintf(to, "_stasis_%s()\n{\n\tlocal words=\"", tool->name);
	for (i = 0; i < tool->n_rows; i++)
		if (tool->rows[i].help)
			complete_row(&tool->rows[i], to);
	fprintf(to, "\"\n\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n");
	fprintf(to, "\tCOMPREPLY=()\n\t[[ $cur == -* ]] || return 0\n");
	fprintf(to, "\tmapfile -t COMPREPLY < "
		    "<(compgen -W \"$words\" -- \"$cur\")\n");
	fprintf(to, "\t[[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace\n}\n");
	fprintf(to, "complete -o default -F _stasis_%s %s\n", tool->name,
		tool->name);
}

int opt_number(const char *text, long min, long max, long *value)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		return -EINVAL;
	*value = v;
	return 0;
}

int opt_time(const char *text, long *ms)
{
	static const char units[] = "smhd";
	static const double worth[] = { 1, 60, 3600, 86400 };
	const char *u;
	double v;
	char *end;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || !(v >= 0))
		return -EINVAL;
	if (*end) {
		u = strchr(units, *end);
		if (!u || end[1])
			return -EINVAL;
		v *= worth[u - units];
	}
	if (v > 4000000)
		return -EINVAL;
	*ms = (long)(v * 1000 + 0.5);
	return 0;
}
