/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keyvals and attributes of communicators, datatypes and windows.  They live
 * here only; the library never sees them, so that nothing has to be rebuilt
 * and no delete callback runs when the library goes away for a checkpoint.
 */
#include "config.h"
#include <stdlib.h>
#include "front.h"

#define KEYVAL_BASE 0x10000000

struct keyval {
	bool used;
	uint8_t kind;
	void *copy; /* signatures differ in the handle's type only */
	void *del;
	void *extra;
};

static struct keyval *keyvals;
static int n_keyvals;

static const int predefined[] = { MPI_TAG_UB, MPI_HOST, MPI_IO,
				  MPI_WTIME_IS_GLOBAL, MPI_UNIVERSE_SIZE,
				  MPI_APPNUM, MPI_LASTUSEDCODE };
#define N_PRE ((int)(sizeof(predefined) / sizeof(predefined[0])))
static int pre_value[N_PRE];
static bool pre_set[N_PRE];

void sm_attrs_predefined(void)
{
	int i, flag, *v;

	for (i = 0; i < N_PRE; i++) {
		flag = 0;
		if (!sm_real.Comm_get_attr(MPI_COMM_WORLD, predefined[i], &v,
					   &flag) && flag) {
			pre_value[i] = *v;
			pre_set[i] = true;
		}
	}
}

static struct keyval *keyval_of(int k)
{
	k -= KEYVAL_BASE;
	return k >= 0 && k < n_keyvals ? &keyvals[k] : NULL;
}

static int keyval_new(enum sm_kind kind, void *copy, void *del, int *out,
		      void *extra)
{
	struct keyval *k;
	int ret = MPI_ERR_NO_MEM;

	if (sm_in())
		return MPI_ERR_INTERN;
	k = realloc(keyvals, (size_t)(n_keyvals + 1) * sizeof(*k));
	if (k) {
		keyvals = k;
		k[n_keyvals] = (struct keyval){ true, (uint8_t)kind, copy, del,
						extra };
		*out = KEYVAL_BASE + n_keyvals++;
		ret = MPI_SUCCESS;
	}
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

static int keyval_free(int *k)
{
	if (!keyval_of(*k))
		return sm_raise(MPI_ERR_KEYVAL);
	/* Attributes in place keep their callbacks. */
	*k = MPI_KEYVAL_INVALID;
	return MPI_SUCCESS;
}

typedef int copy_comm(MPI_Comm, int, void *, void *, void *, int *);
typedef int copy_type(MPI_Datatype, int, void *, void *, void *, int *);
typedef int del_comm(MPI_Comm, int, void *, void *);
typedef int del_type(MPI_Datatype, int, void *, void *);
typedef int del_win(MPI_Win, int, void *, void *);

static int run_delete(struct keyval *k, uint64_t h, int key, void *value)
{
	int depth, ret = MPI_SUCCESS;

	if (!k->del)
		return MPI_SUCCESS;
	depth = sm_user_enter();
	if (k->kind == SM_COMM)
		ret = ((del_comm *)k->del)(SM_STORED(MPI_Comm, h), key, value,
					   k->extra);
	else if (k->kind == SM_TYPE)
		ret = ((del_type *)k->del)(SM_STORED(MPI_Datatype, h), key,
					   value, k->extra);
	else
		ret = ((del_win *)k->del)(SM_STORED(MPI_Win, h), key, value,
					  k->extra);
	sm_user_leave(depth);
	return ret;
}

static struct sm_attr **find(struct sm_obj *o, int key)
{
	struct sm_attr **a = &o->attrs;

	while (*a && (*a)->keyval != key)
		a = &(*a)->next;
	return a;
}

static int attr_set(struct sm_obj *o, uint64_t h, int key, void *value)
{
	struct keyval *k = keyval_of(key);
	struct sm_attr **at, *a;
	int ret = MPI_SUCCESS;

	if (!k)
		return MPI_ERR_KEYVAL;
	at = find(o, key);
	if (*at) {
		ret = run_delete(k, h, key, (*at)->value);
		if (!ret)
			(*at)->value = value;
		return ret;
	}
	a = malloc(sizeof(*a));
	if (!a)
		return MPI_ERR_NO_MEM;
	*a = (struct sm_attr){ NULL, key, value };
	*at = a;
	return MPI_SUCCESS;
}

static int attr_get(struct sm_obj *o, int key, void *out, int *flag)
{
	struct sm_attr *a;

	if (!keyval_of(key))
		return MPI_ERR_KEYVAL;
	a = *find(o, key);
	*flag = a != NULL;
	if (a)
		*(void **)out = a->value;
	return MPI_SUCCESS;
}

static int attr_delete(struct sm_obj *o, uint64_t h, int key)
{
	struct keyval *k = keyval_of(key);
	struct sm_attr **at, *a;
	int ret;

	if (!k)
		return MPI_ERR_KEYVAL;
	at = find(o, key);
	a = *at;
	if (!a)
		return MPI_SUCCESS;
	ret = run_delete(k, h, key, a->value);
	if (ret)
		return ret;
	*at = a->next;
	free(a);
	return MPI_SUCCESS;
}

int sm_attrs_delete(struct sm_obj *o, uint64_t h)
{
	int ret = MPI_SUCCESS;

	/* The newest first, as MPI asks for COMM_SELF. */
	while (o->attrs && !ret) {
		struct sm_attr *a = o->attrs;

		while (a->next)
			a = a->next;
		ret = attr_delete(o, h, a->keyval);
	}
	return ret;
}

int sm_attrs_copy(struct sm_obj *from, uint64_t h, struct sm_obj *to)
{
	struct sm_attr *a;

	for (a = from->attrs; a; a = a->next) {
		struct keyval *k = keyval_of(a->keyval);
		void *value = a->value;
		int depth, ret, flag = 0;

		if (!k->copy)
			continue;
		depth = sm_user_enter();
		if (k->kind == SM_COMM)
			ret = ((copy_comm *)k->copy)(SM_STORED(MPI_Comm, h),
						     a->keyval, k->extra,
						     a->value, &value, &flag);
		else
			ret = ((copy_type *)k->copy)(SM_STORED(MPI_Datatype, h),
						     a->keyval, k->extra,
						     a->value, &value, &flag);
		sm_user_leave(depth);
		if (!ret && flag)
			ret = attr_set(to, 0, a->keyval, value);
		if (ret)
			return ret;
	}
	return MPI_SUCCESS;
}

SM_API(int, Comm_create_keyval, MPI_Comm_copy_attr_function *copy,
       MPI_Comm_delete_attr_function *del, int *keyval, void *extra)
{
	return keyval_new(SM_COMM, (void *)copy, (void *)del, keyval, extra);
}

SM_API(int, Keyval_create, MPI_Copy_function *copy, MPI_Delete_function *del,
       int *keyval, void *extra)
{
	return keyval_new(SM_COMM, (void *)copy, (void *)del, keyval, extra);
}

SM_API(int, Type_create_keyval, MPI_Type_copy_attr_function *copy,
       MPI_Type_delete_attr_function *del, int *keyval, void *extra)
{
	return keyval_new(SM_TYPE, (void *)copy, (void *)del, keyval, extra);
}

SM_API(int, Win_create_keyval, MPI_Win_copy_attr_function *copy,
       MPI_Win_delete_attr_function *del, int *keyval, void *extra)
{
	return keyval_new(SM_WIN, (void *)copy, (void *)del, keyval, extra);
}

SM_API(int, Comm_free_keyval, int *keyval)
{
	return keyval_free(keyval);
}

SM_API(int, Keyval_free, int *keyval)
{
	return keyval_free(keyval);
}

SM_API(int, Type_free_keyval, int *keyval)
{
	return keyval_free(keyval);
}

SM_API(int, Win_free_keyval, int *keyval)
{
	return keyval_free(keyval);
}

static int comm_get(MPI_Comm comm, int key, void *value, int *flag)
{
	int i, ret;

	for (i = 0; i < N_PRE; i++) {
		if (predefined[i] != key)
			continue;
		*flag = pre_set[i];
		if (*flag)
			*(void **)value = &pre_value[i];
		return MPI_SUCCESS;
	}
	if (sm_in())
		return sm_real.Comm_get_attr(comm, key, value, flag);
	ret = attr_get(sm_comm(comm), key, value, flag);
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

static int comm_set(MPI_Comm comm, int key, void *value)
{
	int ret;

	if (sm_in())
		return sm_real.Comm_set_attr(comm, key, value);
	ret = attr_set(sm_comm(comm), SM_STORE(comm), key, value);
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

static int comm_delete(MPI_Comm comm, int key)
{
	int ret;

	if (sm_in())
		return sm_real.Comm_delete_attr(comm, key);
	ret = attr_delete(sm_comm(comm), SM_STORE(comm), key);
	sm_out();
	return ret ? sm_raise_Comm(comm, ret) : ret;
}

SM_API(int, Comm_get_attr, MPI_Comm comm, int key, void *value, int *flag)
{
	return comm_get(comm, key, value, flag);
}

SM_API(int, Attr_get, MPI_Comm comm, int key, void *value, int *flag)
{
	return comm_get(comm, key, value, flag);
}

SM_API(int, Comm_set_attr, MPI_Comm comm, int key, void *value)
{
	return comm_set(comm, key, value);
}

SM_API(int, Attr_put, MPI_Comm comm, int key, void *value)
{
	return comm_set(comm, key, value);
}

SM_API(int, Comm_delete_attr, MPI_Comm comm, int key)
{
	return comm_delete(comm, key);
}

SM_API(int, Attr_delete, MPI_Comm comm, int key)
{
	return comm_delete(comm, key);
}

/* Attributes of built-in datatypes hang on one object each, made on demand. */
static struct sm_obj *type_holder(MPI_Datatype t)
{
	static struct {
		MPI_Datatype t;
		struct sm_obj *o;
	} *held;
	static int n;
	void *p;
	int i;

	if (SM_VIRT(t))
		return sm_type_obj(t);
	for (i = 0; i < n; i++)
		if (held[i].t == t)
			return held[i].o;
	p = realloc(held, (size_t)(n + 1) * sizeof(*held));
	if (!p)
		return &sm_objs[SM_NULL_OBJ];
	held = p;
	held[n].t = t;
	held[n].o = sm_obj_new(SM_ERRH, 0, sm_site("attributes", 0, NULL));
	return held[n].o ? held[n++].o : &sm_objs[SM_NULL_OBJ];
}

SM_API(int, Type_set_attr, MPI_Datatype type, int key, void *value)
{
	int ret;

	if (sm_in())
		return sm_real.Type_set_attr(type, key, value);
	ret = attr_set(type_holder(type), SM_STORE(type), key, value);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Type_get_attr, MPI_Datatype type, int key, void *value, int *flag)
{
	int ret;

	if (sm_in())
		return sm_real.Type_get_attr(type, key, value, flag);
	ret = attr_get(type_holder(type), key, value, flag);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

SM_API(int, Type_delete_attr, MPI_Datatype type, int key)
{
	int ret;

	if (sm_in())
		return sm_real.Type_delete_attr(type, key);
	ret = attr_delete(type_holder(type), SM_STORE(type), key);
	sm_out();
	return ret ? sm_raise(ret) : ret;
}

static struct sm_obj *win_obj(MPI_Win w)
{
	return SM_VIRT(w) ? &sm_objs[SM_INDEX(w)] : &sm_objs[SM_NULL_OBJ];
}

SM_API(int, Win_set_attr, MPI_Win win, int key, void *value)
{
	int ret;

	if (sm_in())
		return sm_real.Win_set_attr(win, key, value);
	ret = attr_set(win_obj(win), SM_STORE(win), key, value);
	sm_out();
	return ret ? sm_raise_Win(win, ret) : ret;
}

SM_API(int, Win_get_attr, MPI_Win win, int key, void *value, int *flag)
{
	int ret;

	if (sm_in())
		return sm_real.Win_get_attr(win, key, value, flag);
	if (keyval_of(key))
		ret = attr_get(win_obj(win), key, value, flag);
	else
		ret = sm_real.Win_get_attr(SM_REAL(MPI_Win, win), key, value,
					   flag);
	sm_out();
	return ret ? sm_raise_Win(win, ret) : ret;
}

SM_API(int, Win_delete_attr, MPI_Win win, int key)
{
	int ret;

	if (sm_in())
		return sm_real.Win_delete_attr(win, key);
	ret = attr_delete(win_obj(win), SM_STORE(win), key);
	sm_out();
	return ret ? sm_raise_Win(win, ret) : ret;
}
