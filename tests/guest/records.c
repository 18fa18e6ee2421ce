// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Task records: of 1, 21 and 257 threads, frozen by the cgroup and parked,
 * compared with what ptrace says of the same threads at the same moment; no
 * spurious EINTR in the program, remaining sleeps, signals, timers.
 */
#include "config.h"

#include "session.h"

#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PTRACE_GETSIGMASK
#define PTRACE_GETSIGMASK 0x420a
#endif

static const struct stasis_rec *find(const struct stasis_rec *r,
				     const char *end, uint16_t type)
{
	for (r = rec_next(r); (const char *)r < end; r = rec_next(r)) {
		if (r->type == type)
			return r;
		if (r->type == STASIS_REC_THREAD)
			break;
	}
	return NULL;
}

static void compare_regs(const struct stasis_rec_thread *t,
			 const struct stasis_rec *r)
{
	struct user_regs_struct want, got;
	struct iovec iov = { &want, sizeof(want) };
	const unsigned char *a = (void *)&want, *b = (void *)&got;
	size_t i;

	CHECK(r && r->size - r->unused - sizeof(*r) == sizeof(got), "regs");
	memcpy(&got, r + 1, sizeof(got));
	CHECK(ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_PRSTATUS, &iov) == 0,
	      "getregset of %d", t->tid);
	if (t->flags & STASIS_THREAD_EINTR) {
		CHECK((long)want.rax == -EINTR && (long)got.rax == -514,
		      "repair of %d: %lld %lld", t->tid, (long long)want.rax,
		      (long long)got.rax);
		want.rax = got.rax;
	}
	for (i = 0; i < sizeof(got); i++)
		CHECK(a[i] == b[i], "thread %d: regs differ at %zu", t->tid, i);
}

static void compare_xstate(const struct stasis_rec_thread *t,
			   const struct stasis_rec *r)
{
	static char want[65536];
	struct iovec iov = { want, sizeof(want) };
	size_t len;

	CHECK(r, "no xstate");
	len = r->size - r->unused - sizeof(*r);
	CHECK(ptrace(PTRACE_GETREGSET, t->tid, (void *)NT_X86_XSTATE, &iov) ==
		      0,
	      "getregset of %d", t->tid);
	CHECK(iov.iov_len == len && !memcmp(want, r + 1, len),
	      "thread %d: xstate differs (%zu, %zu)", t->tid, iov.iov_len, len);
}

static void compare_thread(const struct stasis_rec_thread *t, const char *end)
{
	uint64_t mask;
	int status;

	CHECK(ptrace(PTRACE_SEIZE, t->tid, 0, 0) == 0, "seize %d", t->tid);
	CHECK(ptrace(PTRACE_INTERRUPT, t->tid, 0, 0) == 0, "interrupt");
	CHECK(waitpid(t->tid, &status, __WALL) == t->tid && WIFSTOPPED(status),
	      "stop of %d: %x", t->tid, status);
	compare_regs(t, find(&t->rec, end, STASIS_REC_REGS));
	compare_xstate(t, find(&t->rec, end, STASIS_REC_XSTATE));
	CHECK(ptrace(PTRACE_GETSIGMASK, t->tid, 8, &mask) == 0 &&
		      mask == t->sigmask,
	      "mask of %d: %llx %llx", t->tid, (long long)mask,
	      (long long)t->sigmask);
	CHECK(ptrace(PTRACE_DETACH, t->tid, 0, 0) == 0, "detach");
}

struct seen {
	uint32_t threads, sleeps[8], eintr, leaders, parked;
	uint64_t magic;
};

static void look(const char *buf, size_t len, bool by_ptrace, struct seen *s)
{
	const struct stasis_rec *r = (const void *)buf;
	const char *end = buf + len;
	struct timespec now;

	memset(s, 0, sizeof(*s));
	clock_gettime(CLOCK_MONOTONIC, &now);
	CHECK(r->type == STASIS_REC_PROC, "first record %u", r->type);
	for (; (const char *)r < end; r = rec_next(r)) {
		const struct stasis_rec_thread *t = (const void *)r;

		CHECK(r->size >= sizeof(*r) && r->size % 8 == 0 &&
			      (const char *)r + r->size <= end,
		      "record %u of size %u", r->type, r->size);
		if (r->type == STASIS_REC_REGS) {
			struct user_regs_struct u;

			memcpy(&u, r + 1, sizeof(u));
			s->magic |= u.r12 == 0x1122334455667788ull;
		}
		if (r->type != STASIS_REC_THREAD)
			continue;
		s->threads++;
		s->sleeps[t->sleep_kind]++;
		s->eintr += !!(t->flags & STASIS_THREAD_EINTR);
		s->leaders += t->flags & STASIS_THREAD_LEADER;
		s->parked += !!(t->flags & STASIS_THREAD_PARKED);
		CHECK(t->rseq && t->robust_list && t->clear_tid, "thread %d",
		      t->tid);
		if (t->sleep_kind) {
			int64_t left = (int64_t)t->sleep_expiry / 1000000000 -
				       now.tv_sec;

			CHECK(left > 3000 && left <= 3601,
			      "rest of a sleep: %lld s", (long long)left);
		}
		if (by_ptrace)
			compare_thread(t, end);
	}
}

static void once(unsigned int n, bool cgroup)
{
	struct stasis_wait w;
	struct session s;
	struct target t;
	struct seen seen;
	size_t len;
	char *buf;
	int i, ret;

	target_start(&t, n, 1 << 20, 0);
	for (i = 0; i < 3; i++) {
		session_open(&s);
		ret = session_attach(&s, t.pid);
		CHECK(ret == 0, "attach: %d", ret);
		if (cgroup) {
			CHECK(cgroup_put(t.pid), "cgroup");
			cgroup_freeze(true);
			ret = session_wait(&s, 20000, &w);
			CHECK(ret == 0, "wait: %d, %u run, pid %d why %u", ret,
			      w.running, w.pid, w.why);
			CHECK(w.n_threads == n, "%u threads", w.n_threads);
		} else {
			session_stop(&s);
		}
		buf = session_tasks(&s, 0, &len);
		look(buf, len, cgroup, &seen);
		free(buf);
		CHECK(seen.threads == n && seen.leaders == 1, "%u threads",
		      seen.threads);
		CHECK(cgroup || seen.parked == n, "%u parked", seen.parked);
		CHECK(seen.magic, "register of the spinning thread");
		/* Four of nine kinds of waits return EINTR, three restart. */
		CHECK(n < 10 || (seen.eintr >= (n - 1) / 9 * 4 &&
				 seen.sleeps[STASIS_SLEEP_NANOSLEEP] &&
				 seen.sleeps[STASIS_SLEEP_POLL] &&
				 seen.sleeps[STASIS_SLEEP_FUTEX]),
		      "%u EINTR", seen.eintr);
		/* What ptrace let go is on its way back into the freezer. */
		ret = session_wait(&s, 20000, &w);
		CHECK(ret == 0, "wait: %d", ret);
		buf = session_tasks(&s, STASIS_TASKS_REPAIR, &len);
		free(buf);
		if (cgroup)
			cgroup_freeze(false);
		session_close(&s);
		target_alive(&t);
		usleep(100000);
		CHECK(t.shared->eintr == 0, "%llu spurious returns",
		      (long long)t.shared->eintr);
	}
	target_end(&t);
	if (cgroup)
		cgroup_drop();
	printf("ok: records of %u threads, %s\n", n,
	       cgroup ? "cgroup freezer, equal to ptrace" : "parked");
	fflush(stdout);
}

static pid_t with_signals(void)
{
	int up[2];
	pid_t pid;
	char c;

	CHECK(pipe(up) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL,
				       .sigev_signo = SIGUSR1 };
		struct itimerspec ts = { { 7, 0 }, { 1000, 500 } };
		union sigval v = { .sival_int = 4711 };
		sigset_t set;
		timer_t id;

		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signal(SIGHUP, SIG_IGN);
		timer_create(CLOCK_MONOTONIC, &ev, &id);
		timer_settime(id, 0, &ts, NULL);
		sigqueue(getpid(), SIGRTMIN + 3, v);
		sigqueue(getpid(), SIGRTMIN + 3, v);
		(void)!write(up[1], "", 1);
		for (;;)
			pause();
	}
	CHECK(read(up[0], &c, 1) == 1, "target");
	close(up[0]);
	close(up[1]);
	return pid;
}

static void signals_timers(void)
{
	const struct stasis_rec *r;
	uint32_t infos = 0, timers = 0, actions = 0;
	pid_t pid = with_signals();
	struct session s;
	size_t len;
	char *buf;

	session_open(&s);
	CHECK(session_attach(&s, pid) == 0, "attach");
	session_stop(&s);
	buf = session_tasks(&s, 0, &len);
	for (r = (void *)buf; (char *)r < buf + len; r = rec_next(r)) {
		const siginfo_t *si = (const void *)(r + 1);
		const struct stasis_rec_ptimer *t = (const void *)r;
		const struct stasis_sigaction *a = (const void *)(r + 1);

		if (r->type == STASIS_REC_SIGINFO) {
			infos++;
			CHECK(si->si_signo == SIGRTMIN + 3 &&
				      si->si_value.sival_int == 4711 &&
				      si->si_pid == pid,
			      "siginfo");
		}
		if (r->type == STASIS_REC_PTIMER) {
			timers++;
			CHECK(t->clock == CLOCK_MONOTONIC && t->armed &&
				      t->signo == SIGUSR1 &&
				      t->interval == 7000000000ull &&
				      t->value > 900000000000ull &&
				      t->value <= 1000000000500ull,
			      "timer");
		}
		if (r->type == STASIS_REC_SIGACTION) {
			CHECK(r->size - r->unused == sizeof(*r) + sizeof(*a) &&
				      a->signo == SIGHUP && a->handler == 1,
			      "action");
			actions++;
		}
	}
	CHECK(infos == 2 && timers == 1 && actions == 1, "%u %u %u", infos,
	      timers, actions);
	free(buf);
	session_close(&s);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	printf("ok: pending signals, timers, actions\n");
}

int main(int argc, char **argv)
{
	unsigned int most = argc > 1 ? (unsigned int)atoi(argv[1]) : 257;
	bool cgroup = getuid() == 0;

	signals_timers();
	once(1, false);
	once(21, false);
	if (cgroup) {
		once(21, true);
		once(most, true);
	}
	once(most, false);
	return 0;
}
