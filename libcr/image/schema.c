/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The field tables, generated from records.def.  Constant data only.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/schema.h"

#include "image/records.h"

#define N_ELEMS(a) (sizeof(a) / sizeof((a)[0]))

#define SUB(n)                                                                 \
	enum { type_##n = 0, version_##n = 0 };                                \
	typedef struct cri_##n body_##n;                                       \
	static const struct cri_field fields_##n[] = {
#define RECORD(T, n, v)                                                        \
	enum { type_##n = CRI_REC_##T, version_##n = (v) };                    \
	_Static_assert(offsetof(struct cri_rec_##n, id) == 0, "id first");     \
	typedef struct cri_rec_##n body_##n;                                   \
	static const struct cri_field fields_##n[] = {
#define FIELD(n, f, t, v) { #f, (t), offsetof(body_##n, f), 0, (v), NULL },
#define U32_V(n, f, v) FIELD(n, f, CRI_F_U32, v)
#define U64_V(n, f, v) FIELD(n, f, CRI_F_U64, v)
#define I64_V(n, f, v) FIELD(n, f, CRI_F_I64, v)
#define STR_V(n, f, v) FIELD(n, f, CRI_F_STR, v)
#define BYTES_V(n, f, v) FIELD(n, f, CRI_F_BYTES, v)
#define LIST_V(n, s, f, v)                                                     \
	{ #f,                                                                  \
	  CRI_F_LIST,                                                          \
	  offsetof(body_##n, f),                                               \
	  offsetof(body_##n, n_##f),                                           \
	  (v),                                                                 \
	  &schema_##s },
#define U32(n, f) U32_V(n, f, 1)
#define U64(n, f) U64_V(n, f, 1)
#define I64(n, f) I64_V(n, f, 1)
#define STR(n, f) STR_V(n, f, 1)
#define BYTES(n, f) BYTES_V(n, f, 1)
#define LIST(n, s, f) LIST_V(n, s, f, 1)
#define END(n)                                                                 \
	}                                                                      \
	;                                                                      \
	static const struct cri_schema schema_##n = {                          \
		#n,                                                            \
		type_##n,                                                      \
		version_##n,                                                   \
		sizeof(body_##n),                                              \
		N_ELEMS(fields_##n),                                           \
		fields_##n,                                                    \
	};
#include "image/records.def"
#undef SUB
#undef RECORD
#undef U32
#undef U64
#undef I64
#undef STR
#undef BYTES
#undef LIST
#undef U32_V
#undef U64_V
#undef I64_V
#undef STR_V
#undef BYTES_V
#undef LIST_V
#undef END

#define SUB(n)
#define RECORD(T, n, v) [CRI_REC_##T] = &schema_##n,
#define U32(n, f)
#define U64(n, f)
#define I64(n, f)
#define STR(n, f)
#define BYTES(n, f)
#define LIST(n, s, f)
#define U32_V(n, f, v)
#define U64_V(n, f, v)
#define I64_V(n, f, v)
#define STR_V(n, f, v)
#define BYTES_V(n, f, v)
#define LIST_V(n, s, f, v)
#define END(n)
static const struct cri_schema *const schemas[CRI_REC_MAX] = {
#include "image/records.def"
};

const struct cri_schema *cri_schema_find(uint32_t type)
{
	return type < CRI_REC_MAX ? schemas[type] : NULL;
}
