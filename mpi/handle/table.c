/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of all objects but requests, and the translation of handles that
 * the library hands out.  Object addresses never change, so that the program
 * may keep handles anywhere; the table is reserved address space of which
 * only used pages exist.
 */
#include "config.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "front.h"

struct sm_obj *sm_objs;
uint32_t sm_objs_top = SM_FIRST_OBJ;
static uint32_t free_head;
static struct {
	const char *func;
	void *caller;
	time_t since;
} sticky;

static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int sm_table_init(void)
{
	if (sm_objs)
		return 0;
	sm_reqs = reserve((size_t)SM_REQ_MAX * sizeof(*sm_reqs));
	sm_objs = reserve((size_t)SM_OBJ_MAX * sizeof(*sm_objs));
	return sm_objs && sm_reqs ? 0 : MPI_ERR_OTHER;
}

struct sm_obj *sm_obj_new(enum sm_kind kind, uint64_t real, struct sm_site site)
{
	struct sm_obj *o;

	if (free_head) {
		o = &sm_objs[free_head];
		free_head = o->next_free;
	} else if (sm_objs_top < SM_OBJ_MAX) {
		o = &sm_objs[sm_objs_top++];
	} else {
		return NULL;
	}
	memset(o, 0, sizeof(*o));
	o->real = real;
	o->kind = (uint8_t)kind;
	o->refs = 1;
	o->site = site;
	if (site.refuse)
		o->since = time(NULL);
	return o;
}

void sm_obj_get(struct sm_obj *o)
{
	o->refs++;
}

static void release(struct sm_obj *o)
{
	switch (o->kind) {
	case SM_COMM:
		sm_comm_release(o);
		break;
	case SM_TYPE:
		sm_type_release(o);
		break;
	case SM_OP:
		sm_op_release(o);
		break;
	case SM_GROUP:
		sm_group_release(o);
		break;
	case SM_INFO:
		sm_info_release(o);
		break;
	default:
		free(o->any);
		break;
	}
}

void sm_obj_put(struct sm_obj *o)
{
	if (--o->refs || sm_obj_index(o) < SM_FIRST_OBJ)
		return;
	release(o);
	memset(o, 0, sizeof(*o));
	o->next_free = free_head;
	free_head = sm_obj_index(o);
}

/* Null and built-in handles stay what they are in every process life. */
static bool constant(uint64_t real, size_t size)
{
	if (size == 4) {
		uint32_t h = (uint32_t)real;

		/* MPICH: kinds 0 and 1, and the pair types of kind 2 */
		return h >> 30 < 2 || (h >> 8 == 0x8c0000 && (h & 0xff) < 5);
	}
	return real == 0 || sm_impl_predefined((void *)(uintptr_t)real);
}

#define NEW(K, kind)                                                           \
	MPI_##K sm_new_##K(MPI_##K real, struct sm_site s)                     \
	{                                                                      \
		struct sm_obj *o;                                              \
									       \
		if (constant(SM_STORE(real), sizeof(real)))                    \
			return real;                                           \
		o = sm_obj_new(kind, SM_STORE(real), s);                       \
		return o ? SM_HANDLE(MPI_##K, kind, sm_obj_index(o)) : real;   \
	}

NEW(Group, SM_GROUP)
NEW(Op, SM_OP)
NEW(File, SM_FILE)
NEW(Errhandler, SM_ERRH)
NEW(Info, SM_INFO)
NEW(Message, SM_MSG)
NEW(Datatype, SM_TYPE)
#ifdef MPI_SESSION_NULL
NEW(Session, SM_SESSION)
#endif

MPI_Win sm_new_Win(MPI_Win real, struct sm_site s)
{
	struct sm_obj *o;

	if (constant(SM_STORE(real), sizeof(real)))
		return real;
	sm_real.Win_set_errhandler(real, MPI_ERRORS_RETURN);
	o = sm_obj_new(SM_WIN, SM_STORE(real), s);
	return o ? SM_HANDLE(MPI_Win, SM_WIN, sm_obj_index(o)) : real;
}

#define ARRAY(K)                                                               \
	int sm_array_##K(const MPI_##K *in, int n, MPI_##K **out)              \
	{                                                                      \
		int i;                                                         \
									       \
		if (!in || n <= 0)                                             \
			return MPI_SUCCESS;                                    \
		*out = malloc((size_t)n * sizeof(**out));                      \
		if (!*out)                                                     \
			return MPI_ERR_NO_MEM;                                 \
		for (i = 0; i < n; i++)                                        \
			(*out)[i] = SM_REAL(MPI_##K, in[i]);                   \
		return MPI_SUCCESS;                                            \
	}

ARRAY(Datatype)
ARRAY(Info)

void sm_sticky(const char *func, void *caller)
{
	if (sticky.func)
		return;
	sticky.func = func;
	sticky.caller = caller;
	sticky.since = time(NULL);
}

static const char *kind_name(int kind)
{
	static const char *const names[] = {
		[SM_COMM] = "communicator", [SM_TYPE] = "datatype",
		[SM_GROUP] = "group",       [SM_OP] = "operation",
		[SM_WIN] = "window",        [SM_FILE] = "file",
		[SM_ERRH] = "error handler", [SM_INFO] = "info object",
		[SM_MSG] = "message",       [SM_SESSION] = "session",
		[SM_REQUEST] = "request",
	};

	return names[kind] ? names[kind] : "object";
}

static void describe(char *buf, size_t size, const char *what,
		     const char *func, void *caller, time_t since)
{
	Dl_info d = { 0 };
	char when[16] = "?";
	struct tm tm;
	const char *base = "?";

	if (dladdr(caller, &d) && d.dli_fname) {
		base = strrchr(d.dli_fname, '/');
		base = base ? base + 1 : d.dli_fname;
	}
	if (localtime_r(&since, &tm))
		strftime(when, sizeof(when), "%H:%M:%S", &tm);
	snprintf(buf, size,
		 "rank %d: %s from %s at %s+0x%lx, since %s: cannot be moved "
		 "yet",
		 sm_life.rank, what, func, base,
		 (unsigned long)((char *)caller - (char *)d.dli_fbase), when);
}

int sm_refusal(char *buf, size_t size)
{
	uint32_t i;

	if (sticky.func) {
		describe(buf, size, "state", sticky.func, sticky.caller,
			 sticky.since);
		return 1;
	}
	for (i = SM_FIRST_OBJ; i < sm_objs_top; i++) {
		struct sm_obj *o = &sm_objs[i];

		if (o->kind == SM_FREE || !o->site.refuse)
			continue;
		describe(buf, size, kind_name(o->kind), o->site.func,
			 o->site.caller, o->since);
		return 1;
	}
	for (i = 1; i < sm_reqs_top; i++) {
		struct sm_req *r = &sm_reqs[i];

		if (r->op != SM_R_GEN || r->state == SM_Q_DONE)
			continue;
		describe(buf, size, kind_name(SM_REQUEST), r->site.func,
			 r->site.caller, r->since);
		return 1;
	}
	return 0;
}
