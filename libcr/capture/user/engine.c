/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The user engine as engine.h wants it: ptrace, an injected blob, a clone()
 * as snapshot.  Works for anybody who may trace the program.
 */
#include "config.h"

#include "capture/user/user.h"

#include <signal.h>

static int probe(struct cri_err *err)
{
	(void)err;
	return 0;
}

static int open_engine(struct cri_capture *cap, struct cri_err *err)
{
	sigset_t set;

	(void)cap;
	(void)err;
	/* Waits sleep in sigtimedwait() for it. */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL);
	return 0;
}

static void release(struct cri_capture *cap)
{
	if (cap->frozen)
		(void)cri_user_thaw(cap, NULL);
	cri_user_snapshot_drop(cap);
}

const struct cri_engine cri_engine_user = {
	.name = "user",
	.probe = probe,
	.open = open_engine,
	.freeze = cri_user_freeze,
	.thread = cri_user_thread,
	.process = cri_user_process,
	.memory = cri_user_memory,
	.snapshot = cri_user_snapshot,
	.thaw = cri_user_thaw,
	.kill = cri_user_kill,
	.pages = cri_user_pages,
	.read = cri_user_read,
	.release = release,
};
