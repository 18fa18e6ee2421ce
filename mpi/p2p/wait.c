/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wait and test family, cancel and free, over sm_req_poll().  What a poll
 * has completed stays complete in the table until the program sees it, so
 * that "all or nothing" of Testall needs no help of the library.
 */
#include "config.h"
#include <string.h>
#include "p2p/p2p.h"

static bool is_null(MPI_Request h)
{
	return !SM_VIRT(h);
}

/* Null and inactive requests count as complete and as not there. */
static bool idle(MPI_Request h)
{
	struct sm_req *r = sm_req_of(h);

	return !r || (r->persistent && r->state == SM_Q_INACTIVE);
}

static int see(MPI_Request *h, MPI_Status *st)
{
	struct sm_req *r = sm_req_of(*h);
	bool keep;

	if (!r) {
		sm_status_empty(st);
		return MPI_SUCCESS;
	}
	keep = r->persistent;
	if (!keep)
		*h = MPI_REQUEST_NULL;
	return sm_req_finish(r, st);
}

static void why_of(struct sm_why *why, MPI_Request h)
{
	struct sm_req *r = sm_req_of(h);

	why->comm = r ? r->comm : NULL;
	why->peer = r && r->comm && r->op != SM_R_COLL && r->op != SM_R_IDUP ?
			    r->peer :
			    SM_NOBODY;
}

SM_API(int, Wait, MPI_Request *request, MPI_Status *status)
{
	struct sm_why why = { "MPI_Wait", NULL, SM_NOBODY, false };
	struct sm_req *r;
	unsigned n = 0;
	int ret;

	if (sm_in())
		return sm_real.Wait(request, status);
	r = sm_req_of(*request);
	if (r) {
		why_of(&why, *request);
		while (!sm_req_poll(r)) {
			sm_poll(&why);
			sm_spin(&n);
		}
	}
	ret = see(request, status);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Test, MPI_Request *request, int *flag, MPI_Status *status)
{
	struct sm_req *r;
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Test(request, flag, status);
	r = sm_req_of(*request);
	*flag = !r || sm_req_poll(r);
	if (*flag)
		ret = see(request, status);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Request_get_status, MPI_Request request, int *flag,
       MPI_Status *status)
{
	struct sm_req *r;

	if (sm_in())
		return sm_real.Request_get_status(request, flag, status);
	r = sm_req_of(request);
	*flag = !r || sm_req_poll(r);
	if (*flag && (!r || r->state == SM_Q_INACTIVE))
		sm_status_empty(status);
	else if (*flag)
		sm_status_copy(status, &r->st);
	sm_out();
	return MPI_SUCCESS;
}

static MPI_Status *nth(MPI_Status *st, int i)
{
	return st == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &st[i];
}

static int see_all(int n, MPI_Request *h, MPI_Status *st)
{
	int i, err, ret = MPI_SUCCESS;

	for (i = 0; i < n; i++) {
		err = see(&h[i], nth(st, i));
		if (st != MPI_STATUSES_IGNORE)
			st[i].MPI_ERROR = err;
		if (err)
			ret = MPI_ERR_IN_STATUS;
	}
	return ret;
}

SM_API(int, Waitall, int n, MPI_Request requests[], MPI_Status statuses[])
{
	struct sm_why why = { "MPI_Waitall", NULL, SM_NOBODY, false };
	unsigned spins = 0;
	int i, ret;

	if (sm_in())
		return sm_real.Waitall(n, requests, statuses);
	for (i = 0; i < n; i++) {
		struct sm_req *r = sm_req_of(requests[i]);

		if (!r || sm_req_poll(r))
			continue;
		why_of(&why, requests[i]);
		do {
			sm_poll(&why);
			sm_spin(&spins);
		} while (!sm_req_poll(r));
	}
	ret = see_all(n, requests, statuses);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Testall, int n, MPI_Request requests[], int *flag,
       MPI_Status statuses[])
{
	int i, ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Testall(n, requests, flag, statuses);
	*flag = 1;
	for (i = 0; i < n; i++) {
		struct sm_req *r = sm_req_of(requests[i]);

		if (r && !sm_req_poll(r))
			*flag = 0;
	}
	if (*flag)
		ret = see_all(n, requests, statuses);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

/* The first complete one; -1 none yet, -2 there is nothing to wait for. */
static int any(int n, MPI_Request *h)
{
	bool live = false;
	int i;

	for (i = 0; i < n; i++) {
		if (idle(h[i]))
			continue;
		live = true;
		if (sm_req_poll(sm_req_of(h[i])))
			return i;
	}
	return live ? -1 : -2;
}

static void why_first(struct sm_why *why, int n, MPI_Request *h)
{
	int i, peers = 0;

	for (i = 0; i < n; i++) {
		if (idle(h[i]))
			continue;
		why_of(why, h[i]);
		peers++;
	}
	/* Several sources: any of them may be the one. */
	if (peers > 1 && why->comm)
		why->peer = MPI_ANY_SOURCE;
}

SM_API(int, Waitany, int n, MPI_Request requests[], int *index,
       MPI_Status *status)
{
	struct sm_why why = { "MPI_Waitany", NULL, SM_NOBODY, false };
	unsigned spins = 0;
	int i, ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Waitany(n, requests, index, status);
	while ((i = any(n, requests)) == -1) {
		if (sm_unlikely(sm_stop))
			why_first(&why, n, requests);
		sm_poll(&why);
		sm_spin(&spins);
	}
	*index = i < 0 ? MPI_UNDEFINED : i;
	if (i < 0)
		sm_status_empty(status);
	else
		ret = see(&requests[i], status);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Testany, int n, MPI_Request requests[], int *index, int *flag,
       MPI_Status *status)
{
	int i, ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Testany(n, requests, index, flag, status);
	i = any(n, requests);
	*flag = i != -1;
	*index = i < 0 ? MPI_UNDEFINED : i;
	if (i == -2)
		sm_status_empty(status);
	else if (i >= 0)
		ret = see(&requests[i], status);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

static int some(int n, MPI_Request *h, int *out, int *idx, MPI_Status *st)
{
	bool live = false;
	int i, k = 0, err, ret = MPI_SUCCESS;

	for (i = 0; i < n; i++) {
		if (idle(h[i]))
			continue;
		live = true;
		if (!sm_req_poll(sm_req_of(h[i])))
			continue;
		err = see(&h[i], nth(st, k));
		if (st != MPI_STATUSES_IGNORE)
			st[k].MPI_ERROR = err;
		if (err)
			ret = MPI_ERR_IN_STATUS;
		idx[k++] = i;
	}
	*out = live ? k : MPI_UNDEFINED;
	return ret;
}

SM_API(int, Waitsome, int n, MPI_Request requests[], int *outcount,
       int indices[], MPI_Status statuses[])
{
	struct sm_why why = { "MPI_Waitsome", NULL, SM_NOBODY, false };
	unsigned spins = 0;
	int ret;

	if (sm_in())
		return sm_real.Waitsome(n, requests, outcount, indices,
					statuses);
	for (;;) {
		ret = some(n, requests, outcount, indices, statuses);
		if (*outcount)
			break;
		if (sm_unlikely(sm_stop))
			why_first(&why, n, requests);
		sm_poll(&why);
		sm_spin(&spins);
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Testsome, int n, MPI_Request requests[], int *outcount,
       int indices[], MPI_Status statuses[])
{
	int ret;

	if (sm_in())
		return sm_real.Testsome(n, requests, outcount, indices,
					statuses);
	ret = some(n, requests, outcount, indices, statuses);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Cancel, MPI_Request *request)
{
	struct sm_req *r;
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Cancel(request);
	r = sm_req_of(*request);
	/* A send's cancel may fail by the standard; ours always does. */
	if (!r) {
		ret = MPI_ERR_REQUEST;
	} else if (r->state == SM_Q_ACTIVE && !r->cancelled &&
		   ((r->op == SM_R_RECV && !r->matched) ||
		    r->op == SM_R_GEN)) {
		r->cancelled = true;
		ret = sm_real.Cancel(&r->real);
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Request_free, MPI_Request *request)
{
	struct sm_req *r;
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Request_free(request);
	r = sm_req_of(*request);
	if (is_null(*request)) {
		ret = MPI_ERR_REQUEST;
	} else {
		r->detached = true;
		if (r->op == SM_R_GEN) {
			ret = sm_real.Request_free(&r->real);
			sm_req_free(r);
		} else if (sm_req_poll(r)) {
			sm_req_free(r);
		}
		*request = MPI_REQUEST_NULL;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}
