/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel tells of one unix socket by sock_diag: its peer, its
 * listener's queue, its shutdown state.
 */
#ifndef CRI_KIND_UNIXDIAG_H
#define CRI_KIND_UNIXDIAG_H

#include <stdint.h>

struct cri_unixdiag {
	uint32_t peer; /* inode, 0 none */
	uint32_t vfs_ino; /* of the path it is bound to, 0 none */
	uint32_t shutdown; /* bit 0 receive, bit 1 send */
	uint32_t backlog;
	uint32_t *icons; /* inodes of waiting clients, malloc'ed */
	uint32_t n_icons;
};

/* -errno: the kernel does not know the inode, or has no unix_diag. */
int cri_unixdiag_get(uint32_t ino, struct cri_unixdiag *d);
void cri_unixdiag_fini(struct cri_unixdiag *d);

#endif
