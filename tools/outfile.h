/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a checkpoint goes, with BLCR's four ways to treat an older file.  The
 * one helper for output that must appear whole or not at all: a file without
 * a name where the file system has that (nothing can stay behind, not even
 * after kill -9), else .NAME.tmp; then fsync, rename, fsync of the directory.
 */
#ifndef TOOLS_OUTFILE_H
#define TOOLS_OUTFILE_H

#include <stdbool.h>
#include <stddef.h>

enum out_mode { OUT_ATOMIC, OUT_BACKUP, OUT_CLOBBER, OUT_NOCLOBBER };

struct outfile {
	enum out_mode mode;
	const char *backup; /* the name for OUT_BACKUP, NULL: NAME.~N~ */
	bool sync;
	int fd; /* write here; closed by commit and abort */
	bool borrowed; /* fd is the user's: neither renamed nor closed */
	int dir_fd;
	char name[256]; /* in the directory */
	char tmp[272]; /* name while it is written, "" none */
	char why[256]; /* what failed */
};

/*
 * All return 0 or -errno: EEXIST (noclobber), EISDIR, EMLINK (clobber of a
 * file with several names), EBUSY (somebody writes there at this moment).
 */
int outfile_open(struct outfile *o, const char *path);
/* An open descriptor of the caller's; modes do not matter. */
int outfile_borrow(struct outfile *o, int fd);
int outfile_commit(struct outfile *o);
/* Nothing of it stays.  Async-signal-safe. */
void outfile_abort(struct outfile *o);

#endif
