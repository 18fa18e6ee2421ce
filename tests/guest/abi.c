// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ABI: rules of sizes and reserved members, then a generator that knows
 * the calls and fills their members with plausible, boundary and random
 * values, several threads on one session at once.  Success: the kernel does
 * not complain (the guest's log is looked at) and the targets live.
 * usage: abi [SECONDS [SEED]]
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct {
	unsigned long nr;
	size_t size;
} calls[] = {
	{ STASIS_IOC_VERSION, sizeof(struct stasis_version) },
	{ STASIS_IOC_ATTACH, sizeof(struct stasis_attach) },
	{ STASIS_IOC_PARK, sizeof(struct stasis_park) },
	{ STASIS_IOC_UNPARK, sizeof(struct stasis_park) },
	{ STASIS_IOC_WAIT, sizeof(struct stasis_wait) },
	{ STASIS_IOC_TASKS, sizeof(struct stasis_tasks) },
	{ STASIS_IOC_VMAS, sizeof(struct stasis_vmas) },
	{ STASIS_IOC_SNAPSHOT, sizeof(struct stasis_snapshot) },
	{ STASIS_IOC_PAGES, sizeof(struct stasis_pages) },
	{ STASIS_IOC_READ, sizeof(struct stasis_read) },
	{ STASIS_IOC_STREAM, sizeof(struct stasis_stream) },
	{ STASIS_IOC_DROP, sizeof(struct stasis_drop) },
};
#define N_CALLS (sizeof(calls) / sizeof(calls[0]))

static void rules(void)
{
	struct {
		struct stasis_version v;
		uint64_t later[4];
	} big = { .v = { .size = sizeof(big) } };
	struct stasis_version v = { .size = sizeof(v) };
	struct stasis_drop d = { .size = sizeof(d), .reserved = 1 };
	struct session s;
	unsigned int i;

	session_open(&s);
	CHECK(call(s.fd, STASIS_IOC_VERSION, &v) == 0, "version");
	CHECK(v.abi == STASIS_ABI && v.page_size == 4096 && v.regs_size == 216,
	      "version %u", v.abi);
	CHECK(call(s.fd, STASIS_IOC_VERSION, &big) == 0 && big.v.abi == v.abi,
	      "longer struct of zeros");
	big.later[2] = 1;
	CHECK(call(s.fd, STASIS_IOC_VERSION, &big) == -E2BIG, "unknown member");
	v.size = 4;
	CHECK(call(s.fd, STASIS_IOC_VERSION, &v) == -EINVAL, "short struct");
	CHECK(call(s.fd, STASIS_IOC_DROP, &d) == -EINVAL, "reserved");
	CHECK(call(s.fd, _IOWR(STASIS_IOC, 99, int), &v) == -ENOTTY, "number");
	CHECK(call(s.fd, _IOWR('x', 1, int), &v) == -ENOTTY, "type");
	for (i = 0; i < N_CALLS; i++)
		CHECK(call(s.fd, calls[i].nr, (void *)8) == -EFAULT, "call %u",
		      i);
	session_close(&s);
	printf("ok: sizes, reserved members, numbers\n");
}

struct fuzz {
	int fd;
	unsigned int seed;
	time_t end;
	const struct target *t;
	int mem, out;
	char *buf;
	uint64_t calls, done;
};

static uint64_t value(struct fuzz *f)
{
	static const uint64_t odd[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		63,
		64,
		4095,
		4096,
		4097,
		65536,
		65537,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x7ffffffff000ull,
		0x800000000000ull,
		~0ull,
		~0ull << 12,
		1ull << 63,
	};
	uint64_t r = (uint64_t)rand_r(&f->seed);

	switch (r % 10) {
	case 0:
		return odd[r / 10 % (sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return (uintptr_t)f->buf + r / 10 % 8192;
	case 2:
		return f->t->shared->memory + r / 10 % 3000 * 4096;
	case 3:
		return r << 32 | (uint64_t)rand_r(&f->seed);
	default:
		return r / 10 % 5;
	}
}

union fuzz_arg {
	uint32_t size;
	uint32_t w[32];
	struct stasis_attach attach;
	struct stasis_wait wait;
	struct stasis_tasks tasks;
	struct stasis_vmas vmas;
	struct stasis_snapshot snap;
	struct stasis_pages pages;
	struct stasis_read read;
	struct stasis_stream stream;
};

/* A good call of kind k, before it is spoiled. */
static void fill(struct fuzz *f, unsigned int k, union fuzz_arg *a)
{
	uint64_t mem = f->t->shared->memory;
	struct stasis_range *r = (void *)f->buf;

	switch (calls[k].nr) {
	case STASIS_IOC_ATTACH:
		a->attach.mem_fd = f->mem;
		a->attach.pid = f->t->pid;
		break;
	case STASIS_IOC_WAIT:
		a->wait.timeout_ms = 5;
		break;
	case STASIS_IOC_TASKS:
	case STASIS_IOC_VMAS:
		a->tasks.id = 1; /* at the same place in both */
		if (calls[k].nr == STASIS_IOC_TASKS) {
			a->tasks.buf = (uintptr_t)f->buf;
			a->tasks.len = 1 << 20;
		} else {
			a->vmas.buf = (uintptr_t)f->buf;
			a->vmas.len = 1 << 20;
		}
		break;
	case STASIS_IOC_SNAPSHOT:
		a->snap.mode = 1 + (uint32_t)rand_r(&f->seed) % 2;
		break;
	case STASIS_IOC_PAGES:
		a->pages.id = 1;
		a->pages.n_max = 1000;
		a->pages.end = 0x7ffffffff000ull;
		a->pages.buf = (uintptr_t)f->buf;
		break;
	case STASIS_IOC_READ:
		a->read.id = 1;
		a->read.start = mem;
		a->read.len = 100000;
		a->read.buf = (uintptr_t)f->buf;
		break;
	case STASIS_IOC_STREAM:
		r[0].start = mem;
		r[0].end = mem + 65536;
		r[1].start = value(f);
		r[1].end = r[1].start + (value(f) & 0xffff000);
		a->stream.id = 1;
		a->stream.fd = f->out;
		a->stream.ranges = (uintptr_t)r;
		a->stream.n = 1 + (uint32_t)rand_r(&f->seed) % 2;
		break;
	default:
		break;
	}
}

static void *fuzz(void *arg)
{
	struct fuzz *f = arg;
	union fuzz_arg a;

	while (time(NULL) < f->end) {
		unsigned int k = (unsigned int)rand_r(&f->seed) % N_CALLS;
		int spoil = rand_r(&f->seed) % 4;

		memset(&a, 0, sizeof(a));
		a.size = (uint32_t)calls[k].size;
		fill(f, k, &a);
		while (spoil-- > 1) {
			uint64_t v = value(f);
			unsigned int at = (unsigned int)rand_r(&f->seed) %
					  (unsigned int)(calls[k].size / 4);

			a.w[at] = (uint32_t)v;
			if (at % 2 == 0 && v >> 32)
				a.w[at + 1] = (uint32_t)(v >> 32);
		}
		/* Never the descriptors of this program's own output. */
		if (calls[k].nr == STASIS_IOC_STREAM && a.stream.fd < 3)
			a.stream.fd = -1;
		if (calls[k].nr == STASIS_IOC_STREAM && a.stream.n > 2 &&
		    a.stream.n < 100000)
			a.stream.n = 2;
		f->done += call(f->fd, calls[k].nr, &a) == 0;
		f->calls++;
		if (f->calls % 512 == 0)
			(void)!ftruncate(f->out, 0);
	}
	return NULL;
}

static void fuzz_all(int seconds, unsigned int seed)
{
	uint64_t n = 0, done = 0;
	struct fuzz f[3];
	pthread_t th[3];
	struct session s;
	struct target t;
	int i;

	target_start(&t, 5, 8u << 20, 0);
	session_open(&s);
	CHECK(session_attach(&s, t.pid) == 0, "attach");
	for (i = 0; i < 3; i++) {
		f[i] = (struct fuzz){ .fd = s.fd,
				      .seed = seed + (unsigned)i,
				      .end = time(NULL) + seconds,
				      .t = &t,
				      .mem = s.mem };
		f[i].out = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
		f[i].buf = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(f[i].out >= 0 && f[i].buf != MAP_FAILED, "memory");
		pthread_create(&th[i], NULL, fuzz, &f[i]);
	}
	for (i = 0; i < 3; i++) {
		pthread_join(th[i], NULL);
		n += f[i].calls;
		done += f[i].done;
	}
	session_close(&s);
	target_alive(&t);
	target_end(&t);
	CHECK(n > 1000 && done > n / 20, "%llu of %llu succeeded",
	      (long long)done, (long long)n);
	printf("ok: %llu random calls, %llu succeeded\n", (long long)n,
	       (long long)done);
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 20;
	unsigned int seed = argc > 2 ? (unsigned int)atoi(argv[2]) :
				       (unsigned int)time(NULL);

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %u\n", seed);
	rules();
	fuzz_all(seconds, seed);
	return 0;
}
