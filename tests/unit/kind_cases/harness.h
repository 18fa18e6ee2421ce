/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One capture and restore of descriptors inside this process.
 */
#ifndef TESTS_UNIT_KINDS_HARNESS_H
#define TESTS_UNIT_KINDS_HARNESS_H

#include "util/err.h"

/* Afterwards fds are new objects made from the records.  0 or -errno. */
int harness_cycle(const int *fds, int n, struct cri_err *err);

#endif
