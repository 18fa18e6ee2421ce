/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Schemas: a record of the image is a C struct described by a table of fields.
 * One encoder, one bounded decoder and one printer serve every record, so a
 * new field is one line in records.def.  A schema is constant data; nothing
 * here allocates except through the caller's record set.
 */
#ifndef CRI_IMAGE_SCHEMA_H
#define CRI_IMAGE_SCHEMA_H

#include <stddef.h>
#include <stdint.h>

/* Variable-length bytes; owned by the record set that holds the record. */
struct cri_bytes {
	const void *p;
	uint32_t len;
};

enum cri_ftype {
	CRI_F_U32, /* uint32_t, little-endian in the image */
	CRI_F_U64, /* uint64_t */
	CRI_F_I64, /* int64_t */
	CRI_F_STR, /* char *, u32 length + bytes; NULL is written as "" */
	CRI_F_BYTES, /* struct cri_bytes, u32 length + bytes */
	CRI_F_LIST, /* pointer + uint32_t count, elements by sub schema */
};

struct cri_schema;

struct cri_field {
	const char *name;
	enum cri_ftype type;
	uint16_t offset;
	uint16_t count_offset; /* LIST: offset of the uint32_t count */
	uint16_t since; /* first record version that has the field */
	const struct cri_schema *sub;
};

struct cri_schema {
	const char *name;
	uint16_t type; /* record type, 0 for a list element */
	uint16_t version; /* newest version this code writes */
	uint32_t size; /* sizeof the C struct */
	uint32_t n_fields;
	const struct cri_field *fields;
};

/* NULL for an unknown type. */
const struct cri_schema *cri_schema_find(uint32_t type);

#endif
