/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The coordinator's side of a cycle: steps that all ranks answer, and the
 * decisions of the drain.  Targets of collectives are maxima over the ranks;
 * a rank below its target that waits for a message demands its source, and a
 * demanded rank that is parked before a collective may enter it, which raises
 * that target, and so on.  All is still when no rank is below, callers are
 * held, and what was sent equals what was received in two rounds running.
 */
#include "config.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "coord/coord_int.h"

static void enter(struct sm_coord *c, enum step s);

static __attribute__((format(printf, 3, 4))) void
fail(struct sm_coord *c, int err, const char *fmt, ...)
{
	va_list ap;

	if (c->err)
		return;
	c->err = err;
	va_start(ap, fmt);
	vsnprintf(c->message, sizeof(c->message), fmt, ap);
	va_end(ap);
}

static void all_send(struct sm_coord *c, uint32_t type, uint32_t arg,
		     const void *data, uint32_t len)
{
	int i;

	for (i = 0; i < c->size; i++)
		if (c->ranks[i].conn >= 0)
			coord_send(c, c->ranks[i].conn, type, arg, data, len);
}

/* ---- targets ---- */

static uint32_t find_target(struct sm_coord *c, uint64_t id)
{
	uint32_t lo = 0, hi = c->n_targets;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (c->targets[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Raises one target; the raised ones are collected for the next round. */
static int raise_target(struct sm_coord *c, uint64_t id, uint64_t seq,
			struct target **raised, uint32_t *n)
{
	uint32_t at = find_target(c, id);
	struct target *t;

	if (at == c->n_targets || c->targets[at].id != id) {
		t = realloc(c->targets,
			    ((size_t)c->n_targets + 1) * sizeof(*t));
		if (!t)
			return -ENOMEM;
		c->targets = t;
		memmove(t + at + 1, t + at,
			(c->n_targets - at) * sizeof(*t));
		c->n_targets++;
		t[at] = (struct target){ id, 0 };
	}
	if (c->targets[at].seq >= seq)
		return 0;
	c->targets[at].seq = seq;
	t = realloc(*raised, ((size_t)*n + 1) * sizeof(*t));
	if (!t)
		return -ENOMEM;
	*raised = t;
	t[(*n)++] = (struct target){ id, seq };
	return 0;
}

static struct target *raised;
static uint32_t n_raised;

static void clear_raised(void)
{
	free(raised);
	raised = NULL;
	n_raised = 0;
}

/* ---- rounds ---- */

static void send_round(struct sm_coord *c)
{
	int i;

	for (i = 0; i < c->size; i++)
		c->ranks[i].reported = false;
	c->round_due = false;
	c->times.rounds++;
	all_send(c, SM_M_ROUND, 0, raised,
		 n_raised * (uint32_t)sizeof(*raised));
	clear_raised();
}

static void later(struct sm_coord *c)
{
	uint64_t us = c->calm < 3 ? 0 : c->calm < 20 ? 300 : 2000;

	c->round_due = true;
	c->round_at = coord_now() + us;
}

static bool any_flag(const struct sm_coord *c, uint32_t flag)
{
	int i;

	for (i = 0; i < c->size; i++)
		if (c->ranks[i].rep.flags & flag)
			return true;
	return false;
}

static void sums(const struct sm_coord *c, uint64_t s[5], uint32_t *open)
{
	int i;

	memset(s, 0, 5 * sizeof(*s));
	*open = 0;
	for (i = 0; i < c->size; i++) {
		const struct sm_report *r = &c->ranks[i].rep;

		s[0] += r->sent;
		s[1] += r->rcvd;
		s[2] += r->ctl_sent;
		s[3] += r->ctl_rcvd;
		s[4] += r->activity;
		*open += r->open;
	}
}

/* Who could end the waiting of the ranks below: let the parked ones pass. */
static void demands(struct sm_coord *c)
{
	int *queue, n = 0, i, head;
	bool *seen;
	uint32_t j;

	queue = calloc((size_t)c->size, sizeof(*queue));
	seen = calloc((size_t)c->size, sizeof(*seen));
	for (i = 0; queue && seen && i < c->size; i++) {
		if (c->ranks[i].rep.flags & SM_REP_BELOW) {
			seen[i] = true;
			queue[n++] = i;
		}
	}
	for (head = 0; head < n; head++) {
		const struct rank *r = &c->ranks[queue[head]];

		if (r->rep.flags & SM_REP_PARKED)
			raise_target(c, r->rep.parked_id,
				     r->rep.parked_seq + 1, &raised,
				     &n_raised);
		for (j = 0; j < r->rep.n_needs; j++) {
			uint32_t w = r->needs[j];

			if (w < (uint32_t)c->size && !seen[w]) {
				seen[w] = true;
				queue[n++] = (int)w;
			}
		}
	}
	free(queue);
	free(seen);
}

static void stalled(struct sm_coord *c)
{
	char text[384] = "";
	size_t at = 0;
	int i, n = 0;

	for (i = 0; i < c->size && n < 4; i++) {
		const struct sm_report *r = &c->ranks[i].rep;

		if (!(r->flags & (SM_REP_BELOW | SM_REP_BUSY)))
			continue;
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "%srank %d in %.30s", n++ ? ", " : "",
				       i,
				       r->func[0]		? r->func :
				       r->flags & SM_REP_BUSY ? "an MPI call" :
								"computation");
	}
	fail(c, -ETIMEDOUT,
	     "not drained in %u ms: others wait in a collective for %s",
	     c->conf.limit_ms, n ? text : "messages under way");
}

static void evaluate_drain(struct sm_coord *c)
{
	if (!n_raised && !any_flag(c, SM_REP_BELOW | SM_REP_BUSY)) {
		enter(c, ST_HOLD);
		return;
	}
	if (!n_raised && c->calm >= 2)
		demands(c);
	later(c);
}

static void evaluate_still(struct sm_coord *c, const uint64_t s[5],
			   uint32_t open, bool same)
{
	int i;

	if (n_raised || any_flag(c, SM_REP_BELOW)) {
		enter(c, ST_UNHOLD);
		return;
	}
	for (i = 0; i < c->size; i++)
		if (!(c->ranks[i].rep.flags & SM_REP_SETTLED))
			open++;
	if (any_flag(c, SM_REP_BUSY) || open || s[0] != s[1] || s[2] != s[3])
		c->equal = 0;
	else
		c->equal = same ? c->equal + 1 : 1;
	if (c->equal >= 2)
		enter(c, ST_FINISH);
	else
		later(c);
}

static void evaluate(struct sm_coord *c)
{
	uint64_t s[5];
	uint32_t open;
	bool same;

	sums(c, s, &open);
	same = !memcmp(s, c->last_sum, sizeof(s));
	c->calm = same ? c->calm + 1 : 0;
	memcpy(c->last_sum, s, sizeof(s));
	if (c->step == ST_DRAIN)
		evaluate_drain(c);
	else if (c->step == ST_STILL)
		evaluate_still(c, s, open, same);
}

void cycle_report(struct sm_coord *c, int rank, const void *body,
		  uint32_t len)
{
	struct rank *r = &c->ranks[rank];
	const struct sm_rep_comm *k;
	uint64_t want;
	uint32_t i;
	int j;

	if ((c->step != ST_DRAIN && c->step != ST_STILL) ||
	    len < sizeof(r->rep))
		return;
	memcpy(&r->rep, body, sizeof(r->rep));
	r->rep.func[sizeof(r->rep.func) - 1] = '\0';
	want = sizeof(r->rep) + (uint64_t)r->rep.n_comms * sizeof(*k) +
	       (uint64_t)r->rep.n_needs * 4;
	free(r->needs);
	r->needs = NULL;
	if (want != len) {
		fail(c, -EPROTO, "rank %d: malformed report", rank);
		enter(c, ST_QUIET);
		return;
	}
	k = (const void *)((const char *)body + sizeof(r->rep));
	for (i = 0; i < r->rep.n_comms; i++) {
		struct sm_rep_comm one;

		memcpy(&one, &k[i], sizeof(one));
		raise_target(c, one.id, one.seq, &raised, &n_raised);
	}
	if (r->rep.n_needs) {
		r->needs = malloc((size_t)r->rep.n_needs * 4);
		if (!r->needs)
			r->rep.n_needs = 0;
		else
			memcpy(r->needs, &k[i], (size_t)r->rep.n_needs * 4);
	}
	r->reported = true;
	for (j = 0; j < c->size; j++)
		if (!c->ranks[j].reported)
			return;
	evaluate(c);
}

/* ---- steps ---- */

static uint64_t lap(struct sm_coord *c)
{
	uint64_t now = coord_now(), d = now - c->t_step;

	c->t_step = now;
	return d;
}

static void finished(struct sm_coord *c)
{
	c->step = ST_IDLE;
	c->restarting = false;
	if (c->conf.done)
		c->conf.done(c->conf.arg, c->err, c->message);
}

static void send_up(struct sm_coord *c)
{
	int i;

	for (i = 0; i < c->size; i++) {
		struct rank *r = &c->ranks[i];

		coord_send(c, r->conn, SM_M_UP, 0, r->env, r->env_len);
	}
}

static void enter(struct sm_coord *c, enum step s)
{
	int i;

	c->step = s;
	c->calm = c->equal = 0;
	for (i = 0; i < c->size; i++)
		c->ranks[i].acked = false;
	switch (s) {
	case ST_GATE:
		all_send(c, SM_M_GATE, 0, NULL, 0);
		break;
	case ST_DRAIN:
	case ST_STILL:
		send_round(c);
		break;
	case ST_HOLD:
		all_send(c, SM_M_HOLD, 1, NULL, 0);
		break;
	case ST_UNHOLD:
		all_send(c, SM_M_HOLD, 0, NULL, 0);
		break;
	case ST_FINISH:
		c->times.drain = lap(c);
		all_send(c, SM_M_FINISH, 0, NULL, 0);
		break;
	case ST_DOWN:
		c->times.finish = lap(c);
		coord_unlisten(c);
		all_send(c, SM_M_DOWN, 0, NULL, 0);
		break;
	case ST_QUIET:
		all_send(c, SM_M_QUIET, 0, NULL, 0);
		break;
	case ST_UP:
		c->times.away += lap(c);
		send_up(c);
		break;
	case ST_RESUME:
		if (c->err == 0 || c->times.up)
			c->times.up = lap(c);
		all_send(c, SM_M_RESUME, c->times.up != 0, NULL, 0);
		break;
	case ST_IDLE:
	case ST_BACK:
	default:
		break;
	}
}

int cycle_begin(struct sm_coord *c)
{
	int i;

	if (c->step != ST_IDLE)
		return -EBUSY;
	if (!c->size)
		return -ENOTCONN;
	for (i = 0; i < c->size; i++)
		if (c->ranks[i].conn < 0 || c->ranks[i].fini)
			return -ENOTCONN;
	c->err = 0;
	c->message[0] = '\0';
	memset(&c->times, 0, sizeof(c->times));
	clear_raised();
	c->n_targets = 0;
	c->t_begin = c->t_step = coord_now();
	enter(c, ST_GATE);
	return 0;
}

/* All are away: the caller captures; then they may come back. */
static void away(struct sm_coord *c)
{
	pid_t *pids;
	int i, ret = 0;

	c->times.down = lap(c);
	pmi_reset(c);
	pids = calloc((size_t)c->size, sizeof(*pids));
	for (i = 0; pids && i < c->size; i++)
		pids[i] = c->ranks[i].pid;
	if (c->conf.away && pids)
		ret = c->conf.away(c->conf.arg, pids, c->size);
	free(pids);
	if (ret)
		fail(c, ret, "capture failed");
	c->step = ST_BACK;
	ret = coord_listen(c);
	if (ret) {
		fail(c, ret, "cannot listen again at %s", c->address);
		finished(c);
	}
}

static bool all_acked(const struct sm_coord *c)
{
	int i;

	for (i = 0; i < c->size; i++)
		if (!c->ranks[i].acked && c->ranks[i].conn >= 0)
			return false;
	return true;
}

static bool all_gone(const struct sm_coord *c)
{
	int i;

	for (i = 0; i < c->size; i++)
		if (c->ranks[i].conn >= 0)
			return false;
	return true;
}

static void next(struct sm_coord *c)
{
	switch (c->step) {
	case ST_GATE:
		c->times.gate = lap(c);
		enter(c, c->err ? ST_QUIET : ST_DRAIN);
		break;
	case ST_HOLD:
		enter(c, ST_STILL);
		break;
	case ST_UNHOLD:
		enter(c, ST_DRAIN);
		break;
	case ST_FINISH:
		enter(c, c->err ? ST_QUIET : ST_DOWN);
		break;
	case ST_QUIET:
	case ST_UP:
		if (c->step == ST_UP)
			c->times.up = 1;
		enter(c, ST_RESUME);
		break;
	case ST_RESUME:
		c->times.resume = lap(c);
		finished(c);
		break;
	case ST_DOWN: /* goes on when the connections are closed */
	case ST_IDLE:
	case ST_DRAIN:
	case ST_STILL:
	case ST_BACK:
	default:
		break;
	}
}

void cycle_ack(struct sm_coord *c, int rank, uint32_t step, const char *why)
{
	if (why)
		fail(c, -ENOTSUP, "%s", why);
	(void)step;
	c->ranks[rank].acked = true;
	if (all_acked(c))
		next(c);
}

void cycle_hello(struct sm_coord *c, int rank)
{
	int i;

	(void)rank;
	if (c->step != ST_BACK)
		return;
	for (i = 0; i < c->size; i++)
		if (c->ranks[i].conn < 0 ||
		    (c->with_env && c->restarting && !c->ranks[i].env))
			return;
	enter(c, ST_UP);
}

void cycle_lost(struct sm_coord *c, int rank)
{
	bool acked = c->ranks[rank].acked;

	switch (c->step) {
	case ST_IDLE:
		return;
	case ST_DOWN:
		if (!acked)
			fail(c, -ESRCH, "rank %d ended while MPI went down",
			     rank);
		if (all_gone(c))
			away(c);
		return;
	case ST_UP:
	case ST_RESUME:
		fail(c, -ESRCH, "rank %d ended while MPI came up", rank);
		break;
	case ST_QUIET:
		break;
	case ST_GATE:
	case ST_DRAIN:
	case ST_HOLD:
	case ST_STILL:
	case ST_UNHOLD:
	case ST_FINISH:
	case ST_BACK:
	default:
		fail(c, -ESRCH, "rank %d ended during the checkpoint", rank);
		if (c->step != ST_BACK)
			enter(c, ST_QUIET);
		break;
	}
	if (all_gone(c))
		finished(c);
	else if (all_acked(c))
		next(c);
}

int cycle_wait(const struct sm_coord *c)
{
	uint64_t now;

	if (c->step != ST_DRAIN && c->step != ST_STILL)
		return c->step == ST_IDLE ? -1 : 1000;
	if (!c->round_due)
		return 100;
	now = coord_now();
	return c->round_at <= now ? 0 : (int)((c->round_at - now + 999) / 1000);
}

void cycle_tick(struct sm_coord *c)
{
	uint64_t now = coord_now();
	bool drain = c->step == ST_DRAIN || c->step == ST_STILL;

	if (drain && now - c->t_begin > (uint64_t)c->conf.limit_ms * 1000) {
		stalled(c);
		enter(c, ST_QUIET);
	} else if (drain && c->round_due && c->round_at <= now) {
		send_round(c);
	}
}
