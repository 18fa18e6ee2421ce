/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis.conf: the site's word.  Every key has a default, an unknown or wrong
 * one is an error that names its line.  See stasis.conf(5).
 */
#ifndef SJ_JOB_CONF_H
#define SJ_JOB_CONF_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libcr/util/err.h"

#define SJ_CONF_TEXT 1024

struct sj_conf {
	char file[SJ_CONF_TEXT]; /* where it was read from */
	char directory[SJ_CONF_TEXT]; /* with %h %u, see sj_conf_directory() */
	char bin_dir[SJ_CONF_TEXT]; /* cr_restart */
	char libexec_dir[SJ_CONF_TEXT]; /* stasis-parent, -worker, ... */
	char munge_socket[SJ_CONF_TEXT]; /* "" is libmunge's default */
	char scontrol[SJ_CONF_TEXT]; /* the real one, "" searches PATH */
	uint32_t min_interval; /* seconds */
	uint32_t keep; /* good checkpoints kept */
	uint32_t lease; /* seconds without the directory until a freeze */
	uint32_t commit_wait; /* seconds frozen for slurmctld's word */
	uint32_t limit_margin; /* seconds before the time limit */
	uint32_t max_restarts; /* 0: no limit */
	uint32_t pace; /* seconds between two moves of an evacuation */
};

/* path NULL: $STASIS_CONF, else the built-in place.  Absent: defaults. */
int sj_conf_load(struct sj_conf *c, const char *path, struct cri_err *err)
	__attribute__((warn_unused_result));
/* directory with %h (home) and %u (name) of a user put in. */
int sj_conf_directory(const struct sj_conf *c, uid_t uid, char *buf,
		      size_t size) __attribute__((warn_unused_result));

#endif
