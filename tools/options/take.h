/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the tools take in their options: each is defined by its tool.
 */
#ifndef TOOLS_OPTIONS_TAKE_H
#define TOOLS_OPTIONS_TAKE_H

#include "options/options.h"

int checkpoint_take(void *ctx, const struct opt_row *row, const char *arg);
int restart_take(void *ctx, const struct opt_row *row, const char *arg);
int run_take(void *ctx, const struct opt_row *row, const char *arg);
int info_take(void *ctx, const struct opt_row *row, const char *arg);

#endif
