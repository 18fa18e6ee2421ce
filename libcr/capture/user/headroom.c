/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copy-on-write needs room: while the snapshot lives, each page the program
 * writes to exists twice, and the second one counts against the program's
 * memory limit.  A snapshot is taken only if all private pages of a group
 * could be copied below the limits of the group and of those above it.
 */
#include "config.h"

#include "capture/user/user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct limits {
	const char *root; /* where the hierarchy is mounted */
	const char *max;
	const char *now;
	const char *idle; /* in memory.stat: can be dropped */
};

static const struct limits v2 = { "/sys/fs/cgroup", "memory.max",
				  "memory.current", "inactive_file " };
static const struct limits v2_hybrid = { "/sys/fs/cgroup/unified",
					 "memory.max", "memory.current",
					 "inactive_file " };
static const struct limits v1 = { "/sys/fs/cgroup/memory",
				  "memory.limit_in_bytes",
				  "memory.usage_in_bytes",
				  "total_inactive_file " };

static bool value(struct cri_text *t, const struct limits *l, const char *group,
		  const char *file, uint64_t *v)
{
	char path[4400];

	snprintf(path, sizeof(path), "%s%s/%s", l->root, group, file);
	if (cri_text_file(t, path) || t->p[0] < '0' || t->p[0] > '9')
		return false;
	*v = strtoull(t->p, NULL, 10);
	return true;
}

static uint64_t idle(struct cri_text *t, const struct limits *l,
		     const char *group)
{
	char path[4400];
	const char *s;

	snprintf(path, sizeof(path), "%s%s/memory.stat", l->root, group);
	if (cri_text_file(t, path))
		return 0;
	s = strstr(t->p, l->idle);
	return s ? strtoull(s + strlen(l->idle), NULL, 10) : 0;
}

/* Least room of the group and all above it. */
static uint64_t room(struct cri_text *t, const struct limits *l, char *group)
{
	uint64_t least = UINT64_MAX;
	uint64_t max, now;
	char *slash;

	for (;;) {
		if (value(t, l, group, l->max, &max) && max < 1ULL << 60 &&
		    value(t, l, group, l->now, &now)) {
			uint64_t free_now = max > now ? max - now : 0;

			free_now += idle(t, l, group);
			if (free_now < least)
				least = free_now;
		}
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = 0;
	}
}

/* Text after "N:memory:" (v1) or "0::" (v2) of /proc/PID/cgroup. */
static bool group_of(const char *text, const char *key, char *to, size_t size)
{
	const char *s = strstr(text, key);
	size_t n;

	if (!s)
		return false;
	s += strlen(key);
	n = strcspn(s, "\n");
	if (n >= size)
		return false;
	memcpy(to, s, n);
	to[n] = 0;
	if (strcmp(to, "/") == 0)
		to[0] = 0;
	return true;
}

static uint64_t room_for(struct cri_text *t, const char *cgroup)
{
	uint64_t least = UINT64_MAX, r;
	char group[4096];

	if (group_of(cgroup, ":memory:", group, sizeof(group))) {
		r = room(t, &v1, group);
		least = r < least ? r : least;
	}
	if (group_of(cgroup, "0::", group, sizeof(group))) {
		r = room(t, &v2, group);
		least = r < least ? r : least;
	}
	if (group_of(cgroup, "0::", group, sizeof(group))) {
		r = room(t, &v2_hybrid, group);
		least = r < least ? r : least;
	}
	return least;
}

/* Processes of one group mostly come together: one look serves them all. */
bool cri_user_headroom(struct cri_capture *cap)
{
	struct cri_text text = { 0 }, now = { 0 };
	char last[4096] = "";
	uint64_t need = 0, have = UINT64_MAX;
	bool enough = true;
	uint32_t i;

	for (i = 0; i < cap->n_procs && enough; i++) {
		struct cri_cproc *p = cap->procs[i];

		if (p->zombie || !p->owns_mm ||
		    cri_text_proc(&now, p->threads[0].tid, "cgroup"))
			continue;
		if (now.len >= sizeof(last) || strcmp(now.p, last) != 0) {
			snprintf(last, sizeof(last), "%s", now.p);
			have = room_for(&text, now.p);
			need = 0;
		}
		need += p->private_bytes;
		enough = need <= have;
	}
	cri_text_fini(&text);
	cri_text_fini(&now);
	return enough;
}
