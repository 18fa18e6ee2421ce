/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cr_info: show what is in an image.  Each image is read in a child, which
 * has become the file's owner when root runs it.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcr_ext.h"
#include "message.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"
#include "trust.h"

int info_take(void *ctx, const struct opt_row *row, const char *arg)
{
	uint32_t *flags = ctx;

	(void)arg;
	switch (row->key) {
	case KEY_JSON:
		*flags |= CR_EXT_INFO_JSON;
		return 0;
	case KEY_VERIFY:
		*flags |= CR_EXT_INFO_VERIFY;
		return 0;
	default:
		return -EINVAL;
	}
}

static int open_image(const char *path)
{
	int fd;

	if (!strcmp(path, "-"))
		return STDIN_FILENO;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

static int show(const char *path, uint32_t flags)
{
	char text[512] = "";
	int fd, ret;

	fd = open_image(path);
	if (fd < 0) {
		message("%s: %s", path, strerror(-fd));
		return exit_status(fd);
	}
	ret = become_owner(fd);
	if (ret) {
		message("%s: becoming its owner: %s", path, strerror(-ret));
		return exit_status(ret);
	}
	ret = cr_ext_info(fd, STDOUT_FILENO, flags, text, sizeof(text));
	if (ret) {
		message("%s: %s", path, text[0] ? text : strerror(-ret));
		return exit_status(ret);
	}
	return 0;
}

static int show_in_child(const char *path, uint32_t flags)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		message("fork: %s", strerror(errno));
		return exit_status(-errno);
	}
	if (!pid) {
		status = show(path, flags);
		fflush(NULL);
		_exit(status);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_USAGE;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	message("%s: reading it ended by signal %d", path, WTERMSIG(status));
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct opt_result res;
	uint32_t flags = 0;
	int i, ret, worst = 0;

	opt_parse(&opt_info, argc, argv, &flags, &res);
	message_init(opt_info.name, res.quiet);
	if (res.done)
		return 0;
	if (res.wrong || res.first == argc) {
		message("%s", res.wrong ? res.complaint : "no image is named");
		if (!res.quiet)
			fprintf(stderr, "Usage: %s %s\n", opt_info.name,
				opt_info.usage);
		return EXIT_USAGE;
	}
	for (i = res.first; i < argc; i++) {
		if (argc - res.first > 1 && !(flags & CR_EXT_INFO_JSON))
			printf("%s%s:\n", i > res.first ? "\n" : "", argv[i]);
		ret = show_in_child(argv[i], flags);
		if (ret)
			worst = ret;
	}
	return worst;
}
