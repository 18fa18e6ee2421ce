/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tools say, and the exit status that goes with it: the low 8 bits
 * of the error, 255 for wrong usage.
 */
#ifndef TOOLS_MESSAGE_H
#define TOOLS_MESSAGE_H

#include <stdbool.h>

#define EXIT_USAGE 255

/* Set once by main: the tool's name, and whether stderr is to be used. */
void message_init(const char *tool, bool quiet);
void message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The last message, for who cannot read stderr. */
const char *message_last(void);
/* The exit status for a -errno or minus one of BLCR's codes. */
int exit_status(int ret);
/* SIGKILL, KILL, kill or 9: the number, or -EINVAL. */
int signal_number(const char *text);

/*
 * Lines of the engine, kept until it is known whether to show them: --kmsg.
 */
struct kmsg;
struct kmsg *kmsg_new(int level); /* 0 none, 1 on failure, 2 always */
void kmsg_add(struct kmsg *k, const char *line);
void kmsg_flush(struct kmsg *k, bool failed);

#endif
