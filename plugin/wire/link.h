/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A link: a TCP connection whose two ends have proved by munge which user
 * they are and that they mean the same job, after a challenge in both
 * directions.  Blocking sends with a time limit; receives never block.
 */
#ifndef SJ_WIRE_LINK_H
#define SJ_WIRE_LINK_H

#include <stdint.h>
#include <sys/types.h>

#include "libcr/util/err.h"
#include "msg.h"

#define SJ_LINK_SEND_MS 10000
#define SJ_LINK_AUTH_MS 1000

enum sj_link_state {
	SJ_LINK_CLOSED,
	SJ_LINK_CHALLENGED, /* acceptor: waits for PROOF */
	SJ_LINK_OPEN,
};

/* What both ends must know to be let in. */
struct sj_link_key {
	const char *munge_socket; /* "" is the default */
	const char *key; /* "cluster-job-nonce" */
	uid_t owner; /* of the job */
};

struct sj_link {
	int fd;
	enum sj_link_state state;
	uid_t peer; /* proved */
	uint64_t since_ms;
	char mine[33]; /* our challenge */
	size_t have;
	uint8_t buf[SJ_MSG_MAX];
};

void sj_link_init(struct sj_link *l);
void sj_link_close(struct sj_link *l);
/* Listen on any address; *port is the one that the kernel chose. */
int sj_link_listen(int *fd, uint16_t *port) __attribute__((warn_unused_result));
/* Take a connection and challenge it. */
int sj_link_accept(struct sj_link *l, int listen_fd)
	__attribute__((warn_unused_result));
/*
 * Connect to one of "HOST HOST..." at port and prove each other, within
 * timeout_ms altogether.
 */
int sj_link_connect(struct sj_link *l, const struct sj_link_key *k,
		    const char *hosts, uint16_t port, int timeout_ms,
		    struct cri_err *err) __attribute__((warn_unused_result));
int sj_link_send(struct sj_link *l, const struct sj_msg *m)
	__attribute__((warn_unused_result));
/* Read what is there; -EPIPE at the end of the connection. */
int sj_link_fill(struct sj_link *l) __attribute__((warn_unused_result));
/*
 * The next message that is whole; -EAGAIN: none.  An acceptor's handshake is
 * done inside: its PROOF is never seen, a wrong one is -EACCES.
 */
int sj_link_next(struct sj_link *l, const struct sj_link_key *k,
		 struct sj_msg *m) __attribute__((warn_unused_result));
/* Wait for a message at most timeout_ms: -ETIMEDOUT, or a lost link. */
int sj_link_recv(struct sj_link *l, const struct sj_link_key *k,
		 struct sj_msg *m, int timeout_ms)
	__attribute__((warn_unused_result));
/* Unproved for longer than SJ_LINK_AUTH_MS: the acceptor drops it. */
int sj_link_overdue(const struct sj_link *l, uint64_t now_ms);

#endif
