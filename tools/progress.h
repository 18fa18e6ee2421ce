/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line of progress on stderr: bytes, speed, time left.  Appears by itself
 * on a terminal when the work takes over a second.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "libcr_ext.h"

struct progress {
	bool on;
	bool drawn; /* something stands on the line */
	bool terminal;
	uint64_t begun; /* CLOCK_MONOTONIC, ns */
	uint64_t last; /* last line */
	uint64_t write_begun;
};

void progress_init(struct progress *p, bool forced, bool quiet);
void progress_show(struct progress *p, const struct cr_ext_progress *s);
/* Take the line away. */
void progress_end(struct progress *p);

#endif
