/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MPICH 4.x.  The library is opened privately and bound to itself; UCX and
 * hwloc below it stay mapped for good, because UCX leaves pointers into its
 * text behind.  Process management is our own PMI-1 server from the first
 * start on: the launcher's connection is not used, so nothing of it is left
 * when the library goes.
 */
#include "config.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "impl/impl.h"

const char sm_impl_name[] = "mpich";
const bool sm_impl_own_pmi = true;
static void *lib;

static void pin(void)
{
	static const char *const names[] = { "libucm.so.0", "libucs.so.0",
					     "libuct.so.0", "libucp.so.0",
					     "libhwloc.so.15", NULL };
	int i;

	for (i = 0; names[i]; i++)
		dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/*
 * Hydra's proxy leaves its own pipes and sockets, a listening one among them,
 * open in the ranks it starts.  They are noted before main() and closed in
 * MPI_Init, if they are still what they were.
 */
#define MAX_LEAKED 64

static struct {
	int fd;
	dev_t dev;
	ino_t ino;
} leaked[MAX_LEAKED];
static int n_leaked;

__attribute__((constructor)) static void note_leaked(void)
{
	struct stat st;
	int fd;

	if (!getenv("STASIS_MPI_COORD") || !getenv("HYDI_CONTROL_FD"))
		return;
	for (fd = 3; fd < 1024 && n_leaked < MAX_LEAKED; fd++) {
		if (fstat(fd, &st) ||
		    !(S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)))
			continue;
		leaked[n_leaked].fd = fd;
		leaked[n_leaked].dev = st.st_dev;
		leaked[n_leaked++].ino = st.st_ino;
	}
}

static void close_leaked(void)
{
	struct stat st;
	int i;

	for (i = 0; i < n_leaked; i++)
		if (!fstat(leaked[i].fd, &st) && st.st_dev == leaked[i].dev &&
		    st.st_ino == leaked[i].ino)
			close(leaked[i].fd);
	n_leaked = 0;
}

int sm_impl_load(void)
{
	const char *path = getenv("STASIS_MPI_LIBRARY");

	setenv("UCX_MEM_EVENTS", "n", 0);
	setenv("UCX_ERROR_SIGNALS", "", 0);
	pin();
	lib = dlopen(path ? path : SM_REAL_LIBRARY,
		     RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
	return lib ? sm_impl_bind(lib) : MPI_ERR_OTHER;
}

int sm_impl_unload(void)
{
	memset(&sm_real, 0, sizeof(sm_real));
	if (dlclose(lib))
		return MPI_ERR_OTHER;
	lib = NULL;
	return MPI_SUCCESS;
}

int sm_impl_init(int *argc, char ***argv, int required, int *provided)
{
	/* The helper is another thread; under the gate it is alone. */
	if (required < MPI_THREAD_SERIALIZED)
		required = MPI_THREAD_SERIALIZED;
	return sm_real.Init_thread(argc, argv, required, provided);
}

void sm_impl_reserve(void)
{
	const char *fd = getenv("PMI_FD");

	if (!getenv("STASIS_MPI_COORD"))
		return;
	if (fd && *fd && !n_leaked)
		close(atoi(fd));
	close_leaked();
	unsetenv("PMI_PORT");
	unsetenv("PMI_SPAWNED");
	sm_env_reserve("PMI_FD", 15);
	sm_env_reserve("PMI_RANK", 15);
	sm_env_reserve("PMI_SIZE", 15);
	sm_env_reserve("STASIS_MPI_COORD", 255);
	sm_env_reserve("STASIS_MPI_KEY", 63);
}

bool sm_impl_predefined(const void *handle)
{
	return !handle;
}

/* mpi.h names this one as MPI_COMM_DUP_FN. */
__attribute__((visibility("default"))) int
MPIR_Dup_fn(MPI_Comm comm, int keyval, void *extra, void *in, void *out,
	    int *flag);

int MPIR_Dup_fn(MPI_Comm comm, int keyval, void *extra, void *in, void *out,
		int *flag)
{
	(void)comm;
	(void)keyval;
	(void)extra;
	*(void **)out = in;
	*flag = 1;
	return MPI_SUCCESS;
}

/* Of mpi.h's conversions only those of files are functions here. */
SM_API(MPI_Fint, File_c2f, MPI_File h)
{
	return SM_VIRT(h) ? 0x20000000 + (MPI_Fint)SM_INDEX(h) : 0;
}

SM_API(MPI_File, File_f2c, MPI_Fint f)
{
	return f >= 0x20000000 ? SM_HANDLE(MPI_File, SM_FILE,
					   (uint32_t)f - 0x20000000) :
				 MPI_FILE_NULL;
}
