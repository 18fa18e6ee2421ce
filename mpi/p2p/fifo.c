/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Messages that were pulled out of the library for a checkpoint, in one FIFO
 * a communicator.  A message is pulled only when no posted receive matches
 * it, and every receive and probe looks here before the library: so nothing
 * overtakes.  It is delivered by a send to itself, which leaves datatypes,
 * partial counts and truncation to the library.
 */
#include "config.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "p2p/p2p.h"

static bool matches(const struct sm_fifo_msg *m, int source, int tag)
{
	return (source == MPI_ANY_SOURCE || source == m->source) &&
	       (tag == MPI_ANY_TAG || tag == m->tag);
}

struct sm_fifo_msg *sm_fifo_find(struct sm_obj *c, int source, int tag)
{
	struct sm_fifo_msg *m;

	for (m = c->comm->fifo; m; m = m->next)
		if (matches(m, source, tag))
			return m;
	return NULL;
}

struct sm_fifo_msg *sm_fifo_take(struct sm_obj *c, int source, int tag)
{
	struct sm_fifo_msg **at = &c->comm->fifo, *m;

	while (*at && !matches(*at, source, tag))
		at = &(*at)->next;
	m = *at;
	if (!m)
		return NULL;
	*at = m->next;
	if (!m->next)
		c->comm->fifo_end = at;
	m->next = NULL;
	sm_activity++;
	sm_sync_matched(m);
	return m;
}

void sm_fifo_status(const struct sm_fifo_msg *m, MPI_Status *st)
{
	if (st == MPI_STATUS_IGNORE)
		return;
	sm_status_empty(st);
	sm_real.Status_set_elements_x(st, MPI_BYTE, (MPI_Count)m->size);
	sm_real.Status_set_cancelled(st, 0);
	st->MPI_SOURCE = m->source;
	st->MPI_TAG = m->tag;
}

int sm_fifo_deliver(struct sm_fifo_msg *m, void *buf, MPI_Count count,
		    MPI_Datatype type, MPI_Status *st)
{
	MPI_Datatype t = SM_REAL(MPI_Datatype, type);
	MPI_Request q;
	MPI_Status own;
	int ret, ret2;

	if (m->size > INT_MAX || count > INT_MAX)
		ret = MPI_ERR_COUNT;
	else
		ret = sm_real.Isend(m->data, (int)m->size, MPI_PACKED, 0, 0,
				    sm_life.self, &q);
	if (!ret) {
		ret = sm_real.Recv(buf, (int)count, t, 0, 0, sm_life.self,
				   &own);
		ret2 = sm_real.Wait(&q, MPI_STATUS_IGNORE);
		ret = ret ? ret : ret2;
		*st = own;
	} else {
		memset(st, 0, sizeof(*st));
	}
	st->MPI_SOURCE = m->source;
	st->MPI_TAG = m->tag;
	free(m);
	return ret;
}

static struct sm_fifo_msg *msg_new(struct sm_obj *c, const MPI_Status *st)
{
	struct sm_fifo_msg *m;
	MPI_Count n = 0;

	if (sm_real.Get_elements_x(st, MPI_BYTE, &n) || n < 0)
		return NULL;
	m = malloc(sizeof(*m) + (size_t)n);
	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->comm = c;
	m->source = st->MPI_SOURCE;
	m->tag = st->MPI_TAG;
	m->size = (uint64_t)n;
	m->sync_rank = -1;
	return m;
}

static int receive(struct sm_fifo_msg *m, MPI_Message *h)
{
	int ret;

	if (m->size <= INT_MAX)
		ret = sm_real.Mrecv(m->data, (int)m->size, MPI_PACKED, h,
				    MPI_STATUS_IGNORE);
#ifdef SM_HAVE_Mrecv_c
	else
		ret = sm_real.Mrecv_c(m->data, (MPI_Count)m->size, MPI_PACKED,
				      h, MPI_STATUS_IGNORE);
#else
	else
		ret = MPI_ERR_COUNT;
#endif
	if (ret)
		return ret;
	m->comm->comm->rcvd[m->source]++;
	sm_rcvd++;
	sm_activity++;
	return MPI_SUCCESS;
}

static int pull_from(struct sm_obj *c, int *n)
{
	MPI_Message h;
	MPI_Status st;
	struct sm_fifo_msg *m;
	int flag = 0, ret;

	for (;;) {
		ret = sm_real.Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG,
				      sm_comm_real(c), &flag, &h, &st);
		if (ret || !flag)
			return ret;
		m = msg_new(c, &st);
		if (!m)
			return MPI_ERR_NO_MEM;
		ret = receive(m, &h);
		if (ret) {
			free(m);
			return ret;
		}
		*c->comm->fifo_end = m;
		c->comm->fifo_end = &m->next;
		++*n;
	}
}

int sm_fifo_pull(void)
{
	uint32_t i;
	int n = 0;

	for (i = 1; i < sm_objs_top; i++) {
		struct sm_obj *c = &sm_objs[i];

		if (c->kind == SM_COMM && c->comm && !c->user_freed &&
		    !c->site.refuse && pull_from(c, &n))
			return -1;
	}
	return n;
}

/* Messages of matched probes: received now, kept under their handles. */
int sm_fifo_keep_messages(void)
{
	uint32_t i;
	int ret;

	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Message h;
		struct sm_fifo_msg *m = o->msg;

		if (o->kind != SM_MSG || !o->real)
			continue;
		h = SM_STORED(MPI_Message, o->real);
		ret = receive(m, &h);
		if (ret)
			return ret;
		o->real = 0;
	}
	return MPI_SUCCESS;
}

/* ---- probes ---- */

static int probe(int source, int tag, MPI_Comm comm, int *flag, bool block,
		 MPI_Message *message, MPI_Status *status, const char *func)
{
	struct sm_obj *c = sm_comm(comm), *o;
	struct sm_why why = { func, c, source, false };
	struct sm_fifo_msg *m;
	MPI_Message h = MPI_MESSAGE_NULL;
	MPI_Status st;
	unsigned n = 0;
	int ret;

	for (;;) {
		m = NULL;
		if (sm_unlikely(c->comm->fifo))
			m = message ? sm_fifo_take(c, source, tag) :
				      sm_fifo_find(c, source, tag);
		if (m) {
			*flag = 1;
			sm_fifo_status(m, status);
			ret = MPI_SUCCESS;
			break;
		}
		ret = message ? sm_real.Improbe(source, tag, sm_comm_real(c),
						flag, &h, &st) :
				sm_real.Iprobe(source, tag, sm_comm_real(c),
					       flag, &st);
		if (ret || *flag) {
			if (!ret)
				sm_status_copy(status, &st);
			break;
		}
		if (!block)
			return ret;
		sm_poll(&why);
		sm_spin(&n);
	}
	if (ret || !message)
		return ret;
	if (!m && source == MPI_PROC_NULL) {
		*message = h;
		return ret;
	}
	o = sm_obj_new(SM_MSG, m ? 0 : SM_STORE(h), sm_site(func, 0, NULL));
	if (o && !m)
		m = msg_new(c, &st);
	if (!o || !m)
		return MPI_ERR_NO_MEM;
	o->msg = m;
	*message = SM_HANDLE(MPI_Message, SM_MSG, sm_obj_index(o));
	return ret;
}

SM_API(int, Probe, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
	int flag = 0, ret;

	if (sm_in())
		return sm_real.Probe(source, tag, comm, status);
	ret = probe(source, tag, comm, &flag, true, NULL, status, "MPI_Probe");
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

SM_API(int, Iprobe, int source, int tag, MPI_Comm comm, int *flag,
       MPI_Status *status)
{
	int ret;

	if (sm_in())
		return sm_real.Iprobe(source, tag, comm, flag, status);
	ret = probe(source, tag, comm, flag, false, NULL, status,
		    "MPI_Iprobe");
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

SM_API(int, Mprobe, int source, int tag, MPI_Comm comm, MPI_Message *message,
       MPI_Status *status)
{
	int flag = 0, ret;

	if (sm_in())
		return sm_real.Mprobe(source, tag, comm, message, status);
	ret = probe(source, tag, comm, &flag, true, message, status,
		    "MPI_Mprobe");
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

SM_API(int, Improbe, int source, int tag, MPI_Comm comm, int *flag,
       MPI_Message *message, MPI_Status *status)
{
	int ret;

	if (sm_in())
		return sm_real.Improbe(source, tag, comm, flag, message,
				       status);
	ret = probe(source, tag, comm, flag, false, message, status,
		    "MPI_Improbe");
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

/* A request for the message; consumes the handle. */
static int mrecv(void *buf, MPI_Count n, MPI_Datatype t, MPI_Message *message,
		 struct sm_req **out)
{
	struct sm_obj *o = &sm_objs[SM_INDEX(*message)];
	struct sm_req *r = sm_req_new(SM_R_RECV);
	struct sm_fifo_msg *m;
	MPI_Message h;
	int ret = MPI_SUCCESS;

	if (!r)
		return MPI_ERR_NO_MEM;
	if (!SM_VIRT(*message)) { /* MPI_MESSAGE_NO_PROC */
		sm_req_fill(r, buf, n, t, MPI_PROC_NULL, MPI_ANY_TAG,
			    &sm_objs[SM_WORLD_OBJ]);
		ret = sm_req_start(r);
		*message = MPI_MESSAGE_NULL;
		*out = r;
		return ret;
	}
	m = o->msg;
	sm_req_fill(r, buf, n, t, m->source, m->tag, m->comm);
	r->state = SM_Q_ACTIVE;
	r->matched = true;
	if (!o->real) {
		r->err = sm_fifo_deliver(m, buf, n, t, &r->st);
		r->state = SM_Q_DONE;
		o->msg = NULL;
	} else {
		h = SM_STORED(MPI_Message, o->real);
		ret = n > INT_MAX ? MPI_ERR_COUNT :
				    sm_real.Imrecv(buf, (int)n,
						   SM_REAL(MPI_Datatype, t),
						   &h, &r->real);
	}
	if (ret) {
		sm_req_free(r);
		return ret;
	}
	sm_obj_put(o);
	*message = MPI_MESSAGE_NULL;
	*out = r;
	return ret;
}

#define MRECV(name, C)                                                         \
	SM_API(int, name, void *buf, C n, MPI_Datatype t,                      \
	       MPI_Message *message, MPI_Status *status)                       \
	{                                                                      \
		struct sm_req *r;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, message, status);       \
		ret = mrecv(buf, n, t, message, &r);                           \
		if (!ret)                                                      \
			ret = sm_req_wait(r, status, "MPI_" #name);            \
		sm_out();                                                      \
		return ret ? sm_raise(ret) : ret;                              \
	}
#define IMRECV(name, C)                                                        \
	SM_API(int, name, void *buf, C n, MPI_Datatype t,                      \
	       MPI_Message *message, MPI_Request *request)                     \
	{                                                                      \
		struct sm_req *r;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, message, request);      \
		ret = mrecv(buf, n, t, message, &r);                           \
		if (!ret)                                                      \
			*request = sm_req_handle(r);                           \
		sm_out();                                                      \
		return ret ? sm_raise(ret) : ret;                              \
	}

MRECV(Mrecv, int)
IMRECV(Imrecv, int)
#ifdef SM_HAVE_Mrecv_c
MRECV(Mrecv_c, MPI_Count)
IMRECV(Imrecv_c, MPI_Count)
#endif
