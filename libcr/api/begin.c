/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens when libcr.so is loaded: under Yama the request channel, unless
 * libcr_run.so has it already.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdlib.h>
#include <string.h>

#include "api/channel.h"

__attribute__((constructor)) static void begin(void)
{
	const char *preload = getenv("LD_PRELOAD");

	if (preload && strstr(preload, "libcr_run.so"))
		return;
	if (cri_channel_wanted())
		cri_channel_start();
}
