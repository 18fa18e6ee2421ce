/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between worker, agents and commands: a frame of a length, a type
 * and a body that holds the numbers and texts that msg.def states for the
 * type, and nothing else.  Little-endian.  No allocation: a message is a
 * bounded struct.
 *
 *   u32 bytes after this field, u16 type, u16 zero,
 *   u64 per number, then per text u16 length and the bytes
 */
#ifndef SJ_WIRE_MSG_H
#define SJ_WIRE_MSG_H

#include <stddef.h>
#include <stdint.h>

#define SJ_MSG_NUMS 6
#define SJ_MSG_TEXTS 2
#define SJ_MSG_TEXT 4096 /* with its NUL */
#define SJ_MSG_HEAD 8
#define SJ_MSG_MAX                                                             \
	(SJ_MSG_HEAD + 8 * SJ_MSG_NUMS + SJ_MSG_TEXTS * (2 + SJ_MSG_TEXT))

enum sj_msg_type {
#define SJ_MSG(no, name, nums, texts) SJ_##name = no,
#include "msg.def"
#undef SJ_MSG
};

/* REQUEST */
#define SJ_DO_CHECKPOINT 1
#define SJ_DO_REQUEUE 2
#define SJ_DO_VACATE 3 /* requeue and hold */
#define SJ_DO_STATUS 4
#define SJ_DO_MIGRATE 5 /* requeue onto named nodes */

struct sj_msg {
	uint16_t type;
	uint64_t num[SJ_MSG_NUMS];
	char text[SJ_MSG_TEXTS][SJ_MSG_TEXT];
};

/* "HELLO", or NULL for an unknown type. */
const char *sj_msg_name(unsigned int type);
/* Into buf of SJ_MSG_MAX bytes; -EINVAL for an unknown type. */
int sj_msg_encode(const struct sj_msg *m, void *buf, size_t *len)
	__attribute__((warn_unused_result));
/*
 * One frame from the front of a buffer.  0: *used bytes were taken; -EAGAIN:
 * not whole yet; -EBADMSG: no message of ours, the link is to be dropped.
 */
int sj_msg_decode(struct sj_msg *m, const void *buf, size_t len, size_t *used)
	__attribute__((warn_unused_result));

#endif
