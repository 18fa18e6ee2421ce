/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests: a table whose entries keep the arguments, so that a receive can
 * be withdrawn for a checkpoint and posted again.  Every blocking call is one
 * of these requests and a loop of polls, between which a cycle may come in.
 */
#include "config.h"
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "p2p/p2p.h"

struct sm_req *sm_reqs;
uint32_t sm_reqs_top = 1;
static uint32_t free_head;
volatile uint64_t sm_sent, sm_rcvd, sm_activity;
static uint64_t order;

struct sm_req *sm_req_new(enum sm_req_op op)
{
	struct sm_req *r;

	if (sm_likely(free_head)) {
		r = &sm_reqs[free_head];
		free_head = r->next_free;
	} else if (sm_reqs_top < SM_REQ_MAX) {
		r = &sm_reqs[sm_reqs_top++];
	} else {
		return NULL;
	}
	r->op = (uint8_t)op;
	r->state = SM_Q_INACTIVE;
	r->persistent = r->detached = r->cancelled = false;
	r->matched = r->suspect = false;
	r->err = MPI_SUCCESS;
	r->comm = NULL;
	r->tmp[0] = r->tmp[1] = NULL;
	r->real = MPI_REQUEST_NULL;
	return r;
}

void sm_req_free(struct sm_req *r)
{
	struct sm_obj *t;

	if (r->comm)
		sm_obj_put(r->comm);
	if (r->op == SM_R_RECV || r->persistent) {
		t = sm_type_obj(r->type);
		if (t)
			sm_obj_put(t);
	}
	if (sm_unlikely(r->tmp[0] || r->tmp[1])) {
		free(r->tmp[0]);
		free(r->tmp[1]);
	}
	r->op = SM_R_FREE;
	r->serial++;
	r->next_free = free_head;
	free_head = (uint32_t)(r - sm_reqs);
}

void sm_req_fill(struct sm_req *r, const void *buf, MPI_Count count,
		 MPI_Datatype type, int peer, int tag, struct sm_obj *comm)
{
	struct sm_obj *t;

	r->buf = (void *)(uintptr_t)buf;
	r->count = count;
	r->type = type;
	r->peer = peer;
	r->tag = tag;
	r->comm = comm;
	sm_obj_get(comm);
	if (r->op == SM_R_RECV || r->persistent) {
		t = sm_type_obj(type);
		if (t)
			sm_obj_get(t);
	}
}

static int start_send(struct sm_req *r)
{
	MPI_Comm c = sm_comm_real(r->comm);
	MPI_Datatype t = SM_REAL(MPI_Datatype, r->type);
	bool sync = r->op == SM_R_SSEND;
	int ret;

	if (sm_likely(r->count <= INT_MAX))
		ret = (sync ? sm_real.Issend : sm_real.Isend)(
			r->buf, (int)r->count, t, r->peer, r->tag, c,
			&r->real);
#ifdef SM_HAVE_Isend_c
	else
		ret = (sync ? sm_real.Issend_c : sm_real.Isend_c)(
			r->buf, r->count, t, r->peer, r->tag, c, &r->real);
#else
	else
		ret = MPI_ERR_COUNT;
#endif
	if (ret || r->peer < 0)
		return ret;
	r->comm->comm->sent[r->peer]++;
	sm_sent++;
	if (sm_unlikely(r->comm->comm->sync))
		sm_sync_sent(r->comm, r->peer, r->tag);
	return sync ? sm_sync_add(r) : ret;
}

static int start_recv(struct sm_req *r)
{
	MPI_Comm c = sm_comm_real(r->comm);
	MPI_Datatype t = SM_REAL(MPI_Datatype, r->type);
	struct sm_fifo_msg *m;

	if (sm_unlikely(r->comm->comm->fifo)) {
		m = sm_fifo_take(r->comm, r->peer, r->tag);
		if (m) {
			r->err = sm_fifo_deliver(m, r->buf, r->count, r->type,
						 &r->st);
			r->state = SM_Q_DONE;
			return MPI_SUCCESS;
		}
	}
	r->order = ++order;
	if (sm_likely(r->count <= INT_MAX))
		return sm_real.Irecv(r->buf, (int)r->count, t, r->peer, r->tag,
				     c, &r->real);
#ifdef SM_HAVE_Irecv_c
	return sm_real.Irecv_c(r->buf, r->count, t, r->peer, r->tag, c,
			       &r->real);
#else
	return MPI_ERR_COUNT;
#endif
}

int sm_req_start(struct sm_req *r)
{
	int ret;

	r->state = SM_Q_ACTIVE;
	r->err = MPI_SUCCESS;
	r->cancelled = r->suspect = false;
	if (r->op == SM_R_RECV)
		ret = start_recv(r);
	else if (r->op == SM_R_BSEND)
		ret = sm_bsend_start(r);
	else
		ret = start_send(r);
	if (ret)
		r->state = SM_Q_INACTIVE;
	return ret;
}

/* Receives count once complete, unless they were cancelled. */
static void done_recv(struct sm_req *r)
{
	int src = r->st.MPI_SOURCE, cancelled = 0;

	if (sm_unlikely(r->cancelled) && !r->err)
		sm_real.Test_cancelled(&r->st, &cancelled);
	if (cancelled || src < 0 || src >= r->comm->comm->peers)
		return;
	r->comm->comm->rcvd[src]++;
	sm_rcvd++;
}

static void done_idup(struct sm_req *r)
{
	if (!r->err)
		r->err = sm_comm_setup(r->out, r->order);
}

static bool done(struct sm_req *r)
{
	sm_activity++;
	if (r->op == SM_R_RECV) {
		done_recv(r);
	} else if (r->op == SM_R_SSEND && r->peer >= 0) {
		if (sm_unlikely(sm_stop & SM_STOP_CYCLE || r->suspect)) {
			sm_sync_gone(r);
			return false;
		}
		sm_sync_drop(r);
	} else if (r->op == SM_R_IDUP) {
		done_idup(r);
	}
	r->state = SM_Q_DONE;
	return true;
}

static bool poll_pair(struct sm_req *r)
{
	struct sm_req *a = &sm_reqs[r->pair[0]], *b = &sm_reqs[r->pair[1]];
	bool x = sm_req_poll(a), y = sm_req_poll(b);

	if (!x || !y)
		return false;
	r->err = a->err ? a->err : b->err;
	r->st = b->st;
	if (r->tmp[0]) {
		free(r->tmp[0]);
		r->tmp[0] = NULL;
	}
	sm_req_free(a);
	sm_req_free(b);
	r->state = SM_Q_DONE;
	return true;
}

bool sm_req_poll(struct sm_req *r)
{
	int flag = 0;

	if (r->state == SM_Q_DONE || r->state == SM_Q_INACTIVE)
		return true;
	if (sm_unlikely(r->state != SM_Q_ACTIVE))
		return false;
	if (sm_unlikely(r->op == SM_R_PAIR))
		return poll_pair(r);
	r->err = sm_real.Test(&r->real, &flag, &r->st);
	if (sm_likely(!flag && !r->err))
		return false;
	return done(r);
}

void sm_status_copy(MPI_Status *to, const MPI_Status *from)
{
	int e;

	if (to == MPI_STATUS_IGNORE)
		return;
	e = to->MPI_ERROR;
	*to = *from;
	to->MPI_ERROR = e;
}

void sm_status_empty(MPI_Status *st)
{
	int e;

	if (st == MPI_STATUS_IGNORE)
		return;
	e = st->MPI_ERROR;
	memset(st, 0, sizeof(*st));
	st->MPI_SOURCE = MPI_ANY_SOURCE;
	st->MPI_TAG = MPI_ANY_TAG;
	st->MPI_ERROR = e;
}

int sm_req_finish(struct sm_req *r, MPI_Status *st)
{
	int err = r->err;

	if (r->state == SM_Q_INACTIVE)
		sm_status_empty(st);
	else
		sm_status_copy(st, &r->st);
	if (r->persistent)
		r->state = SM_Q_INACTIVE;
	else
		sm_req_free(r);
	return err;
}

void sm_spin(unsigned *n)
{
	if (++*n > 512 && *n % 32 == 0)
		sched_yield();
}

int sm_req_wait(struct sm_req *r, MPI_Status *st, const char *func)
{
	struct sm_why why = { func, r->comm, SM_NOBODY, false };
	unsigned n = 0;

	if (r->op != SM_R_COLL && r->op != SM_R_GEN)
		why.peer = r->peer;
	while (!sm_req_poll(r)) {
		sm_poll(&why);
		sm_spin(&n);
	}
	return sm_req_finish(r, st);
}

/* Entries that the program has let go of. */
void sm_req_reap(void)
{
	uint32_t i;

	for (i = 1; i < sm_reqs_top; i++) {
		struct sm_req *r = &sm_reqs[i];

		if (r->op != SM_R_FREE && r->detached && sm_req_poll(r))
			sm_req_free(r);
	}
}

MPI_Request sm_req_coll(MPI_Request real, struct sm_obj *c, void *t0, void *t1)
{
	struct sm_req *r = sm_req_new(SM_R_COLL);

	if (!r)
		return real;
	r->real = real;
	r->state = SM_Q_ACTIVE;
	r->comm = c;
	sm_obj_get(c);
	r->tmp[0] = t0;
	r->tmp[1] = t1;
	return sm_req_handle(r);
}

MPI_Request sm_req_adopt(MPI_Request real, struct sm_site s)
{
	struct sm_req *r = sm_req_new(SM_R_GEN);

	if (!r)
		return real;
	r->real = real;
	r->state = SM_Q_ACTIVE;
	r->site = s;
	r->since = time(NULL);
	return sm_req_handle(r);
}
