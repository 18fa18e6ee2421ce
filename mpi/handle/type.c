/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Derived datatypes over a cycle: before the library goes, each is read back
 * by its envelope and contents into a recipe, with its parts, which need not
 * be known to the program any more; afterwards the recipes are cooked again.
 */
#include "config.h"
#include <stdlib.h>
#include <string.h>
#include "front.h"

struct sm_recipe {
	int combiner;
	int ni, na, nd;
	int *ints;
	MPI_Aint *aints;
	MPI_Datatype *named; /* part i if it is built in */
	struct sm_recipe **parts; /* else its recipe */
};

static void recipe_free(struct sm_recipe *r)
{
	int i;

	if (!r)
		return;
	for (i = 0; r->parts && i < r->nd; i++)
		recipe_free(r->parts[i]);
	free(r->ints);
	free(r->aints);
	free(r->named);
	free(r->parts);
	free(r);
}

static int recipe_read(MPI_Datatype real, struct sm_recipe **out);

static int read_part(struct sm_recipe *r, int i)
{
	int ni, na, nd, comb, ret;

	ret = sm_real.Type_get_envelope(r->named[i], &ni, &na, &nd, &comb);
	if (ret || comb == MPI_COMBINER_NAMED)
		return ret;
	ret = recipe_read(r->named[i], &r->parts[i]);
	/* Contents come as new references; those of f90 types are built in. */
	if (!ret && comb != MPI_COMBINER_F90_REAL &&
	    comb != MPI_COMBINER_F90_COMPLEX &&
	    comb != MPI_COMBINER_F90_INTEGER)
		ret = sm_real.Type_free(&r->named[i]);
	return ret;
}

static int recipe_read(MPI_Datatype real, struct sm_recipe **out)
{
	struct sm_recipe *r;
	int i, ret = MPI_ERR_NO_MEM;

	r = calloc(1, sizeof(*r));
	if (!r)
		return ret;
	ret = sm_real.Type_get_envelope(real, &r->ni, &r->na, &r->nd,
					&r->combiner);
	if (ret)
		goto out;
	r->ints = calloc((size_t)r->ni + 1, sizeof(*r->ints));
	r->aints = calloc((size_t)r->na + 1, sizeof(*r->aints));
	r->named = calloc((size_t)r->nd + 1, sizeof(*r->named));
	r->parts = calloc((size_t)r->nd + 1, sizeof(*r->parts));
	ret = MPI_ERR_NO_MEM;
	if (!r->ints || !r->aints || !r->named || !r->parts)
		goto out;
	ret = sm_real.Type_get_contents(real, r->ni, r->na, r->nd, r->ints,
					r->aints, r->named);
	for (i = 0; i < r->nd && !ret; i++)
		ret = read_part(r, i);
out:
	if (ret) {
		recipe_free(r);
		r = NULL;
	}
	*out = r;
	return ret;
}

static int cook(const struct sm_recipe *r, MPI_Datatype *t);

static int cook_parts(const struct sm_recipe *r, MPI_Datatype *d)
{
	int i, ret = MPI_SUCCESS;

	for (i = 0; i < r->nd && !ret; i++) {
		d[i] = r->named[i];
		if (r->parts[i])
			ret = cook(r->parts[i], &d[i]);
	}
	return ret;
}

static int cook_block(const struct sm_recipe *r, MPI_Datatype *d,
		      MPI_Datatype *t)
{
	const int *n = r->ints;
	const MPI_Aint *a = r->aints;
	int c = n[0];

	switch (r->combiner) {
	case MPI_COMBINER_INDEXED:
		return sm_real.Type_indexed(c, n + 1, n + 1 + c, d[0], t);
	case MPI_COMBINER_HINDEXED:
		return sm_real.Type_create_hindexed(c, n + 1, a, d[0], t);
	case MPI_COMBINER_INDEXED_BLOCK:
		return sm_real.Type_create_indexed_block(c, n[1], n + 2, d[0],
							 t);
	case MPI_COMBINER_HINDEXED_BLOCK:
		return sm_real.Type_create_hindexed_block(c, n[1], a, d[0], t);
	case MPI_COMBINER_STRUCT:
		return sm_real.Type_create_struct(c, n + 1, a, d, t);
	case MPI_COMBINER_SUBARRAY:
		return sm_real.Type_create_subarray(c, n + 1, n + 1 + c,
						    n + 1 + 2 * c,
						    n[1 + 3 * c], d[0], t);
	case MPI_COMBINER_DARRAY:
		c = n[2];
		return sm_real.Type_create_darray(n[0], n[1], c, n + 3,
						  n + 3 + c, n + 3 + 2 * c,
						  n + 3 + 3 * c, n[3 + 4 * c],
						  d[0], t);
	default:
		return MPI_ERR_TYPE;
	}
}

static int cook_one(const struct sm_recipe *r, MPI_Datatype *d, MPI_Datatype *t)
{
	const int *n = r->ints;
	const MPI_Aint *a = r->aints;

	switch (r->combiner) {
	case MPI_COMBINER_DUP:
		return sm_real.Type_dup(d[0], t);
	case MPI_COMBINER_CONTIGUOUS:
		return sm_real.Type_contiguous(n[0], d[0], t);
	case MPI_COMBINER_VECTOR:
		return sm_real.Type_vector(n[0], n[1], n[2], d[0], t);
	case MPI_COMBINER_HVECTOR:
		return sm_real.Type_create_hvector(n[0], n[1], a[0], d[0], t);
	case MPI_COMBINER_RESIZED:
		return sm_real.Type_create_resized(d[0], a[0], a[1], t);
	case MPI_COMBINER_F90_REAL:
		return sm_real.Type_create_f90_real(n[0], n[1], t);
	case MPI_COMBINER_F90_COMPLEX:
		return sm_real.Type_create_f90_complex(n[0], n[1], t);
	case MPI_COMBINER_F90_INTEGER:
		return sm_real.Type_create_f90_integer(n[0], t);
	default:
		return cook_block(r, d, t);
	}
}

static int cook(const struct sm_recipe *r, MPI_Datatype *t)
{
	MPI_Datatype *d;
	int i, ret;

	d = calloc((size_t)r->nd + 1, sizeof(*d));
	if (!d)
		return MPI_ERR_NO_MEM;
	ret = cook_parts(r, d);
	if (!ret)
		ret = cook_one(r, d, t);
	for (i = 0; i < r->nd && !ret; i++)
		if (r->parts[i] && r->parts[i]->combiner !=
				   MPI_COMBINER_F90_REAL &&
		    r->parts[i]->combiner != MPI_COMBINER_F90_COMPLEX &&
		    r->parts[i]->combiner != MPI_COMBINER_F90_INTEGER)
			ret = sm_real.Type_free(&d[i]);
	free(d);
	return ret;
}

static bool live(const struct sm_obj *o)
{
	return o->kind == SM_TYPE;
}

int sm_types_save(void)
{
	uint32_t i;
	int n, ret;

	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Datatype real = SM_STORED(MPI_Datatype, o->real);

		if (!live(o))
			continue;
		if (!o->type)
			o->type = calloc(1, sizeof(*o->type));
		if (!o->type)
			return MPI_ERR_NO_MEM;
		ret = sm_real.Type_get_name(real, o->type->name, &n);
		if (!ret && !o->type->recipe)
			ret = recipe_read(real, &o->type->recipe);
		if (ret)
			return ret;
	}
	return MPI_SUCCESS;
}

int sm_types_build(void)
{
	uint32_t i;
	int ret;

	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];
		MPI_Datatype real = MPI_DATATYPE_NULL;

		if (!live(o))
			continue;
		ret = cook(o->type->recipe, &real);
		if (!ret)
			ret = sm_real.Type_commit(&real);
		if (!ret && o->type->name[0])
			ret = sm_real.Type_set_name(real, o->type->name);
		if (ret)
			return ret;
		o->real = SM_STORE(real);
	}
	return MPI_SUCCESS;
}

/* The last use is over: only now the library's own object may go. */
void sm_type_release(struct sm_obj *o)
{
	MPI_Datatype real = SM_STORED(MPI_Datatype, o->real);

	if (sm_phase != SM_AWAY)
		sm_real.Type_free(&real);
	if (o->type)
		recipe_free(o->type->recipe);
	free(o->type);
}

MPI_Datatype sm_type_virtual(MPI_Datatype real)
{
	static uint32_t last = SM_FIRST_OBJ;
	uint64_t v = SM_STORE(real);
	uint32_t i;

	if (last < sm_objs_top && sm_objs[last].kind == SM_TYPE &&
	    sm_objs[last].real == v)
		return SM_HANDLE(MPI_Datatype, SM_TYPE, last);
	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		if (sm_objs[i].kind == SM_TYPE && sm_objs[i].real == v) {
			last = i;
			return SM_HANDLE(MPI_Datatype, SM_TYPE, i);
		}
	}
	return real;
}

SM_API(int, Type_free, MPI_Datatype *type)
{
	struct sm_obj *o;
	int ret = MPI_SUCCESS;

	if (sm_in())
		return sm_real.Type_free(type);
	o = sm_type_obj(*type);
	if (!o || o->kind != SM_TYPE)
		ret = MPI_ERR_TYPE;
	if (!ret)
		ret = sm_attrs_delete(o, SM_STORE(*type));
	if (!ret) {
		sm_obj_put(o);
		*type = MPI_DATATYPE_NULL;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Type_dup, MPI_Datatype type, MPI_Datatype *newtype)
{
	struct sm_obj *o = NULL;
	MPI_Datatype real;
	int ret;

	if (sm_in())
		return sm_real.Type_dup(type, newtype);
	ret = sm_real.Type_dup(SM_REAL(MPI_Datatype, type), &real);
	if (!ret)
		o = sm_obj_new(SM_TYPE, SM_STORE(real),
			       sm_site("MPI_Type_dup", 0, NULL));
	if (!ret && !o)
		ret = MPI_ERR_NO_MEM;
	if (!ret && SM_VIRT(type))
		ret = sm_attrs_copy(sm_type_obj(type), SM_STORE(type), o);
	if (!ret)
		*newtype = SM_HANDLE(MPI_Datatype, SM_TYPE, sm_obj_index(o));
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Type_get_contents, MPI_Datatype type, int ni, int na, int nd,
       int ints[], MPI_Aint aints[], MPI_Datatype types[])
{
	int i, ret;

	if (sm_in())
		return sm_real.Type_get_contents(type, ni, na, nd, ints, aints,
						 types);
	ret = sm_real.Type_get_contents(SM_REAL(MPI_Datatype, type), ni, na,
					nd, ints, aints, types);
	for (i = 0; i < nd && !ret; i++) {
		int a, b, c, comb = MPI_COMBINER_NAMED;

		ret = sm_real.Type_get_envelope(types[i], &a, &b, &c, &comb);
		if (!ret && comb != MPI_COMBINER_NAMED)
			types[i] = sm_new_Datatype(
				types[i], sm_site("MPI_Type_get_contents", 0,
						  NULL));
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

#ifdef SM_HAVE_Type_get_contents_c
SM_API(int, Type_get_contents_c, MPI_Datatype type, MPI_Count ni, MPI_Count na,
       MPI_Count nl, MPI_Count nd, int ints[], MPI_Aint aints[],
       MPI_Count counts[], MPI_Datatype types[])
{
	MPI_Count i;
	int ret;

	if (sm_in())
		return sm_real.Type_get_contents_c(type, ni, na, nl, nd, ints,
						   aints, counts, types);
	ret = sm_real.Type_get_contents_c(SM_REAL(MPI_Datatype, type), ni, na,
					  nl, nd, ints, aints, counts, types);
	for (i = 0; i < nd && !ret; i++) {
		int a, b, c, comb = MPI_COMBINER_NAMED;

		ret = sm_real.Type_get_envelope(types[i], &a, &b, &c, &comb);
		if (!ret && comb != MPI_COMBINER_NAMED)
			types[i] = sm_new_Datatype(
				types[i], sm_site("MPI_Type_get_contents_c", 0,
						  NULL));
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}
#endif
