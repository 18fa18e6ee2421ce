/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rank's part in the drain: pull messages, make progress, and say where it
 * stands.  What may be entered and when all is still is the coordinator's to
 * decide (coord/cycle.c).
 */
#include "config.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "coord/proto.h"
#include "cycle/cycle.h"

static uint32_t settled;

/*
 * Communicators that this rank has freed and others may not: their last
 * counts are told in the next cycle, so that all have freed them before the
 * rebuild.  Cleared by a whole cycle; the oldest go first.
 */
#define MAX_BURIED 65536u
static struct sm_rep_comm *buried;
static uint32_t n_buried, told;

/* Under sm_comms_lock or while nobody else is in MPI. */
void sm_comm_bury(const struct sm_comm_state *c)
{
	struct sm_rep_comm *b;

	if (c->size < 2 || !sm_life.attached)
		return;
	if (n_buried == MAX_BURIED) {
		n_buried /= 2;
		memmove(buried, buried + n_buried, n_buried * sizeof(*b));
	}
	if (n_buried % 64 == 0) {
		b = realloc(buried, (n_buried + 64) * sizeof(*b));
		if (!b)
			return;
		buried = b;
	}
	buried[n_buried++] = (struct sm_rep_comm){ c->id, c->seq };
}

void sm_buried_begin(void)
{
	told = 0;
}

void sm_buried_clear(void)
{
	n_buried = told = 0;
}

static bool counts(const struct sm_obj *o)
{
	return o->kind == SM_COMM && o->comm && !o->user_freed &&
	       o->comm->size > 1;
}

static void take_targets(const void *data, uint32_t len)
{
	const struct sm_rep_comm *t = data;
	uint32_t i, j, n = len / (uint32_t)sizeof(*t);

	for (i = 1; i < sm_objs_top && n; i++) {
		if (!counts(&sm_objs[i]))
			continue;
		for (j = 0; j < n; j++)
			if (t[j].id == sm_objs[i].comm->id &&
			    t[j].seq > sm_objs[i].comm->target)
				sm_objs[i].comm->target = t[j].seq;
	}
}

void sm_push(void)
{
	if (!sm_gate_take()) {
		settled = 0;
		return;
	}
	sm_fifo_pull();
	settled = !sm_drain_settle();
	sm_sync_poll();
	sm_gate_give();
}

static uint32_t add_needs(const struct sm_why *w, uint32_t *needs)
{
	const struct sm_comm_state *c = w->comm ? w->comm->comm : NULL;
	uint32_t n = 0;
	int i;

	if (!c || w->peer == SM_NOBODY || w->peer == MPI_PROC_NULL)
		return 0;
	if (w->peer >= 0 && w->peer < c->peers) {
		needs[n++] = (uint32_t)c->world[w->peer];
		return n;
	}
	for (i = 0; i < c->peers; i++)
		needs[n++] = (uint32_t)c->world[i];
	return n;
}

static uint32_t add_comms(struct sm_report *r, struct sm_rep_comm *out)
{
	uint32_t i, n = 0;

	for (i = 1; i < sm_objs_top; i++) {
		struct sm_comm_state *c = sm_objs[i].comm;

		if (!counts(&sm_objs[i]))
			continue;
		if (c->seq < c->target)
			r->flags |= SM_REP_BELOW;
		if (c->reported == c->seq + 1)
			continue;
		c->reported = c->seq + 1;
		out[n++] = (struct sm_rep_comm){ c->id, c->seq };
	}
	return n;
}

static uint32_t add_buried(struct sm_rep_comm *out)
{
	uint32_t n = 0;

	while (told < n_buried)
		out[n++] = buried[told++];
	return n;
}

static void where(struct sm_report *r, uint32_t *needs)
{
	const struct sm_why *w = sm_waiting;

	if (sm_busy)
		r->flags |= SM_REP_BUSY;
	if (settled)
		r->flags |= SM_REP_SETTLED;
	if (!w)
		return;
	strncpy(r->func, w->func, sizeof(r->func) - 1);
	if (w->parked) {
		r->flags |= SM_REP_PARKED;
		r->parked_id = w->comm->comm->id;
		r->parked_seq = w->comm->comm->seq;
		return;
	}
	r->flags |= w->peer == SM_NOBODY ? SM_REP_IN_COLL : SM_REP_WAIT;
	r->n_needs = add_needs(w, needs);
}

int sm_round(sm_tell_fn *tell, const void *targets, uint32_t len)
{
	struct sm_report *r;
	size_t comms, size;
	uint32_t n;
	int ret;

	pthread_mutex_lock(&sm_lock);
	pthread_mutex_lock(&sm_comms_lock);
	take_targets(targets, len);
	pthread_mutex_unlock(&sm_comms_lock);
	/* room for some more that come meanwhile */
	comms = (size_t)(sm_objs_top + n_buried + 64) *
		sizeof(struct sm_rep_comm);
	size = sizeof(*r) + comms + (size_t)sm_life.size * 4;
	pthread_mutex_unlock(&sm_lock);
	sm_push();
	r = calloc(1, size + comms);
	if (!r)
		return -ENOMEM;
	pthread_mutex_lock(&sm_lock);
	pthread_mutex_lock(&sm_comms_lock);
	r->n_comms = add_comms(r, (void *)(r + 1));
	r->n_comms += add_buried((struct sm_rep_comm *)(r + 1) +
					    r->n_comms);
	pthread_mutex_unlock(&sm_comms_lock);
	n = (uint32_t)(sizeof(*r) +
		       (size_t)r->n_comms * sizeof(struct sm_rep_comm));
	where(r, (uint32_t *)(void *)((char *)r + n));
	r->sent = sm_sent;
	r->rcvd = sm_rcvd;
	r->ctl_sent = sm_ctl_sent;
	r->ctl_rcvd = sm_ctl_rcvd;
	r->open = sm_sync_open();
	r->activity = sm_activity;
	pthread_mutex_unlock(&sm_lock);
	ret = tell(SM_M_REPORT, 0, r, n + r->n_needs * 4);
	free(r);
	return ret;
}

void sm_environment(char *env, uint32_t len, uint32_t *at)
{
	while (*at < len) {
		char *line = env + *at, *eq = strchr(line, '=');

		*at += (uint32_t)strlen(line) + 1;
		if (!eq) {
			unsetenv(line);
			continue;
		}
		*eq = '\0';
		sm_env_put(line, eq + 1);
	}
}
