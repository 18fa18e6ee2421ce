/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where an image's bytes go: a file written by position (several writes may
 * run at once, O_DIRECT, preallocated), or a stream (pipe, socket, device, or
 * a file opened somewhere in its middle) written in order.
 */
#ifndef CRI_IMAGE_OUTPUT_H
#define CRI_IMAGE_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cri_output {
	int fd; /* the caller's */
	bool stream;
	bool prealloc; /* the file system takes fallocate() */
	bool set_direct; /* O_DIRECT is ours to take away again */
	_Atomic bool direct;
	uint64_t allocated;
};

int cri_output_init(struct cri_output *o, int fd, bool direct);
/* Make room up to end, ahead of the writes; failing is no error. */
void cri_output_reserve(struct cri_output *o, uint64_t end);
/*
 * Write all of it; 0 or -errno (-EPIPE without SIGPIPE).  Thread-safe for a
 * file; of a stream the caller keeps the order and at is not used.
 */
int cri_output_write(struct cri_output *o, const void *p, size_t len,
		     uint64_t at);
/* Cut off what was preallocated too much, or an older, longer content. */
int cri_output_finish(struct cri_output *o, uint64_t size);
/* Flags of fd as they were. */
void cri_output_fini(struct cri_output *o);

#endif
