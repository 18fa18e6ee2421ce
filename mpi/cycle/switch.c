/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two ends of a cycle: everything saved and the library gone, and the
 * library back with everything rebuilt behind the same handles.  Runs on the
 * helper thread, which owns the library (sm_lock held, nobody else in MPI).
 */
#include "config.h"
#include <malloc.h>
#include <stdlib.h>
#include "gate/gate.h"

static bool pending(const struct sm_req *r)
{
	return r->state == SM_Q_ACTIVE && r->op != SM_R_FREE &&
	       r->op != SM_R_PAIR;
}

/* Polls all requests: true when only receives are open. */
int sm_drain_settle(void)
{
	uint32_t i;
	int open = 0;

	sm_req_reap();
	for (i = 1; i < sm_reqs_top; i++) {
		struct sm_req *r = &sm_reqs[i];

		if (!pending(r))
			continue;
		if (!sm_req_poll(r) && r->state == SM_Q_ACTIVE)
			open += r->op != SM_R_RECV || r->matched;
	}
	return open;
}

int sm_drain_cancel(void)
{
	uint32_t i;
	int gone, ret;

	for (i = 1; i < sm_reqs_top; i++) {
		struct sm_req *r = &sm_reqs[i];

		if (!pending(r) || r->op != SM_R_RECV || r->cancelled)
			continue;
		ret = sm_real.Cancel(&r->real);
		if (!ret)
			ret = sm_real.Wait(&r->real, &r->st);
		if (!ret)
			ret = sm_real.Test_cancelled(&r->st, &gone);
		if (ret)
			return ret;
		/* Not cancelled means that it has completed after all. */
		r->state = gone ? SM_Q_REPOST : SM_Q_DONE;
		if (!gone && r->st.MPI_SOURCE >= 0) {
			r->comm->comm->rcvd[r->st.MPI_SOURCE]++;
			sm_rcvd++;
		}
	}
	return MPI_SUCCESS;
}

static int by_order(const void *a, const void *b)
{
	const struct sm_req *x = *(struct sm_req *const *)a;
	const struct sm_req *y = *(struct sm_req *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

int sm_drain_repost(void)
{
	struct sm_req **list;
	uint32_t i, n = 0;
	int ret = MPI_SUCCESS;

	list = malloc(((size_t)sm_reqs_top + 1) * sizeof(*list));
	if (!list)
		return MPI_ERR_NO_MEM;
	for (i = 1; i < sm_reqs_top; i++)
		if (sm_reqs[i].op == SM_R_RECV &&
		    sm_reqs[i].state == SM_Q_REPOST)
			list[n++] = &sm_reqs[i];
	qsort(list, n, sizeof(*list), by_order);
	for (i = 0; i < n && !ret; i++)
		ret = sm_req_start(list[i]);
	free(list);
	return ret;
}

/* What the library would complain about, or keep, if it stayed. */
static int drop_objects(void)
{
	uint32_t i;
	int ret = MPI_SUCCESS;

	for (i = SM_FIRST_OBJ; i < sm_objs_top && !ret; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Datatype t = SM_STORED(MPI_Datatype, o->real);
		MPI_Op op = SM_STORED(MPI_Op, o->real);
		MPI_Group g = SM_STORED(MPI_Group, o->real);
		MPI_Info info = SM_STORED(MPI_Info, o->real);

		if (o->kind == SM_TYPE)
			ret = sm_real.Type_free(&t);
		else if (o->kind == SM_OP)
			ret = sm_real.Op_free(&op);
		else if (o->kind == SM_GROUP)
			ret = sm_real.Group_free(&g);
		else if (o->kind == SM_INFO)
			ret = sm_real.Info_free(&info);
	}
	return ret;
}

int sm_cycle_down(void)
{
	int ret;

	ret = drop_objects();
	if (!ret)
		ret = sm_internal_down();
	if (!ret)
		ret = sm_real.Finalize();
	if (!ret)
		ret = sm_impl_unload();
	return ret;
}

int sm_cycle_up(void)
{
	int got, ret;

	ret = sm_impl_load();
	if (!ret && sm_impl_own_pmi && sm_pmi_environment())
		ret = MPI_ERR_OTHER;
	if (!ret)
		ret = sm_impl_init(NULL, NULL, sm_life.level, &got);
	if (!ret)
		ret = sm_internal_up();
	if (!ret)
		ret = sm_infos_build();
	if (!ret)
		ret = sm_groups_build();
	if (!ret)
		ret = sm_types_build();
	if (!ret)
		ret = sm_ops_build();
	if (!ret)
		ret = sm_comms_build();
	return ret ? ret : sm_drain_repost();
}
