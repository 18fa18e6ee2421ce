/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Communicators: an id that all members agree on, counters, and what is
 * needed to build them again.  They are built from lists of world ranks in
 * the order of their ids, which is the same everywhere, so that the
 * collective calls of the rebuild cannot cross.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "front.h"

static uint64_t mix(uint64_t h, uint64_t v)
{
	/* splitmix64's finalizer over a running sum */
	h += v + 0x9e3779b97f4a7c15ull;
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
	return h ^ (h >> 31);
}

static int world_ranks(MPI_Comm real, int inter, int n, int **out)
{
	MPI_Group g = MPI_GROUP_NULL, w = MPI_GROUP_NULL;
	int *ranks, i, ret;

	*out = malloc((size_t)n * sizeof(int) + 1);
	ranks = malloc((size_t)n * sizeof(int) + 1);
	if (!*out || !ranks) {
		free(ranks);
		return MPI_ERR_NO_MEM;
	}
	for (i = 0; i < n; i++)
		ranks[i] = i;
	ret = inter ? sm_real.Comm_remote_group(real, &g) :
		      sm_real.Comm_group(real, &g);
	if (!ret)
		ret = sm_real.Comm_group(MPI_COMM_WORLD, &w);
	if (!ret)
		ret = sm_real.Group_translate_ranks(g, n, ranks, w, *out);
	if (g != MPI_GROUP_NULL)
		sm_real.Group_free(&g);
	if (w != MPI_GROUP_NULL)
		sm_real.Group_free(&w);
	free(ranks);
	return ret;
}

int sm_comm_setup(struct sm_obj *o, uint64_t id)
{
	MPI_Comm real = sm_comm_real(o);
	struct sm_comm_state *c;
	int inter = 0, ret;

	c = calloc(1, sizeof(*c));
	if (!c)
		return MPI_ERR_NO_MEM;
	o->comm = c;
	c->fifo_end = &c->fifo;
	c->id = id;
	ret = sm_real.Comm_set_errhandler(real, MPI_ERRORS_RETURN);
	if (!ret)
		ret = sm_real.Comm_size(real, &c->size);
	if (!ret)
		ret = sm_real.Comm_rank(real, &c->rank);
	if (!ret)
		ret = sm_real.Comm_test_inter(real, &inter);
	c->peers = c->size;
	if (!ret && inter)
		ret = sm_real.Comm_remote_size(real, &c->peers);
	if (ret)
		return ret;
	c->sent = calloc((size_t)c->peers * 2, sizeof(*c->sent));
	if (!c->sent)
		return MPI_ERR_NO_MEM;
	c->rcvd = c->sent + c->peers;
	return world_ranks(real, inter, c->peers, &c->world);
}

int sm_comm_predefined(void)
{
	struct sm_obj *o;
	int ret;

	o = &sm_objs[SM_NULL_OBJ];
	o->real = SM_STORE(MPI_COMM_NULL);
	o->refs = 1;
	o->comm = calloc(1, sizeof(*o->comm));
	if (!o->comm)
		return MPI_ERR_NO_MEM;
	o->comm->fifo_end = &o->comm->fifo;
	o = &sm_objs[SM_WORLD_OBJ];
	o->real = SM_STORE(MPI_COMM_WORLD);
	o->kind = SM_COMM;
	o->refs = 1;
	ret = sm_comm_setup(o, 1);
	if (ret)
		return ret;
	o = &sm_objs[SM_SELF_OBJ];
	o->real = SM_STORE(MPI_COMM_SELF);
	o->kind = SM_COMM;
	o->refs = 1;
	return sm_comm_setup(o, 2);
}

void sm_comm_release(struct sm_obj *o)
{
	struct sm_comm_state *c = o->comm;

	pthread_mutex_lock(&sm_comms_lock);
	o->comm = NULL;
	if (c)
		sm_comm_bury(c);
	pthread_mutex_unlock(&sm_comms_lock);
	if (!c)
		return;
	while (c->fifo) {
		struct sm_fifo_msg *m = c->fifo;

		c->fifo = m->next;
		free(m);
	}
	free(c->sent);
	free(c->world);
	free(c->dims);
	free(c->sync);
	free(c);
}

int sm_comm_world_rank(struct sm_obj *o, int peer)
{
	if (!o->comm || peer < 0 || peer >= o->comm->peers)
		return -1;
	return o->comm->world[peer];
}

int sm_comm_peers(MPI_Comm comm)
{
	return sm_comm(comm)->comm->peers;
}

static int degree(MPI_Comm comm, bool in)
{
	MPI_Comm real = SM_REAL(MPI_Comm, comm);
	int n = 0, din = 0, dout = 0, w, rank;

	sm_real.Topo_test(real, &n);
	if (n == MPI_CART) {
		sm_real.Cartdim_get(real, &n);
		return 2 * n;
	}
	if (n == MPI_GRAPH) {
		sm_real.Comm_rank(real, &rank);
		sm_real.Graph_neighbors_count(real, rank, &n);
		return n;
	}
	if (n != MPI_DIST_GRAPH)
		return 0;
	sm_real.Dist_graph_neighbors_count(real, &din, &dout, &w);
	return in ? din : dout;
}

int sm_comm_degree_in(MPI_Comm comm)
{
	return degree(comm, true);
}

int sm_comm_degree_out(MPI_Comm comm)
{
	return degree(comm, false);
}

static struct sm_obj *comm_new(MPI_Comm real, struct sm_site s)
{
	struct sm_obj *o = sm_obj_new(SM_COMM, SM_STORE(real), s);
	int inter = 0;

	if (!o)
		return NULL;
	if (sm_comm_setup(o, 0)) {
		sm_obj_put(o);
		return NULL;
	}
	sm_real.Comm_test_inter(real, &inter);
	if (inter && !o->site.refuse) {
		o->site.refuse = true;
		o->since = time(NULL);
	}
	return o;
}

MPI_Comm sm_comm_made(MPI_Comm real, struct sm_obj *parent, uint64_t seq,
		      struct sm_site s)
{
	struct sm_obj *o;

	if (real == MPI_COMM_NULL)
		return real;
	o = comm_new(real, s);
	if (!o)
		return real;
	/* The eldest member tells the children of one split apart. */
	o->comm->id = mix(mix(parent->comm->id, seq),
			  (uint64_t)o->comm->world[0]);
	o->errh = parent->errh;
	if (o->errh >= SM_FIRST_OBJ)
		sm_obj_get(&sm_objs[o->errh]);
	return SM_HANDLE(MPI_Comm, SM_COMM, sm_obj_index(o));
}

MPI_Comm sm_comm_agreed(MPI_Comm real, struct sm_site s)
{
	struct sm_obj *world = &sm_objs[SM_WORLD_OBJ];
	struct sm_obj *o;
	uint64_t id;

	if (real == MPI_COMM_NULL)
		return real;
	o = comm_new(real, s);
	if (!o)
		return real;
	id = mix(mix(0x67726f7570ull, (uint64_t)sm_life.rank),
		 world->comm->agreed++);
	sm_real.Bcast(&id, 8, MPI_BYTE, 0, real);
	o->comm->id = id;
	return SM_HANDLE(MPI_Comm, SM_COMM, sm_obj_index(o));
}

MPI_Comm sm_new_Comm(MPI_Comm real, struct sm_site s)
{
	struct sm_obj *o;

	if (real == MPI_COMM_NULL || real == MPI_COMM_WORLD ||
	    real == MPI_COMM_SELF)
		return real;
	/* Parents, spawned and joined ones: nothing of them can be moved. */
	s.refuse = true;
	o = comm_new(real, s);
	return o ? SM_HANDLE(MPI_Comm, SM_COMM, sm_obj_index(o)) : real;
}

static int dup(MPI_Comm comm, MPI_Info info, bool with_info, MPI_Comm *out,
	       const char *func, void *caller)
{
	struct sm_obj *c, *o;
	MPI_Comm real = MPI_COMM_NULL;
	uint64_t seq;
	int ret;

	if (sm_in())
		return with_info ? sm_real.Comm_dup_with_info(comm, info, out) :
				   sm_real.Comm_dup(comm, out);
	c = sm_comm(comm);
	seq = sm_coll_enter(c, func);
	ret = with_info ? sm_real.Comm_dup_with_info(sm_comm_real(c),
						     SM_REAL(MPI_Info, info),
						     &real) :
			  sm_real.Comm_dup(sm_comm_real(c), &real);
	if (!ret) {
		*out = sm_comm_made(real, c, seq, sm_site(func, 0, caller));
		o = sm_comm(*out);
		o->site.refuse = c->site.refuse;
		o->since = c->since;
		ret = sm_attrs_copy(c, SM_STORE(comm), o);
	}
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

SM_API(int, Comm_dup, MPI_Comm comm, MPI_Comm *newcomm)
{
	return dup(comm, MPI_INFO_NULL, false, newcomm, "MPI_Comm_dup",
		   __builtin_return_address(0));
}

SM_API(int, Comm_dup_with_info, MPI_Comm comm, MPI_Info info,
       MPI_Comm *newcomm)
{
	return dup(comm, info, true, newcomm, "MPI_Comm_dup_with_info",
		   __builtin_return_address(0));
}

SM_API(int, Comm_idup, MPI_Comm comm, MPI_Comm *newcomm, MPI_Request *request)
{
	struct sm_obj *c, *o;
	struct sm_req *r;
	uint64_t seq;
	int ret;

	if (sm_in())
		return sm_real.Comm_idup(comm, newcomm, request);
	c = sm_comm(comm);
	seq = sm_coll_enter(c, "MPI_Comm_idup");
	o = sm_obj_new(SM_COMM, SM_STORE(MPI_COMM_NULL),
		       sm_site("MPI_Comm_idup", c->site.refuse,
			       __builtin_return_address(0)));
	r = sm_req_new(SM_R_IDUP);
	ret = sm_real.Comm_idup(sm_comm_real(c), (MPI_Comm *)&o->real,
				&r->real);
	if (!ret) {
		r->comm = c;
		r->out = o;
		r->order = mix(mix(c->comm->id, seq),
			       (uint64_t)c->comm->world[0]);
		sm_obj_get(c);
		o->errh = c->errh;
		*newcomm = SM_HANDLE(MPI_Comm, SM_COMM, sm_obj_index(o));
		*request = sm_req_handle(r);
		ret = sm_attrs_copy(c, SM_STORE(comm), o);
	} else {
		sm_req_free(r);
		sm_obj_put(o);
	}
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

static int comm_free(MPI_Comm *comm, bool disconnect, const char *func)
{
	struct sm_obj *o;
	MPI_Comm real;
	int ret;

	if (sm_in())
		return disconnect ? sm_real.Comm_disconnect(comm) :
				    sm_real.Comm_free(comm);
	o = sm_comm(*comm);
	if (sm_obj_index(o) < SM_FIRST_OBJ) {
		sm_out();
		return sm_raise(MPI_ERR_COMM);
	}
	ret = sm_attrs_delete(o, SM_STORE(*comm));
	if (!ret) {
		sm_coll_enter(o, func);
		real = sm_comm_real(o);
		ret = disconnect ? sm_real.Comm_disconnect(&real) :
				   sm_real.Comm_free(&real);
		o->user_freed = true;
		if (o->errh >= SM_FIRST_OBJ)
			sm_obj_put(&sm_objs[o->errh]);
		sm_obj_put(o);
		*comm = MPI_COMM_NULL;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Comm_free, MPI_Comm *comm)
{
	return comm_free(comm, false, "MPI_Comm_free");
}

SM_API(int, Comm_disconnect, MPI_Comm *comm)
{
	return comm_free(comm, true, "MPI_Comm_disconnect");
}

/* ---- over a cycle ---- */

static int save_one(struct sm_obj *o)
{
	struct sm_comm_state *c = o->comm;
	MPI_Comm real = sm_comm_real(o);
	int n, ret;

	ret = sm_real.Comm_get_name(real, c->name, &n);
	if (ret || sm_obj_index(o) < SM_FIRST_OBJ)
		return ret;
	ret = sm_real.Topo_test(real, &c->topo);
	if (ret || c->topo != MPI_CART || c->dims)
		return ret;
	ret = sm_real.Cartdim_get(real, &c->ndims);
	if (ret)
		return ret;
	c->dims = calloc((size_t)c->ndims * 3 + 1, sizeof(int));
	if (!c->dims)
		return MPI_ERR_NO_MEM;
	return sm_real.Cart_get(real, c->ndims, c->dims, c->dims + c->ndims,
				c->dims + 2 * c->ndims);
}

int sm_comms_save(void)
{
	uint32_t i;
	int ret;

	for (i = 1; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];

		if (o->kind != SM_COMM || !o->comm || o->user_freed)
			continue;
		ret = save_one(o);
		if (ret)
			return ret;
	}
	return MPI_SUCCESS;
}

static int by_id(const void *a, const void *b)
{
	const struct sm_obj *x = *(struct sm_obj *const *)a;
	const struct sm_obj *y = *(struct sm_obj *const *)b;

	return x->comm->id < y->comm->id ? -1 : x->comm->id > y->comm->id;
}

static int build_one(struct sm_obj *o, MPI_Group world)
{
	struct sm_comm_state *c = o->comm;
	MPI_Group g = MPI_GROUP_NULL;
	MPI_Comm plain = MPI_COMM_NULL, cart = MPI_COMM_NULL;
	int ret;

	ret = sm_real.Group_incl(world, c->size, c->world, &g);
	if (!ret)
		ret = sm_real.Comm_create_group(MPI_COMM_WORLD, g, 0, &plain);
	if (!ret && c->topo == MPI_CART) {
		sm_real.Comm_set_errhandler(plain, MPI_ERRORS_RETURN);
		ret = sm_real.Cart_create(plain, c->ndims, c->dims,
					  c->dims + c->ndims, 0, &cart);
		if (!ret)
			ret = sm_real.Comm_free(&plain);
		plain = cart;
	}
	if (!ret)
		ret = sm_real.Comm_set_errhandler(plain, MPI_ERRORS_RETURN);
	if (!ret && c->name[0])
		ret = sm_real.Comm_set_name(plain, c->name);
	o->real = SM_STORE(plain);
	if (g != MPI_GROUP_NULL)
		sm_real.Group_free(&g);
	return ret;
}

int sm_comms_build(void)
{
	struct sm_obj **list;
	MPI_Group world = MPI_GROUP_NULL;
	uint32_t i, n = 0;
	int ret;

	list = malloc(((size_t)sm_objs_top + 1) * sizeof(*list));
	if (!list)
		return MPI_ERR_NO_MEM;
	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++)
		if (sm_objs[i].kind == SM_COMM && sm_objs[i].comm &&
		    !sm_objs[i].user_freed)
			list[n++] = &sm_objs[i];
	qsort(list, n, sizeof(*list), by_id);
	ret = sm_real.Comm_group(MPI_COMM_WORLD, &world);
	for (i = 0; i < n && !ret; i++)
		ret = build_one(list[i], world);
	for (i = SM_WORLD_OBJ; i <= SM_SELF_OBJ && !ret; i++)
		ret = sm_real.Comm_set_name(sm_comm_real(&sm_objs[i]),
					    sm_objs[i].comm->name);
	if (world != MPI_GROUP_NULL)
		sm_real.Group_free(&world);
	free(list);
	return ret;
}
