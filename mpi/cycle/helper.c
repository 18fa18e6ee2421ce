/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The resident helper thread: asleep on the coordinator's connection in
 * peace; in a cycle it drains, takes the library down, waits, and brings it
 * up again, while the program computes.  All signals are blocked in it.
 */
#include "config.h"
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "coord/proto.h"
#include "cycle/cycle.h"

static pthread_t thread;
static bool running;
static volatile bool quit;
static struct sm_link link_ = { -1 };
static int wake = -1;
static pthread_mutex_t send_lock = PTHREAD_MUTEX_INITIALIZER;

static int barrier_all(int cmd)
{
	return (int)syscall(SYS_membarrier, cmd, 0, 0);
}

/* After this no caller can be on the fast way without sm_busy showing it. */
static void close_gate(void)
{
	sm_stop |= SM_STOP_CYCLE;
	if (barrier_all(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
		/* a restart may have lost the registration */
		barrier_all(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
		if (barrier_all(MEMBARRIER_CMD_PRIVATE_EXPEDITED))
			barrier_all(MEMBARRIER_CMD_GLOBAL);
	}
}

static int tell(uint32_t type, uint32_t arg, const void *data, uint32_t len)
{
	int ret;

	pthread_mutex_lock(&send_lock);
	ret = sm_link_send(&link_, type, arg, data, len);
	pthread_mutex_unlock(&send_lock);
	return ret;
}

static int ack(uint32_t step, const char *why)
{
	return tell(SM_M_ACK, step, why, why ? (uint32_t)strlen(why) : 0);
}

static void mpi_text(char *buf, size_t size, const char *what, int code)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int n;

	if (sm_real.Error_string)
		sm_real.Error_string(code, text, &n);
	snprintf(buf, size, "rank %d: %s: %s", sm_life.rank, what, text);
}

static int gate(void)
{
	char why[512] = "";
	uint32_t i;

	/* Take it once, so that the tables are still while we look. */
	close_gate();
	pthread_mutex_lock(&sm_lock);
	if (quit)
		snprintf(why, sizeof(why), "rank %d: in MPI_Finalize",
			 sm_life.rank);
	else
		sm_refusal(why, sizeof(why));
	pthread_mutex_lock(&sm_comms_lock);
	sm_buried_begin();
	for (i = 1; i < sm_objs_top; i++) {
		if (sm_objs[i].kind != SM_COMM || !sm_objs[i].comm)
			continue;
		sm_objs[i].comm->target = sm_objs[i].comm->seq;
		sm_objs[i].comm->reported = 0;
	}
	pthread_mutex_unlock(&sm_comms_lock);
	sm_phase = SM_DRAIN;
	pthread_mutex_unlock(&sm_lock);
	return ack(SM_M_GATE, *why ? why : NULL);
}

static int finish(void)
{
	char why[512];
	int ret;

	if (!sm_gate_take())
		return ack(SM_M_FINISH, "a call is still inside MPI");
	/* Made since the gate was closed. */
	if (sm_refusal(why, sizeof(why))) {
		sm_gate_give();
		return ack(SM_M_FINISH, why);
	}
	ret = sm_drain_cancel();
	if (!ret)
		ret = sm_fifo_keep_messages();
	if (!ret)
		ret = sm_infos_save();
	if (!ret)
		ret = sm_groups_save();
	if (!ret)
		ret = sm_types_save();
	if (!ret)
		ret = sm_comms_save();
	if (ret)
		mpi_text(why, sizeof(why), "saving MPI objects", ret);
	sm_gate_give();
	return ack(SM_M_FINISH, ret ? why : NULL);
}

static void die(const char *what, int code)
{
	char why[512];

	mpi_text(why, sizeof(why), what, code);
	fprintf(stderr, "stasis-mpi: %s\n", why);
	sm_helper_abort(1);
	_exit(1);
}

/* All signals' handlers stay the program's through load and init. */
static void handlers(struct sigaction *sa, bool save)
{
	int i;

	for (i = 1; i < 32; i++) {
		if (save)
			sigaction(i, NULL, &sa[i]);
		else if (i != SIGKILL && i != SIGSTOP)
			sigaction(i, &sa[i], NULL);
	}
}

static void down(void)
{
	struct sigaction sa[32];
	int ret;

	while (!sm_gate_take())
		usleep(1000);
	handlers(sa, true);
	sm_phase = SM_AWAY;
	ret = sm_cycle_down();
	handlers(sa, false);
	sm_gate_give();
	if (ret)
		die("taking MPI down", ret);
	ack(SM_M_DOWN, NULL);
	sm_link_close(&link_);
}

/* Until the coordinator listens again: here, or where we are restarted. */
static void reconnect(void)
{
	static const struct timespec ts = { 0, 2000000 };

	while (sm_link_open(&link_, SM_HELLO_AGAIN))
		nanosleep(&ts, NULL);
}

static void up(char *env, uint32_t len)
{
	struct sigaction sa[32];
	uint32_t at = 0;
	int ret;

	pthread_mutex_lock(&sm_lock);
	sm_tls.depth = 1;
	sm_tls.held = 1;
	sm_environment(env, len, &at);
	handlers(sa, true);
	ret = sm_cycle_up();
	handlers(sa, false);
	sm_gate_give();
	if (ret)
		die("bringing MPI up", ret);
	ack(SM_M_UP, NULL);
}

static void resume(bool whole)
{
	int ret = 0;

	if (!whole && sm_phase != SM_RUN) {
		/* Given up: receives back, completions not to be trusted. */
		while (!sm_gate_take())
			usleep(100);
		ret = sm_drain_repost();
		sm_drain_settle();
		sm_sync_suspect();
		sm_distrust = true;
		sm_gate_give();
	} else if (whole) {
		sm_distrust = false;
		sm_buried_clear();
	}
	if (ret)
		die("posting receives again", ret);
	sm_gate_phase(SM_RUN);
}

static int handle(uint32_t type, uint32_t arg, void *data, uint32_t len)
{
	switch (type) {
	case SM_M_GATE:
		return gate();
	case SM_M_ROUND:
		return sm_round(tell, data, len);
	case SM_M_HOLD:
		sm_gate_phase(arg ? SM_HOLD : SM_DRAIN);
		return ack(SM_M_HOLD, NULL);
	case SM_M_FINISH:
		return finish();
	case SM_M_DOWN:
		down();
		reconnect();
		return 0;
	case SM_M_UP:
		up(data, len);
		return 0;
	case SM_M_QUIET:
		return ack(SM_M_QUIET, NULL);
	case SM_M_RESUME:
		resume(arg);
		return ack(SM_M_RESUME, NULL);
	default:
		return -EPROTO;
	}
}

/* While draining the library needs a push now and then. */
static bool draining(void)
{
	return sm_phase == SM_DRAIN || sm_phase == SM_HOLD;
}

static int wait_for_work(void)
{
	struct pollfd p[2] = { { link_.fd, POLLIN, 0 }, { wake, POLLIN, 0 } };

	if (poll(p, 2, draining() ? 1 : -1) < 0 && errno != EINTR)
		return -errno;
	if (draining() && !(p[0].revents & POLLIN))
		sm_push();
	return p[0].revents & (POLLIN | POLLHUP) ? 1 : 0;
}

static void *helper(void *arg)
{
	uint32_t type, a, len;
	void *data;
	int ret;

	(void)arg;
	while (!quit || sm_phase != SM_RUN) {
		ret = wait_for_work();
		if (ret == 0)
			continue;
		if (ret > 0)
			ret = sm_link_recv(&link_, 0, &type, &a, &data, &len);
		if (ret > 0) {
			ret = handle(type, a, data, len);
			free(data);
		}
		if (ret < 0) {
			/* No coordinator any more: the program goes on. */
			if (sm_phase == SM_AWAY)
				die("coordinator lost", MPI_ERR_OTHER);
			if (sm_phase != SM_RUN || sm_stop & SM_STOP_CYCLE)
				resume(false);
			break;
		}
	}
	return NULL;
}

int sm_helper_start(void)
{
	sigset_t all, old;
	int ret;

	if (!getenv("STASIS_MPI_COORD"))
		return 0;
	barrier_all(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
	ret = sm_link_open(&link_, 0);
	if (ret)
		return ret;
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	ret = pthread_create(&thread, NULL, helper, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	running = sm_life.attached = !ret;
	return -ret;
}

void sm_helper_stop(void)
{
	uint64_t one = 1;

	if (!running)
		return;
	quit = true;
	if (write(wake, &one, sizeof(one)) < 0)
		return;
	pthread_join(thread, NULL);
	running = false;
	tell(SM_M_FINI, 0, NULL, 0);
	sm_link_close(&link_);
	close(wake);
}

void sm_helper_abort(int code)
{
	if (running)
		tell(SM_M_ABORT, (uint32_t)code, NULL, 0);
}
