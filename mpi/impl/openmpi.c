/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open MPI 4.1.  Its components are plug-ins that look symbols up in the
 * global scope, so the library is opened RTLD_GLOBAL; some of them call back
 * into the front with real handles, which the depth counter tells apart.
 * Predefined handles are addresses of data objects that programs hold copies
 * of: those are the objects, for the library too, and are filled anew after
 * each load.
 */
#include "config.h"
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "impl/impl.h"

const char sm_impl_name[] = "openmpi";
const bool sm_impl_own_pmi = false;
static void *lib;

#define HASH 1024u
static const void *known[HASH];

static unsigned slot(const void *p)
{
	return (unsigned)((uintptr_t)p >> 6) * 2654435761u % HASH;
}

static void remember(void)
{
	const struct sm_data *d;
	unsigned i;

	for (d = sm_data; d->name; d++) {
		const void *p = dlsym(RTLD_DEFAULT, d->name);

		for (i = slot(p); known[i] && known[i] != p; i = (i + 1) % HASH)
			;
		known[i] = p;
	}
}

bool sm_impl_predefined(const void *handle)
{
	unsigned i;

	for (i = slot(handle); known[i]; i = (i + 1) % HASH)
		if (known[i] == handle)
			return true;
	return false;
}

int sm_impl_load(void)
{
	const char *path = getenv("STASIS_MPI_LIBRARY");
	int ret;

	lib = dlopen(path ? path : SM_REAL_LIBRARY, RTLD_NOW | RTLD_GLOBAL);
	if (!lib)
		return MPI_ERR_OTHER;
	ret = sm_impl_bind(lib);
	if (!ret)
		remember();
	return ret;
}

/* Finalize leaves descriptors of its deleted shared memory files open. */
static void close_leftovers(void)
{
	char path[64], target[256];
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	ssize_t n;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%.20s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strstr(target, "(deleted)") &&
		    (strstr(target, "vader_segment") ||
		     strstr(target, "ompi.") || strstr(target, "pmix")))
			close(atoi(e->d_name));
	}
	if (d)
		closedir(d);
}

int sm_impl_unload(void)
{
	memset(&sm_real, 0, sizeof(sm_real));
	if (dlclose(lib))
		return MPI_ERR_OTHER;
	lib = NULL;
	close_leftovers();
	return MPI_SUCCESS;
}

int sm_impl_init(int *argc, char ***argv, int required, int *provided)
{
	return sm_real.Init_thread(argc, argv, required, provided);
}

void sm_impl_reserve(void)
{
	/* Without it a second start fails: "getting local rank failed". */
	setenv("PMIX_MCA_gds", "hash", 1);
	if (!getenv("STASIS_MPI_COORD"))
		return;
	sm_env_reserve("STASIS_MPI_COORD", 255);
	sm_env_reserve("STASIS_MPI_KEY", 63);
}

#define NULL_FNS(K, H)                                                         \
	__attribute__((visibility("default"))) int                             \
		OMPI_C_MPI_##K##NULL_COPY_FN(H h, int k, void *extra,          \
					     void *in, void *out, int *flag)   \
	{                                                                      \
		(void)h, (void)k, (void)extra, (void)in, (void)out;            \
		*flag = 0;                                                     \
		return MPI_SUCCESS;                                            \
	}                                                                      \
	__attribute__((visibility("default"))) int                             \
		OMPI_C_MPI_##K##DUP_FN(H h, int k, void *extra, void *in,      \
				       void *out, int *flag)                   \
	{                                                                      \
		(void)h, (void)k, (void)extra;                                 \
		*flag = 1;                                                     \
		*(void **)out = in;                                            \
		return MPI_SUCCESS;                                            \
	}                                                                      \
	__attribute__((visibility("default"))) int                             \
		OMPI_C_MPI_##K##NULL_DELETE_FN(H h, int k, void *in,           \
					       void *extra)                    \
	{                                                                      \
		(void)h, (void)k, (void)extra, (void)in;                       \
		return MPI_SUCCESS;                                            \
	}

NULL_FNS(COMM_, MPI_Comm)
NULL_FNS(TYPE_, MPI_Datatype)
NULL_FNS(WIN_, MPI_Win)
NULL_FNS(, MPI_Comm)

/* Fortran numbers of handles: ours count from a base above all real ones. */
#define F_BASE 0x20000000

#define C2F(K)                                                                 \
	SM_API(MPI_Fint, K##_c2f, MPI_##K h)                                   \
	{                                                                      \
		if (!sm_tls.depth && SM_VIRT(h))                               \
			return F_BASE + (MPI_Fint)SM_INDEX(h);                 \
		return sm_real.K##_c2f(h);                                     \
	}
#define F2C(K, kind)                                                           \
	SM_API(MPI_##K, K##_f2c, MPI_Fint f)                                   \
	{                                                                      \
		if (!sm_tls.depth && f >= F_BASE)                              \
			return SM_HANDLE(MPI_##K, kind, (uint32_t)f - F_BASE); \
		return sm_real.K##_f2c(f);                                     \
	}
#define BOTH(K, kind) C2F(K) F2C(K, kind)

BOTH(Comm, SM_COMM)
BOTH(Errhandler, SM_ERRH)
BOTH(File, SM_FILE)
BOTH(Group, SM_GROUP)
BOTH(Info, SM_INFO)
BOTH(Message, SM_MSG)
BOTH(Op, SM_OP)
BOTH(Request, SM_REQUEST)
BOTH(Win, SM_WIN)

SM_API(MPI_Fint, Type_c2f, MPI_Datatype h)
{
	if (!sm_tls.depth && SM_VIRT(h))
		return F_BASE + (MPI_Fint)SM_INDEX(h);
	return sm_real.Type_c2f(h);
}

SM_API(MPI_Datatype, Type_f2c, MPI_Fint f)
{
	if (!sm_tls.depth && f >= F_BASE)
		return SM_HANDLE(MPI_Datatype, SM_TYPE, (uint32_t)f - F_BASE);
	return sm_real.Type_f2c(f);
}
