/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The helper's side of the gate. */
#ifndef SM_GATE_H
#define SM_GATE_H

#include "front.h"

/*
 * Take the library for the helper: false if a caller is on the fast way (it
 * leaves within one poll, or when the collective it is in ends).
 */
bool sm_gate_take(void);
void sm_gate_give(void);
void sm_gate_phase(enum sm_phase p);

/* Environment slots that can be overwritten in place (impl/env.c). */
void sm_env_reserve(const char *name, size_t room);
int sm_env_put(const char *name, const char *value);

extern bool sm_distrust;

/* The connection to the coordinator (gate/link.c): 0 or -errno. */
struct sm_link {
	int fd;
};
int sm_link_open(struct sm_link *l, uint32_t flags);
void sm_link_close(struct sm_link *l);
int sm_link_send(struct sm_link *l, uint32_t type, uint32_t arg,
		 const void *data, uint32_t len);
/* Blocks up to timeout_ms (-1: for ever): 1 got one, 0 none, -errno. */
int sm_link_recv(struct sm_link *l, int timeout_ms, uint32_t *type,
		 uint32_t *arg, void **data, uint32_t *len);
int sm_pmi_environment(void); /* a PMI connection to our server */

#endif
