/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All records as JSON, driven by the schemas: a new field needs no line here.
 * Bytes are hexadecimal; text that is no UTF-8 becomes \u00xx per byte.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/info.h"

#include <inttypes.h>
#include <string.h>

/* Length of the UTF-8 sequence at s, 0 when there is none. */
static unsigned int utf8_length(const unsigned char *s)
{
	unsigned int n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond the last code point. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void put_string(FILE *to, const char *text)
{
	const unsigned char *s = (const unsigned char *)(text ? text : "");
	unsigned int n;

	fputc('"', to);
	while (*s) {
		n = utf8_length(s);
		if (*s == '"' || *s == '\\') {
			fprintf(to, "\\%c", *s++);
		} else if (*s < 0x20 || *s == 0x7f || !n) {
			fprintf(to, "\\u%04x", *s++);
		} else {
			fwrite(s, 1, n, to);
			s += n;
		}
	}
	fputc('"', to);
}

static void put_bytes(FILE *to, const struct cri_bytes *b)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = b->p;
	uint32_t i;

	fputc('"', to);
	for (i = 0; i < b->len; i++) {
		fputc(digits[p[i] >> 4], to);
		fputc(digits[p[i] & 15], to);
	}
	fputc('"', to);
}

static void put_struct(FILE *to, const struct cri_schema *s, const char *rec);

static void put_list(FILE *to, const struct cri_field *f, const char *rec)
{
	const char *elems;
	uint32_t n, i;

	memcpy(&elems, rec + f->offset, sizeof(elems));
	memcpy(&n, rec + f->count_offset, sizeof(n));
	fputc('[', to);
	for (i = 0; i < n; i++) {
		if (i)
			fputs(", ", to);
		put_struct(to, f->sub, elems + (size_t)i * f->sub->size);
	}
	fputc(']', to);
}

static void put_field(FILE *to, const struct cri_field *f, const char *rec)
{
	struct cri_bytes bytes;
	const char *str;
	uint32_t u32;
	uint64_t u64;

	switch (f->type) {
	case CRI_F_U32:
		memcpy(&u32, rec + f->offset, sizeof(u32));
		fprintf(to, "%" PRIu32, u32);
		break;
	case CRI_F_U64:
		memcpy(&u64, rec + f->offset, sizeof(u64));
		fprintf(to, "%" PRIu64, u64);
		break;
	case CRI_F_I64:
		memcpy(&u64, rec + f->offset, sizeof(u64));
		fprintf(to, "%" PRId64, (int64_t)u64);
		break;
	case CRI_F_STR:
		memcpy(&str, rec + f->offset, sizeof(str));
		put_string(to, str);
		break;
	case CRI_F_BYTES:
		memcpy(&bytes, rec + f->offset, sizeof(bytes));
		put_bytes(to, &bytes);
		break;
	case CRI_F_LIST:
		put_list(to, f, rec);
		break;
	}
}

static void put_struct(FILE *to, const struct cri_schema *s, const char *rec)
{
	uint32_t i;

	fputc('{', to);
	for (i = 0; i < s->n_fields; i++) {
		fprintf(to, "%s\"%s\": ", i ? ", " : "", s->fields[i].name);
		put_field(to, &s->fields[i], rec);
	}
	fputc('}', to);
}

static void put_records(struct cri_reader *r, FILE *to)
{
	const struct cri_schema *s;
	uint32_t type, i, n;

	fputs("  \"records\": {", to);
	for (type = 1; type < CRI_REC_MAX; type++) {
		s = cri_schema_find(type);
		n = cri_recset_count(r->set, type);
		fprintf(to, "%s\n    \"%s\": [", type > 1 ? "," : "", s->name);
		for (i = 0; i < n; i++) {
			fputs(i ? ",\n      " : "\n      ", to);
			put_struct(to, s, cri_recset_at(r->set, type, i));
		}
		fputs("]", to);
	}
	fputs("\n  },\n", to);
}

static void put_extents(struct cri_reader *r, FILE *to)
{
	const struct cri_extent *e;
	uint32_t i, k;

	fputs("  \"extents\": [", to);
	for (i = 0; i < r->n_extents; i++) {
		e = &r->extents[i];
		fprintf(to,
			"%s\n    {\"object\": %u, \"pages\": %u, "
			"\"offset\": %" PRIu64 ", \"crc\": %u, \"runs\": [",
			i ? "," : "", e->obj, e->n_pages, e->offset, e->crc);
		for (k = 0; k < e->n_runs; k++)
			fprintf(to,
				"%s{\"page\": %" PRIu64 ", \"count\": %u, "
				"\"flags\": %u}",
				k ? ", " : "", e->runs[k].page,
				e->runs[k].count, e->runs[k].flags);
		fputs("]}", to);
	}
	fputs("\n  ]\n", to);
}

void cri_info_json(struct cri_reader *r, FILE *to)
{
	struct cri_bytes id = { r->head.id, CRI_ID_LEN };

	fprintf(to, "{\n  \"format\": {\"major\": %u, \"minor\": %u, \"id\": ",
		r->head.major, r->head.minor);
	put_bytes(to, &id);
	fprintf(to, ", \"size\": %" PRIu64 "},\n", r->size);
	put_records(r, to);
	put_extents(r, to);
	fputs("}\n", to);
}
