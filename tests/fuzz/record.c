/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: one record.  Type, version, then the payload; what decodes must
 * encode to the same bytes.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "image/recset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct cri_schema *s;
	struct cri_err err = { 0 };
	struct cri_recset *set;
	uint8_t *copy;
	size_t len;
	void *out;

	if (size < 2)
		return 0;
	/* Exactly as long as it is, so that the sanitizer sees its end. */
	copy = malloc(size - 2 ? size - 2 : 1);
	memcpy(copy, data + 2, size - 2);
	if (cri_recset_new(&set))
		abort();
	s = cri_schema_find(data[0]);
	if (!cri_record_decode(set, data[0], data[1], copy, size - 2, &err)) {
		if (cri_record_encode(s, cri_recset_at(set, data[0], 0), &out,
				      &len))
			abort();
		if (data[1] == s->version &&
		    (len != size - 2 || memcmp(out, copy, len)))
			abort();
		free(out);
	} else if (!err.code) {
		abort();
	}
	cri_recset_free(set);
	free(copy);
	return 0;
}
