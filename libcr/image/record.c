/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One encoder and one bounded decoder for all records, driven by the schemas.
 * Numbers are little-endian; strings, bytes and lists begin with a u32 length
 * or count.  What the decoder builds lives in the caller's record set.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/recset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image/buf.h"
#include "image/recset_int.h"
#include "util/cursor.h"

static const char *at(const void *rec, uint16_t offset)
{
	return (const char *)rec + offset;
}

static int put_blob(struct cri_buf *b, const void *p, size_t len)
{
	uint32_t n = (uint32_t)len;
	int ret;

	if (len > UINT32_MAX)
		return -EFBIG;
	ret = cri_buf_add(b, &n, sizeof(n));
	if (ret)
		return ret;
	return cri_buf_add(b, p, len);
}

static int put_struct(struct cri_buf *b, const struct cri_schema *s,
		      const void *rec);

static int put_list(struct cri_buf *b, const struct cri_field *f,
		    const void *rec)
{
	const char *elems;
	uint32_t n, i;
	int ret;

	memcpy(&elems, at(rec, f->offset), sizeof(elems));
	memcpy(&n, at(rec, f->count_offset), sizeof(n));
	ret = cri_buf_add(b, &n, sizeof(n));
	for (i = 0; !ret && i < n; i++)
		ret = put_struct(b, f->sub, elems + (size_t)i * f->sub->size);
	return ret;
}

static int put_field(struct cri_buf *b, const struct cri_field *f,
		     const void *rec)
{
	struct cri_bytes bytes;
	const char *str;

	switch (f->type) {
	case CRI_F_U32:
		return cri_buf_add(b, at(rec, f->offset), sizeof(uint32_t));
	case CRI_F_U64:
	case CRI_F_I64:
		return cri_buf_add(b, at(rec, f->offset), sizeof(uint64_t));
	case CRI_F_STR:
		memcpy(&str, at(rec, f->offset), sizeof(str));
		return put_blob(b, str, str ? strlen(str) : 0);
	case CRI_F_BYTES:
		memcpy(&bytes, at(rec, f->offset), sizeof(bytes));
		return put_blob(b, bytes.p, bytes.len);
	case CRI_F_LIST:
		return put_list(b, f, rec);
	}
	return -EINVAL;
}

static int put_struct(struct cri_buf *b, const struct cri_schema *s,
		      const void *rec)
{
	uint32_t i;
	int ret;

	for (i = 0; i < s->n_fields; i++) {
		ret = put_field(b, &s->fields[i], rec);
		if (ret)
			return ret;
	}
	return 0;
}

int cri_record_put(struct cri_buf *b, const struct cri_schema *s,
		   const void *rec)
{
	return put_struct(b, s, rec);
}

int cri_record_encode(const struct cri_schema *s, const void *rec, void **buf,
		      size_t *len)
{
	struct cri_buf b = { 0 };
	int ret;

	ret = put_struct(&b, s, rec);
	if (ret) {
		free(b.p);
		return ret;
	}
	*buf = b.p;
	*len = b.len;
	return 0;
}

/* State of one decode; the path to the bad field is told from the inside. */
struct decode {
	struct cri_recset *set;
	struct cri_cur cur;
	uint16_t version;
	const struct cri_schema *schema; /* of the record */
	struct cri_err *err;
};

static int bad(struct decode *d, int code, const struct cri_field *f,
	       const char *why)
{
	return cri_fail(d->err, code, "%s record, field %s, byte %zu: %s",
			d->schema->name, f ? f->name : "-",
			cri_cur_at(&d->cur), why);
}

/* A list of n elements takes at least this many bytes of input. */
static size_t least_size(const struct cri_schema *s, uint16_t version)
{
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < s->n_fields; i++) {
		if (s->fields[i].since > version)
			continue;
		if (s->fields[i].type == CRI_F_U64 ||
		    s->fields[i].type == CRI_F_I64)
			size += 8;
		else
			size += 4;
	}
	return size;
}

static int get_blob(struct decode *d, const struct cri_field *f,
		    const void **p, uint32_t *len)
{
	int ret;

	ret = cri_cur_u32(&d->cur, len);
	if (ret)
		return bad(d, EBADMSG, f, "ends too early");
	ret = cri_cur_bytes(&d->cur, *len, p);
	if (ret)
		return bad(d, EBADMSG, f, "is longer than its record");
	return 0;
}

static int get_str(struct decode *d, const struct cri_field *f, void *rec)
{
	const void *p;
	uint32_t len;
	char *s;
	int ret;

	ret = get_blob(d, f, &p, &len);
	if (ret)
		return ret;
	if (len && memchr(p, 0, len))
		return bad(d, EBADMSG, f, "has a zero byte in its text");
	s = cri_recset_alloc(d->set, (size_t)len + 1);
	if (!s)
		return bad(d, ENOMEM, f, "out of memory");
	if (len)
		memcpy(s, p, len);
	memcpy((char *)rec + f->offset, &s, sizeof(s));
	return 0;
}

static int get_bytes(struct decode *d, const struct cri_field *f, void *rec)
{
	struct cri_bytes bytes;
	const void *p;
	uint32_t len;
	int ret;

	ret = get_blob(d, f, &p, &len);
	if (ret)
		return ret;
	ret = cri_recset_bytes(d->set, &bytes, p, len);
	if (ret)
		return bad(d, -ret, f, "out of memory");
	memcpy((char *)rec + f->offset, &bytes, sizeof(bytes));
	return 0;
}

static int get_struct(struct decode *d, const struct cri_schema *s, void *rec);

static int get_list(struct decode *d, const struct cri_field *f, void *rec)
{
	size_t least = least_size(f->sub, d->version);
	char *elems = NULL;
	uint32_t n, i;
	int ret;

	ret = cri_cur_u32(&d->cur, &n);
	if (ret)
		return bad(d, EBADMSG, f, "ends too early");
	if (n > cri_cur_left(&d->cur) / least)
		return bad(d, EBADMSG, f, "counts more than its record holds");
	if (n) {
		elems = cri_recset_alloc(d->set, (size_t)cri_list_capacity(n) *
							 f->sub->size);
		if (!elems)
			return bad(d, ENOMEM, f, "out of memory");
	}
	for (i = 0; i < n; i++) {
		ret = get_struct(d, f->sub, elems + (size_t)i * f->sub->size);
		if (ret)
			return ret;
	}
	memcpy((char *)rec + f->offset, &elems, sizeof(elems));
	memcpy((char *)rec + f->count_offset, &n, sizeof(n));
	return 0;
}

static int get_number(struct decode *d, const struct cri_field *f, void *rec,
		      size_t size)
{
	int ret;

	ret = cri_cur_copy(&d->cur, (char *)rec + f->offset, size);
	if (ret)
		return bad(d, EBADMSG, f, "ends too early");
	return 0;
}

static int get_field(struct decode *d, const struct cri_field *f, void *rec)
{
	switch (f->type) {
	case CRI_F_U32:
		return get_number(d, f, rec, sizeof(uint32_t));
	case CRI_F_U64:
	case CRI_F_I64:
		return get_number(d, f, rec, sizeof(uint64_t));
	case CRI_F_STR:
		return get_str(d, f, rec);
	case CRI_F_BYTES:
		return get_bytes(d, f, rec);
	case CRI_F_LIST:
		return get_list(d, f, rec);
	}
	return -EINVAL;
}

/* A string field is never NULL in a decoded record, also when it is newer. */
static void missing(const struct cri_field *f, void *rec)
{
	static char empty[1];
	char *s = empty;

	if (f->type == CRI_F_STR)
		memcpy((char *)rec + f->offset, &s, sizeof(s));
}

static int get_struct(struct decode *d, const struct cri_schema *s, void *rec)
{
	uint32_t i;
	int ret;

	for (i = 0; i < s->n_fields; i++) {
		if (s->fields[i].since > d->version) {
			missing(&s->fields[i], rec);
			continue;
		}
		ret = get_field(d, &s->fields[i], rec);
		if (ret)
			return ret;
	}
	return 0;
}

/* Object ids go on after those in use. */
static void note_objects(struct cri_recset *set, enum cri_rec_type type,
			 const void *rec)
{
	const struct cri_rec_file *file = rec;
	uint32_t id;

	memcpy(&id, rec, sizeof(id));
	if (type == CRI_REC_MM || type == CRI_REC_SHMEM ||
	    type == CRI_REC_SYSVSHM)
		cri_recset_object_seen(set, id);
	if (type == CRI_REC_FILE)
		cri_recset_object_seen(set, file->content);
}

int cri_record_decode(struct cri_recset *set, enum cri_rec_type type,
		      uint16_t version, const void *buf, size_t len,
		      struct cri_err *err)
{
	struct decode d = { .set = set, .version = version, .err = err };
	void *rec;
	int ret;

	d.schema = cri_schema_find(type);
	if (!d.schema)
		return cri_fail(err, EINVAL, "unknown record type %d", type);
	if (!version)
		return cri_fail(err, EBADMSG, "%s record has version 0",
				d.schema->name);
	if (version > d.schema->version)
		return cri_fail(err, EPROTONOSUPPORT,
				"%s record of version %u, newer than %u",
				d.schema->name, version, d.schema->version);
	cri_cur_init(&d.cur, buf, len);
	rec = cri_recset_alloc(set, d.schema->size);
	if (!rec)
		return bad(&d, ENOMEM, NULL, "out of memory");
	ret = get_struct(&d, d.schema, rec);
	if (ret)
		return ret;
	ret = cri_cur_done(&d.cur);
	if (ret)
		return bad(&d, EBADMSG, NULL, "has bytes after its end");
	ret = cri_recset_insert(set, type, rec);
	if (ret == -EEXIST)
		return bad(&d, EBADMSG, NULL, "has an id that is taken");
	if (ret == -EINVAL)
		return bad(&d, EBADMSG, NULL, "has id 0");
	if (ret)
		return bad(&d, -ret, NULL, "out of memory");
	note_objects(set, type, rec);
	return 0;
}
