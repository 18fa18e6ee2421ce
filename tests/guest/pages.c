// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pages: what the module holds, reads and streams is byte for byte what
 * process_vm_readv() reads from the parked process; a copy-on-write snapshot
 * under a writing thread is of one moment; swap and huge pages included.
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <signal.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ull + ts.tv_nsec / 1000;
}

static uint32_t crc32c(uint32_t crc, const unsigned char *p, size_t n)
{
	static uint32_t table[256];
	uint32_t i, k;

	if (!table[1]) {
		for (i = 0; i < 256; i++) {
			table[i] = i;
			for (k = 0; k < 8; k++)
				table[i] = table[i] >> 1 ^
					   (table[i] & 1 ? 0x82f63b78u : 0);
		}
	}
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 255];
	return crc;
}

static void peek(pid_t pid, uint64_t at, void *to, size_t len)
{
	struct iovec l = { to, len }, r = { (void *)at, len };

	CHECK(process_vm_readv(pid, &l, 1, &r, 1, 0) == (ssize_t)len, "readv");
}

/* Every page touched by the pattern is in the ranges, holes are not. */
static void check_holes(const struct stasis_range *r, uint32_t n,
			const struct target *t, bool zero_skipped)
{
	uint64_t page, at;
	uint32_t i = 0;

	for (page = 0; page < t->shared->size / 4096; page++) {
		bool touched = page % 7 != 3;
		bool held;

		if (zero_skipped && page % 11 == 5)
			touched = false;
		at = t->shared->memory + page * 4096;
		while (i < n && r[i].end <= at)
			i++;
		held = i < n && r[i].start <= at;
		CHECK(held == touched, "page %llu: %d", (long long)page, held);
	}
}

static void check_stream(struct session *s, const struct stasis_range *r,
			 uint32_t n, const char *want, size_t size,
			 const char *dir, int extra)
{
	struct stasis_stream a = { .size = sizeof(a),
				   .id = s->id,
				   .flags = STASIS_STREAM_CRC,
				   .n = n,
				   .ranges = (uintptr_t)r,
				   .offset = 8192,
				   .crc = ~0u };
	char path[200], *got;
	struct stat st;
	int ret;

	snprintf(path, sizeof(path), "%s/stream.%d", dir, getpid());
	a.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | extra, 0600);
	CHECK(a.fd >= 0, "%s", path);
	ret = call(s->fd, STASIS_IOC_STREAM, &a);
	CHECK(ret == 0 && a.written == size, "stream: %d, %llu", ret,
	      (long long)a.written);
	CHECK(fstat(a.fd, &st) == 0 && (size_t)st.st_size == size + 8192, "size"
									  " of "
									  "the "
									  "fil"
									  "e");
	got = mmap(NULL, size + 8192, PROT_READ, MAP_SHARED, a.fd, 0);
	CHECK(got != MAP_FAILED && !memcmp(got + 8192, want, size), "bytes");
	CHECK(a.crc == crc32c(~0u, (const void *)want, size), "crc");
	munmap(got, size + 8192);
	close(a.fd);
	unlink(path);
}

static void page_out(const struct target *t)
{
	struct iovec r = { (void *)t->shared->memory, t->shared->size };
	int fd = (int)syscall(SYS_pidfd_open, t->pid, 0);

	CHECK(syscall(SYS_process_madvise, fd, &r, 1, MADV_PAGEOUT, 0) > 0,
	      "pageout");
	close(fd);
}

static void held(unsigned int flags, uint32_t mode, bool swap)
{
	size_t size = 24u << 20, have = 0;
	struct stasis_snapshot snap;
	struct stasis_range *r;
	struct session s;
	struct target t;
	char *want, *got;
	uint32_t n, i;
	int ret;

	target_start(&t, 3, size, flags);
	session_open(&s);
	CHECK(session_attach(&s, t.pid) == 0, "attach");
	session_stop(&s);
	if (swap)
		page_out(&t);
	ret = session_snapshot(&s, mode, &snap);
	CHECK(ret == 0, "snapshot: %d, %u strangers", ret, snap.strangers);
	CHECK(snap.pages > size / 4096 / 2, "%llu pages",
	      (long long)snap.pages);
	CHECK(!swap || snap.faulted, "nothing was in swap");
	r = session_pages(&s, t.shared->memory, t.shared->memory + size, 0, &n);
	if (!(flags & TARGET_HUGE))
		check_holes(r, n, &t, false);
	want = malloc(size);
	got = malloc(size);
	for (i = 0; i < n; i++) {
		size_t len = r[i].end - r[i].start;

		peek(t.pid, r[i].start, want + have, len);
		ret = session_read(&s, r[i].start, got + have, len);
		CHECK(ret == 0, "read: %d", ret);
		have += len;
	}
	CHECK(!memcmp(want, got, have), "bytes differ");
	check_stream(&s, r, n, want, have, "/dev/shm", 0);
	if (getenv("TEST_DISK"))
		check_stream(&s, r, n, want, have, "/media", O_DIRECT);
	free(r);
	r = session_pages(&s, t.shared->memory, t.shared->memory + size,
			  STASIS_PAGES_SKIP_ZERO, &n);
	check_holes(r, n, &t, true);
	free(r);
	/* Holes read as zeros; unaligned reads are right. */
	ret = session_read(&s, t.shared->memory + 3 * 4096 - 5, got, 10);
	peek(t.pid, t.shared->memory + 3 * 4096 - 5, want, 10);
	CHECK(ret == 0 && !memcmp(want, got, 10), "unaligned read: %d", ret);
	session_close(&s);
	target_alive(&t);
	target_end(&t);
	free(want);
	free(got);
	printf("ok: pages held, %s%s%s (%llu, %llu huge, %llu from swap)\n",
	       mode == STASIS_SNAPSHOT_COW ? "cow" : "stopped",
	       flags & TARGET_HUGE ? ", huge" : "", swap ? ", swapped" : "",
	       (long long)snap.pages, (long long)snap.huge,
	       (long long)snap.faulted);
	fflush(stdout);
}

/* Up to one page the round is r, from there on r - 1. */
static void check_moment(const uint64_t *words, size_t pages)
{
	uint64_t first = words[0];
	bool older = false;
	size_t i;

	for (i = 0; i < pages; i++) {
		if (words[i * 512] == first && !older)
			continue;
		older = true;
		CHECK(words[i * 512] == first - 1,
		      "page %zu is of round %llu, "
		      "the first of %llu",
		      i, (long long)words[i * 512], (long long)first);
	}
}

static void moment(unsigned int flags, bool cgroup)
{
	size_t size = 16u << 20;
	struct stasis_park p = { .size = sizeof(p) };
	struct stasis_snapshot snap;
	struct stasis_wait w;
	uint64_t *words = malloc(size), before, spent = 0;
	struct session s;
	struct target t;
	int i, ret;

	target_start(&t, 2, size, flags | TARGET_WRITER);
	/* Before the first rounds pages hold something else. */
	while (t.shared->round < 2)
		usleep(1000);
	if (cgroup)
		CHECK(cgroup_put(t.pid), "cgroup");
	for (i = 0; i < 6; i++) {
		session_open(&s);
		CHECK(session_attach(&s, t.pid) == 0, "attach");
		if (cgroup) {
			cgroup_freeze(true);
			ret = session_wait(&s, 20000, &w);
			CHECK(ret == 0, "wait: %d", ret);
		} else {
			session_stop(&s);
		}
		ret = session_snapshot(&s, STASIS_SNAPSHOT_COW, &snap);
		CHECK(ret == 0, "snapshot: %d", ret);
		spent += snap.ns;
		before = t.shared->round;
		p.n_threads = 0;
		if (cgroup)
			cgroup_freeze(false);
		else
			CHECK(call(s.fd, STASIS_IOC_UNPARK, &p) == 0, "unpark");
		/* Let it write on before the snapshot is read. */
		while (i % 2 && t.shared->round < before + 2)
			usleep(1000);
		ret = session_read(&s, t.shared->memory, words, size);
		CHECK(ret == 0, "read: %d", ret);
		check_moment(words, size / 4096);
		CHECK(words[0] >= before && words[0] <= before + 1,
		      "round %llu, %llu", (long long)words[0],
		      (long long)before);
		session_close(&s);
		target_alive(&t);
	}
	target_end(&t);
	if (cgroup)
		cgroup_drop();
	free(words);
	printf("ok: one moment under a writer, %s%s (%llu us each)\n",
	       cgroup ? "frozen" : "parked",
	       flags & TARGET_HUGE ? ", huge" : "", (long long)(spent / 6000));
	fflush(stdout);
}

/* A held snapshot of a process that has ended stays readable. */
static void outlived(void)
{
	struct stasis_park p = { .size = sizeof(p) };
	struct stasis_snapshot snap;
	struct stasis_wait w;
	struct session s;
	struct target t;
	uint64_t word;

	target_start(&t, 1, 1 << 20, 0);
	session_open(&s);
	CHECK(session_attach(&s, t.pid) == 0, "attach");
	session_stop(&s);
	CHECK(session_snapshot(&s, STASIS_SNAPSHOT_COW, &snap) == 0, "cow");
	CHECK(session_snapshot(&s, STASIS_SNAPSHOT_COW, &snap) == -EEXIST, "2");
	CHECK(call(s.fd, STASIS_IOC_UNPARK, &p) == 0 && p.n_threads == 1, "go");
	target_alive(&t);
	CHECK(session_wait(&s, 0, &w) == -ETIMEDOUT && w.running == 1 &&
		      w.pid == t.pid && w.why == STASIS_WHY_RUNS,
	      "it runs: %u", w.why);
	kill(t.pid, 9);
	usleep(200000);
	CHECK(session_read(&s, t.shared->memory, &word, 8) == 0 && word == 1,
	      "word %llx", (long long)word);
	session_close(&s);
	target_end(&t);
	printf("ok: a snapshot outlives its process\n");
}

/* Nothing is kept: memory that is free before and after many rounds. */
static long free_kb(void)
{
	char line[128];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static void leaks(void)
{
	struct stasis_snapshot snap;
	long before = 0, after;
	struct session s;
	struct target t;
	int i;

	target_start(&t, 4, 8u << 20, 0);
	for (i = 0; i < 60; i++) {
		if (i == 10)
			before = free_kb();
		session_open(&s);
		CHECK(session_attach(&s, t.pid) == 0, "attach");
		session_stop(&s);
		CHECK(session_snapshot(&s, 1 + i % 2, &snap) == 0, "snapshot");
		session_close(&s);
	}
	after = free_kb();
	target_end(&t);
	CHECK(after > before - 16384, "%ld KiB before, %ld after", before,
	      after);
	printf("ok: 60 snapshots leave nothing (%ld KiB)\n", before - after);
}

int main(int argc, char **argv)
{
	bool root = getuid() == 0;
	uint64_t begin = now_us();

	(void)argc;
	(void)argv;
	held(0, STASIS_SNAPSHOT_REF, false);
	held(0, STASIS_SNAPSHOT_COW, false);
	held(TARGET_HUGE, STASIS_SNAPSHOT_COW, false);
	if (root && getenv("TEST_SWAP")) {
		held(0, STASIS_SNAPSHOT_REF, true);
		held(0, STASIS_SNAPSHOT_COW, true);
	}
	moment(0, false);
	moment(TARGET_HUGE, false);
	if (root) {
		moment(0, true);
		moment(TARGET_HUGE, true);
	}
	outlived();
	leaks();
	printf("pages: %llu ms\n", (long long)((now_us() - begin) / 1000));
	return 0;
}
