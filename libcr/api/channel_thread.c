/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The program's side of the request channel: one thread, all signals blocked,
 * asleep.  It uses system calls only, takes no lock of the program's, and
 * holds no descriptor.  Part of libcr_run.so and libcr.so.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "api/channel.h"

#define STACK_SIZE (64u * 1024)
#define LOOK_AGAIN_NS 200000000L /* is the tracer still there? */
#define KERNEL_SIGSET 8u

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER 0x59616d61
#endif

bool cri_channel_wanted(void)
{
	const char *env = getenv("CR_CHANNEL");
	char scope = '0';
	int fd;

	if (env && *env)
		return *env != '0';
	fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &scope, 1) != 1)
		scope = '0';
	close(fd);
	return scope == '1';
}

static void let_trace(pid_t pid)
{
	(void)prctl(PR_SET_PTRACER, (unsigned long)pid, 0, 0, 0);
}

/* Not for us: the program may use this signal itself. */
static void hand_on(siginfo_t *si)
{
	pid_t self = getpid();

	(void)syscall(SYS_rt_tgsigqueueinfo, self, self, si->si_signo, si);
}

/* Only the owner or root, and as the kernel says, not as the sender says. */
static bool is_request(const siginfo_t *si)
{
	return si->si_code == SI_TKILL && si->si_pid > 0 &&
	       si->si_pid != getpid() &&
	       (si->si_uid == 0 || si->si_uid == getuid());
}

static void *serve(void *arg)
{
	const struct timespec slice = { 0, LOOK_AGAIN_NS };
	const uint64_t mask = 1ull << (CRI_CHANNEL_SIGNAL - 1);
	pid_t tracer = 0;
	siginfo_t si;
	long sig;

	(void)arg;
	prctl(PR_SET_NAME, CRI_CHANNEL_NAME);
	for (;;) {
		sig = syscall(SYS_rt_sigtimedwait, &mask, &si,
			      tracer ? &slice : NULL, KERNEL_SIGSET);
		if (sig < 0) {
			if (tracer && kill(tracer, 0) && errno == ESRCH) {
				tracer = 0;
				let_trace(0);
			}
			continue;
		}
		if (!is_request(&si)) {
			hand_on(&si);
			continue;
		}
		tracer = si.si_pid;
		let_trace(tracer);
	}
	return NULL;
}

static void start_thread(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t t;

	if (pthread_attr_init(&attr))
		return;
	pthread_attr_setstacksize(&attr, STACK_SIZE < PTHREAD_STACK_MIN ?
						 (size_t)PTHREAD_STACK_MIN :
						 STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	(void)pthread_create(&t, &attr, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void cri_channel_start(void)
{
	start_thread();
	(void)pthread_atfork(NULL, NULL, start_thread);
}
