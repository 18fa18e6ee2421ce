/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis(1): one function a subcommand, and what they share: finding a job,
 * asking its worker.  Commands print; everything below them does not.
 */
#ifndef SJ_CMD_CMD_H
#define SJ_CMD_CMD_H

#include <stdint.h>
#include <sys/types.h>

#include "job/conf.h"
#include "job/jobdir.h"
#include "job/util.h"
#include "wire/msg.h"

struct sj_ask {
	unsigned int what; /* SJ_DO_* */
	const char *nodes; /* NULL: any */
	const char *reason;
	uint32_t max_wait; /* seconds, 0: until it is done */
};

/* "123"; array elements "A_T" are asked for from slurmctld. */
int sj_cmd_job_id(const char *text, uint32_t *id) SJ_MUST;
/*
 * Ask the worker of a job.  owner (uid_t)-1: ours, or whom slurmctld names
 * when we are root.  0: reply is filled in and its errno was 0.
 */
int sj_cmd_ask(const struct sj_conf *c, uint32_t job, uid_t owner,
	       const struct sj_ask *ask, struct sj_msg *reply,
	       struct cri_err *err) SJ_MUST;
/* Owner of a job, from slurmctld. */
int sj_cmd_owner(uint32_t job, uid_t *uid, struct cri_err *err) SJ_MUST;
const char *sj_cmd_cluster(void);
/* Read a job's place with its owner's rights. */
int sj_cmd_find(const struct sj_conf *c, uint32_t job, uid_t owner,
		struct sj_job *j, struct cri_err *err) SJ_MUST;

int sj_cmd_checkpoint(const struct sj_conf *c, int argc, char **argv);
int sj_cmd_status(const struct sj_conf *c, int argc, char **argv);
int sj_cmd_evacuate(const struct sj_conf *c, int argc, char **argv);
int sj_cmd_check(const struct sj_conf *c, int argc, char **argv);
int sj_cmd_restart(const struct sj_conf *c, int argc, char **argv);

#endif
