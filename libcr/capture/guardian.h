/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the tool and its guardian: a SOCK_SEQPACKET pair, one message a
 * packet.  The tool sends a command and reads answers until DONE; the end of
 * the tool's side makes the guardian undo everything and exit.
 */
#ifndef CRI_CAPTURE_GUARDIAN_H
#define CRI_CAPTURE_GUARDIAN_H

#include <stdint.h>
#include <sys/types.h>

#include "libcr_ext.h"

enum cri_guard_cmd {
	CRI_GUARD_CHECK = 1,
	CRI_GUARD_FREEZE = 2,
	CRI_GUARD_WRITE = 3, /* with a descriptor */
	CRI_GUARD_RELEASE = 4, /* arg: how */
};

struct cri_guard_request {
	uint32_t cmd;
	int32_t arg;
};

enum cri_guard_kind {
	CRI_GUARD_DONE = 1,
	CRI_GUARD_LOG = 2,
	CRI_GUARD_PROGRESS = 3,
	CRI_GUARD_FINDING = 4,
};

struct cri_guard_message {
	uint32_t kind;
	int32_t ret; /* DONE */
	struct cr_ext_stats stats; /* DONE */
	struct cr_ext_progress progress;
	int32_t pid; /* FINDING */
	int32_t fatal;
	char comm[68];
	char text[512]; /* DONE: message; LOG: line; FINDING: what */
	char remedy[256];
};

/* Never returns; sock is its end, tool the pid it serves. */
void cri_guardian(const struct cr_ext_args *args, int sock, pid_t tool)
	__attribute__((noreturn));

#endif
