/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sizes in powers of 1000, as disks and networks count, and times.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "human.h"

#include <stdio.h>

char *human_size(char buf[HUMAN_LEN], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "kB", "MB",
					     "GB",    "TB", "PB" };
	double v = (double)bytes;
	unsigned int u = 0;

	while (v >= 999.5 && u < 5) {
		v /= 1000;
		u++;
	}
	snprintf(buf, HUMAN_LEN, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v,
		 units[u]);
	return buf;
}

char *human_time(char buf[HUMAN_LEN], uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns < 10000000)
		snprintf(buf, HUMAN_LEN, "%.1f ms", (double)ns / 1e6);
	else if (ns < 1000000000)
		snprintf(buf, HUMAN_LEN, "%.0f ms", (double)ns / 1e6);
	else if (s < 60)
		snprintf(buf, HUMAN_LEN, "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(buf, HUMAN_LEN, "%u min %u s", (unsigned int)(s / 60),
			 (unsigned int)(s % 60));
	else
		snprintf(buf, HUMAN_LEN, "%u h %u min",
			 (unsigned int)(s / 3600),
			 (unsigned int)(s % 3600 / 60));
	return buf;
}
