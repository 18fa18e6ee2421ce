/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate.  In peace a call costs one store and one load.  The helper sets
 * sm_stop and runs a membarrier; from then on callers come this way and take
 * sm_lock for each step, while the helper uses the library only with the lock
 * held and nobody on the fast way (sm_busy == 0).  Calls that the program
 * makes from inside its own callbacks are part of the outer call.
 */
#include "config.h"
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include "gate/gate.h"

__thread struct sm_tls sm_tls;
volatile int sm_stop = SM_STOP_INIT;
volatile int sm_busy;
volatile enum sm_phase sm_phase = SM_RUN;
pthread_mutex_t sm_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_mutex_t sm_comms_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t sm_changed = PTHREAD_COND_INITIALIZER;
const struct sm_why *volatile sm_waiting;
bool sm_distrust; /* a cycle was given up: see sync.c */

static void wait_open(void)
{
	while (sm_phase >= SM_HOLD)
		pthread_cond_wait(&sm_changed, &sm_lock);
}

static void settle_acks(void)
{
	if (!(sm_stop & SM_STOP_SYNC))
		return;
	sm_sync_poll();
	if (!sm_sync_waiting && !sm_sync_open() && !sm_distrust)
		sm_stop &= ~SM_STOP_SYNC;
}

void sm_in_slow(void)
{
	if (sm_tls.user) { /* part of the outer call */
		if (sm_tls.held)
			sm_tls.held++;
		else
			sm_busy_add(1);
		return;
	}
	pthread_mutex_lock(&sm_lock);
	sm_tls.held = 1;
	if (sm_stop & SM_STOP_INIT) {
		sm_load();
		return;
	}
	wait_open();
	settle_acks();
}

void sm_go_fast(void)
{
	if (sm_tls.held != 1 || sm_tls.user)
		return;
	sm_tls.held = 0;
	sm_busy_add(1);
	pthread_mutex_unlock(&sm_lock);
}

void sm_out_slow(void)
{
	if (--sm_tls.held == 0)
		pthread_mutex_unlock(&sm_lock);
}

static void pause_briefly(void)
{
	static const struct timespec ts = { 0, 30000 };

	if (sm_phase == SM_RUN)
		sched_yield();
	else
		nanosleep(&ts, NULL);
}

void sm_poll_slow(const struct sm_why *why)
{
	if (sm_tls.user)
		return;
	if (!sm_tls.held) {
		sm_busy_add(-1);
		pthread_mutex_lock(&sm_lock);
		sm_tls.held = 1;
	}
	if (!sm_stop) { /* the cycle is over */
		sm_go_fast();
		return;
	}
	sm_waiting = why;
	pthread_mutex_unlock(&sm_lock);
	pause_briefly();
	pthread_mutex_lock(&sm_lock);
	wait_open();
	sm_waiting = NULL;
	settle_acks();
}

bool sm_gate_take(void)
{
	pthread_mutex_lock(&sm_lock);
	if (!sm_busy) {
		sm_tls.depth = 1;
		sm_tls.held = 1;
		return true;
	}
	pthread_mutex_unlock(&sm_lock);
	return false;
}

void sm_gate_give(void)
{
	sm_tls.depth = 0;
	sm_tls.held = 0;
	pthread_mutex_unlock(&sm_lock);
}

void sm_gate_phase(enum sm_phase p)
{
	pthread_mutex_lock(&sm_lock);
	sm_phase = p;
	if (p == SM_RUN)
		sm_stop &= ~SM_STOP_CYCLE;
	pthread_cond_broadcast(&sm_changed);
	pthread_mutex_unlock(&sm_lock);
}
