/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Showing an image: for people, and every record as JSON for programs.
 */
#ifndef CRI_IMAGE_INFO_H
#define CRI_IMAGE_INFO_H

#include <stdio.h>

#include "image/reader_int.h"

void cri_info_summary(struct cri_reader *r, FILE *to);
void cri_info_json(struct cri_reader *r, FILE *to);
/* What the image has in memory and files; parts of the summary. */
void cri_info_memory(struct cri_reader *r, FILE *to);
void cri_info_tree(struct cri_reader *r, FILE *to);
/* Text of an image on a terminal: what is not printable becomes '?'. */
void cri_info_text(FILE *to, const char *s);
/* 25.3 MB, as "%s" of buf. */
char *cri_info_size(char buf[32], uint64_t bytes);

#endif
