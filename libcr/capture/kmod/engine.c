/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The module engine as engine.h wants it: everything that user space can see
 * by itself comes from /proc as with the user engine, the rest from the
 * module's records and snapshot.
 */
#include "config.h"

#include "capture/kmod/kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/err.h"

#define DEVICE "/dev/stasis"

int cri_kmod_call(const struct cri_capture *cap, unsigned long nr, void *arg)
{
	int ret;

	do {
		ret = ioctl(kstate(cap)->fd, nr, arg);
	} while (ret != 0 && errno == EINTR);
	return ret == 0 ? 0 : -errno;
}

static int device(uint64_t *features, struct cri_err *err)
{
	struct stasis_version v = { .size = sizeof(v) };
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return cri_fail(err, errno,
				"%s: %s (is the module stasis "
				"loaded?)",
				DEVICE, strerror(errno));
	if (ioctl(fd, STASIS_IOC_VERSION, &v) != 0 || v.abi < STASIS_ABI) {
		close(fd);
		return cri_fail(err, ENOTSUP,
				"%s: the module is older than this program",
				DEVICE);
	}
	*features = v.features;
	return fd;
}

static int probe(struct cri_err *err)
{
	uint64_t features;
	int fd = device(&features, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int open_engine(struct cri_capture *cap, struct cri_err *err)
{
	struct kstate *k = kstate(cap);

	(void)err;
	if (!k) {
		k = calloc(1, sizeof(*k));
		if (!k)
			return -ENOMEM;
		k->fd = -1;
		cap->engine_state = k;
	}
	return 0;
}

static int freeze(struct cri_capture *cap, struct cri_err *err)
{
	struct kstate *k = kstate(cap);

	/* Each attempt is a session of its own. */
	if (k->fd < 0)
		k->fd = device(&k->features, err);
	if (k->fd < 0)
		return k->fd;
	return cri_kmod_freeze(cap, err);
}

void cri_kmod_proc_drop(struct cri_cproc *p)
{
	struct kproc *kp = kproc(p);

	if (!kp)
		return;
	if (kp->mem >= 0)
		close(kp->mem);
	free(kp->records);
	kp->mem = -1;
	kp->records = NULL;
	kp->rec = NULL;
}

static void release(struct cri_capture *cap)
{
	struct kstate *k = kstate(cap);
	uint32_t i;

	if (!k)
		return;
	if (k->fd >= 0)
		close(k->fd);
	free(k->ranges);
	memset(k, 0, sizeof(*k));
	k->fd = -1;
	for (i = 0; i < cap->n_procs; i++)
		cri_kmod_proc_drop(cap->procs[i]);
	cap->frozen = false;
}

const struct cri_engine cri_engine_kmod = {
	.name = "kmod",
	.probe = probe,
	.open = open_engine,
	.freeze = freeze,
	.thread = cri_kmod_thread,
	.process = cri_kmod_process,
	.memory = cri_kmod_memory,
	.snapshot = cri_kmod_snapshot,
	.thaw = cri_kmod_thaw,
	.kill = cri_kmod_kill,
	.pages = cri_kmod_pages,
	.read = cri_kmod_read,
	.release = release,
};
