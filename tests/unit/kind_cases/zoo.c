/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kinds_zoo CASE DIR: runs one case's setup in DIR, makes DIR/ready, waits for
 * DIR/go and writes "ok" or what is wrong to DIR/result.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

int main(int argc, char **argv)
{
	const struct kindcase *c = argc == 3 ? case_find(argv[1]) : NULL;
	int fds[CASE_MAX_FDS], n, i;
	FILE *f;

	if (!c || chdir(argv[2]))
		return 2;
	n = c->setup(fds);
	if (n < 0) {
		fprintf(stderr, "%s: setup: %s\n", c->name, case_why);
		return 3;
	}
	close(open("ready", O_CREAT | O_WRONLY, 0600));
	for (i = 0; i < 3000 && access("go", F_OK); i++)
		usleep(20000);
	n = c->check(fds);
	f = fopen("result.new", "w");
	fprintf(f, "%s\n", n ? case_why : "ok");
	fclose(f);
	rename("result.new", "result");
	return n ? 1 : 0;
}
