/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The entry of collectives: counted in each communicator, so that all members
 * can be brought to the same count before the library goes; and the rule that
 * keeps a rank from entering one that the others shall not reach any more.
 */
#include "config.h"
#include "front.h"

/*
 * A blocking collective must stay one (it does not match its nonblocking
 * twin), so the call that follows is made on the fast way even during a
 * cycle: the helper sees sm_busy and keeps off until it ends.
 */
uint64_t sm_coll_enter(struct sm_obj *o, const char *func)
{
	struct sm_comm_state *c = o->comm;
	struct sm_why why = { func, o, SM_NOBODY, true };

	if (sm_unlikely(sm_tls.held))
		while (sm_phase == SM_DRAIN && c->size > 1 &&
		       c->seq >= c->target)
			sm_poll(&why);
	sm_activity++;
	c->seq++;
	if (sm_unlikely(sm_tls.held))
		sm_go_fast();
	return c->seq;
}
