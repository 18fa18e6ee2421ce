/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Error handlers.  The library runs with MPI_ERRORS_RETURN everywhere; the
 * wrappers come here with what it returned, and the program's handler is
 * called from here with the program's handles.
 */
#include "config.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "front.h"

struct handler {
	void *fn;
};

static MPI_Errhandler new_handler(void *fn)
{
	struct sm_obj *o;
	struct handler *h = malloc(sizeof(*h));

	if (!h)
		return MPI_ERRHANDLER_NULL;
	h->fn = fn;
	o = sm_obj_new(SM_ERRH, 0, sm_site("MPI_Errhandler", 0, NULL));
	if (!o) {
		free(h);
		return MPI_ERRHANDLER_NULL;
	}
	o->any = h;
	return SM_HANDLE(MPI_Errhandler, SM_ERRH, sm_obj_index(o));
}

/* o->errh: 0 the default, 1 fatal, 2 return, else an object's index. */
#define E_FATAL 1u
#define E_RETURN 2u

static int set(struct sm_obj *o, MPI_Errhandler e)
{
	uint32_t old = o->errh;

	if (e == MPI_ERRORS_RETURN)
		o->errh = E_RETURN;
	else if (SM_VIRT(e))
		o->errh = SM_INDEX(e);
	else if (e == MPI_ERRHANDLER_NULL)
		return MPI_ERR_ARG;
	else
		o->errh = E_FATAL;
	if (o->errh >= SM_FIRST_OBJ)
		sm_obj_get(&sm_objs[o->errh]);
	if (old >= SM_FIRST_OBJ)
		sm_obj_put(&sm_objs[old]);
	return MPI_SUCCESS;
}

static MPI_Errhandler get(struct sm_obj *o, uint32_t unset)
{
	uint32_t e = o->errh ? o->errh : unset;

	if (e == E_RETURN)
		return MPI_ERRORS_RETURN;
	if (e == E_FATAL)
		return MPI_ERRORS_ARE_FATAL;
	sm_obj_get(&sm_objs[e]);
	return SM_HANDLE(MPI_Errhandler, SM_ERRH, e);
}

static void fatal(int code)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int n = 0;

	PMPI_Error_string(code, text, &n);
	fprintf(stderr, "stasis-mpi: rank %d: fatal error: %s\n", sm_life.rank,
		text);
	PMPI_Abort(MPI_COMM_WORLD, code);
	_exit(1);
}

static int raise_on(struct sm_obj *o, uint64_t handle, size_t size, int code,
		    uint32_t unset)
{
	uint32_t e = o->errh ? o->errh : unset;

	if (e == E_RETURN)
		return code;
	if (e == E_FATAL) {
		fatal(code);
	} else {
		struct handler *h = sm_objs[e].any;
		int c = code, h4 = (int)handle;
		void *h8 = (void *)(uintptr_t)handle;
		void *arg = size == 4 ? (void *)&h4 : (void *)&h8;

		((void (*)(void *, int *, ...))h->fn)(arg, &c);
	}
	return code;
}

int sm_raise_Comm(MPI_Comm comm, int code)
{
	struct sm_obj *o = sm_comm(comm);

	if (o == &sm_objs[SM_NULL_OBJ])
		return sm_raise(code);
	return raise_on(o, SM_STORE(comm), sizeof(comm), code, E_FATAL);
}

int sm_raise(int code)
{
	if (!sm_life.init || sm_life.finalized)
		return code;
	return sm_raise_Comm(MPI_COMM_WORLD, code);
}

static struct sm_obj *other_obj(const void *h, size_t size)
{
	uint64_t v = size == 4 ? *(const uint32_t *)h : *(const uint64_t *)h;
	bool virt = size == 4 ? (uint32_t)v >> 30 == 3 : (int64_t)v < 0;

	return virt ? &sm_objs[v & (SM_OBJ_MAX - 1)] : &sm_objs[SM_NULL_OBJ];
}

int sm_raise_Win(MPI_Win win, int code)
{
	return raise_on(other_obj(&win, sizeof(win)), SM_STORE(win),
			sizeof(win), code, E_FATAL);
}

/* The default of files is to return; it is set on MPI_FILE_NULL. */
static uint32_t file_default = E_RETURN;

int sm_raise_File(MPI_File file, int code)
{
	return raise_on(other_obj(&file, sizeof(file)), SM_STORE(file),
			sizeof(file), code, file_default);
}

#ifdef MPI_SESSION_NULL
int sm_raise_Session(MPI_Session session, int code)
{
	return raise_on(other_obj(&session, sizeof(session)),
			SM_STORE(session), sizeof(session), code, E_FATAL);
}
#endif

#define FOR_KIND(K, OBJ, UNSET)                                                \
	SM_API(int, K##_create_errhandler, MPI_##K##_errhandler_function *fn,  \
	       MPI_Errhandler *errhandler)                                     \
	{                                                                      \
		if (sm_in())                                                   \
			return sm_real.K##_create_errhandler(fn, errhandler);  \
		*errhandler = new_handler((void *)fn);                         \
		sm_out();                                                      \
		return MPI_SUCCESS;                                            \
	}                                                                      \
	SM_API(int, K##_set_errhandler, MPI_##K h, MPI_Errhandler e)           \
	{                                                                      \
		int ret;                                                       \
									       \
		if (sm_in())                                                   \
			return sm_real.K##_set_errhandler(h, e);               \
		ret = set(OBJ, e);                                             \
		sm_out();                                                      \
		return ret ? sm_raise_##K(h, ret) : ret;                       \
	}                                                                      \
	SM_API(int, K##_get_errhandler, MPI_##K h, MPI_Errhandler *e)          \
	{                                                                      \
		if (sm_in())                                                   \
			return sm_real.K##_get_errhandler(h, e);               \
		*e = get(OBJ, UNSET);                                          \
		sm_out();                                                      \
		return MPI_SUCCESS;                                            \
	}                                                                      \
	SM_API(int, K##_call_errhandler, MPI_##K h, int code)                  \
	{                                                                      \
		if (sm_tls.depth)                                              \
			return sm_real.K##_call_errhandler(h, code);           \
		sm_raise_##K(h, code);                                         \
		return MPI_SUCCESS;                                            \
	}

FOR_KIND(Comm, sm_comm(h), E_FATAL)
FOR_KIND(Win, other_obj(&h, sizeof(h)), E_FATAL)
FOR_KIND(File, other_obj(&h, sizeof(h)), file_default)
#ifdef MPI_SESSION_NULL
FOR_KIND(Session, other_obj(&h, sizeof(h)), E_FATAL)
#endif

#ifdef SM_HAVE_Errhandler_create /* gone from MPI 3 on */
SM_API(int, Errhandler_create, MPI_Handler_function *fn, MPI_Errhandler *e)
{
	return PMPI_Comm_create_errhandler(fn, e);
}

SM_API(int, Errhandler_set, MPI_Comm comm, MPI_Errhandler e)
{
	return PMPI_Comm_set_errhandler(comm, e);
}

SM_API(int, Errhandler_get, MPI_Comm comm, MPI_Errhandler *e)
{
	return PMPI_Comm_get_errhandler(comm, e);
}
#endif

SM_API(int, Errhandler_free, MPI_Errhandler *e)
{
	if (sm_in())
		return sm_real.Errhandler_free(e);
	if (SM_VIRT(*e))
		sm_obj_put(&sm_objs[SM_INDEX(*e)]);
	*e = MPI_ERRHANDLER_NULL;
	sm_out();
	return MPI_SUCCESS;
}
