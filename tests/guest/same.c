// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Two images of one standing program, taken by different engines, are the
 * same: every record field by field but for those listed here, and every
 * page.  "same target" is such a program; "same A B" compares.
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <unistd.h>

#include "image/image.h"

/* Times that pass, and what says who took the image. */
static const char *const differs[] = {
	"origin.engine",   "origin.realtime", "origin.monotonic",
	"origin.boottime", "origin.pause",    "thread.sleep_left",
	"ptimer.value",	   "itimer.value",    "note.value",
	"origin.cpuid", /* holds the number of the CPU that was asked */
};

static int bad;

static bool listed(const char *rec, const char *field)
{
	char name[128];
	size_t i;

	snprintf(name, sizeof(name), "%s.%s", rec, field);
	for (i = 0; i < sizeof(differs) / sizeof(differs[0]); i++)
		if (!strcmp(differs[i], name))
			return true;
	return false;
}

static void say(const char *where, const char *rec, const char *field,
		const char *a, const char *b)
{
	printf("%s %s.%s: %s, %s\n", where, rec, field, a, b);
	bad++;
}

static void compare(const struct cri_schema *s, const char *a, const char *b,
		    const char *where);

/* The first mapping that only one of them has. */
static void odd_vma(const struct cri_vma *a, uint32_t na,
		    const struct cri_vma *b, uint32_t nb)
{
	uint32_t i;

	for (i = 0; i < na && i < nb; i++)
		if (a[i].start != b[i].start || a[i].end != b[i].end)
			break;
	if (i < na && i < nb)
		printf("  at %llx-%llx kind %u, %llx-%llx kind %u\n",
		       (long long)a[i].start, (long long)a[i].end, a[i].kind,
		       (long long)b[i].start, (long long)b[i].end, b[i].kind);
}

static void compare_list(const struct cri_schema *s, const struct cri_field *f,
			 const char *a, const char *b, const char *where)
{
	uint32_t na, nb, i;
	const char *pa, *pb;
	char text[2][32], deep[200];

	memcpy(&na, a + f->count_offset, 4);
	memcpy(&nb, b + f->count_offset, 4);
	memcpy(&pa, a + f->offset, sizeof(pa));
	memcpy(&pb, b + f->offset, sizeof(pb));
	if (na != nb) {
		snprintf(text[0], 32, "%u elements", na);
		snprintf(text[1], 32, "%u", nb);
		say(where, s->name, f->name, text[0], text[1]);
		if (na && nb && !strcmp(f->name, "vmas"))
			odd_vma((const void *)pa, na, (const void *)pb, nb);
		return;
	}
	for (i = 0; i < na; i++) {
		snprintf(deep, sizeof(deep), "%s %s[%u]", where, f->name, i);
		compare(f->sub, pa + (size_t)i * f->sub->size,
			pb + (size_t)i * f->sub->size, deep);
	}
}

static void compare_bytes(const struct cri_schema *s, const struct cri_field *f,
			  const char *a, const char *b, const char *where)
{
	struct cri_bytes ba, bb;
	char text[2][64];
	uint32_t i;

	memcpy(&ba, a + f->offset, sizeof(ba));
	memcpy(&bb, b + f->offset, sizeof(bb));
	if (ba.len == bb.len && (!ba.len || !memcmp(ba.p, bb.p, ba.len)))
		return;
	for (i = 0; i < ba.len && i < bb.len; i++)
		if (((const char *)ba.p)[i] != ((const char *)bb.p)[i])
			break;
	snprintf(text[0], 64, "%u bytes", ba.len);
	snprintf(text[1], 64, "%u, from byte %u", bb.len, i);
	say(where, s->name, f->name, text[0], text[1]);
}

static void compare(const struct cri_schema *s, const char *a, const char *b,
		    const char *where)
{
	const char *sa, *sb;
	char text[2][32];
	uint64_t va, vb;
	uint32_t i;

	for (i = 0; i < s->n_fields; i++) {
		const struct cri_field *f = &s->fields[i];

		if (listed(s->name, f->name))
			continue;
		switch (f->type) {
		case CRI_F_LIST:
			compare_list(s, f, a, b, where);
			break;
		case CRI_F_BYTES:
			compare_bytes(s, f, a, b, where);
			break;
		case CRI_F_STR:
			memcpy(&sa, a + f->offset, sizeof(sa));
			memcpy(&sb, b + f->offset, sizeof(sb));
			if (strcmp(sa ? sa : "", sb ? sb : ""))
				say(where, s->name, f->name, sa, sb);
			break;
		case CRI_F_U32:
		case CRI_F_U64:
		case CRI_F_I64:
		default:
			va = vb = 0;
			memcpy(&va, a + f->offset,
			       f->type == CRI_F_U32 ? 4 : 8);
			memcpy(&vb, b + f->offset,
			       f->type == CRI_F_U32 ? 4 : 8);
			if (va == vb)
				break;
			snprintf(text[0], 32, "%llx", (long long)va);
			snprintf(text[1], 32, "%llx", (long long)vb);
			say(where, s->name, f->name, text[0], text[1]);
		}
	}
}

/* Page by page: where each page of an object is in its file. */
struct place {
	uint64_t page;
	uint64_t offset;
};

static struct place *places(struct cri_reader *r, uint32_t obj, size_t *n)
{
	struct place *p = NULL;
	uint32_t n_ext, i, k, j;
	const struct cri_extent *e = cri_reader_extents(r, obj, &n_ext);
	size_t have = 0;

	for (i = 0; i < n_ext; i++) {
		uint64_t at = e[i].offset;

		p = realloc(p, (have + e[i].n_pages + 1) * sizeof(*p));
		CHECK(p, "memory");
		for (k = 0; k < e[i].n_runs; k++)
			for (j = 0; j < e[i].runs[k].count; j++, at += 4096)
				p[have++] =
					(struct place){ e[i].runs[k].page + j,
							at };
	}
	*n = have;
	return p;
}

/* The kernel writes the CPU's number where a thread has its rseq. */
static void blank_rseq(struct cri_reader *r, uint64_t page, char *bytes)
{
	struct cri_recset *set = cri_reader_records(r);
	struct cri_rec_thread *t;
	uint32_t i;

	cri_for_each(set, CRI_REC_THREAD, i, t)
	{
		if (t->rseq / 4096 == page)
			memset(bytes + t->rseq % 4096, 0, 32);
	}
}

static size_t compare_pages(struct cri_reader *a, struct cri_reader *b,
			    uint32_t obj)
{
	static const char zero[4096];
	char pa[4096], pb[4096];
	size_t na, nb, i = 0, k = 0, same = 0;
	struct place *la = places(a, obj, &na), *lb = places(b, obj, &nb);

	while (i < na || k < nb) {
		uint64_t at = i < na ? la[i].page : ~0ull;

		if (k < nb && lb[k].page < at)
			at = lb[k].page;
		memcpy(pa, zero, 4096);
		memcpy(pb, zero, 4096);
		if (i < na && la[i].page == at)
			CHECK(pread(cri_reader_fd(a), pa, 4096,
				    (off_t)la[i++].offset) == 4096,
			      "page");
		if (k < nb && lb[k].page == at)
			CHECK(pread(cri_reader_fd(b), pb, 4096,
				    (off_t)lb[k++].offset) == 4096,
			      "page");
		blank_rseq(a, at, pa);
		blank_rseq(b, at, pb);
		if (memcmp(pa, pb, 4096)) {
			printf("object %u: page at %llx differs\n", obj,
			       (long long)at * 4096);
			bad++;
		} else {
			same++;
		}
	}
	free(la);
	free(lb);
	return same;
}

static struct cri_reader *image(const char *path)
{
	struct cri_reader *r = NULL;
	struct cri_err err = { 0 };
	int fd = open(path, O_RDONLY);
	int ret = fd < 0 ? -errno : cri_reader_open(fd, &r, &err);

	CHECK(ret == 0, "%s: %d %s", path, ret, err.text);
	ret = cri_reader_verify(r, &err);
	CHECK(ret == 0, "%s: %d %s", path, ret, err.text);
	return r;
}

int main(int argc, char **argv)
{
	struct cri_reader *a, *b;
	struct cri_recset *ra, *rb;
	size_t records = 0, pages = 0;
	uint32_t t, i, n;
	char where[64];

	if (argc > 2 && !strcmp(argv[1], "target"))
		target_be((unsigned int)atoi(argv[2]), 8u << 20, TARGET_QUIET);
	CHECK(argc == 3, "usage: same target N | same IMAGE IMAGE");
	a = image(argv[1]);
	b = image(argv[2]);
	ra = cri_reader_records(a);
	rb = cri_reader_records(b);
	for (t = 1; t < CRI_REC_MAX; t++) {
		const struct cri_schema *s = cri_schema_find(t);

		n = cri_recset_count(ra, (enum cri_rec_type)t);
		if (n != cri_recset_count(rb, (enum cri_rec_type)t)) {
			printf("%s: %u records, %u\n", s->name, n,
			       cri_recset_count(rb, (enum cri_rec_type)t));
			bad++;
			continue;
		}
		for (i = 0; i < n; i++, records++) {
			snprintf(where, sizeof(where), "%s %u", s->name, i + 1);
			compare(s, cri_recset_at(ra, (enum cri_rec_type)t, i),
				cri_recset_at(rb, (enum cri_rec_type)t, i),
				where);
		}
	}
	for (t = 1; t < 10; t++)
		pages += compare_pages(a, b, t);
	printf("%zu records, %zu pages, %d differences\n", records, pages, bad);
	CHECK(records > 20 && pages > 1000, "too little to compare");
	return bad != 0;
}
