/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scontrol, standing earlier in PATH than Slurm's: "scontrol checkpoint" of
 * the old Slurm becomes stasis(1), everything else is Slurm's own scontrol,
 * untouched.  It reads no configuration and links no library, for speed.
 */
#include <config.h>

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* The next program of that name in PATH that is not this one. */
static int next_in_path(const char *name, char *out, size_t size)
{
	const char *path = getenv("PATH");
	const char *end;
	struct stat me;
	struct stat st;
	int n;

	if (stat("/proc/self/exe", &me))
		return -errno;
	if (!path || !*path)
		path = "/usr/bin:/bin";
	for (; path; path = *end ? end + 1 : NULL) {
		end = strchrnul(path, ':');
		n = snprintf(out, size, "%.*s/%s", (int)(end - path), path,
			     name);
		if (n > 0 && (size_t)n < size && !stat(out, &st) &&
		    !access(out, X_OK) &&
		    (st.st_dev != me.st_dev || st.st_ino != me.st_ino))
			return 0;
	}
	return -ENOENT;
}

static int pass_through(char **argv)
{
	char real[PATH_MAX];

	if (next_in_path("scontrol", real, sizeof(real))) {
		fprintf(stderr, "scontrol: Slurm's own is not in PATH\n");
		return 127;
	}
	execv(real, argv);
	fprintf(stderr, "%s: %s\n", real, strerror(errno));
	return 126;
}

static const char *const ops[][2] = {
	{ "able", NULL },	  { "create", "checkpoint" },
	{ "requeue", "requeue" }, { "vacate", "vacate" },
	{ "restart", "restart" }, { "migrate", "migrate" },
	{ "status", "status" },	  { "enable", NULL },
	{ "disable", NULL },	  { "error", NULL },
};

/* Unique prefixes, as scontrol takes them. */
static int find_op(const char *word)
{
	int found = -1;
	size_t i;

	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		if (strncasecmp(ops[i][0], word, strlen(word)))
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

static int checkpoint(int argc, char **argv)
{
	char wait_opt[64] = "";
	char job[64];
	char *args[8];
	const char *id = NULL;
	int op = 1;
	int n = 0;
	int i;

	for (i = 0; i < argc; i++) {
		if (!strncasecmp(argv[i], "MaxWait=", 8))
			snprintf(wait_opt, sizeof(wait_opt), "--max-wait=%s",
				 argv[i] + 8);
		else if (strchr("0123456789", argv[i][0]))
			id = argv[i];
		else if (i == 0)
			op = find_op(argv[i]);
		else
			op = -1;
	}
	if (op < 0 || !id || !ops[op][1]) {
		fprintf(stderr, "scontrol checkpoint: usage: [create|requeue|"
				"vacate|restart|migrate|status] JOB "
				"[MaxWait=SECONDS]\n");
		return 1;
	}
	/* A step is checkpointed with its job. */
	snprintf(job, sizeof(job), "%.*s", (int)strcspn(id, "."), id);
	args[n++] = (char *)(uintptr_t) "stasis";
	args[n++] = (char *)(uintptr_t)ops[op][1];
	if (*wait_opt)
		args[n++] = wait_opt;
	args[n++] = job;
	args[n] = NULL;
	execvp("stasis", args);
	execv(SJ_BINDIR "/stasis", args);
	fprintf(stderr, "stasis: %s\n", strerror(errno));
	return 126;
}

int main(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++)
		if (!strcmp(argv[i], "-M") || !strcmp(argv[i], "-u"))
			i++;
	if (i < argc && strlen(argv[i]) >= 2 &&
	    !strncasecmp(argv[i], "checkpoint", strlen(argv[i])))
		return checkpoint(argc - i - 1, argv + i + 1);
	return pass_through(argv);
}
