/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers for people.  Each function returns its buffer.
 */
#ifndef TOOLS_HUMAN_H
#define TOOLS_HUMAN_H

#include <stdint.h>

#define HUMAN_LEN 32

char *human_size(char buf[HUMAN_LEN], uint64_t bytes); /* 25.3 MB */
char *human_time(char buf[HUMAN_LEN], uint64_t ns); /* 31 ms, 2 min 5 s */

#endif
