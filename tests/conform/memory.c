/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of memory that belongs to one process or to processes by fork:
 * anonymous, heap, stack, files mapped privately and shared, huge pages, huge
 * sparse ranges, pages that a fork still shares.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conform.h"

#define PAGE 4096ul
#define MB (1024ul * 1024)

static unsigned char *map_anon(size_t len, int prot, int flags)
{
	void *p = mmap(NULL, len, prot, flags | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "mmap of %zu: %m", len);
	return p;
}

static bool is_zero(const unsigned char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, sig);
}

/* Which signal a touch gives: 0 none. */
static int touch(volatile unsigned char *p, bool write)
{
	void (*old)(int) = signal(SIGSEGV, on_fault);
	void (*old_bus)(int) = signal(SIGBUS, on_fault);
	int sig = sigsetjmp(fault_env, 1);

	if (!sig) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
	signal(SIGSEGV, old);
	signal(SIGBUS, old_bus);
	return sig;
}

/* --- anonymous --- */

static unsigned char *anon, *code;

/* 16 MB: pages written, zero pages, holes, guards, all protections. */
static void anon_setup(struct conform *c)
{
	size_t i;

	anon = map_anon(16 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (i = 0; i < 4096; i++) {
		if (i % 4 == 0)
			conform_fill(anon + i * PAGE, PAGE, c->nonce + i);
		if (i % 4 == 1)
			memset(anon + i * PAGE, 0, PAGE);
	}
	NEED(mprotect(anon + 4 * MB, MB, PROT_READ));
	NEED(mprotect(anon + 6 * MB, MB, PROT_NONE));
	NEED(munmap(anon + 8 * MB, MB));
	code = map_anon(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memcpy(code, "\xb8\x2a\x17\x00\x00\xc3", 6); /* mov $0x172a,%eax; ret */
	NEED(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
}

static bool anon_gone(size_t i)
{
	return i >= 2048 && i < 2304;
}

static void anon_after(struct conform *c)
{
	int (*call)(void);
	size_t i;

	CHECK_EQ(touch(anon + 4 * MB, true), SIGSEGV);
	CHECK_EQ(touch(anon + 6 * MB, false), SIGSEGV);
	CHECK_EQ(touch(anon + 8 * MB, false), SIGSEGV);
	NEED(mprotect(anon + 6 * MB, MB, PROT_READ));
	for (i = 0; i < 4096; i++) {
		if (anon_gone(i))
			continue;
		if (i % 4 == 0)
			CHECK_SAME(anon + i * PAGE, PAGE, c->nonce + i);
		else
			CHECK(is_zero(anon + i * PAGE, PAGE),
			      "page %zu is not zero", i);
	}
	memcpy(&call, &code, sizeof(call));
	CHECK_EQ(call(), 0x172a);
	CHECK_EQ(touch(code, true), SIGSEGV);
}

/* --- heap and stack --- */

static void *blocks[200];
static void *brk_was;

static size_t block_len(struct conform *c, size_t i)
{
	return 16 + conform_rand(c->nonce, 700 + i) % 40000;
}

static void heap_setup(struct conform *c)
{
	size_t i;

	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	for (i = 0; i < 200; i++) {
		blocks[i] = malloc(block_len(c, i));
		conform_fill(blocks[i], block_len(c, i), c->nonce + i);
	}
	brk_was = sbrk(0);
}

static void heap_after(struct conform *c)
{
	size_t i;

	CHECK(sbrk(0) == brk_was, "the end of the heap moved");
	for (i = 0; i < 200; i++) {
		CHECK_SAME(blocks[i], block_len(c, i), c->nonce + i);
		free(blocks[i]);
	}
	/* The heap still grows in place. */
	CHECK(sbrk(1 * (intptr_t)MB) != (void *)-1, "sbrk: %m");
	conform_fill((char *)sbrk(0) - MB, MB, c->nonce);
	CHECK_SAME((char *)sbrk(0) - MB, MB, c->nonce);
}

static int deep(int n)
{
	volatile char frame[8192];

	frame[0] = (char)n;
	frame[8191] = (char)n;
	return n ? deep(n - 1) + (frame[0] == (char)n) : 0;
}

static pid_t stack_kid;

static void stack_child(struct conform *c, long arg)
{
	unsigned char frame[200000];

	conform_fill(frame, sizeof(frame), c->nonce + 9);
	conform_child_ready();
	conform_wait_go(c);
	CHECK_SAME(frame, sizeof(frame), c->nonce + 9);
	CHECK_EQ(deep(600), 600);
	CHECK_EQ(arg, 3);
}

static void stack_setup(struct conform *c)
{
	CHECK_EQ(deep(40), 40);
	stack_kid = conform_child(c, stack_child, 3);
}

/* The main stack still grows: 6 MB need growsdown. */
static void stack_after(struct conform *c)
{
	CHECK_EQ(deep(700), 700);
	conform_join(c, stack_kid, 3);
}

/* --- files --- */

static unsigned char *priv, *shared, *ro;

static void file_make(const char *name, uint64_t seed, size_t len)
{
	unsigned char *buf = malloc(len);
	int fd = (int)NEED(open(name, O_RDWR | O_CREAT | O_TRUNC, 0644));

	conform_fill(buf, len, seed);
	CHECK(write(fd, buf, len) == (ssize_t)len, "write: %m");
	close(fd);
	free(buf);
}

static unsigned char *file_map(const char *name, int prot, int flags,
			       size_t len, off_t off)
{
	int fd = (int)NEED(open(name, prot & PROT_WRITE && flags == MAP_SHARED ?
					      O_RDWR :
					      O_RDONLY));
	void *p = mmap(NULL, len, prot, flags, fd, off);

	CHECK(p != MAP_FAILED, "mmap of %s: %m", name);
	close(fd);
	return p;
}

static void file_setup(struct conform *c)
{
	file_make("data", c->nonce + 1, MB);
	priv = file_map("data", PROT_READ | PROT_WRITE, MAP_PRIVATE, MB - PAGE,
			PAGE);
	ro = file_map("data", PROT_READ, MAP_SHARED, MB, 0);
	conform_fill(priv + 10 * PAGE, PAGE, c->nonce + 2);
	file_make("shared", c->nonce + 3, MB);
	shared = file_map("shared", PROT_READ | PROT_WRITE, MAP_SHARED, MB, 0);
	conform_fill(shared + 20 * PAGE, PAGE, c->nonce + 4);
}

static void file_after(struct conform *c)
{
	unsigned char *whole = malloc(MB), buf[PAGE];
	int fd;

	conform_fill(whole, MB, c->nonce + 1);
	CHECK(!memcmp(ro, whole, MB), "the shared read-only map differs");
	CHECK_SAME(priv + 10 * PAGE, PAGE, c->nonce + 2);
	memcpy(priv + 10 * PAGE, whole + 11 * PAGE, PAGE);
	CHECK(!memcmp(priv, whole + PAGE, MB - PAGE), "private map differs");
	free(whole);
	CHECK_SAME(shared + 20 * PAGE, PAGE, c->nonce + 4);
	/* Still the file's own pages. */
	conform_fill(shared + 30 * PAGE, PAGE, c->nonce + 5);
	fd = (int)NEED(open("shared", O_RDONLY));
	NEED(pread(fd, buf, PAGE, 30 * PAGE));
	CHECK_SAME(buf, PAGE, c->nonce + 5);
	close(fd);
}

/* A mapping longer than its file: SIGBUS behind the end. */
static void beyond_setup(struct conform *c)
{
	file_make("short", c->nonce, 3 * PAGE + 100);
	priv = file_map("short", PROT_READ | PROT_WRITE, MAP_PRIVATE, 8 * PAGE,
			0);
	shared = file_map("short", PROT_READ | PROT_WRITE, MAP_SHARED, 8 * PAGE,
			  0);
	priv[0] = 1;
	priv[3 * PAGE + 50] = 1;
}

static void beyond_after(struct conform *c)
{
	(void)c;
	CHECK_EQ(priv[0], 1);
	CHECK_EQ(priv[3 * PAGE + 50], 1);
	CHECK_EQ(touch(priv + 5 * PAGE, false), SIGBUS);
	CHECK_EQ(touch(shared + 5 * PAGE, true), SIGBUS);
}

/* The file of a mapping has been unlinked. */
static void unlinked_setup(struct conform *c)
{
	file_make("gone", c->nonce, 64 * PAGE);
	priv = file_map("gone", PROT_READ | PROT_WRITE, MAP_PRIVATE, 64 * PAGE,
			0);
	shared = file_map("gone", PROT_READ | PROT_WRITE, MAP_SHARED, 64 * PAGE,
			  0);
	conform_fill(priv + 3 * PAGE, PAGE, c->nonce + 1);
	conform_fill(shared + 5 * PAGE, PAGE, c->nonce + 2);
	NEED(unlink("gone"));
}

static void unlinked_after(struct conform *c)
{
	unsigned char buf[PAGE * 2];

	conform_fill(buf, PAGE, c->nonce);
	CHECK(!memcmp(shared, buf, PAGE), "unlinked shared file differs");
	CHECK(!memcmp(priv, buf, PAGE), "unlinked private file differs");
	CHECK_SAME(priv + 3 * PAGE, PAGE, c->nonce + 1);
	CHECK_SAME(shared + 5 * PAGE, PAGE, c->nonce + 2);
	/* Both maps are of one file. */
	conform_fill(shared + 9 * PAGE, PAGE, c->nonce + 3);
	CHECK_SAME(priv + 9 * PAGE, PAGE, c->nonce + 3);
	CHECK(access("gone", F_OK), "the file has its name back");
}

/* --- shared and copied by fork --- */

static unsigned char *both;
static pid_t kid;

static void share_child(struct conform *c, long arg)
{
	conform_fill(both + MB, MB, c->nonce + 2);
	conform_child_ready();
	conform_wait_go(c);
	CHECK_SAME(both, MB, c->nonce + 1);
	both[2 * MB] = 0x5a;
	while (both[2 * MB + 1] != 0xa5)
		conform_msleep(2);
	CHECK_EQ(arg, 1);
}

static void share_setup(struct conform *c)
{
	both = map_anon(4 * MB, PROT_READ | PROT_WRITE, MAP_SHARED);
	conform_fill(both, MB, c->nonce + 1);
	kid = conform_child(c, share_child, 1);
}

static void share_after(struct conform *c)
{
	int i;

	CHECK_SAME(both + MB, MB, c->nonce + 2);
	for (i = 0; i < 1000 && both[2 * MB] != 0x5a; i++)
		conform_msleep(2);
	CHECK(both[2 * MB] == 0x5a, "the child writes into other memory");
	both[2 * MB + 1] = 0xa5;
	conform_join(c, kid, 1);
	CHECK(is_zero(both + 3 * MB, MB), "untouched shared memory is not 0");
}

#define COW_KIDS 6
#define COW_MB 24
static pid_t cow_kid[COW_KIDS];

static void cow_child(struct conform *c, long arg)
{
	conform_fill(both + (size_t)arg * MB, MB,
		     c->nonce + 90 + (uint64_t)arg);
	conform_child_ready();
	conform_wait_go(c);
	CHECK_SAME(both + (size_t)arg * MB, MB, c->nonce + 90 + (uint64_t)arg);
	CHECK_SAME(both + 10 * MB, 14 * MB, c->nonce);
}

static long cow_pss(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	return conform_field(conform_slurp(path), "Pss", 10);
}

static void cow_setup(struct conform *c)
{
	long i;

	both = map_anon(COW_MB * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	madvise(both, COW_MB * MB, MADV_NOHUGEPAGE);
	conform_fill(both + 10 * MB, 14 * MB, c->nonce);
	conform_fill(both, 10 * MB, c->nonce + 1);
	for (i = 0; i < COW_KIDS; i++)
		cow_kid[i] = conform_child(c, cow_child, i);
}

/* Parent's 24 MB, a MB for each child: 30; copies would be 168. */
static void cow_after(struct conform *c)
{
	long i, sum = cow_pss(getpid());

	for (i = 0; i < COW_KIDS; i++)
		sum += cow_pss(cow_kid[i]);
	CHECK(sum < 45 * 1024, "the tree holds %ld kB, not about 31000", sum);
	CHECK_SAME(both, 10 * MB, c->nonce + 1);
	CHECK_SAME(both + 10 * MB, 14 * MB, c->nonce);
	for (i = 0; i < COW_KIDS; i++)
		conform_join(c, cow_kid[i], i);
}

/* --- huge pages, sparse ranges, much memory --- */

static unsigned char *huge, *nohuge;

static unsigned char *map_aligned(size_t len)
{
	unsigned char *p =
		map_anon(len + 2 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uintptr_t at = ((uintptr_t)p + 2 * MB - 1) & ~(2 * MB - 1);

	return (unsigned char *)at;
}

static void thp_setup(struct conform *c)
{
	huge = map_aligned(16 * MB);
	if (madvise(huge, 16 * MB, MADV_HUGEPAGE))
		conform_skip("no transparent huge pages: %m");
	conform_fill(huge, 8 * MB, c->nonce);
	if (conform_smaps(huge, "AnonHugePages") < 6 * 1024)
		conform_skip("no huge pages were to be had");
	nohuge = map_aligned(4 * MB);
	NEED(madvise(nohuge, 4 * MB, MADV_NOHUGEPAGE));
	conform_fill(nohuge, 4 * MB, c->nonce + 1);
}

static void thp_after(struct conform *c)
{
	CHECK_SAME(huge, 8 * MB, c->nonce);
	CHECK_SAME(nohuge, 4 * MB, c->nonce + 1);
	CHECK(strstr(conform_vmflags(huge), " hg"), "MADV_HUGEPAGE is lost");
	CHECK(strstr(conform_vmflags(nohuge), " nh"), "NOHUGEPAGE is lost");
	CHECK_EQ(conform_smaps(nohuge, "AnonHugePages"), 0);
	if (c->restarted)
		CHECK(conform_smaps(huge, "AnonHugePages") >= 6 * 1024,
		      "the memory is in small pages now");
}

#define SPARSE (16ul << 40)
static uint64_t sparse_began;

static void sparse_setup(struct conform *c)
{
	size_t i;

	anon = mmap(NULL, SPARSE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (anon == MAP_FAILED)
		conform_skip("no 16 TiB of addresses: %m");
	for (i = 0; i < 64; i++)
		conform_fill(anon + SPARSE / 64 * i + i * PAGE, PAGE,
			     c->nonce + i);
	sparse_began = conform_now();
}

static void sparse_after(struct conform *c)
{
	size_t i;

	CHECK(conform_now() - sparse_began < 8000, "it took %lu ms",
	      (unsigned long)(conform_now() - sparse_began));
	for (i = 0; i < 64; i++) {
		CHECK_SAME(anon + SPARSE / 64 * i + i * PAGE, PAGE,
			   c->nonce + i);
		CHECK_EQ(anon[SPARSE / 64 * i + SPARSE / 128], 0);
	}
}

#define BIG (128 * MB)

static void big_setup(struct conform *c)
{
	anon = map_anon(BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	conform_fill(anon, BIG, c->nonce);
}

static void big_after(struct conform *c)
{
	CHECK_SAME(anon, BIG, c->nonce);
}

/* Memory written all the time: the image must be of one moment. */
static volatile uint64_t *counters;
static pid_t writer;
static volatile int writer_stop;

static void on_stop(int sig)
{
	writer_stop = sig;
}

/* Round n goes through all pages in order; at any moment the pages are n
 * up to one place and n - 1 behind it. */
static void writer_main(struct conform *c, long arg)
{
	uint64_t n, last;
	size_t i;
	int steps = 0;

	(void)c;
	signal(SIGUSR1, on_stop);
	counters =
		(void *)map_anon(32 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (n = 1; !writer_stop; n++) {
		if (n == 3)
			conform_child_ready();
		for (i = 0; i < 8192; i++) {
			last = counters[i * 512];
			CHECK(last == n - 1, "page %zu has %lu in round %lu", i,
			      (unsigned long)last, (unsigned long)n);
			counters[i * 512] = n;
		}
		steps++;
	}
	CHECK(steps > 3, "no progress");
	CHECK_EQ(arg, 2);
}

static void writer_setup(struct conform *c)
{
	writer = conform_child(c, writer_main, 2);
	conform_msleep(50);
}

static void writer_after(struct conform *c)
{
	conform_msleep(300);
	NEED(kill(writer, SIGUSR1));
	conform_join(c, writer, 2);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "mem_anon",
	  .setup = anon_setup,
	  .continued = anon_after,
	  .max_image_kb = 8192 },
	{ .name = "mem_heap", .setup = heap_setup, .continued = heap_after },
	{ .name = "mem_stack", .setup = stack_setup, .continued = stack_after },
	{ .name = "mem_file",
	  .setup = file_setup,
	  .continued = file_after,
	  .max_image_kb = 1500 },
	{ .name = "mem_file_beyond",
	  .setup = beyond_setup,
	  .continued = beyond_after },
	{ .name = "mem_file_unlinked",
	  .setup = unlinked_setup,
	  .continued = unlinked_after },
	{ .name = "mem_shared_anon",
	  .setup = share_setup,
	  .continued = share_after },
	{ .name = "mem_cow",
	  .setup = cow_setup,
	  .continued = cow_after,
	  .max_image_kb = 45 * 1024 },
	{ .name = "mem_thp", .setup = thp_setup, .continued = thp_after },
	{ .name = "mem_sparse",
	  .setup = sparse_setup,
	  .continued = sparse_after,
	  .max_image_kb = 2048 },
	{ .name = "mem_big", .setup = big_setup, .continued = big_after },
	{ .name = "mem_busy",
	  .setup = writer_setup,
	  .continued = writer_after },
	{ .name = NULL },
};
