// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The calls of session.h: thin, so that a test shows what it asks.
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <unistd.h>

void session_open(struct session *s)
{
	s->fd = open("/dev/stasis", O_RDWR | O_CLOEXEC);
	CHECK(s->fd >= 0, "no /dev/stasis");
	s->mem = -1;
	s->id = 0;
}

void session_close(struct session *s)
{
	close(s->fd);
	if (s->mem >= 0)
		close(s->mem);
}

int session_attach(struct session *s, pid_t pid)
{
	struct stasis_attach a = { .size = sizeof(a), .pid = pid };
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	s->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (s->mem < 0)
		return -errno;
	a.mem_fd = s->mem;
	ret = call(s->fd, STASIS_IOC_ATTACH, &a);
	s->id = a.id;
	return ret;
}

int session_park(struct session *s)
{
	struct stasis_park p = { .size = sizeof(p) };

	return call(s->fd, STASIS_IOC_PARK, &p);
}

int session_wait(struct session *s, unsigned int ms, struct stasis_wait *w)
{
	memset(w, 0, sizeof(*w));
	w->size = sizeof(*w);
	w->timeout_ms = ms;
	return call(s->fd, STASIS_IOC_WAIT, w);
}

void session_stop(struct session *s)
{
	struct stasis_wait w;
	int i, ret;

	for (i = 0; i < 50; i++) {
		ret = session_park(s);
		CHECK(ret == 0, "park: %d", ret);
		ret = session_wait(s, 500, &w);
		if (!ret)
			return;
		CHECK(ret == -ETIMEDOUT, "wait: %d", ret);
	}
	CHECK(0, "thread %d does not stand: %u", w.pid, w.why);
}

char *session_tasks(struct session *s, uint32_t flags, size_t *len)
{
	struct stasis_tasks a = { .size = sizeof(a),
				  .id = s->id,
				  .flags = flags };
	char *buf;
	int ret;

	ret = call(s->fd, STASIS_IOC_TASKS, &a);
	CHECK(ret == -ENOSPC && a.needed, "size of records: %d", ret);
	a.len = a.needed + 4096;
	a.needed = 0;
	buf = calloc(1, a.len);
	CHECK(buf, "memory");
	a.buf = (uintptr_t)buf;
	ret = call(s->fd, STASIS_IOC_TASKS, &a);
	CHECK(ret == 0, "tasks: %d", ret);
	*len = a.used;
	return buf;
}

int session_snapshot(struct session *s, uint32_t mode,
		     struct stasis_snapshot *out)
{
	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->mode = mode;
	return call(s->fd, STASIS_IOC_SNAPSHOT, out);
}

struct stasis_range *session_pages(struct session *s, uint64_t start,
				   uint64_t end, uint32_t flags, uint32_t *n)
{
	struct stasis_pages a = { .size = sizeof(a),
				  .id = s->id,
				  .flags = flags,
				  .n_max = 64,
				  .start = start,
				  .end = end };
	struct stasis_range *r = NULL;
	int ret;

	/* Small batches, so that going on is tested too. */
	*n = 0;
	for (;;) {
		r = realloc(r, (*n + 64) * sizeof(*r));
		CHECK(r, "memory");
		a.buf = (uintptr_t)(r + *n);
		a.n = 0;
		a.next = 0;
		ret = call(s->fd, STASIS_IOC_PAGES, &a);
		CHECK(ret == 0, "pages: %d", ret);
		*n += a.n;
		if (a.next >= end)
			return r;
		CHECK(a.n == 64, "stopped early: %u", a.n);
		a.start = a.next;
	}
}

int session_read(struct session *s, uint64_t start, void *to, size_t len)
{
	struct stasis_read a = { .size = sizeof(a),
				 .id = s->id,
				 .start = start,
				 .len = len,
				 .buf = (uintptr_t)to };

	return call(s->fd, STASIS_IOC_READ, &a);
}
