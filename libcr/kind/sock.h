/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the one kind of sockets (socket.c) and its two families.  Every call
 * returns 0 or -errno with the story in err.
 */
#ifndef CRI_KIND_SOCK_H
#define CRI_KIND_SOCK_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kind/util.h"

#define SOCK_NAME_GONE 0x1u /* bound, but the path was unlinked or reused */
#define SOCK_ACCEPTED 0x2u /* the accepting side of a connection */
#define SOCK_UNSENT 0x4u /* what it sent was not read when captured */

union cri_addr {
	struct sockaddr sa;
	struct sockaddr_un un;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_storage room;
};

/* An address and port whatever the family: v4 as v4-mapped. */
struct cri_endpoint {
	uint8_t addr[16];
	uint16_t port;
};

/* unix.c */
int cri_unix_capture(struct cri_probe *p, struct cri_rec_socket *r,
		     struct cri_err *err);
int cri_unix_link(struct cri_capture *cap, struct cri_recset *set,
		  struct cri_rec_socket *r, struct cri_err *err);
int cri_unix_verify(struct cri_restore *rs, const struct cri_rec_socket *r,
		    struct cri_err *err);
int cri_unix_open(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int *fd, struct cri_err *err);
int cri_unix_fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int fd, struct cri_err *err);

/* inet.c */
int cri_inet_capture(struct cri_probe *p, struct cri_rec_socket *r,
		     struct cri_err *err);
int cri_inet_link(struct cri_recset *set, struct cri_rec_socket *r,
		  struct cri_err *err);
int cri_inet_open(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int *fd, struct cri_err *err);
int cri_inet_fill(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		  const struct cri_rec_socket *r, int fd, struct cri_err *err);

/* queue.c: messages looked at without taking them, and sent again. */
int cri_queue_peek(struct cri_probe *p, struct cri_rec_socket *r,
		   struct cri_err *err);
/* Send one; to is NULL for connected senders. */
int cri_queue_send(struct cri_restore *rs, int fd, const struct cri_packet *m,
		   const struct cri_bytes *to, struct cri_err *err);
/* The sender's buffer is made to hold whatever was in flight. */
int cri_queue_send_all(struct cri_restore *rs, int fd,
		       const struct cri_rec_socket *r, struct cri_err *err);

/* sockopt.c */
int cri_sockopt_capture(struct cri_probe *p, struct cri_rec_socket *r);
/* Those that must be there before bind (true), or all others (false). */
void cri_sockopt_set(const struct cri_rec_socket *r, int fd, bool early);

/* The open file of a socket; NULL none. */
const struct cri_rec_ofd *cri_sock_ofd(struct cri_restore *rs, uint32_t id);
/* Its descriptor, opened now if need be. */
int cri_sock_need(struct cri_restore *rs, uint32_t id, struct cri_err *err);
static inline const struct sockaddr *cri_sock_addr(const struct cri_bytes *b)
{
	return b->p;
}

#endif
