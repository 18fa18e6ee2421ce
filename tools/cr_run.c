/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cr_run: put libcr_run.so.0 (or libcr_omit.so.0) first into LD_PRELOAD and
 * become the command, with the same pid.  Without a command it does nothing.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_RUN 126

struct settings {
	bool omit;
	const char *cpu; /* what glibc must not use, NULL: all it finds */
};

/*
 * glibc chooses functions by the processor it finds; a program that moves to
 * an older one must not have chosen by the newer.
 */
#define ABOVE_V3 "-AVX512F,-AVX512BW,-AVX512CD,-AVX512DQ,-AVX512VL," \
		 "-Prefer_No_AVX512_Probing"
#define ABOVE_V2 ABOVE_V3 ",-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-BMI1,-BMI2," \
		 "-F16C,-FMA,-LZCNT,-MOVBE,-XSAVEC,-ERMS,-FSRM,-RTM"
#define ABOVE_V1 ABOVE_V2 ",-CX16,-POPCNT,-SSE3,-SSSE3,-SSE4_1,-SSE4_2"

static int set_cpu(struct settings *s, const char *level)
{
	static const struct {
		const char *name;
		const char *mask;
	} levels[] = {
		{ "x86-64", ABOVE_V1 },	   { "x86-64-v1", ABOVE_V1 },
		{ "x86-64-v2", ABOVE_V2 }, { "x86-64-v3", ABOVE_V3 },
		{ "x86-64-v4", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		/* Also without the x86-64: v2, or -v2. */
		if (strcmp(level, levels[i].name) &&
		    strcmp(level, levels[i].name + 6 + (i > 0)) &&
		    strcmp(level, levels[i].name + 6))
			continue;
		if (!*level)
			break;
		s->cpu = levels[i].mask;
		return 0;
	}
	return -EINVAL;
}

int run_take(void *ctx, const struct opt_row *row, const char *arg)
{
	struct settings *s = ctx;

	switch (row->key) {
	case KEY_OMIT:
		s->omit = row->value;
		return 0;
	case KEY_CPU:
		return set_cpu(s, arg);
	default:
		return -EINVAL;
	}
}

/* Ours, in whatever directory or version. */
static bool is_ours(const char *entry, size_t len)
{
	static const char *const names[] = { "libcr_run.so", "libcr_omit.so" };
	size_t start = len, i, n;

	while (start && entry[start - 1] != '/')
		start--;
	for (i = 0; i < 2; i++) {
		n = strlen(names[i]);
		if (len - start >= n && !memcmp(entry + start, names[i], n) &&
		    (len - start == n || entry[start + n] == '.'))
			return true;
	}
	return false;
}

/* Ours first, then what was there, without ours and empty entries. */
static char *preload(const char *lib, const char *old)
{
	size_t len = strlen(lib), n;
	char *list;

	list = malloc(len + (old ? strlen(old) : 0) + 2);
	if (!list)
		return NULL;
	memcpy(list, lib, len + 1);
	while (old && *old) {
		n = strcspn(old, ": ");
		if (n && !is_ours(old, n)) {
			list[len++] = ':';
			memcpy(list + len, old, n);
			len += n;
			list[len] = '\0';
		}
		old += n + (old[n] != '\0');
	}
	return list;
}

static int limit_cpu(const char *mask)
{
	const char *old = getenv("GLIBC_TUNABLES");
	char *value;
	int ret;

	if (!mask || !*mask)
		return 0;
	if (asprintf(&value, "%s%sglibc.cpu.hwcaps=%s", old ? old : "",
		     old && *old ? ":" : "", mask) < 0)
		return -ENOMEM;
	ret = setenv("GLIBC_TUNABLES", value, 1) ? -errno : 0;
	free(value);
	return ret;
}

static int prepare(const struct settings *s)
{
	char *list;
	int ret;

	list = preload(s->omit ? "libcr_omit.so.0" : "libcr_run.so.0",
		       getenv("LD_PRELOAD"));
	if (!list)
		return -ENOMEM;
	ret = setenv("LD_PRELOAD", list, 1) ? -errno : 0;
	free(list);
	return ret ? ret : limit_cpu(s->cpu);
}

int main(int argc, char **argv)
{
	struct settings s = { 0 };
	struct opt_result res;
	int ret;

	opt_parse(&opt_run, argc, argv, &s, &res);
	message_init(opt_run.name, false);
	if (res.done)
		return 0;
	if (res.wrong) {
		message("%s", res.complaint);
		fprintf(stderr, "Usage: %s %s\n", opt_run.name, opt_run.usage);
		return EXIT_USAGE;
	}
	if (res.first >= argc)
		return 0;
	ret = prepare(&s);
	if (ret) {
		message("%s", strerror(-ret));
		return EXIT_NOT_RUN;
	}
	execvp(argv[res.first], argv + res.first);
	message("%s: %s", argv[res.first], strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN;
}
