/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manifest as a struct and as JSON.  Names from a manifest are single
 * path components, numbers are bounded, unknown members are ignored so that
 * a newer version may add some.
 */
#include <config.h>

#include "manifest.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"

void sj_manifest_init(struct sj_manifest *m)
{
	memset(m, 0, sizeof(*m));
	m->array_task = SJ_ANY;
}

void sj_manifest_fini(struct sj_manifest *m)
{
	free(m->images);
	free(m->stubs);
	sj_manifest_init(m);
}

/* One more zeroed element at the end of an array. */
static void *grow(void **array, uint32_t *n, size_t size)
{
	char *bigger;

	if (*n >= SJ_IMAGES_MAX)
		return NULL;
	bigger = reallocarray(*array, *n + 1, size);
	if (!bigger)
		return NULL;
	*array = bigger;
	bigger += *n * size;
	memset(bigger, 0, size);
	(*n)++;
	return bigger;
}

struct sj_image *sj_manifest_image(struct sj_manifest *m)
{
	return grow((void **)&m->images, &m->n_images, sizeof(*m->images));
}

struct sj_stub *sj_manifest_stub(struct sj_manifest *m)
{
	return grow((void **)&m->stubs, &m->n_stubs, sizeof(*m->stubs));
}

static json_t *print_images(const struct sj_manifest *m)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < m->n_images; i++) {
		const struct sj_image *im = &m->images[i];

		json_array_append_new(
			list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}",
					"file", im->file, "node", im->node,
					"step", (json_int_t)im->step, "task",
					(json_int_t)im->task, "tasks",
					(json_int_t)im->tasks, "status",
					(json_int_t)im->status, "bytes",
					(json_int_t)im->bytes));
	}
	return list;
}

static json_t *print_stubs(const struct sj_manifest *m)
{
	json_t *list = json_array();
	uint32_t i;

	for (i = 0; i < m->n_stubs; i++)
		json_array_append_new(
			list, json_pack("{s:I, s:I}", "pid",
					(json_int_t)m->stubs[i].pid, "step",
					(json_int_t)m->stubs[i].step));
	return list;
}

int sj_manifest_print(const struct sj_manifest *m, char **text)
{
	json_t *o;

	o = json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I,"
		      " s:o, s:o}",
		      "version", SJ_MANIFEST_VERSION, "cluster", m->cluster,
		      "job", (json_int_t)m->job, "array_task",
		      (json_int_t)m->array_task, "nonce", m->nonce, "script",
		      m->script, "epoch", (json_int_t)m->epoch, "seq",
		      (json_int_t)m->seq, "time_ms", (json_int_t)m->time_ms,
		      "pause_us", (json_int_t)m->pause_us, "total_us",
		      (json_int_t)m->total_us, "images", print_images(m),
		      "stubs", print_stubs(m));
	if (!o)
		return -ENOMEM;
	*text = json_dumps(o, JSON_INDENT(1));
	json_decref(o);
	return *text ? 0 : -ENOMEM;
}

static int get_num(const json_t *o, const char *key, uint64_t max, uint64_t *v)
{
	const json_t *e = json_object_get(o, key);
	json_int_t n;

	if (!json_is_integer(e))
		return -EBADMSG;
	n = json_integer_value(e);
	if (n < 0 || (uint64_t)n > max)
		return -EBADMSG;
	*v = n;
	return 0;
}

static int get_u32(const json_t *o, const char *key, uint32_t *v)
{
	uint64_t n;
	int ret;

	ret = get_num(o, key, UINT32_MAX, &n);
	if (!ret)
		*v = n;
	return ret;
}

static int get_name(const json_t *o, const char *key, char *buf, size_t size,
		    int may_be_empty)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (!text || sj_fmt(buf, size, "%s", text))
		return -EBADMSG;
	if (!*buf)
		return may_be_empty ? 0 : -EBADMSG;
	return sj_name_ok(buf) ? 0 : -EBADMSG;
}

static int get_script(const json_t *o, char *buf, size_t size)
{
	const char *text = json_string_value(json_object_get(o, "script"));

	if (!text || sj_fmt(buf, size, "%s", text))
		return -EBADMSG;
	return *buf && *buf != '/' ? -EBADMSG : 0;
}

static int parse_image(struct sj_manifest *m, const json_t *o)
{
	struct sj_image *im = sj_manifest_image(m);
	int bad = 0;

	if (!im)
		return -ENOMEM;
	bad |= get_name(o, "file", im->file, sizeof(im->file), 1);
	bad |= get_name(o, "node", im->node, sizeof(im->node), 0);
	bad |= get_u32(o, "step", &im->step);
	bad |= get_u32(o, "task", &im->task);
	bad |= get_u32(o, "tasks", &im->tasks);
	bad |= get_u32(o, "status", &im->status);
	bad |= get_num(o, "bytes", INT64_MAX, &im->bytes);
	if (bad || (im->step != SJ_ANY && im->task >= im->tasks))
		return -EBADMSG;
	return 0;
}

static int parse_stub(struct sj_manifest *m, const json_t *o)
{
	struct sj_stub *s = sj_manifest_stub(m);
	int bad = 0;

	if (!s)
		return -ENOMEM;
	bad |= get_u32(o, "pid", &s->pid);
	bad |= get_u32(o, "step", &s->step);
	return bad ? -EBADMSG : 0;
}

static int parse_list(struct sj_manifest *m, const json_t *list,
		      int (*one)(struct sj_manifest *, const json_t *))
{
	size_t i;
	int ret;

	if (!json_is_array(list) || json_array_size(list) > SJ_IMAGES_MAX)
		return -EBADMSG;
	for (i = 0; i < json_array_size(list); i++) {
		ret = one(m, json_array_get(list, i));
		if (ret)
			return ret;
	}
	return 0;
}

static int parse_object(struct sj_manifest *m, const json_t *o)
{
	uint32_t version = 0;
	int bad = 0;
	int ret;

	bad |= get_u32(o, "version", &version);
	if (bad || version != SJ_MANIFEST_VERSION)
		return -EPROTONOSUPPORT;
	bad |= get_name(o, "cluster", m->cluster, sizeof(m->cluster), 0);
	bad |= get_name(o, "nonce", m->nonce, sizeof(m->nonce), 0);
	bad |= get_script(o, m->script, sizeof(m->script));
	bad |= get_u32(o, "job", &m->job);
	bad |= get_u32(o, "array_task", &m->array_task);
	bad |= get_u32(o, "epoch", &m->epoch);
	bad |= get_u32(o, "seq", &m->seq);
	bad |= get_num(o, "time_ms", INT64_MAX, &m->time_ms);
	bad |= get_num(o, "pause_us", INT64_MAX, &m->pause_us);
	bad |= get_num(o, "total_us", INT64_MAX, &m->total_us);
	if (bad)
		return -EBADMSG;
	ret = parse_list(m, json_object_get(o, "images"), parse_image);
	if (ret)
		return ret;
	return parse_list(m, json_object_get(o, "stubs"), parse_stub);
}

int sj_manifest_parse(struct sj_manifest *m, const char *text,
		      struct cri_err *err)
{
	json_error_t jerr;
	json_t *o;
	int ret;

	/* jansson bounds its own depth (JSON_PARSER_MAX_DEPTH 2048). */
	o = json_loads(text, JSON_REJECT_DUPLICATES, &jerr);
	if (!o)
		return cri_fail(err, EBADMSG, "line %d: %s", jerr.line,
				jerr.text);
	ret = parse_object(m, o);
	json_decref(o);
	if (!ret)
		return 0;
	sj_manifest_fini(m);
	return cri_fail(err, -ret, "not a manifest of version %d: %s",
			SJ_MANIFEST_VERSION, strerror(-ret));
}

static int check_key(const struct sj_manifest *m, const struct sj_job *j,
		     struct cri_err *err)
{
	if (strcmp(m->cluster, j->cluster) || m->job != j->id ||
	    m->array_task != j->array_task || strcmp(m->nonce, j->nonce))
		return cri_fail(err, EKEYREJECTED,
				"belongs to job %s-%u-%s, not to %s-%u-%s",
				m->cluster, m->job, m->nonce, j->cluster, j->id,
				j->nonce);
	return 0;
}

int sj_manifest_open(struct sj_manifest *m, const char *dir, const char *name,
		     struct cri_err *err)
{
	char path[PATH_MAX];
	char *text;
	int ret;

	ret = sj_fmt(path, sizeof(path), "%s/%s/manifest.json", dir, name);
	if (ret)
		return cri_fail(err, -ret, "%s: too long", name);
	text = malloc(SJ_MANIFEST_BYTES);
	if (!text)
		return cri_fail(err, ENOMEM, "no memory for a manifest");
	ret = sj_read_file(path, text, SJ_MANIFEST_BYTES);
	if (ret)
		cri_fail(err, -ret, "manifest: %s", strerror(-ret));
	else
		ret = sj_manifest_parse(m, text, err);
	free(text);
	return ret;
}

int sj_manifest_load(struct sj_manifest *m, const struct sj_job *j,
		     const char *name, struct cri_err *err)
{
	int ret;

	ret = sj_manifest_open(m, j->dir, name, err);
	if (ret)
		return ret;
	ret = check_key(m, j, err);
	if (ret)
		sj_manifest_fini(m);
	return ret;
}
