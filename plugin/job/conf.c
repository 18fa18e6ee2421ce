/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads stasis.conf: "Key=Value" lines, # comments.  One table holds the keys
 * with their places, limits and defaults; the manual page lists the same.
 */
#include <config.h>

#include "conf.h"

#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "util.h"

struct key {
	const char *name;
	size_t at;
	const char *text; /* default of a text key, NULL for a number */
	uint32_t num;
	uint32_t min;
	uint32_t max;
};

#define TEXT(name, member, def)                                                \
	{                                                                      \
		name, offsetof(struct sj_conf, member), def, 0, 0, 0           \
	}
#define NUM(name, member, def, min, max)                                       \
	{                                                                      \
		name, offsetof(struct sj_conf, member), NULL, def, min, max    \
	}

static const struct key keys[] = {
	TEXT("Directory", directory, "%h/.stasis"),
	TEXT("BinDir", bin_dir, SJ_BINDIR),
	TEXT("LibexecDir", libexec_dir, SJ_LIBEXECDIR),
	TEXT("MungeSocket", munge_socket, ""),
	TEXT("Scontrol", scontrol, ""),
	NUM("MinInterval", min_interval, 0, 0, 86400),
	NUM("Keep", keep, 2, 1, 1000),
	NUM("Lease", lease, 30, 2, 3600),
	NUM("CommitWait", commit_wait, 60, 1, 3600),
	NUM("LimitMargin", limit_margin, 60, 5, 3600),
	NUM("MaxRestarts", max_restarts, 0, 0, 1000000),
	NUM("Pace", pace, 0, 0, 3600),
};

static void defaults(struct sj_conf *c)
{
	const struct key *k;
	char *base = (char *)c;

	memset(c, 0, sizeof(*c));
	for (k = keys; k < keys + sizeof(keys) / sizeof(*keys); k++)
		if (k->text)
			snprintf(base + k->at, SJ_CONF_TEXT, "%s", k->text);
		else
			memcpy(base + k->at, &k->num, sizeof(k->num));
}

static int set(struct sj_conf *c, const char *name, const char *value,
	       struct cri_err *err)
{
	char *base = (char *)c;
	const struct key *k;
	uint64_t v;
	uint32_t n;

	for (k = keys; k < keys + sizeof(keys) / sizeof(*keys); k++)
		if (!strcasecmp(k->name, name))
			break;
	if (k == keys + sizeof(keys) / sizeof(*keys))
		return cri_fail(err, EINVAL, "unknown key %s", name);
	if (k->text) {
		if (sj_fmt(base + k->at, SJ_CONF_TEXT, "%s", value))
			return cri_fail(err, EINVAL, "%s is too long", name);
		return 0;
	}
	if (sj_parse_num(value, UINT32_MAX, &v) || v < k->min || v > k->max)
		return cri_fail(err, EINVAL, "%s=%s: not in %u..%u", name,
				value, k->min, k->max);
	n = v;
	memcpy(base + k->at, &n, sizeof(n));
	return 0;
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return s;
}

static int parse(struct sj_conf *c, char *text, struct cri_err *err)
{
	char *line;
	char *eq;
	int no = 0;
	int ret;

	while ((line = strsep(&text, "\n"))) {
		no++;
		line[strcspn(line, "#")] = '\0';
		line = trim(line);
		if (!*line)
			continue;
		eq = strchr(line, '=');
		if (!eq)
			return cri_fail(err, EINVAL, "%s:%d: no Key=Value",
					c->file, no);
		*eq = '\0';
		ret = set(c, trim(line), trim(eq + 1), err);
		if (ret) {
			cri_err_prefix(err, "%s:%d: ", c->file, no);
			return ret;
		}
	}
	return 0;
}

int sj_conf_load(struct sj_conf *c, const char *path, struct cri_err *err)
{
	char text[16384];
	int ret;

	defaults(c);
	if (!path)
		path = getenv("STASIS_CONF");
	if (!path || !*path)
		path = SJ_SYSCONFDIR "/stasis/stasis.conf";
	ret = sj_fmt(c->file, sizeof(c->file), "%s", path);
	if (ret)
		return cri_fail(err, -ret, "path of stasis.conf is too long");
	ret = sj_read_file(path, text, sizeof(text));
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return cri_fail(err, -ret, "%s: %s", path, strerror(-ret));
	return parse(c, text, err);
}

int sj_conf_directory(const struct sj_conf *c, uid_t uid, char *buf,
		      size_t size)
{
	const struct passwd *pw = NULL;
	const char *add;
	const char *p;
	size_t at = 0;
	char one[2] = "";

	for (p = c->directory; *p; p++) {
		one[0] = *p;
		add = one;
		if (p[0] == '%' && (p[1] == 'h' || p[1] == 'u')) {
			if (!pw)
				pw = getpwuid(uid);
			if (!pw)
				return -ENOENT;
			add = *++p == 'h' ? pw->pw_dir : pw->pw_name;
		}
		if (at + strlen(add) >= size)
			return -ENAMETOOLONG;
		strcpy(buf + at, add);
		at += strlen(add);
	}
	return at ? 0 : -EINVAL;
}
