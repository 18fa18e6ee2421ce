/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pty between the caller's terminal and a tree restored in a PID namespace,
 * or one whose own session leader had a terminal.
 * Embedded in the restart handle; used by its thread only.  All calls do
 * nothing where no relay is needed.
 */
#ifndef CRI_RESTORE_RELAY_H
#define CRI_RESTORE_RELAY_H

#include <termios.h>

#include "restore/restore.h"

struct cri_relay {
	int tty; /* the caller's */
	int master;
	int slave;
	bool leader; /* of the tree takes the slave, not the init */
	bool raw;
	int stdio[3]; /* the planner's own, while the slave is there */
	struct termios saved;
};

void cri_relay_init(struct cri_relay *r);
/* Before the fork of the init; fini also after an error. */
int cri_relay_open(struct cri_relay *r, struct cri_restore *rs,
		   struct cri_err *err);
/* In the init, once it leads its session. */
int cri_relay_enter(struct cri_relay *r, struct cri_err *err);
/* Without namespaces: put the slave in the place of our terminals, undo it. */
int cri_relay_stdio(struct cri_relay *r, struct cri_err *err);
void cri_relay_stdio_back(struct cri_relay *r);
/* In the caller, once the init has its own copy. */
void cri_relay_started(struct cri_relay *r);
/* Carry bytes until sock can be read. */
void cri_relay_until(struct cri_relay *r, int sock);
void cri_relay_fini(struct cri_relay *r);

#endif
