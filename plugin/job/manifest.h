/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest.json: what makes a set of images a checkpoint.  Written last,
 * synced, renamed into place together with its directory; see
 * stasis-manifest(5).  Reading is bounded and trusts nothing.
 */
#ifndef SJ_JOB_MANIFEST_H
#define SJ_JOB_MANIFEST_H

#include <stdint.h>

#include "jobdir.h"
#include "libcr/util/err.h"

#define SJ_MANIFEST_VERSION 1
#define SJ_IMAGES_MAX 65536
#define SJ_MANIFEST_BYTES (16u << 20)

struct sj_image {
	char file[64]; /* name in the checkpoint's directory, "": ended */
	char node[64]; /* where it was captured */
	uint32_t step; /* SJ_ANY: the batch script */
	uint32_t task; /* global rank in the step */
	uint32_t tasks; /* size of the step */
	uint32_t status; /* wait status of a task that had ended */
	uint64_t bytes;
};

struct sj_stub {
	uint32_t pid; /* as the stub sees itself */
	uint32_t step;
};

struct sj_manifest {
	char cluster[64];
	uint32_t job;
	uint32_t array_task;
	char nonce[SJ_NONCE + 1];
	char script[1024]; /* where the batch script was, "" unknown */
	uint32_t epoch;
	uint32_t seq;
	uint64_t time_ms; /* wall clock */
	uint64_t pause_us;
	uint64_t total_us;
	uint32_t n_images;
	uint32_t n_stubs;
	struct sj_image *images;
	struct sj_stub *stubs;
};

void sj_manifest_init(struct sj_manifest *m);
void sj_manifest_fini(struct sj_manifest *m);
/* Append a zeroed entry; NULL: no memory, or too many. */
struct sj_image *sj_manifest_image(struct sj_manifest *m);
struct sj_stub *sj_manifest_stub(struct sj_manifest *m);
/* A text that the caller frees. */
int sj_manifest_print(const struct sj_manifest *m, char **text)
	__attribute__((warn_unused_result));
/* Into an initialised m; on failure m is empty. */
int sj_manifest_parse(struct sj_manifest *m, const char *text,
		      struct cri_err *err) __attribute__((warn_unused_result));
/* Read DIR/NAME/manifest.json and check that it is this job's. */
int sj_manifest_load(struct sj_manifest *m, const struct sj_job *j,
		     const char *name, struct cri_err *err)
	__attribute__((warn_unused_result));
/* The same for a job's directory, whosever it is. */
int sj_manifest_open(struct sj_manifest *m, const char *dir, const char *name,
		     struct cri_err *err) __attribute__((warn_unused_result));
/* All images there, of the right size, every checksum right. */
int sj_manifest_verify(const struct sj_manifest *m, const struct sj_job *j,
		       const char *name, struct cri_err *err)
	__attribute__((warn_unused_result));

/* Checkpoints of a job, newest first: names "EPOCH.SEQ". */
struct sj_set {
	uint32_t n;
	struct sj_set_item {
		uint32_t epoch;
		uint32_t seq;
		char name[32];
	} * item;
};

int sj_set_list(struct sj_set *s, const struct sj_job *j)
	__attribute__((warn_unused_result));
void sj_set_fini(struct sj_set *s);
/*
 * The newest checkpoint of an epoch before this one that is whole; damaged
 * ones are passed over with a line in the log.  -ENOENT: none.
 */
int sj_set_newest(const struct sj_job *j, struct sj_manifest *m, char *name,
		  size_t size) __attribute__((warn_unused_result));
/* Remove all but the newest keep ones, and what is left of partial ones. */
void sj_set_trim(const struct sj_job *j, uint32_t keep);

#endif
