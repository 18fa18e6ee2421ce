/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filling the table of the real library's functions and data. */
#include "config.h"
#include <dlfcn.h>
#include <string.h>
#include "impl/impl.h"

int sm_impl_bind(void *lib)
{
	const struct sm_symbol *s;
	const struct sm_data *d;

	for (s = sm_symbols; s->name; s++) {
		char name[80] = "P";
		void *fn;

		strncat(name, s->name, sizeof(name) - 2);
		fn = dlsym(lib, name);
		if (!fn)
			fn = dlsym(lib, s->name);
		memcpy((char *)&sm_real + s->offset, &fn, sizeof(fn));
	}
	/*
	 * Programs hold copies of the data objects; those are what everybody
	 * uses, and they get the library's initial contents.
	 */
	for (d = sm_data; d->name; d++) {
		void *to = dlsym(RTLD_DEFAULT, d->name);
		const void *from = dlsym(lib, d->name);

		if (to && from && to != from && strncmp(d->name, "MPI_F", 5))
			memcpy(to, from, d->size);
	}
	return sm_real.Init_thread ? 0 : MPI_ERR_OTHER;
}
