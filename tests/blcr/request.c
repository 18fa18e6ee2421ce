/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that asks for its own checkpoint through libcr, as Open MPI's and
 * MVAPICH2's did.  request IMAGE OUT: after the request it writes to OUT what
 * it found itself to be, with a nonce from its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcr.h"

static void say(const char *out, const char *what, unsigned int nonce)
{
	FILE *f = fopen(out, "a");

	if (!f)
		exit(1);
	fprintf(f, "%s %u %d\n", what, nonce, (int)getpid());
	fclose(f);
}

int main(int argc, char **argv)
{
	cr_checkpoint_handle_t handle;
	cr_checkpoint_args_t args;
	unsigned int nonce;
	int ret, fd;

	alarm(60);
	if (argc != 4)
		return 2;
	nonce = (unsigned int)atoi(argv[3]);
	if (cr_initialize_checkpoint_args_t(&args))
		return 3;
	if (cr_request_checkpoint(&args, &handle) != -1 || errno != CR_ENOINIT)
		return 4;
	if (cr_init() != 0 || cr_init() != 0)
		return 5;
	args.cr_scope = CR_SCOPE_PROC;
	args.cr_fd = 999;
	if (cr_request_checkpoint(&args, &handle) != -1 || errno != EBADF)
		return 6;
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	args.cr_fd = fd;
	args.cr_flags = CR_CHKPT_PROHIBIT_SELF;
	if (cr_request_checkpoint(&args, &handle) != -1 || errno != EDEADLK)
		return 7;
	args.cr_flags = 0;
	if (cr_request_checkpoint(&args, &handle))
		return 8;
	do {
		ret = cr_poll_checkpoint(&handle, NULL);
	} while (!ret);
	if (ret == 1) {
		if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
			return 9;
		say(argv[2], "continued", nonce);
		return 0;
	}
	if (ret == CR_POLL_CHKPT_ERR_POST && errno == CR_ERESTARTED) {
		say(argv[2], "restarted", nonce);
		return 17;
	}
	fprintf(stderr, "poll: %d, %s\n", ret, cr_strerror(errno));
	return 10;
}
