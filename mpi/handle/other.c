/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Operations, groups and info objects.  The library calls a program's
 * operation through a thunk, which turns the datatype into the program's
 * handle; thunks are code in pages of their own, written once and then made
 * read-only, at addresses that a restart keeps.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "front.h"

#define SLOT_SIZE 32
#define SLOTS_PER_PAGE (4096 / SLOT_SIZE)
#define MAX_PAGES 4096

static char *pages[MAX_PAGES];
static uint32_t n_slots, *slot_obj, slot_free_head;

static void call_user(void *in, void *inout, void *len, MPI_Datatype *type,
		      uint64_t slot)
{
	struct sm_op_state *op = sm_objs[slot_obj[slot]].op;
	MPI_Datatype t = sm_type_virtual(*type);
	int depth = sm_user_enter();

	op->fn(in, inout, len, &t);
	sm_user_leave(depth);
}

static void write_slot(char *p, uint32_t slot)
{
	uint64_t fn = (uint64_t)(uintptr_t)call_user;

	memcpy(p, "\x41\xb8", 2); /* mov $slot, %r8d: the fifth argument */
	memcpy(p + 2, &slot, 4);
	memcpy(p + 6, "\x48\xb8", 2); /* movabs $fn, %rax */
	memcpy(p + 8, &fn, 8);
	memcpy(p + 16, "\xff\xe0", 2); /* jmp *%rax */
}

static int more_slots(void)
{
	uint32_t i, page = n_slots / SLOTS_PER_PAGE;
	uint32_t *objs;
	char *p;

	if (page >= MAX_PAGES)
		return MPI_ERR_NO_MEM;
	objs = realloc(slot_obj, ((size_t)n_slots + SLOTS_PER_PAGE) * 4);
	if (!objs)
		return MPI_ERR_NO_MEM;
	slot_obj = objs;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return MPI_ERR_NO_MEM;
	for (i = 0; i < SLOTS_PER_PAGE; i++) {
		write_slot(p + i * SLOT_SIZE, n_slots + i);
		/* free slots are chained by index + 1 */
		slot_obj[n_slots + i] = slot_free_head;
		slot_free_head = n_slots + i + 1;
	}
	pages[page] = p;
	n_slots += SLOTS_PER_PAGE;
	return mprotect(p, 4096, PROT_READ | PROT_EXEC) ? MPI_ERR_OTHER :
							  MPI_SUCCESS;
}

static int op_make(const struct sm_op_state *op, bool large, MPI_Op *real)
{
	MPI_User_function *fn;

	memcpy(&fn, &op->thunk, sizeof(fn));
#ifdef SM_HAVE_Op_create_c
	if (large)
		return sm_real.Op_create_c((MPI_User_function_c *)(void *)fn,
					   op->commute, real);
#endif
	(void)large;
	return sm_real.Op_create(fn, op->commute, real);
}

static int op_create(void *fn, int commute, bool large, MPI_Op *out)
{
	struct sm_op_state *op;
	struct sm_obj *o;
	uint32_t slot;
	MPI_Op real;
	int ret;

	if (!slot_free_head) {
		ret = more_slots();
		if (ret)
			return ret;
	}
	op = calloc(1, sizeof(*op));
	if (!op)
		return MPI_ERR_NO_MEM;
	slot = slot_free_head - 1;
	memcpy(&op->fn, &fn, sizeof(fn));
	op->commute = commute;
	op->thunk = (uint64_t *)(void *)(pages[slot / SLOTS_PER_PAGE] +
					 slot % SLOTS_PER_PAGE * SLOT_SIZE);
	ret = op_make(op, large, &real);
	o = ret ? NULL : sm_obj_new(SM_OP, SM_STORE(real),
				    sm_site("MPI_Op_create", 0, NULL));
	if (!o) {
		free(op);
		return ret ? ret : MPI_ERR_NO_MEM;
	}
	o->op = op;
	o->errh = large;
	slot_free_head = slot_obj[slot];
	slot_obj[slot] = sm_obj_index(o);
	*out = SM_HANDLE(MPI_Op, SM_OP, sm_obj_index(o));
	return MPI_SUCCESS;
}

SM_API(int, Op_create, MPI_User_function *fn, int commute, MPI_Op *op)
{
	int ret;

	if (sm_in())
		return sm_real.Op_create(fn, commute, op);
	ret = op_create((void *)fn, commute, false, op);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

#ifdef SM_HAVE_Op_create_c
SM_API(int, Op_create_c, MPI_User_function_c *fn, int commute, MPI_Op *op)
{
	int ret;

	if (sm_in())
		return sm_real.Op_create_c(fn, commute, op);
	ret = op_create((void *)fn, commute, true, op);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}
#endif

void sm_op_release(struct sm_obj *o)
{
	MPI_Op real = SM_STORED(MPI_Op, o->real);
	uint32_t i;

	if (sm_phase != SM_AWAY)
		sm_real.Op_free(&real);
	for (i = 0; i < n_slots; i++)
		if (pages[i / SLOTS_PER_PAGE] +
			    i % SLOTS_PER_PAGE * SLOT_SIZE ==
		    (char *)o->op->thunk)
			break;
	slot_obj[i] = slot_free_head;
	slot_free_head = i + 1;
	free(o->op);
}

int sm_ops_build(void)
{
	uint32_t i;
	int ret;

	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Op real;

		if (o->kind != SM_OP)
			continue;
		ret = op_make(o->op, o->errh, &real);
		if (ret)
			return ret;
		o->real = SM_STORE(real);
	}
	return MPI_SUCCESS;
}

/* ---- groups ---- */

static int group_save(struct sm_obj *o, MPI_Group world)
{
	MPI_Group real = SM_STORED(MPI_Group, o->real);
	struct sm_group_state *g = o->group;
	int i, *ranks, ret;

	if (g)
		return MPI_SUCCESS;
	g = calloc(1, sizeof(*g));
	if (!g)
		return MPI_ERR_NO_MEM;
	o->group = g;
	ret = sm_real.Group_size(real, &g->n);
	if (ret)
		return ret;
	g->world = malloc((size_t)g->n * sizeof(int) + 1);
	ranks = malloc((size_t)g->n * sizeof(int) + 1);
	if (!g->world || !ranks) {
		free(ranks);
		return MPI_ERR_NO_MEM;
	}
	for (i = 0; i < g->n; i++)
		ranks[i] = i;
	ret = sm_real.Group_translate_ranks(real, g->n, ranks, world,
					    g->world);
	free(ranks);
	return ret;
}

static int each_group(bool save)
{
	MPI_Group world, real;
	uint32_t i;
	int ret;

	ret = sm_real.Comm_group(MPI_COMM_WORLD, &world);
	if (ret)
		return ret;
	for (i = SM_FIRST_OBJ; i < sm_objs_top && !ret; i++) {
		struct sm_obj *o = &sm_objs[i];

		if (o->kind != SM_GROUP)
			continue;
		if (save) {
			ret = group_save(o, world);
			continue;
		}
		ret = sm_real.Group_incl(world, o->group->n, o->group->world,
					 &real);
		o->real = SM_STORE(real);
	}
	sm_real.Group_free(&world);
	return ret;
}

int sm_groups_save(void)
{
	return each_group(true);
}

int sm_groups_build(void)
{
	return each_group(false);
}

void sm_group_release(struct sm_obj *o)
{
	if (!o->group)
		return;
	free(o->group->world);
	free(o->group);
}

/* ---- info ---- */

static void info_clear(struct sm_info_state *s)
{
	int i;

	for (i = 0; i < 2 * s->n; i++)
		free(s->pairs[i]);
	free(s->pairs);
	s->pairs = NULL;
	s->n = 0;
}

static int info_save(struct sm_obj *o)
{
	MPI_Info real = SM_STORED(MPI_Info, o->real);
	struct sm_info_state *s = o->info;
	int n, i, len, flag, ret;

	if (!s)
		s = o->info = calloc(1, sizeof(*s));
	if (!s)
		return MPI_ERR_NO_MEM;
	info_clear(s);
	ret = sm_real.Info_get_nkeys(real, &n);
	if (ret)
		return ret;
	s->pairs = calloc((size_t)n * 2 + 1, sizeof(*s->pairs));
	if (!s->pairs)
		return MPI_ERR_NO_MEM;
	for (i = 0; i < n && !ret; i++) {
		char *k = calloc(1, MPI_MAX_INFO_KEY + 1);
		char *v = NULL;

		s->pairs[2 * i] = k;
		s->n = i + 1;
		if (!k)
			return MPI_ERR_NO_MEM;
		ret = sm_real.Info_get_nthkey(real, i, k);
		if (!ret)
			ret = sm_real.Info_get_valuelen(real, k, &len, &flag);
		if (!ret)
			v = s->pairs[2 * i + 1] = calloc(1, (size_t)len + 1);
		if (v)
			ret = sm_real.Info_get(real, k, len, v, &flag);
	}
	return ret;
}

int sm_infos_save(void)
{
	uint32_t i;
	int ret = MPI_SUCCESS;

	for (i = SM_FIRST_OBJ; i < sm_objs_top && !ret; i++)
		if (sm_objs[i].kind == SM_INFO)
			ret = info_save(&sm_objs[i]);
	return ret;
}

int sm_infos_build(void)
{
	uint32_t i;
	int j, ret = MPI_SUCCESS;

	for (i = SM_FIRST_OBJ; i < sm_objs_top && !ret; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Info real;

		if (o->kind != SM_INFO)
			continue;
		ret = sm_real.Info_create(&real);
		for (j = 0; j < o->info->n && !ret; j++)
			ret = sm_real.Info_set(real, o->info->pairs[2 * j],
					       o->info->pairs[2 * j + 1]);
		o->real = SM_STORE(real);
	}
	return ret;
}

void sm_info_release(struct sm_obj *o)
{
	if (!o->info)
		return;
	info_clear(o->info);
	free(o->info);
}

/* ---- freeing ---- */

#define FREE_HANDLE(fn, K, NULLH)                                              \
	SM_API(int, fn, MPI_##K *h)                                            \
	{                                                                      \
		MPI_##K real;                                                  \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.fn(h);                                  \
		real = SM_REAL(MPI_##K, *h);                                   \
		ret = sm_real.fn(&real);                                       \
		if (!ret) {                                                    \
			if (SM_VIRT(*h))                                       \
				sm_obj_put(&sm_objs[SM_INDEX(*h)]);            \
			*h = NULLH;                                            \
		}                                                              \
		sm_out();                                                      \
		return ret ? sm_raise(ret) : ret;                              \
	}

FREE_HANDLE(Group_free, Group, MPI_GROUP_NULL)
FREE_HANDLE(Info_free, Info, MPI_INFO_NULL)
FREE_HANDLE(File_close, File, MPI_FILE_NULL)
#ifdef MPI_SESSION_NULL
FREE_HANDLE(Session_finalize, Session, MPI_SESSION_NULL)
#endif

SM_API(int, Win_free, MPI_Win *win)
{
	MPI_Win real;
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Win_free(win);
	if (SM_VIRT(*win))
		ret = sm_attrs_delete(&sm_objs[SM_INDEX(*win)], SM_STORE(*win));
	real = SM_REAL(MPI_Win, *win);
	if (!ret)
		ret = sm_real.Win_free(&real);
	if (!ret) {
		if (SM_VIRT(*win))
			sm_obj_put(&sm_objs[SM_INDEX(*win)]);
		*win = MPI_WIN_NULL;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Op_free, MPI_Op *op)
{
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Op_free(op);
	if (SM_VIRT(*op)) {
		sm_obj_put(&sm_objs[SM_INDEX(*op)]);
		*op = MPI_OP_NULL;
	} else {
		ret = MPI_ERR_OP;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}
