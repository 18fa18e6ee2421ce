/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small images with every record type: the golden ones and the seeds of the
 * fuzz targets.  make DIR: one image for each type, and all.cr with all.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fill.h"
#include "image/image.h"

static void check(int ret, const struct cri_err *err)
{
	if (!ret)
		return;
	fprintf(stderr, "make: %s\n", err->text);
	exit(1);
}

static void put_pages(struct cri_writer *w, uint32_t obj, uint32_t flags)
{
	struct cri_extent_buf *b;
	struct cri_err err = { 0 };

	check(cri_writer_get(w, &b, &err), &err);
	b->obj = obj;
	b->n_pages = 2;
	b->n_runs = flags ? 3 : 2;
	b->runs[0] = (struct cri_run){ .page = 16, .count = 1 };
	b->runs[1] = (struct cri_run){ .page = 32, .count = 1 };
	b->runs[2] = (struct cri_run){ 64, 100, flags };
	memset(b->payload, 'a' + (int)obj % 26, CRI_PAGE);
	memset((char *)b->payload + CRI_PAGE, 'A' + (int)obj % 26, CRI_PAGE);
	check(cri_writer_put(w, b, &err), &err);
}

/* An address space that shares pages with its parent's. */
static void add_child(struct cri_recset *set)
{
	struct cri_rec_mm *mm = cri_recset_at(set, CRI_REC_MM, 0), *child;

	if (!mm)
		return;
	mm->inherits = 0;
	child = fill_record(set, CRI_REC_MM, 1);
	child->inherits = mm->id;
}

static void put_objects(struct cri_writer *w, const struct cri_recset *set)
{
	struct cri_rec_shmem *shmem;
	struct cri_rec_sysvshm *sysv;
	struct cri_rec_file *file;
	struct cri_rec_mm *mm;
	uint32_t i;

	cri_for_each(set, CRI_REC_MM, i, mm)
		put_pages(w, mm->id, mm->inherits ? CRI_RUN_PARENT : 0);
	cri_for_each(set, CRI_REC_SHMEM, i, shmem)
		put_pages(w, shmem->id, 0);
	cri_for_each(set, CRI_REC_SYSVSHM, i, sysv)
		put_pages(w, sysv->id, 0);
	cri_for_each(set, CRI_REC_FILE, i, file)
		put_pages(w, file->content, 0);
}

/* Types first to last, and pages for what can have some. */
static void make(const char *dir, const char *name, uint32_t first,
		 uint32_t last)
{
	struct cri_recset *set;
	struct cri_writer *w;
	struct cri_err err = { 0 };
	char path[4096];
	uint32_t type;
	int fd;

	if (cri_recset_new(&set))
		exit(1);
	fill_record(set, CRI_REC_ORIGIN, 1);
	for (type = first; type <= last; type++)
		fill_record(set, type, 2);
	add_child(set);
	snprintf(path, sizeof(path), "%s/%s.cr", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	check(cri_writer_open(fd, 0, &w, &err), &err);
	check(cri_writer_records(w, set, &err), &err);
	put_objects(w, set);
	check(cri_writer_finish(w, &err), &err);
	cri_writer_free(w);
	cri_recset_free(set);
	close(fd);
}

int main(int argc, char **argv)
{
	uint32_t type;

	if (argc != 2) {
		fputs("Usage: make DIR\n", stderr);
		return 1;
	}
	for (type = 2; type < CRI_REC_MAX; type++)
		make(argv[1], cri_schema_find(type)->name, type, type);
	make(argv[1], "all", 2, CRI_REC_MAX - 1);
	return 0;
}
