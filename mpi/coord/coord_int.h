/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the coordinator: connections, ranks and the state of a cycle. */
#ifndef SM_COORD_INT_H
#define SM_COORD_INT_H

#include "coord/coord.h"
#include "coord/proto.h"

enum conn_kind { CONN_FREE, CONN_NEW, CONN_RANK, CONN_PMI, CONN_CONTROL,
		 CONN_ENV };

struct conn {
	int fd;
	enum conn_kind kind;
	int rank;
	char *buf;
	size_t have, room;
	int want_map; /* PMI: a question for the mapping waits */
};

struct rank {
	int conn; /* index, -1 none */
	pid_t pid;
	bool acked;
	bool reported;
	bool fini;
	char host[64];
	char *env;
	uint32_t env_len;
	struct sm_report rep;
	uint32_t *needs;
};

/* The order of a cycle; each waits for all ranks. */
enum step { ST_IDLE, ST_GATE, ST_DRAIN, ST_HOLD, ST_STILL, ST_UNHOLD,
	    ST_FINISH, ST_DOWN, ST_QUIET, ST_BACK, ST_UP, ST_RESUME };

struct target {
	uint64_t id, seq;
};

struct sm_coord {
	struct sm_coord_conf conf;
	char address[128];
	char key[SM_KEY_LEN];
	int listen_fd;
	struct conn *conns;
	int n_conns;
	struct rank *ranks;
	int size;
	bool with_env;
	bool restarting;
	enum step step;
	int err;
	char message[512];
	uint64_t t_step; /* when the present step began */
	uint64_t t_begin;
	struct sm_coord_times times;
	struct target *targets;
	uint32_t n_targets, n_new; /* the last n_new are to be sent */
	uint64_t last_sum[5];
	unsigned calm; /* rounds without any activity */
	unsigned equal; /* still rounds with equal sums */
	uint64_t round_at; /* earliest time of the next round */
	bool round_due;
	struct pmi *pmi;
};

uint64_t coord_now(void); /* microseconds */
int coord_send(struct sm_coord *c, int conn, uint32_t type, uint32_t arg,
	       const void *data, uint32_t len);
void coord_drop(struct sm_coord *c, int conn);
int coord_listen(struct sm_coord *c);
void coord_unlisten(struct sm_coord *c);

/* cycle.c */
int cycle_begin(struct sm_coord *c);
void cycle_ack(struct sm_coord *c, int rank, uint32_t step, const char *why);
void cycle_report(struct sm_coord *c, int rank, const void *body,
		  uint32_t len);
void cycle_hello(struct sm_coord *c, int rank);
void cycle_lost(struct sm_coord *c, int rank);
void cycle_tick(struct sm_coord *c);
/* Milliseconds until cycle_tick() has something to do, -1 nothing. */
int cycle_wait(const struct sm_coord *c);

/* pmi.c */
int pmi_line(struct sm_coord *c, int conn, const char *line);
void pmi_joined(struct sm_coord *c);
void pmi_reset(struct sm_coord *c);
void pmi_free(struct sm_coord *c);

#endif
