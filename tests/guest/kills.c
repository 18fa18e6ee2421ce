// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kill -9 of the caller at random moments, of the target too, and two callers
 * on one target: the target goes on (or is gone), nothing stays parked.
 * usage: kills [ROUNDS [SEED]]
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile uint32_t *phase;

/* One whole capture, with the place it is at in shared memory. */
static void capture(pid_t pid, uint32_t mode)
{
	struct stasis_park p = { .size = sizeof(p) };
	struct stasis_snapshot snap;
	struct stasis_range r = { 4096, 4096 + (16u << 20) };
	struct stasis_stream st = { .size = sizeof(st),
				    .n = 1,
				    .ranges = (uintptr_t)&r };
	struct session s;
	size_t len;

	*phase = 0;
	session_open(&s);
	if (session_attach(&s, pid))
		_exit(0);
	*phase = 1;
	session_stop(&s);
	*phase = 2;
	free(session_tasks(&s, STASIS_TASKS_REPAIR, &len));
	*phase = 3;
	if (session_snapshot(&s, mode, &snap))
		_exit(0);
	*phase = 4;
	if (mode == STASIS_SNAPSHOT_COW)
		call(s.fd, STASIS_IOC_UNPARK, &p);
	st.id = s.id;
	st.fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
	call(s.fd, STASIS_IOC_STREAM, &st);
	*phase = 5;
	close(st.fd);
	session_close(&s);
}

static uint64_t one_capture_us(pid_t pid)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	capture(pid, STASIS_SNAPSHOT_COW);
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a.tv_sec) * 1000000ull +
	       (b.tv_nsec - a.tv_nsec) / 1000;
}

static pid_t start_caller(pid_t pid, uint32_t mode)
{
	pid_t child = fork();

	if (child == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		capture(pid, mode);
		_exit(0);
	}
	return child;
}

static void callers(int rounds)
{
	uint32_t hist[6] = { 0 };
	struct target t;
	uint64_t most;
	int i, status, live = 0;

	target_start(&t, 9, 8u << 20, TARGET_WRITER);
	most = one_capture_us(t.pid);
	for (i = 0; i < rounds; i++) {
		pid_t c = start_caller(t.pid, 1 + i % 2);

		usleep((useconds_t)((uint64_t)random() % (most * 3 / 2)));
		kill(c, SIGKILL);
		CHECK(waitpid(c, &status, 0) == c, "wait");
		if (WIFSIGNALED(status)) {
			live++;
			hist[*phase]++;
		}
		target_alive(&t);
	}
	CHECK(t.shared->eintr == 0 || rounds, "spurious returns");
	target_end(&t);
	printf("ok: %d callers killed of %d (open %u park %u tasks %u "
	       "snapshot %u stream %u close %u)\n",
	       live, rounds, hist[0], hist[1], hist[2], hist[3], hist[4],
	       hist[5]);
	CHECK(live >= rounds / 3, "too few were hit");
}

static void targets(int rounds)
{
	int i, status;

	for (i = 0; i < rounds; i++) {
		struct target t;
		pid_t c;

		target_start(&t, 5, 4u << 20, 0);
		c = start_caller(t.pid, 1 + i % 2);
		usleep((useconds_t)(random() % 20000));
		target_end(&t);
		CHECK(waitpid(c, &status, 0) == c && WIFEXITED(status),
		      "caller: %x", status);
	}
	printf("ok: %d targets killed under a capture\n", rounds);
}

/* Both park; each one's end lets go only what it holds. */
static void two(void)
{
	struct session a, b;
	struct stasis_wait w;
	struct target t;
	int ret;

	target_start(&t, 3, 1 << 20, 0);
	session_open(&a);
	session_open(&b);
	CHECK(session_attach(&a, t.pid) == 0, "attach");
	CHECK(session_attach(&b, t.pid) == 0, "attach");
	session_stop(&a);
	CHECK(session_park(&b) == 0, "park");
	ret = session_wait(&b, 50, &w);
	CHECK(ret == -ETIMEDOUT, "parked by the other: %d", ret);
	session_close(&a);
	ret = session_wait(&b, 5000, &w);
	CHECK(ret == 0, "now by this one: %d, %u", ret, w.why);
	session_close(&b);
	target_alive(&t);
	target_end(&t);
	printf("ok: two callers on one target\n");
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 200;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) :
				       (unsigned int)time(NULL);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %u\n", seed);
	srandom(seed);
	phase = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	two();
	callers(rounds);
	targets(rounds / 10);
	return 0;
}
