/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports that a killed original still keeps: its TCP sockets in TIME_WAIT and
 * other orphans, which no process holds any more.
 */
#ifndef CRI_KIND_TCPWAIT_H
#define CRI_KIND_TCPWAIT_H

#include <stdint.h>

/*
 * Who holds the local port (host order)?  0 nobody, 1 only orphans (ended
 * here, where we may), -EADDRINUSE a living socket.
 */
int cri_tcp_cooling(uint16_t port);

#endif
