/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcr_run.so: what cr_run puts before a program, so that its owner can
 * checkpoint it.  On most machines nothing needs to be done for that, and
 * nothing is; under Yama it starts the request channel.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "api/channel.h"

/* For linking with -Wl,-u,cr_run_link_me. */
extern int cr_run_link_me;
__attribute__((visibility("default"))) int cr_run_link_me;

__attribute__((constructor)) static void begin(void)
{
	if (cri_channel_wanted())
		cri_channel_start();
}
