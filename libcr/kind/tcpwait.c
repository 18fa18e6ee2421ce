/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Orphans are seen in /proc/net/tcp by their inode 0.  Whoever has
 * CAP_NET_ADMIN ends them by sock_diag; others wait for the minute that
 * TIME_WAIT lasts.
 */
#include "config.h"

#include "kind/tcpwait.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct line {
	uint32_t local[4], remote[4]; /* as the kernel keeps them */
	unsigned int lport, rport, state;
	unsigned long inode;
};

static bool parse4(const char *text, struct line *l)
{
	memset(l, 0, sizeof(*l));
	return sscanf(text, " %*d: %8X:%X %8X:%X %X %*s %*s %*s %*d %*d %lu",
		      &l->local[0], &l->lport, &l->remote[0], &l->rport,
		      &l->state, &l->inode) == 6;
}

static bool parse6(const char *text, struct line *l)
{
	return sscanf(text,
		      " %*d: %8X%8X%8X%8X:%X %8X%8X%8X%8X:%X %X %*s %*s %*s "
		      "%*d %*d %lu",
		      &l->local[0], &l->local[1], &l->local[2], &l->local[3],
		      &l->lport, &l->remote[0], &l->remote[1], &l->remote[2],
		      &l->remote[3], &l->rport, &l->state, &l->inode) == 12;
}

static void destroy(int family, const struct line *l)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 req;
	} r;
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (nl < 0)
		return;
	memset(&r, 0, sizeof(r));
	r.head.nlmsg_len = sizeof(r);
	r.head.nlmsg_type = SOCK_DESTROY;
	r.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	r.req.sdiag_family = (uint8_t)family;
	r.req.sdiag_protocol = IPPROTO_TCP;
	r.req.idiag_states = 0xffffffff;
	r.req.id.idiag_sport = htons((uint16_t)l->lport);
	r.req.id.idiag_dport = htons((uint16_t)l->rport);
	memcpy(r.req.id.idiag_src, l->local, 16);
	memcpy(r.req.id.idiag_dst, l->remote, 16);
	r.req.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	r.req.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (send(nl, &r, sizeof(r), 0) == (ssize_t)sizeof(r)) {
		char ack[256];

		(void)!recv(nl, ack, sizeof(ack), 0);
	}
	close(nl);
}

static int look(const char *path, int family, uint16_t port)
{
	FILE *f = fopen(path, "re");
	char text[512];
	struct line l;
	int found = 0;

	if (!f)
		return 0;
	while (fgets(text, sizeof(text), f)) {
		if (!(family == AF_INET ? parse4(text, &l) :
					  parse6(text, &l)) ||
		    l.lport != port)
			continue;
		if (l.inode) {
			found = -EADDRINUSE;
			break;
		}
		found = 1;
		destroy(family, &l);
	}
	fclose(f);
	return found;
}

int cri_tcp_cooling(uint16_t port)
{
	int v4 = look("/proc/net/tcp", AF_INET, port), v6;

	if (v4 < 0)
		return v4;
	v6 = look("/proc/net/tcp6", AF_INET6, port);
	return v6 ? v6 : v4;
}
