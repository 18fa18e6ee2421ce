/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sends, receives, sendrecv and their persistent forms.  A ready send is a
 * plain one (the receive it relies on may be withdrawn for a checkpoint); a
 * buffered one is packed into memory of ours.
 */
#include "config.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "p2p/p2p.h"

static int blocking(enum sm_req_op op, const void *buf, MPI_Count n,
		    MPI_Datatype t, int peer, int tag, MPI_Comm comm,
		    MPI_Status *st, const char *func)
{
	struct sm_req *r = sm_req_new(op);
	int ret;

	if (!r)
		return MPI_ERR_NO_MEM;
	sm_req_fill(r, buf, n, t, peer, tag, sm_comm(comm));
	ret = sm_req_start(r);
	if (ret)
		sm_req_free(r);
	else
		ret = sm_req_wait(r, st, func);
	return ret;
}

static int starting(enum sm_req_op op, bool persistent, const void *buf,
		    MPI_Count n, MPI_Datatype t, int peer, int tag,
		    MPI_Comm comm, MPI_Request *out)
{
	struct sm_req *r = sm_req_new(op);
	int ret = MPI_SUCCESS;

	if (!r)
		return MPI_ERR_NO_MEM;
	r->persistent = persistent;
	sm_req_fill(r, buf, n, t, peer, tag, sm_comm(comm));
	if (!persistent)
		ret = sm_req_start(r);
	if (ret)
		sm_req_free(r);
	else
		*out = sm_req_handle(r);
	return ret;
}

#define SEND(name, op, C)                                                      \
	SM_API(int, name, const void *buf, C n, MPI_Datatype t, int dest,      \
	       int tag, MPI_Comm comm)                                         \
	{                                                                      \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, dest, tag, comm);       \
		ret = blocking(op, buf, n, t, dest, tag, comm,                 \
			       MPI_STATUS_IGNORE, "MPI_" #name);               \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}
#define ISEND(name, op, C, persistent)                                         \
	SM_API(int, name, const void *buf, C n, MPI_Datatype t, int dest,      \
	       int tag, MPI_Comm comm, MPI_Request *request)                   \
	{                                                                      \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, dest, tag, comm,        \
					    request);                          \
		ret = starting(op, persistent, buf, n, t, dest, tag, comm,     \
			       request);                                       \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}
#define RECV(name, C)                                                          \
	SM_API(int, name, void *buf, C n, MPI_Datatype t, int source, int tag, \
	       MPI_Comm comm, MPI_Status *status)                              \
	{                                                                      \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, source, tag, comm,      \
					    status);                           \
		ret = blocking(SM_R_RECV, buf, n, t, source, tag, comm,        \
			       status, "MPI_" #name);                          \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}
#define IRECV(name, C, persistent)                                             \
	SM_API(int, name, void *buf, C n, MPI_Datatype t, int source, int tag, \
	       MPI_Comm comm, MPI_Request *request)                            \
	{                                                                      \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, source, tag, comm,      \
					    request);                          \
		ret = starting(SM_R_RECV, persistent, buf, n, t, source, tag,  \
			       comm, request);                                 \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}

#define ALL(S, C)                                                              \
	SEND(Send##S, SM_R_SEND, C)                                            \
	SEND(Ssend##S, SM_R_SSEND, C)                                          \
	SEND(Rsend##S, SM_R_SEND, C)                                           \
	SEND(Bsend##S, SM_R_BSEND, C)                                          \
	ISEND(Isend##S, SM_R_SEND, C, false)                                   \
	ISEND(Issend##S, SM_R_SSEND, C, false)                                 \
	ISEND(Irsend##S, SM_R_SEND, C, false)                                  \
	ISEND(Ibsend##S, SM_R_BSEND, C, false)                                 \
	RECV(Recv##S, C)                                                       \
	IRECV(Irecv##S, C, false)

ALL(, int)
ISEND(Send_init, SM_R_SEND, int, true)
ISEND(Ssend_init, SM_R_SSEND, int, true)
ISEND(Rsend_init, SM_R_SEND, int, true)
ISEND(Bsend_init, SM_R_BSEND, int, true)
IRECV(Recv_init, int, true)
#ifdef SM_HAVE_Send_c
ALL(_c, MPI_Count)
ISEND(Send_init_c, SM_R_SEND, MPI_Count, true)
ISEND(Ssend_init_c, SM_R_SSEND, MPI_Count, true)
ISEND(Rsend_init_c, SM_R_SEND, MPI_Count, true)
ISEND(Bsend_init_c, SM_R_BSEND, MPI_Count, true)
IRECV(Recv_init_c, MPI_Count, true)
#endif

/* Both halves of a sendrecv as one request; copy is freed at the end. */
static int pair(const void *sbuf, MPI_Count sn, MPI_Datatype st, int dest,
		int stag, void *rbuf, MPI_Count rn, MPI_Datatype rt, int src,
		int rtag, MPI_Comm comm, void *copy, struct sm_req **out)
{
	struct sm_req *p = sm_req_new(SM_R_PAIR);
	MPI_Request a, b;
	int ret;

	if (!p)
		return MPI_ERR_NO_MEM;
	ret = starting(SM_R_RECV, false, rbuf, rn, rt, src, rtag, comm, &b);
	if (ret)
		goto err;
	ret = starting(SM_R_SEND, false, sbuf, sn, st, dest, stag, comm, &a);
	if (ret)
		goto err;
	p->pair[0] = SM_INDEX(a);
	p->pair[1] = SM_INDEX(b);
	p->peer = src;
	p->comm = sm_comm(comm);
	sm_obj_get(p->comm);
	p->tmp[0] = copy;
	p->state = SM_Q_ACTIVE;
	*out = p;
	return MPI_SUCCESS;
err:
	sm_req_free(p);
	return ret;
}

static int copy_out(const void *buf, MPI_Count n, MPI_Datatype t,
		    MPI_Comm comm, void **copy, int *size)
{
	MPI_Datatype rt = SM_REAL(MPI_Datatype, t);
	MPI_Comm rc = SM_REAL(MPI_Comm, comm);
	int pos = 0, ret;

	if (n > INT_MAX)
		return MPI_ERR_COUNT;
	ret = sm_real.Pack_size((int)n, rt, rc, size);
	if (ret)
		return ret;
	*copy = malloc((size_t)*size + 1);
	if (!*copy)
		return MPI_ERR_NO_MEM;
	ret = sm_real.Pack(buf, (int)n, rt, *copy, *size, &pos, rc);
	*size = pos;
	return ret;
}

#define SENDRECV(name, C)                                                      \
	SM_API(int, name, const void *sbuf, C sn, MPI_Datatype st, int dest,   \
	       int stag, void *rbuf, C rn, MPI_Datatype rt, int source,        \
	       int rtag, MPI_Comm comm, MPI_Status *status)                    \
	{                                                                      \
		struct sm_req *p;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(sbuf, sn, st, dest, stag, rbuf,    \
					    rn, rt, source, rtag, comm,        \
					    status);                           \
		ret = pair(sbuf, sn, st, dest, stag, rbuf, rn, rt, source,     \
			   rtag, comm, NULL, &p);                              \
		if (!ret)                                                      \
			ret = sm_req_wait(p, status, "MPI_" #name);            \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}
#define ISENDRECV(name, C)                                                     \
	SM_API(int, name, const void *sbuf, C sn, MPI_Datatype st, int dest,   \
	       int stag, void *rbuf, C rn, MPI_Datatype rt, int source,        \
	       int rtag, MPI_Comm comm, MPI_Request *request)                  \
	{                                                                      \
		struct sm_req *p;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(sbuf, sn, st, dest, stag, rbuf,    \
					    rn, rt, source, rtag, comm,        \
					    request);                          \
		ret = pair(sbuf, sn, st, dest, stag, rbuf, rn, rt, source,     \
			   rtag, comm, NULL, &p);                              \
		if (!ret)                                                      \
			*request = sm_req_handle(p);                           \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}

static int replace(void *buf, MPI_Count n, MPI_Datatype t, int dest, int stag,
		   int src, int rtag, MPI_Comm comm, struct sm_req **out)
{
	void *copy = NULL;
	int size = 0, ret;

	ret = copy_out(buf, n, t, comm, &copy, &size);
	if (!ret)
		ret = pair(copy, size, MPI_PACKED, dest, stag, buf, n, t, src,
			   rtag, comm, copy, out);
	if (ret)
		free(copy);
	return ret;
}

#define REPLACE(name, C)                                                       \
	SM_API(int, name, void *buf, C n, MPI_Datatype t, int dest, int stag,  \
	       int source, int rtag, MPI_Comm comm, MPI_Status *status)        \
	{                                                                      \
		struct sm_req *p;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, dest, stag, source,     \
					    rtag, comm, status);               \
		ret = replace(buf, n, t, dest, stag, source, rtag, comm, &p);  \
		if (!ret)                                                      \
			ret = sm_req_wait(p, status, "MPI_" #name);            \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}
#define IREPLACE(name, C)                                                      \
	SM_API(int, name, void *buf, C n, MPI_Datatype t, int dest, int stag,  \
	       int source, int rtag, MPI_Comm comm, MPI_Request *request)      \
	{                                                                      \
		struct sm_req *p;                                              \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buf, n, t, dest, stag, source,     \
					    rtag, comm, request);              \
		ret = replace(buf, n, t, dest, stag, source, rtag, comm, &p);  \
		if (!ret)                                                      \
			*request = sm_req_handle(p);                           \
		sm_out();                                                      \
		return ret ? sm_raise_Comm(comm, ret) : ret;                   \
	}

SENDRECV(Sendrecv, int)
REPLACE(Sendrecv_replace, int)
#ifdef SM_HAVE_Send_c
SENDRECV(Sendrecv_c, MPI_Count)
REPLACE(Sendrecv_replace_c, MPI_Count)
ISENDRECV(Isendrecv, int)
ISENDRECV(Isendrecv_c, MPI_Count)
IREPLACE(Isendrecv_replace, int)
IREPLACE(Isendrecv_replace_c, MPI_Count)
#endif

SM_API(int, Start, MPI_Request *request)
{
	struct sm_req *r;
	int ret;

	if (sm_in())
		return sm_real.Start(request);
	r = sm_req_of(*request);
	if (r && r->op == SM_R_GEN)
		ret = sm_real.Start(&r->real);
	else if (r && r->persistent && r->state == SM_Q_INACTIVE)
		ret = sm_req_start(r);
	else
		ret = MPI_ERR_REQUEST;
	if (!ret)
		r->state = r->state == SM_Q_DONE ? SM_Q_DONE : SM_Q_ACTIVE;
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Startall, int n, MPI_Request requests[])
{
	int i, ret = MPI_SUCCESS;

	if (sm_tls.depth)
		return sm_real.Startall(n, requests);
	for (i = 0; i < n && !ret; i++)
		ret = PMPI_Start(&requests[i]);
	return ret;
}

/* ---- buffered sends ---- */

static struct {
	void *buf;
	MPI_Count size;
	uint64_t used;
} attached;

int sm_bsend_start(struct sm_req *r)
{
	struct sm_req *s;
	void *copy = NULL;
	int size = 0, ret;

	memset(&r->st, 0, sizeof(r->st));
	if (r->peer == MPI_PROC_NULL) {
		r->state = SM_Q_DONE;
		return MPI_SUCCESS;
	}
	ret = copy_out(r->buf, r->count, r->type,
		       SM_STORED(MPI_Comm, r->comm->real), &copy, &size);
	sm_req_reap();
	if (!ret && (MPI_Count)attached.used + size > attached.size)
		ret = MPI_ERR_BUFFER;
	s = ret ? NULL : sm_req_new(SM_R_SEND);
	if (!s) {
		free(copy);
		return ret ? ret : MPI_ERR_NO_MEM;
	}
	sm_req_fill(s, copy, size, MPI_PACKED, r->peer, r->tag, r->comm);
	s->tmp[0] = copy;
	s->detached = true;
	ret = sm_req_start(s);
	if (ret)
		sm_req_free(s);
	else
		r->state = SM_Q_DONE;
	return ret;
}

/* All buffered (and other detached) sends are out. */
void sm_bsend_finish(void)
{
	struct sm_why why = { "MPI_Buffer_detach", NULL, SM_NOBODY, false };
	unsigned n = 0;
	uint32_t i;
	bool open;

	do {
		open = false;
		sm_req_reap();
		for (i = 1; i < sm_reqs_top; i++)
			open |= sm_reqs[i].op == SM_R_SEND &&
				sm_reqs[i].detached;
		if (open) {
			sm_poll(&why);
			sm_spin(&n);
		}
	} while (open);
}

#define ATTACH(name, C)                                                        \
	SM_API(int, name, void *buffer, C size)                                \
	{                                                                      \
		int ret = MPI_SUCCESS;                                         \
									       \
		if (sm_in())                                                   \
			return sm_real.name(buffer, size);                     \
		if (attached.buf)                                              \
			ret = MPI_ERR_BUFFER;                                  \
		else                                                           \
			attached.buf = buffer, attached.size = size;           \
		sm_out();                                                      \
		return ret ? sm_raise(ret) : ret;                              \
	}
#define DETACH(name, C)                                                        \
	SM_API(int, name, void *buffer_addr, C *size)                          \
	{                                                                      \
		if (sm_in())                                                   \
			return sm_real.name(buffer_addr, size);                \
		sm_bsend_finish();                                             \
		*(void **)buffer_addr = attached.buf;                          \
		*size = (C)attached.size;                                      \
		attached.buf = NULL;                                           \
		attached.size = 0;                                             \
		sm_out();                                                      \
		return MPI_SUCCESS;                                            \
	}

ATTACH(Buffer_attach, int)
DETACH(Buffer_detach, int)
#ifdef SM_HAVE_Buffer_attach_c
ATTACH(Buffer_attach_c, MPI_Count)
DETACH(Buffer_detach_c, MPI_Count)
#endif
