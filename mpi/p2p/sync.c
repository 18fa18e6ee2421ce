/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Synchronous sends over a cycle.  Pulling a message completes its Ssend at
 * the sender though no receive has matched it; a program that draws
 * conclusions from the completion (NBX) would lose data.  So a synchronous
 * send that the library completes during a cycle asks the receiver: "comm,
 * tag, n messages sent to you on this communicator, of which `after` went out
 * after this one with the same tag".  Messages of one sender, communicator
 * and tag are matched in order, hence those in the FIFO are the last k of
 * them, and the message in question is among these iff after < k.  Then its
 * entry is marked and the match is acknowledged when the program takes it.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "p2p/p2p.h"

#define BUCKETS 64u

enum { ASK = 1, ACK, AGAIN };

struct ctl {
	uint32_t op;
	uint32_t req;
	uint32_t serial;
	uint32_t after;
	uint64_t comm;
	uint64_t n;
	int32_t tag;
	int32_t pad;
};

struct out {
	struct out *next;
	MPI_Request q;
	struct ctl msg;
};

struct pending {
	struct pending *next;
	int from; /* world rank */
	struct ctl msg;
};

volatile uint64_t sm_ctl_sent, sm_ctl_rcvd;
volatile uint32_t sm_sync_waiting;
static struct out *outs;
static struct pending *pendings;

static uint32_t *bucket(const struct sm_comm_state *c, int peer, int tag)
{
	return &c->sync[((unsigned)peer * 31u + (unsigned)tag) % BUCKETS];
}

int sm_sync_add(struct sm_req *r)
{
	struct sm_comm_state *c = r->comm->comm;
	uint32_t *b;

	if (!c->sync)
		c->sync = calloc(BUCKETS, sizeof(*c->sync));
	if (!c->sync)
		return MPI_ERR_NO_MEM;
	b = bucket(c, r->peer, r->tag);
	r->after = 0;
	r->sync_next = *b;
	*b = (uint32_t)(r - sm_reqs);
	return MPI_SUCCESS;
}

void sm_sync_drop(struct sm_req *r)
{
	uint32_t *at, self = (uint32_t)(r - sm_reqs);

	if (!r->comm->comm->sync)
		return;
	for (at = bucket(r->comm->comm, r->peer, r->tag); *at;
	     at = &sm_reqs[*at].sync_next) {
		if (*at == self) {
			*at = r->sync_next;
			return;
		}
	}
}

void sm_sync_sent(struct sm_obj *o, int peer, int tag)
{
	uint32_t i = *bucket(o->comm, peer, tag);

	for (; i; i = sm_reqs[i].sync_next)
		if (sm_reqs[i].peer == peer && sm_reqs[i].tag == tag)
			sm_reqs[i].after++;
}

static void post(int to, const struct ctl *msg)
{
	struct out *o = calloc(1, sizeof(*o));

	if (!o)
		return;
	o->msg = *msg;
	if (sm_real.Isend(&o->msg, (int)sizeof(o->msg), MPI_BYTE, to, 0,
			  sm_life.hidden, &o->q)) {
		free(o);
		return;
	}
	sm_ctl_sent++;
	sm_activity++;
	o->next = outs;
	outs = o;
}

static void ask(struct sm_req *r)
{
	struct ctl m = { .op = ASK,
			 .req = (uint32_t)(r - sm_reqs),
			 .serial = r->serial,
			 .after = r->after,
			 .comm = r->comm->comm->id,
			 .n = r->comm->comm->sent[r->peer],
			 .tag = r->tag };

	post(sm_comm_world_rank(r->comm, r->peer), &m);
}

void sm_sync_gone(struct sm_req *r)
{
	r->state = SM_Q_SYNC;
	sm_sync_waiting++;
	sm_stop |= SM_STOP_SYNC;
	ask(r);
}

/* After a cycle that was given up: completions cannot be trusted. */
void sm_sync_suspect(void)
{
	uint32_t i;

	for (i = 1; i < sm_reqs_top; i++)
		if (sm_reqs[i].op == SM_R_SSEND &&
		    sm_reqs[i].state == SM_Q_ACTIVE)
			sm_reqs[i].suspect = true;
	sm_stop |= SM_STOP_SYNC;
}

static void reply(int to, const struct ctl *msg, uint32_t op)
{
	struct ctl m = *msg;

	m.op = op;
	post(to, &m);
}

void sm_sync_matched(struct sm_fifo_msg *m)
{
	struct ctl a = { .req = m->sync_req, .serial = m->sync_serial };

	if (m->sync_rank >= 0)
		reply(m->sync_rank, &a, ACK);
	m->sync_rank = -1;
}

static struct sm_obj *comm_by_id(uint64_t id)
{
	uint32_t i;

	for (i = 1; i < sm_objs_top; i++)
		if (sm_objs[i].kind == SM_COMM && sm_objs[i].comm &&
		    sm_objs[i].comm->id == id)
			return &sm_objs[i];
	return NULL;
}

/* The entry of the FIFO that the question is about, NULL: matched. */
static struct sm_fifo_msg *entry(struct sm_obj *c, int src,
				 const struct ctl *msg)
{
	struct sm_fifo_msg *m;
	uint32_t k = 0;

	for (m = c->comm->fifo; m; m = m->next)
		k += m->source == src && m->tag == msg->tag;
	if (msg->after >= k)
		return NULL;
	for (m = c->comm->fifo; m; m = m->next)
		if (m->source == src && m->tag == msg->tag &&
		    k-- == msg->after + 1)
			return m;
	return NULL;
}

/* Answers a question: false if the messages it counts are not all here. */
static bool answer(int from, const struct ctl *msg)
{
	struct sm_obj *c = comm_by_id(msg->comm);
	struct sm_fifo_msg *m;
	int src = 0;

	if (!c) {
		reply(from, msg, ACK);
		return true;
	}
	while (src < c->comm->peers && c->comm->world[src] != from)
		src++;
	if (src == c->comm->peers || c->comm->rcvd[src] < msg->n)
		return src == c->comm->peers;
	if (c->comm->rcvd[src] > msg->n) {
		reply(from, msg, AGAIN);
		return true;
	}
	m = entry(c, src, msg);
	if (!m) {
		reply(from, msg, ACK);
		return true;
	}
	m->sync_rank = from;
	m->sync_req = msg->req;
	m->sync_serial = msg->serial;
	return true;
}

static void answered(const struct ctl *msg)
{
	struct sm_req *r;

	if (!msg->req || msg->req >= sm_reqs_top)
		return;
	r = &sm_reqs[msg->req];
	if (r->serial != msg->serial || r->state != SM_Q_SYNC)
		return;
	if (msg->op == AGAIN) {
		ask(r);
		return;
	}
	sm_sync_drop(r);
	r->state = SM_Q_DONE;
	sm_sync_waiting--;
	sm_activity++;
}

static void handle(int from, const struct ctl *msg)
{
	struct pending *p;

	if (msg->op != ASK) {
		answered(msg);
		return;
	}
	if (answer(from, msg))
		return;
	p = malloc(sizeof(*p));
	if (!p)
		return;
	p->from = from;
	p->msg = *msg;
	p->next = pendings;
	pendings = p;
}

static void retry_pending(void)
{
	struct pending **at = &pendings, *p;

	while ((p = *at)) {
		if (!answer(p->from, &p->msg)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		free(p);
	}
}

static void reap_outs(void)
{
	struct out **at = &outs, *o;
	int flag;

	while ((o = *at)) {
		flag = 0;
		sm_real.Test(&o->q, &flag, MPI_STATUS_IGNORE);
		if (!flag) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		free(o);
	}
}

/* Under the lock (or as the only thread in MPI). */
int sm_sync_poll(void)
{
	MPI_Status st;
	struct ctl msg;
	int flag = 0, ret;

	reap_outs();
	for (;;) {
		ret = sm_real.Iprobe(MPI_ANY_SOURCE, 0, sm_life.hidden, &flag,
				     &st);
		if (ret || !flag)
			break;
		ret = sm_real.Recv(&msg, (int)sizeof(msg), MPI_BYTE,
				   st.MPI_SOURCE, 0, sm_life.hidden,
				   MPI_STATUS_IGNORE);
		if (ret)
			break;
		sm_ctl_rcvd++;
		sm_activity++;
		handle(st.MPI_SOURCE, &msg);
	}
	retry_pending();
	return ret;
}

/* Questions without an answer and control messages still under way. */
uint32_t sm_sync_open(void)
{
	struct pending *p;
	struct out *o;
	uint32_t n = 0;

	for (p = pendings; p; p = p->next)
		n++;
	for (o = outs; o; o = o->next)
		n++;
	return n;
}
