/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts for errno and for BLCR's own codes, and what needs no state: the
 * initial values of arguments and the spin locks.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <sched.h>
#include <string.h>

#include "libcr.h"

_Static_assert(sizeof(cr_checkpoint_args_t) == 28, "as in BLCR");
_Static_assert(sizeof(cr_restart_args_t) == 24, "as in BLCR");

int cr_link_me;

const char *cr_strerror(int err)
{
	static const char *const texts[] = {
		"Temporary failure, try again later",
		"Permanent failure requested by a callback",
		"Process not linked with libcr",
		"Interface version not supported",
		"Process omitted itself from the checkpoint",
		"Image of another architecture",
		"A process is being traced by a debugger",
		"A process is tracing another",
		"Restart aborted by a callback",
		"Handle is not valid after a restart",
		"Only possible inside a callback",
		"Thread has not called cr_init()",
	};

	if (err < 0)
		err = -err;
	if (err >= CR_ETEMPFAIL && err <= CR_ENOINIT)
		return texts[err - CR_ETEMPFAIL];
	return strerror(err);
}

int cri_init_checkpoint_args_t(cr_version_t version, cr_checkpoint_args_t *args)
{
	if (version != 1) {
		errno = CR_EVERSION;
		return -1;
	}
	memset(args, 0, sizeof(*args));
	args->cr_version = version;
	args->cr_scope = CR_SCOPE_INVALID;
	args->cr_fd = -1;
	return 0;
}

int cri_init_restart_args_t(cr_version_t version, cr_restart_args_t *args)
{
	if (version != 1) {
		errno = CR_EVERSION;
		return -1;
	}
	memset(args, 0, sizeof(*args));
	args->cr_version = version;
	args->cr_fd = -1;
	args->cr_flags = CR_RSTRT_RESTORE_PID;
	return 0;
}

void cr_spinlock_init(cr_spinlock_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

int cr_spinlock_trylock(cr_spinlock_t *lock)
{
	return !__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE);
}

void cr_spinlock_lock(cr_spinlock_t *lock)
{
	unsigned int tries = 0;

	while (!cr_spinlock_trylock(lock)) {
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			if (++tries % 1000 == 0)
				sched_yield();
	}
}

void cr_spinlock_unlock(cr_spinlock_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
