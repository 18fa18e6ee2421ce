/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence's state machine and its file.  A verdict of death is final; a
 * freeze ends when our own epoch is read again.
 */
#include <config.h>

#include "fence.h"

#include <errno.h>

#include "util.h"

void sj_fence_init(struct sj_fence *f, uint64_t epoch, uint64_t lease_ms,
		   uint64_t now_ms)
{
	f->epoch = epoch;
	f->lease_ms = lease_ms;
	f->seen_ms = now_ms;
	f->verdict = SJ_FENCE_GO;
}

enum sj_verdict sj_fence_step(struct sj_fence *f, int ret, uint64_t epoch,
			      uint64_t now_ms)
{
	if (f->verdict == SJ_FENCE_DIE)
		return f->verdict;
	if (!ret && epoch > f->epoch) {
		f->verdict = SJ_FENCE_DIE;
	} else if (!ret && epoch == f->epoch) {
		f->verdict = SJ_FENCE_GO;
		f->seen_ms = now_ms;
	} else if (now_ms - f->seen_ms >= f->lease_ms) {
		/* Unreadable, or a stale view from before our own start. */
		f->verdict = SJ_FENCE_FREEZE;
	}
	return f->verdict;
}

enum sj_verdict sj_fence_look(struct sj_fence *f, const struct sj_job *j)
{
	uint64_t epoch = 0;
	int ret;

	ret = sj_job_read_num(j, "epoch", &epoch);
	return sj_fence_step(f, ret, epoch, sj_now_ms());
}

int sj_fence_take(const struct sj_job *j, uint64_t lease_ms, uint64_t *wait_ms)
{
	uint64_t released;
	uint64_t old;
	int ret;

	*wait_ms = 0;
	ret = sj_job_read_num(j, "epoch", &old);
	if (ret && ret != -ENOENT)
		return ret;
	if (!ret && old > j->epoch)
		return -ESTALE;
	if (!ret && old < j->epoch) {
		ret = sj_job_read_num(j, "released", &released);
		/* One lease until it freezes, and a second of its polling. */
		if (ret || released < old)
			*wait_ms = lease_ms + 1000;
	}
	return sj_job_write_num(j, "epoch", j->epoch);
}
