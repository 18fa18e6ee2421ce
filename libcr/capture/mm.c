/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * MM records: the mappings of an address space from smaps (one read tells
 * bounds and flags), its limits from stat, and what lies behind each mapping.
 */
#include "config.h"

#include "capture/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/proctext.h"
#include "image/crc32c.h"
#include "util/err.h"

struct walk {
	struct cri_capture *cap;
	struct cri_cproc *p;
	struct cri_rec_mm *mm;
	struct cri_err *err;
};

static bool named(const struct cri_mapline *m, const char *name)
{
	return m->path_len == strlen(name) &&
	       memcmp(m->path, name, m->path_len) == 0;
}

static bool begins(const struct cri_mapline *m, const char *name)
{
	return m->path_len >= strlen(name) &&
	       memcmp(m->path, name, strlen(name)) == 0;
}

static int set_name(struct walk *w, const struct cri_mapline *m, size_t skip,
		    struct cri_vma *vma)
{
	char name[257];
	size_t len = m->path_len - skip;

	if (len && m->path[m->path_len - 1] == ']')
		len--;
	if (len >= sizeof(name))
		len = sizeof(name) - 1;
	memcpy(name, m->path + skip, len);
	name[len] = 0;
	vma->name = cri_recset_strdup(w->cap->set, name);
	return vma->name ? 0 : -ENOMEM;
}

static const struct {
	const char *name;
	const char *what;
} refused[] = {
	{ "anon_inode:[io_uring]", "an io_uring ring" },
	{ "anon_inode:[perf_event]", "a perf event buffer" },
	{ "/[aio]", "a libaio context" },
	{ "/secretmem", "secret memory" },
	{ "/dev/nvidia", "a GPU" },
	{ "/dev/dri/", "a GPU" },
	{ "/dev/kfd", "a GPU" },
	{ "/dev/infiniband/", "an InfiniBand device" },
	{ "/dev/kvm", "a virtual machine" },
};

int cri_capture_map_refused(const struct cri_mapline *m, struct cri_err *err)
{
	size_t i;

	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (begins(m, refused[i].name))
			return cri_fail(err, ENOTSUP, "maps %s (not supported)",
					refused[i].what);
	return 0;
}

static int refuse(const struct cri_smap *s, const struct cri_mapline *m,
		  struct cri_err *err)
{
	int ret = cri_capture_map_refused(m, err);

	if (ret)
		return ret;
	if (s->shadow_stack)
		return cri_fail(err, ENOTSUP,
				"uses a shadow stack (not supported)");
	if (s->userfault)
		return cri_fail(err, ENOTSUP,
				"has memory under userfaultfd (not supported)");
	if (s->io || s->pfnmap)
		return cri_fail(err, ENOTSUP,
				"maps device memory at 0x%llx: %.*s (not "
				"supported)",
				(unsigned long long)m->start,
				(int)(m->path_len > 100 ? 100 : m->path_len),
				m->path);
	return 0;
}

/* The kernel's own pages.  1: it is one. */
static int special(struct walk *w, const struct cri_mapline *m,
		   struct cri_vma *vma)
{
	struct cri_rec_mm *mm = w->mm;

	if (named(m, "[vdso]")) {
		vma->kind = CRI_VMA_VDSO;
		mm->vdso = m->start;
		mm->vdso_size = m->end - m->start;
		return 1;
	}
	if (begins(m, "[vvar")) {
		vma->kind = CRI_VMA_VVAR;
		if (!mm->vvar)
			mm->vvar = m->start;
		mm->vvar_size = m->end - mm->vvar;
		return 1;
	}
	return 0;
}

static int classify(struct walk *w, const struct cri_mapline *m,
		    const struct cri_smap *s, struct cri_vma *vma)
{
	char path[4097];
	int ret;

	vma->kind = CRI_VMA_ANON;
	ret = special(w, m, vma);
	if (ret)
		return 0;
	ret = refuse(s, m, w->err);
	if (ret)
		return ret;
	if (m->shared)
		vma->flags |= CRI_VMA_SHARED;
	if (named(m, "[heap]"))
		vma->flags |= CRI_VMA_HEAP;
	else if (named(m, "[stack]"))
		vma->flags |= CRI_VMA_STACK;
	else if (begins(m, "[anon:"))
		return set_name(w, m, 6, vma);
	if (m->ino == 0 && m->dev == 0)
		return 0;
	if (s->anon_huge_kb)
		vma->flags |= CRI_VMA_HAD_THP;
	if (m->path_len > 4096)
		return cri_fail(w->err, ENAMETOOLONG, "a mapped file's name");
	cri_unescape(path, m->path, m->path_len);
	if (m->shared && !s->maywrite)
		vma->flags |= CRI_VMA_MAYWRITE_RO;
	return cri_capture_mapping(w->cap, w->p, vma, path, m->dev, m->ino,
				   w->err);
}

static int add_vma(struct walk *w, const struct cri_mapline *m,
		   const struct cri_smap *s)
{
	struct cri_vma *vma;

	if (named(m, "[vsyscall]") ||
	    (m->start >= w->p->hide_start && m->end <= w->p->hide_end))
		return 0;
	vma = CRI_GROW(w->cap->set, w->mm->vmas, w->mm->n_vmas);
	if (!vma)
		return -ENOMEM;
	vma->start = m->start;
	vma->end = m->end;
	vma->prot = m->prot;
	vma->offset = m->offset;
	vma->pkey = s->pkey;
	/* What is shared is told by maps: smaps' "sh" means it too. */
	vma->flags = s->flags & ~CRI_VMA_SHARED;
	if (s->anon_huge_kb)
		vma->flags |= CRI_VMA_HAD_THP;
	if (!m->shared) {
		w->p->private_bytes += s->anon_kb * 1024;
		w->cap->resident += s->anon_kb * 1024;
	}
	return classify(w, m, s, vma);
}

static int vmas(struct walk *w, struct cri_text *text)
{
	struct cri_mapline m;
	struct cri_smap s;
	const char *at;
	int ret;

	ret = cri_text_proc(text, w->p->threads[0].tid, "smaps");
	if (ret)
		return cri_fail(w->err, -ret, "its memory map: %s",
				strerror(-ret));
	for (at = text->p; (ret = cri_mapline_next(&at, &m)) == 1;) {
		ret = cri_smap_next(&at, &s);
		if (!ret)
			ret = add_vma(w, &m, &s);
		if (ret)
			return ret;
	}
	return ret;
}

static int limits(struct walk *w, struct cri_text *text)
{
	struct cri_rec_mm *mm = w->mm;
	struct cri_pstat st;
	int ret;

	ret = cri_text_proc(text, w->p->threads[0].tid, "stat");
	if (!ret)
		ret = cri_pstat_parse(text->p, &st);
	if (ret)
		return ret;
	mm->start_code = st.start_code;
	mm->end_code = st.end_code;
	mm->start_data = st.start_data;
	mm->end_data = st.end_data;
	mm->start_brk = st.start_brk;
	mm->start_stack = st.start_stack;
	mm->arg_start = st.arg_start;
	mm->arg_end = st.arg_end;
	mm->env_start = st.env_start;
	mm->env_end = st.env_end;
	ret = cri_text_proc(text, w->p->threads[0].tid, "auxv");
	if (ret)
		return ret;
	return cri_recset_bytes(w->cap->set, &mm->auxv, text->p,
				(uint32_t)text->len);
}

static int exe(struct walk *w)
{
	char path[64], name[4097];
	struct cri_rec_file *f;
	struct stat st;
	ssize_t n;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/exe", w->p->threads[0].tid);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0 || stat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	name[n] = 0;
	ret = cri_capture_file(w->cap, w->p, name, &st, &w->mm->exe, w->err);
	if (ret)
		return ret;
	f = cri_recset_find(w->cap->set, CRI_REC_FILE, w->mm->exe);
	if (f)
		f->flags |= CRI_FILE_EXE;
	return 0;
}

static int vdso(struct walk *w)
{
	struct cri_rec_mm *mm = w->mm;
	struct cri_rec_origin *o =
		cri_recset_at(w->cap->set, CRI_REC_ORIGIN, 0);
	uint32_t crc;
	void *copy;
	int ret;

	if (!mm->vdso || mm->vdso_size > 1 << 20)
		return 0;
	copy = malloc(mm->vdso_size);
	if (!copy)
		return -ENOMEM;
	ret = w->cap->engine->read(w->cap, w->p, mm->vdso, copy,
				   mm->vdso_size, w->err);
	if (ret)
		goto out;
	crc = cri_crc32c(0, copy, mm->vdso_size);
	ret = cri_recset_bytes(w->cap->set, &mm->vdso_hash, &crc, sizeof(crc));
	if (!ret && o && !o->vdso.len)
		ret = cri_recset_bytes(w->cap->set, &o->vdso, copy,
				       (uint32_t)mm->vdso_size);
out:
	free(copy);
	return ret;
}

int cri_capture_mm(struct cri_capture *cap, struct cri_cproc *p,
		   struct cri_err *err)
{
	struct walk w = { .cap = cap, .p = p, .err = err };
	struct cri_text text = { 0 };
	int ret;

	w.mm = cri_recset_add(cap->set, CRI_REC_MM);
	if (!w.mm)
		return -ENOMEM;
	p->mm = w.mm;
	p->mm_id = w.mm->id;
	p->owns_mm = true;
	p->task->mm = w.mm->id;
	ret = vmas(&w, &text);
	if (!ret)
		ret = limits(&w, &text);
	if (!ret)
		ret = exe(&w);
	if (!ret)
		ret = vdso(&w);
	if (!ret)
		ret = cap->engine->memory(cap, p, w.mm, err);
	cri_text_fini(&text);
	return ret;
}
