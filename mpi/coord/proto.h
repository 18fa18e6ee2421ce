/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conversation between the ranks' helper threads and the coordinator:
 * frames of a fixed head and a body, little-endian, over a stream socket.
 * Bodies are arrays of the structs below; both sides check every length.
 *
 * A cycle, each step answered by all before the next:
 *   GATE    callers come the slow way, refusals are looked for    -> ACK
 *   ROUND   pull, progress, one REPORT; targets come with it      -> REPORT
 *   HOLD    callers wait at the gate (arg 0: let them go on)      -> ACK
 *   FINISH  receives withdrawn, objects saved                     -> ACK
 *   DOWN    library finalised and unmapped, connection closed     -> ACK, EOF
 *   (HELLO) the helper connects again when the coordinator listens
 *   UP      library back, objects rebuilt                         -> ACK
 *   RESUME  the gate opens (arg 1: after a full cycle)
 * Before DOWN the coordinator can always give up: QUIET, then RESUME 0.
 */
#ifndef SM_PROTO_H
#define SM_PROTO_H

#include <stdint.h>

#define SM_MAGIC 0x4d505331u /* "1SPM" */
#define SM_BODY_MAX (64u << 20)
#define SM_KEY_LEN 32

enum sm_msg_type {
	SM_M_HELLO = 1,
	SM_M_ACK,
	SM_M_REPORT,
	SM_M_FINI,
	SM_M_ABORT,
	SM_M_GATE,
	SM_M_ROUND,
	SM_M_HOLD,
	SM_M_FINISH,
	SM_M_DOWN,
	SM_M_UP,
	SM_M_QUIET,
	SM_M_RESUME,
	SM_M_CONTROL, /* from cr_checkpoint: body is the request's text */
	SM_M_RESULT, /* to it: arg 0 or an errno, body a message */
	SM_M_ENV, /* of a restarted rank's launcher */
};

struct sm_head {
	uint32_t magic;
	uint32_t type;
	uint32_t arg;
	uint32_t len;
};

#define SM_HELLO_PMI 1u /* the rest of this connection is PMI-1 */
#define SM_HELLO_AGAIN 2u /* after DOWN */
#define SM_HELLO_CONTROL 4u
#define SM_HELLO_ENV 8u

struct sm_hello {
	char key[SM_KEY_LEN];
	int32_t rank;
	int32_t size;
	int32_t pid;
	uint32_t flags;
	char impl[16];
	char host[64];
};

/* ACK: arg is the step; body empty when well, else the reason. */

#define SM_REP_BUSY 1u /* a caller is on the fast way */
#define SM_REP_BELOW 2u /* a communicator is below its target */
#define SM_REP_SETTLED 4u /* own sends and collectives are complete */
#define SM_REP_WAIT 8u /* in a blocking call: needs lists who could end it */
#define SM_REP_PARKED 16u /* before a collective beyond the target */
#define SM_REP_IN_COLL 32u

struct sm_report {
	uint64_t sent, rcvd;
	uint64_t ctl_sent, ctl_rcvd;
	uint64_t activity;
	uint64_t parked_id;
	uint64_t parked_seq;
	uint32_t flags;
	uint32_t open; /* control messages and questions not settled */
	uint32_t n_comms; /* struct sm_rep_comm follow */
	uint32_t n_needs; /* then uint32_t world ranks */
	char func[32];
};

struct sm_rep_comm {
	uint64_t id;
	uint64_t seq;
};

#endif
