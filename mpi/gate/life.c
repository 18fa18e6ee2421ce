/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From MPI_Init to MPI_Finalize, and what can be asked at any time.  Until
 * MPI_Init the front is inert, because it is preloaded into every child of
 * the program too.
 */
#include "config.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "gate/gate.h"

struct sm_real sm_real;
struct sm_life sm_life = { .rank = -1, .hidden = MPI_COMM_NULL,
			   .self = MPI_COMM_NULL };
static bool loaded;
static char processor[MPI_MAX_PROCESSOR_NAME];
static int processor_len;

/* The library installs handlers when loaded and initialised; none stay. */
static void signals(struct sigaction *a, bool save)
{
	int i;

	for (i = 1; i < 32; i++) {
		if (save)
			sigaction(i, NULL, &a[i]);
		else if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &a[i], NULL);
	}
}

int sm_load(void)
{
	struct sigaction sa[32];
	int ret;

	if (loaded)
		return 0;
	signals(sa, true);
	ret = sm_table_init();
	if (!ret)
		ret = sm_impl_load();
	signals(sa, false);
	loaded = !ret;
	return ret;
}

int sm_internal_up(void)
{
	int ret;

	ret = sm_real.Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	if (!ret)
		ret = sm_real.Comm_set_errhandler(MPI_COMM_SELF,
						  MPI_ERRORS_RETURN);
	if (!ret)
		ret = sm_real.Comm_dup(MPI_COMM_WORLD, &sm_life.hidden);
	if (!ret)
		ret = sm_real.Comm_dup(MPI_COMM_SELF, &sm_life.self);
	return ret;
}

int sm_internal_down(void)
{
	int ret = sm_real.Comm_free(&sm_life.self);

	return ret ? ret : sm_real.Comm_free(&sm_life.hidden);
}

static int env_number(const char *const *names, int unset)
{
	const char *v;

	for (; *names; names++) {
		v = getenv(*names);
		if (v && *v)
			return atoi(v);
	}
	return unset;
}

static void who_am_i(void)
{
	static const char *const rank[] = { "PMI_RANK", "PMIX_RANK",
					    "OMPI_COMM_WORLD_RANK",
					    "SLURM_PROCID", NULL };
	static const char *const size[] = { "PMI_SIZE", "OMPI_COMM_WORLD_SIZE",
					    "SLURM_NTASKS", NULL };

	sm_life.rank = env_number(rank, 0);
	sm_life.size = env_number(size, 1);
}

static int init(int *argc, char ***argv, int required, int *provided)
{
	struct sigaction sa[32];
	int got = 0, ret;

	if (sm_life.init)
		return MPI_ERR_OTHER;
	ret = sm_load();
	if (ret)
		return ret;
	who_am_i();
	sm_tls.depth = 1;
	sm_impl_reserve();
	if (sm_impl_own_pmi && getenv("STASIS_MPI_COORD") &&
	    sm_pmi_environment())
		return MPI_ERR_OTHER;
	signals(sa, true);
	ret = sm_impl_init(argc, argv, required, &got);
	signals(sa, false);
	if (!ret)
		ret = sm_internal_up();
	if (!ret)
		ret = sm_comm_predefined();
	if (!ret)
		ret = sm_real.Get_processor_name(processor, &processor_len);
	if (!ret)
		sm_attrs_predefined();
	sm_tls.depth = 0;
	if (ret)
		return ret;
	sm_life.rank = sm_objs[SM_WORLD_OBJ].comm->rank;
	sm_life.size = sm_objs[SM_WORLD_OBJ].comm->size;
	sm_life.main_thread = (unsigned long)pthread_self();
	sm_life.level = got < required ? got : required;
	if (sm_life.level == MPI_THREAD_MULTIPLE)
		sm_stop |= SM_STOP_MULTI;
	sm_life.init = true;
	sm_stop &= ~SM_STOP_INIT;
	*provided = sm_life.level;
	return sm_helper_start() ? MPI_ERR_OTHER : MPI_SUCCESS;
}

SM_API(int, Init, int *argc, char ***argv)
{
	int got;

	if (sm_tls.depth)
		return sm_real.Init(argc, argv);
	return init(argc, argv, MPI_THREAD_SINGLE, &got);
}

SM_API(int, Init_thread, int *argc, char ***argv, int required, int *provided)
{
	if (sm_tls.depth)
		return sm_real.Init_thread(argc, argv, required, provided);
	return init(argc, argv, required, provided);
}

SM_API(int, Finalize, void)
{
	struct sm_obj *self = &sm_objs[SM_SELF_OBJ];
	int ret;

	if (sm_tls.depth)
		return sm_real.Finalize();
	if (!sm_life.init || sm_life.finalized)
		return MPI_ERR_OTHER;
	ret = sm_attrs_delete(self, SM_STORE(MPI_COMM_SELF));
	if (ret)
		return sm_raise(ret);
	sm_in();
	sm_coll_enter(&sm_objs[SM_WORLD_OBJ], "MPI_Finalize");
	sm_bsend_finish();
	sm_out();
	/* A cycle under way ends first; everybody else comes here too. */
	sm_helper_stop();
	sm_tls.depth = 1;
	ret = sm_internal_down();
	if (!ret)
		ret = sm_real.Finalize();
	sm_tls.depth = 0;
	sm_life.finalized = true;
	sm_stop = SM_STOP_INIT;
	return ret;
}

SM_API(int, Initialized, int *flag)
{
	if (sm_tls.depth)
		return sm_real.Initialized(flag);
	*flag = sm_life.init;
	return MPI_SUCCESS;
}

SM_API(int, Finalized, int *flag)
{
	if (sm_tls.depth)
		return sm_real.Finalized(flag);
	*flag = sm_life.finalized;
	return MPI_SUCCESS;
}

SM_API(int, Query_thread, int *provided)
{
	if (sm_tls.depth)
		return sm_real.Query_thread(provided);
	*provided = sm_life.level;
	return MPI_SUCCESS;
}

SM_API(int, Is_thread_main, int *flag)
{
	if (sm_tls.depth)
		return sm_real.Is_thread_main(flag);
	*flag = (unsigned long)pthread_self() == sm_life.main_thread;
	return MPI_SUCCESS;
}

SM_API(int, Abort, MPI_Comm comm, int code)
{
	if (sm_tls.depth)
		return sm_real.Abort(comm, code);
	sm_helper_abort(code);
	sm_tls.depth++;
	if (sm_phase != SM_AWAY && sm_life.init && !sm_life.finalized)
		sm_real.Abort(MPI_COMM_WORLD, code);
	_exit(code);
}

/* Our own clock: it must not jump when the library is started anew. */
SM_API(double, Wtime, void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

SM_API(double, Wtick, void)
{
	return 1e-9;
}

SM_API(int, Pcontrol, const int level, ...)
{
	(void)level;
	return MPI_SUCCESS;
}

SM_API(int, Get_processor_name, char *name, int *len)
{
	if (sm_tls.depth)
		return sm_real.Get_processor_name(name, len);
	memcpy(name, processor, (size_t)processor_len + 1);
	*len = processor_len;
	return MPI_SUCCESS;
}
