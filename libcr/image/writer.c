/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The writer.  Extent buffers go round: free, filled by the caller, queued,
 * written by a worker.  Workers exist from the second extent on (an image with
 * one is written by the caller): one for a stream, which keeps the order, more
 * for a file, where each extent knows its place.  One lock guards the states,
 * the queue, the index and the first error.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "image/crc32c.h"
#include "image/format.h"
#include "image/output.h"

#define N_SLOTS 5u
#define N_WORKERS 3u
#define SLOT_SIZE ((size_t)CRI_PAGE * (1 + CRI_EXTENT_PAGES))

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_QUEUED, SLOT_BUSY };

struct slot {
	struct cri_extent_buf buf; /* first: what the caller holds */
	enum slot_state state;
	uint8_t *mem; /* header page and payload, mapped when first used */
	uint64_t at;
	uint32_t seq;
};

struct entry {
	struct cri_extent_head head;
	struct cri_run *runs;
};

struct cri_writer {
	struct cri_output out;
	uint8_t id[CRI_ID_LEN];
	uint64_t pos; /* where the next piece goes */
	bool begun; /* header and records are out */
	bool finished;
	bool stopping;
	uint32_t n_workers;
	pthread_t workers[N_WORKERS];
	pthread_mutex_t lock;
	pthread_cond_t work; /* something queued, or stopping */
	pthread_cond_t idle; /* a slot became free */
	struct slot slots[N_SLOTS];
	struct entry *entries; /* by sequence number */
	uint32_t n_entries;
	uint32_t cap_entries;
	struct cri_err err; /* of a write; later calls repeat it */
};

static int failed(const struct cri_writer *w, struct cri_err *err)
{
	return cri_fail(err, w->err.code, "%s", w->err.text);
}

int cri_writer_open(int fd, uint32_t flags, struct cri_writer **out,
		    struct cri_err *err)
{
	struct cri_writer *w;
	int ret;

	w = calloc(1, sizeof(*w));
	if (!w)
		return cri_fail(err, ENOMEM, "out of memory");
	ret = cri_output_init(&w->out, fd, flags & CRI_WRITE_DIRECT);
	if (ret) {
		free(w);
		return cri_fail(err, -ret, "cannot write to descriptor %d: %s",
				fd, strerror(-ret));
	}
	if (getrandom(w->id, sizeof(w->id), 0) != (ssize_t)sizeof(w->id)) {
		free(w);
		return cri_fail(err, EIO, "no random bytes for the image's id");
	}
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->idle, NULL);
	*out = w;
	return 0;
}

/* Direct writes want aligned memory; everything goes out this way. */
static int write_aligned(struct cri_writer *w, const void *p, size_t len)
{
	size_t padded = (len + CRI_PAGE - 1) & ~(size_t)(CRI_PAGE - 1);
	void *mem;
	int ret;

	ret = posix_memalign(&mem, CRI_PAGE, padded);
	if (ret)
		return -ret;
	memcpy(mem, p, len);
	memset((char *)mem + len, 0, padded - len);
	ret = cri_output_write(&w->out, mem, padded, w->pos);
	free(mem);
	if (!ret)
		w->pos += padded;
	return ret;
}

static int encode_all(const struct cri_writer *w, const struct cri_recset *set,
		      struct cri_buf *b, struct cri_head *head)
{
	uint32_t seed = cri_seed(w->id);
	const struct cri_schema *s;
	uint32_t type, i;
	int ret;

	for (type = 1; type < CRI_REC_MAX; type++) {
		s = cri_schema_find(type);
		for (i = 0; i < cri_recset_count(set, type); i++) {
			ret = cri_frame_encode(b, seed, head->n_records, s,
					       cri_recset_at(set, type, i));
			if (ret)
				return ret;
			head->n_records++;
		}
	}
	return 0;
}

int cri_writer_records(struct cri_writer *w, const struct cri_recset *set,
		       struct cri_err *err)
{
	struct cri_head head = { .major = CRI_MAJOR, .minor = CRI_MINOR };
	struct cri_buf b = { 0 };
	int ret;

	if (w->begun)
		return cri_fail(err, EINVAL, "records are written once");
	memcpy(head.id, w->id, CRI_ID_LEN);
	ret = cri_buf_add(&b, NULL, CRI_PAGE);
	if (ret)
		goto out;
	ret = encode_all(w, set, &b, &head);
	if (ret)
		goto out;
	head.records_len = b.len - CRI_PAGE;
	cri_head_encode(&head, b.p);
	ret = write_aligned(w, b.p, b.len);
	if (ret)
		goto out;
	w->begun = true;
out:
	free(b.p);
	if (ret)
		cri_fail(err, -ret, "writing the image's records: %s",
			 strerror(-ret));
	return ret;
}

static int slot_map(struct slot *s)
{
	void *p;

	if (s->mem)
		return 0;
	p = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->mem = p;
	s->buf.payload = s->mem + CRI_PAGE;
	return 0;
}

/* The queue is short: the queued slot with the lowest number is next. */
static struct slot *next_queued(struct cri_writer *w)
{
	struct slot *best = NULL;
	uint32_t i;

	for (i = 0; i < N_SLOTS; i++)
		if (w->slots[i].state == SLOT_QUEUED &&
		    (!best || w->slots[i].seq < best->seq))
			best = &w->slots[i];
	return best;
}

static struct slot *find_free(struct cri_writer *w)
{
	uint32_t i;

	for (i = 0; i < N_SLOTS; i++)
		if (w->slots[i].state == SLOT_FREE)
			return &w->slots[i];
	return NULL;
}

/* Checksum and write one extent; called with the lock, drops it meanwhile. */
static void write_slot(struct cri_writer *w, struct slot *s)
{
	struct cri_extent_head head = w->entries[s->seq].head;
	int ret = 0;

	s->state = SLOT_BUSY;
	if (!w->err.code) {
		pthread_mutex_unlock(&w->lock);
		head.payload_crc = cri_crc32c(0, s->buf.payload, head.stored);
		cri_extent_encode(&head, w->id, s->buf.runs, s->mem,
				  &head.page_crc);
		ret = cri_output_write(&w->out, s->mem, CRI_PAGE + head.stored,
				       s->at);
		pthread_mutex_lock(&w->lock);
	}
	/* The array may have moved while the lock was free. */
	w->entries[s->seq].head = head;
	if (ret)
		cri_fail(&w->err, -ret, "writing the image at offset %llu: %s",
			 (unsigned long long)s->at, strerror(-ret));
	s->state = SLOT_FREE;
	pthread_cond_signal(&w->idle);
}

static void *worker(void *arg)
{
	struct cri_writer *w = arg;
	struct slot *s;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		s = next_queued(w);
		if (s)
			write_slot(w, s);
		else if (w->stopping)
			break;
		else
			pthread_cond_wait(&w->work, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* Without any worker the caller writes; hence failing is no error. */
static void start_workers(struct cri_writer *w)
{
	uint32_t want = w->out.stream ? 1 : N_WORKERS;
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (w->n_workers < want) {
		if (pthread_create(&w->workers[w->n_workers], NULL, worker, w))
			break;
		w->n_workers++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void stop_workers(struct cri_writer *w)
{
	uint32_t i;

	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (i = 0; i < w->n_workers; i++)
		pthread_join(w->workers[i], NULL);
	w->n_workers = 0;
}

/* With the lock: everything queued, by the caller itself. */
static void drain_here(struct cri_writer *w)
{
	struct slot *s;

	while ((s = next_queued(w)))
		write_slot(w, s);
}

/* With the lock: a free slot, or NULL when the caller holds all of them. */
static struct slot *wait_free(struct cri_writer *w)
{
	struct slot *s;

	while (!w->err.code) {
		s = find_free(w);
		if (s)
			return s;
		if (w->n_workers)
			pthread_cond_wait(&w->idle, &w->lock);
		else if (next_queued(w))
			drain_here(w);
		else
			break;
	}
	return NULL;
}

int cri_writer_get(struct cri_writer *w, struct cri_extent_buf **buf,
		   struct cri_err *err)
{
	struct slot *s;
	int ret = 0;

	if (!w->begun || w->finished)
		return cri_fail(err, EINVAL, "extents come after the records");
	pthread_mutex_lock(&w->lock);
	s = wait_free(w);
	if (s)
		ret = slot_map(s);
	if (s && !ret)
		s->state = SLOT_FILLING;
	pthread_mutex_unlock(&w->lock);
	if (!s && w->err.code)
		return failed(w, err);
	if (!s)
		return cri_fail(err, EBUSY, "all extent buffers are held");
	if (ret)
		return cri_fail(err, -ret, "memory for an extent: %s",
				strerror(-ret));
	s->buf.obj = 0;
	s->buf.n_pages = 0;
	s->buf.n_runs = 0;
	*buf = &s->buf;
	return 0;
}

static int check_extent(const struct cri_extent_buf *b)
{
	uint64_t sum = 0;
	uint32_t i;

	if (!b->obj || b->n_pages > CRI_EXTENT_PAGES || !b->n_runs ||
	    b->n_runs > CRI_EXTENT_RUNS)
		return -EINVAL;
	for (i = 0; i < b->n_runs; i++) {
		if (!b->runs[i].count || b->runs[i].flags & ~CRI_RUN_PARENT)
			return -EINVAL;
		if (!(b->runs[i].flags & CRI_RUN_PARENT))
			sum += b->runs[i].count;
	}
	return sum == b->n_pages ? 0 : -EINVAL;
}

/* With the lock: a place in the file and in the index. */
static int assign(struct cri_writer *w, struct slot *s)
{
	struct cri_extent_buf *b = &s->buf;
	struct entry *grown;
	struct entry *e;
	uint32_t cap;

	if (w->n_entries == w->cap_entries) {
		cap = w->cap_entries ? w->cap_entries * 2 : 16;
		grown = realloc(w->entries, cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		w->entries = grown;
		w->cap_entries = cap;
	}
	e = &w->entries[w->n_entries];
	memset(e, 0, sizeof(*e));
	e->runs = malloc(b->n_runs * sizeof(*e->runs));
	if (!e->runs)
		return -ENOMEM;
	memcpy(e->runs, b->runs, b->n_runs * sizeof(*e->runs));
	e->head.at = w->pos;
	e->head.seq = w->n_entries;
	e->head.obj = b->obj;
	e->head.n_pages = b->n_pages;
	e->head.n_runs = b->n_runs;
	e->head.stored = (uint64_t)b->n_pages * CRI_PAGE;
	s->at = w->pos;
	s->seq = w->n_entries++;
	w->pos += CRI_PAGE + e->head.stored;
	return 0;
}

int cri_writer_put(struct cri_writer *w, struct cri_extent_buf *buf,
		   struct cri_err *err)
{
	struct slot *s = (struct slot *)buf;
	int ret;

	if (!buf->n_pages && !buf->n_runs) {
		pthread_mutex_lock(&w->lock);
		s->state = SLOT_FREE;
		pthread_mutex_unlock(&w->lock);
		return 0;
	}
	ret = check_extent(buf);
	if (ret)
		return cri_fail(err, -ret, "extent with a bad run table");
	pthread_mutex_lock(&w->lock);
	ret = w->err.code ? failed(w, err) : assign(w, s);
	s->state = ret ? SLOT_FREE : SLOT_QUEUED;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	if (ret)
		return cri_fail(err, -ret, "no memory for the image's index");
	if (s->seq)
		cri_output_reserve(&w->out, w->pos);
	if (s->seq == 1)
		start_workers(w);
	return 0;
}

/* Index, zeros, and the trailer at the very end of a page. */
static int write_end(struct cri_writer *w)
{
	struct cri_tail tail = { .index_at = w->pos,
				 .n_extents = w->n_entries };
	uint32_t head[4] = { CRI_INDEX_MAGIC, w->n_entries, 0, 0 };
	uint8_t trailer[CRI_TRAILER_LEN];
	struct cri_buf b = { 0 };
	uint32_t i;
	int ret;

	ret = cri_buf_add(&b, head, sizeof(head));
	for (i = 0; !ret && i < w->n_entries; i++)
		ret = cri_index_entry_encode(&b, &w->entries[i].head,
					     w->entries[i].runs);
	if (ret)
		goto out;
	tail.index_len = b.len;
	tail.index_crc = cri_crc32c(cri_seed(w->id), b.p, b.len);
	ret = cri_buf_add(&b, NULL, CRI_TRAILER_LEN);
	if (ret)
		goto out;
	ret = cri_buf_pad(&b, CRI_PAGE);
	if (ret)
		goto out;
	tail.file_size = w->pos + b.len;
	cri_tail_encode(&tail, w->id, trailer);
	memcpy(b.p + b.len - CRI_TRAILER_LEN, trailer, CRI_TRAILER_LEN);
	ret = write_aligned(w, b.p, b.len);
out:
	free(b.p);
	return ret;
}

int cri_writer_finish(struct cri_writer *w, struct cri_err *err)
{
	int ret;

	if (!w->begun || w->finished)
		return cri_fail(err, EINVAL, "an image is finished once");
	pthread_mutex_lock(&w->lock);
	if (!w->n_workers)
		drain_here(w);
	pthread_mutex_unlock(&w->lock);
	stop_workers(w);
	w->finished = true;
	if (w->err.code)
		return failed(w, err);
	ret = write_end(w);
	if (ret)
		return cri_fail(err, -ret, "writing the image's index: %s",
				strerror(-ret));
	ret = cri_output_finish(&w->out, w->pos);
	if (ret)
		return cri_fail(err, -ret, "cutting the image to its size: %s",
				strerror(-ret));
	return 0;
}

uint64_t cri_writer_bytes(const struct cri_writer *w)
{
	return w->pos;
}

void cri_writer_free(struct cri_writer *w)
{
	uint32_t i;

	if (!w)
		return;
	/* Aborted: what is queued need not be written any more. */
	pthread_mutex_lock(&w->lock);
	for (i = 0; i < N_SLOTS; i++)
		if (w->slots[i].state == SLOT_QUEUED)
			w->slots[i].state = SLOT_FREE;
	pthread_mutex_unlock(&w->lock);
	stop_workers(w);
	for (i = 0; i < N_SLOTS; i++)
		if (w->slots[i].mem)
			munmap(w->slots[i].mem, SLOT_SIZE);
	for (i = 0; i < w->n_entries; i++)
		free(w->entries[i].runs);
	free(w->entries);
	cri_output_fini(&w->out);
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
