/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a job's worker listens: the file "worker" in the job's directory,
 * three lines: epoch, port, hosts.  Agents and commands read it.
 */
#ifndef SJ_JOB_PLACE_H
#define SJ_JOB_PLACE_H

#include <stdint.h>

#include "jobdir.h"
#include "util.h"

struct sj_place {
	uint32_t epoch;
	uint16_t port;
	char hosts[768]; /* names and addresses of the node */
};

SJ_MUST int sj_place_read(struct sj_place *p, const char *dir);
/* This host's name and addresses, with port. */
SJ_MUST int sj_place_write(const struct sj_job *j, uint16_t port);
/* What both ends of a link must know: "cluster-job-nonce". */
SJ_MUST int sj_job_key(const struct sj_job *j, char *buf, size_t size);

#endif
