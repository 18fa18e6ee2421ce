/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Environment variables that change while the program runs.  setenv() may
 * move the environment under a concurrent getenv(); so their room is taken in
 * MPI_Init, and later values are written in place.
 */
#include "config.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "gate/gate.h"

#define MAX_SLOTS 32

static struct slot {
	const char *name;
	char *at;
	size_t room;
} slots[MAX_SLOTS];
static int n_slots;

void sm_env_reserve(const char *name, size_t room)
{
	const char *old = getenv(name);
	char *value, *at;

	if (n_slots == MAX_SLOTS || (old && strlen(old) >= room))
		return;
	value = malloc(room + 1);
	if (!value)
		return;
	memset(value, '0', room);
	value[room] = '\0';
	old = old ? strdup(old) : NULL;
	if (!setenv(name, value, 1)) {
		at = getenv(name);
		slots[n_slots++] = (struct slot){ name, at, room };
		strcpy(at, old ? old : "");
	}
	free((void *)(uintptr_t)old);
	free(value);
}

int sm_env_put(const char *name, const char *value)
{
	int i;

	for (i = 0; i < n_slots; i++) {
		if (strcmp(slots[i].name, name) ||
		    getenv(name) != slots[i].at ||
		    strlen(value) > slots[i].room)
			continue;
		strcpy(slots[i].at, value);
		return 0;
	}
	return setenv(name, value, 1) ? -errno : 0;
}
