/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Named fault points: a test sets CR_FAULT=POINT[:ACTION][,…] in a tool's
 * environment and the step of that name fails, dies or waits.  ACTION is an
 * errno name (default EIO), kill, stop, or a number of milliseconds to wait;
 * any other ACTION fails with EINVAL, so that a test's typing error shows.
 * Without CR_FAULT a point costs one comparison.
 */
#ifndef CRI_UTIL_FAULT_H
#define CRI_UTIL_FAULT_H

/* 0 to go on, or -errno when the point is set to fail.  Thread-safe. */
int cri_fault(const char *point);

#endif
