/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis status [--json] [JOB...]: from the files that the worker leaves, so
 * that it answers without slurmctld and without the job.
 */
#include <config.h>

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "cmd.h"

static json_int_t num(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
	const char *t = json_string_value(json_object_get(o, key));

	return t ? t : "-";
}

static void print_row(const json_t *o)
{
	const json_t *last = json_object_get(o, "last");
	char next[32] = "-";
	json_int_t in;

	if (json_object_get(o, "next_ms")) {
		in = (num(o, "next_ms") - (json_int_t)sj_wall_ms()) / 1000;
		snprintf(next, sizeof(next), "%lld s", (long long)in);
	}
	printf("%-8lld %-9s %-8s %5lld %8lld s %5lld.%-4lld %14lld %9lld %9s\n",
	       (long long)num(o, "job"), text(o, "state"), text(o, "node"),
	       (long long)num(o, "epoch"), (long long)num(o, "interval"),
	       last ? (long long)num(o, "epoch") : 0,
	       last ? (long long)num(last, "seq") : 0,
	       last ? (long long)num(last, "bytes") : 0,
	       last ? (long long)num(last, "pause_us") / 1000 : 0, next);
}

static json_t *load(const struct sj_job *j)
{
	char path[PATH_MAX];
	char buf[16384];
	int ret;

	if (sj_job_path(j, path, sizeof(path), "status.json"))
		return NULL;
	ret = sj_read_file(path, buf, sizeof(buf));
	return ret ? NULL : json_loads(buf, JSON_REJECT_DUPLICATES, NULL);
}

static int one(const struct sj_conf *c, uint32_t id, int json)
{
	struct cri_err err = { 0 };
	struct sj_job j;
	uid_t owner = getuid();
	json_t *o;

	/* Root reads as the owner, whom only slurmctld knows. */
	if (!owner && sj_cmd_owner(id, &owner, &err)) {
		fprintf(stderr, "stasis: %s\n", err.text);
		return 1;
	}
	if (sj_cmd_find(c, id, owner, &j, &err)) {
		fprintf(stderr, "stasis: %s\n", err.text);
		return 1;
	}
	if (!geteuid())
		setfsuid(owner);
	o = load(&j);
	if (!geteuid())
		setfsuid(0);
	if (!o) {
		fprintf(stderr, "stasis: job %u: no status in %s\n", id, j.dir);
		return 1;
	}
	if (json) {
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_row(o);
	}
	json_decref(o);
	return 0;
}

static int all(const struct sj_conf *c, int json)
{
	char path[PATH_MAX];
	char want[80];
	struct dirent *e;
	uint64_t id;
	DIR *d;

	if (sj_job_index(c, getuid(), "x", 0, path, sizeof(path)))
		return 1;
	*strrchr(path, '/') = '\0';
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : 1;
	snprintf(want, sizeof(want), "%s-", sj_cmd_cluster());
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, want, strlen(want)) &&
		    !sj_parse_num(e->d_name + strlen(want), UINT32_MAX - 1,
				  &id))
			one(c, id, json);
	closedir(d);
	return 0;
}

int sj_cmd_status(const struct sj_conf *c, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	uint32_t id;
	int json = 0;
	int bad = 0;
	int o;

	while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		if (o != 'j')
			return 64;
		json = 1;
	}
	if (!json)
		printf("%-8s %-9s %-8s %5s %10s %10s %14s %9s %9s\n", "JOB",
		       "STATE", "NODE", "EPOCH", "INTERVAL", "LAST", "BYTES",
		       "PAUSE ms", "NEXT");
	if (optind == argc)
		return all(c, json);
	for (; optind < argc; optind++) {
		if (sj_cmd_job_id(argv[optind], &id)) {
			fprintf(stderr, "stasis: %s: no such job\n",
				argv[optind]);
			bad = 1;
			continue;
		}
		bad |= one(c, id, json);
	}
	return bad;
}
