/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What several kinds need: fields of fdinfo, opening a description anew, the
 * open files of one object, descriptors that the caller of a restart hands on.
 */
#ifndef CRI_KIND_UTIL_H
#define CRI_KIND_UTIL_H

#include "kind/kind.h"

/* "name:\tvalue" at a line's start; false when it is not there. */
bool cri_kind_field(const char *text, const char *name, int base, uint64_t *v);
/* Is the descriptor the anonymous inode of that name ("[eventfd]")? */
bool cri_kind_anon(const struct cri_probe *p, const char *name);
/* Note the record as what p's open file refers to. */
void cri_kind_refer(struct cri_probe *p, uint32_t inode);
/* Prefix "pid P (comm): fd N " for a failure found later; returns -code. */
int cri_kind_blame(struct cri_recset *set, const struct cri_rec_ofd *ofd,
		   struct cri_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* A line in the image that cr_info shows. */
int cri_kind_note(struct cri_recset *set, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Any open file of a record, the first seen; NULL none.  Walks all. */
const struct cri_rec_ofd *cri_kind_ofd(struct cri_recset *set,
				       enum cri_rec_type type, uint32_t inode);
/* All open files of a record, by an index made once. */
const struct cri_rec_ofd **cri_kind_ofds(struct cri_restore *rs,
					 enum cri_rec_type type, uint32_t inode,
					 size_t *n);
/* Another open file of the same inode as fd, or -errno. */
int cri_kind_reopen(int fd, uint32_t flags);
/* Set the flags that F_SETFL can; 0 or -errno. */
int cri_kind_status(int fd, uint32_t flags);
/*
 * The caller's own descriptor for an end that leads outside: the same number
 * if it is open there, else standard input or output.  -errno.
 */
int cri_kind_inherited(const struct cri_rec_ofd *ofd, bool (*fits)(int fd));
/* Duplicate above the program's numbers. */
int cri_kind_up(struct cri_restore *rs, int fd);

#endif
