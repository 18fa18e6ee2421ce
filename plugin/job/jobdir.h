/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One job's place in the checkpoint directory and the names in it:
 *
 *   DIR/CLUSTER-JOBID-NONCE/     the job, mode 0700
 *     epoch                      highest epoch that may act (fence)
 *     released                   last epoch that ended frozen and killed
 *     worker                     where the worker listens
 *     environ                    environment of the running epoch, for stubs
 *     restore                    checkpoint that the running epoch goes on from
 *     stub.PID                   step that the srun of a stub has started
 *     status.json events.jsonl log
 *     EPOCH.SEQ/                 a checkpoint: images and manifest.json
 *   Directory/jobs/CLUSTER-JOBID symbolic link to the job's place
 */
#ifndef SJ_JOB_JOBDIR_H
#define SJ_JOB_JOBDIR_H

#include <limits.h>
#include <stdint.h>

#include "conf.h"
#include "libcr/util/err.h"

#define SJ_NONCE 16 /* hexadecimal digits */
#define SJ_ANY UINT32_MAX

struct sj_job {
	char cluster[64];
	uint32_t id;
	uint32_t array_task; /* SJ_ANY: no array */
	char nonce[SJ_NONCE + 1];
	uint32_t epoch; /* restart count */
	uint32_t interval; /* seconds, 0: only on request */
	uint32_t keep;
	char node[64];
	char dir[SJ_CONF_TEXT]; /* DIR/CLUSTER-JOBID-NONCE */
};

/* From a batch task's environment and the configuration. */
int sj_job_from_env(struct sj_job *j, const struct sj_conf *c,
		    struct cri_err *err) __attribute__((warn_unused_result));
/* Make the directory and the index link. */
int sj_job_create(const struct sj_job *j, const struct sj_conf *c,
		  struct cri_err *err) __attribute__((warn_unused_result));
/* DIR/NAME of a job. */
int sj_job_path(const struct sj_job *j, char *buf, size_t size,
		const char *name) __attribute__((warn_unused_result));
/* Index link of a job id in a user's directory. */
int sj_job_index(const struct sj_conf *c, uid_t uid, const char *cluster,
		 uint32_t id, char *buf, size_t size)
	__attribute__((warn_unused_result));
/* One line with a time stamp to DIR/log; failures are nobody's business. */
void sj_job_log(const struct sj_job *j, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A line to DIR/events.jsonl, a JSON object. */
void sj_job_event(const struct sj_job *j, const char *json);
/* One number in a small file; -EBADMSG when it is none. */
int sj_job_read_num(const struct sj_job *j, const char *name, uint64_t *v)
	__attribute__((warn_unused_result));
int sj_job_write_num(const struct sj_job *j, const char *name, uint64_t v)
	__attribute__((warn_unused_result));

#endif
