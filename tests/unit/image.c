/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images written and read back: files, pipes, direct writes, many extents;
 * then cut at every byte, each bit turned, pieces exchanged, foreign, newer.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fill.h"
#include "image/crc32c.h"
#include "image/format.h"

/* What page n of the object holds. */
static void pattern(unsigned char *p, uint32_t obj, uint64_t page)
{
	uint32_t x = obj * 2654435761u + (uint32_t)page * 40503u + 1;
	size_t i;

	for (i = 0; i < CRI_PAGE; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = (unsigned char)(x >> 24);
	}
}

static void put_extent(struct cri_writer *w, uint32_t obj, uint64_t page,
		       uint32_t n)
{
	struct cri_extent_buf *b;
	uint32_t i;

	assert_int_equal(cri_writer_get(w, &b, NULL), 0);
	b->obj = obj;
	b->n_pages = n;
	b->n_runs = n > 2 ? 2 : 1;
	b->runs[0] = (struct cri_run){ .page = page, .count = n > 2 ? 2 : n };
	b->runs[1] = (struct cri_run){ .page = page + 10, .count = n - 2 };
	for (i = 0; i < n; i++)
		pattern((unsigned char *)b->payload + i * CRI_PAGE, obj,
			i < 2 ? page + i : page + 8 + i);
	assert_int_equal(cri_writer_put(w, b, NULL), 0);
}

struct plan {
	uint32_t n_lists; /* elements in each list of each record */
	uint32_t n_extents;
	uint32_t pages; /* in each extent */
	uint32_t flags;
	bool all_types;
};

static void write_image(int fd, const struct plan *p)
{
	struct cri_recset *set;
	struct cri_writer *w;
	struct cri_err err = { 0 };
	uint32_t type, i;

	assert_int_equal(cri_recset_new(&set), 0);
	/* Object ids 1 and 2, with both plans. */
	fill_record(set, CRI_REC_MM, p->n_lists);
	fill_record(set, CRI_REC_SHMEM, p->n_lists);
	fill_record(set, CRI_REC_ORIGIN, p->n_lists);
	for (type = 2; p->all_types && type < CRI_REC_MAX; type++)
		fill_record(set, type, p->n_lists);
	if (cri_writer_open(fd, p->flags, &w, &err))
		fail_msg("%s", err.text);
	if (cri_writer_records(w, set, &err))
		fail_msg("%s", err.text);
	for (i = 0; i < p->n_extents; i++)
		put_extent(w, 1 + i % 2, 1000 + 5000ull * i, p->pages);
	if (cri_writer_finish(w, &err))
		fail_msg("%s", err.text);
	cri_writer_free(w);
	cri_recset_free(set);
}

static int mem_image(const struct plan *p)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	write_image(fd, p);
	return fd;
}

static void check_content(struct cri_reader *r, const struct plan *p)
{
	unsigned char want[CRI_PAGE], got[CRI_PAGE];
	const struct cri_extent *e;
	uint32_t obj, n, i, k, total = 0;
	uint64_t page;

	for (obj = 1; obj <= 2; obj++) {
		e = cri_reader_extents(r, obj, &n);
		for (i = 0; i < n; i++) {
			assert_int_equal(e[i].obj, obj);
			assert_int_equal(e[i].offset % CRI_PAGE, 0);
			if (i)
				assert_true(e[i].offset > e[i - 1].offset);
			for (k = 0; k < e[i].n_pages; k++) {
				page = k < 2 ? e[i].runs[0].page + k :
					       e[i].runs[1].page + k - 2;
				pattern(want, obj, page);
				assert_int_equal(
					pread(cri_reader_fd(r), got, CRI_PAGE,
					      (off_t)(e[i].offset +
						      k * CRI_PAGE)),
					CRI_PAGE);
				assert_memory_equal(want, got, CRI_PAGE);
			}
		}
		total += n;
	}
	assert_int_equal(total, p->n_extents);
	assert_null(cri_reader_extents(r, 77, &n));
	assert_int_equal(n, 0);
	assert_int_equal(cri_reader_verify(r, NULL), 0);
}

static void read_image(int fd, const struct plan *p)
{
	struct cri_err err = { 0 };
	struct cri_rec_mm *mm;
	struct cri_reader *r;

	if (cri_reader_open(fd, &r, &err))
		fail_msg("%s", err.text);
	check_content(r, p);
	mm = cri_recset_find(cri_reader_records(r), CRI_REC_MM, 1);
	assert_non_null(mm);
	assert_int_equal(mm->n_vmas, p->n_lists);
	cri_reader_free(r);
}

static void file_there_and_back(void **state)
{
	static const struct plan plans[] = {
		{ 3, 0, 0, 0, true },	 { 3, 1, 1, 0, true },
		{ 3, 2, 5, 0, true },	 { 100, 40, 33, 0, true },
		{ 1, 9, 2048, 0, false },
	};
	struct stat st;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		fd = mem_image(&plans[i]);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_size % CRI_PAGE, 0);
		assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
		read_image(fd, &plans[i]);
		close(fd);
	}
}

/* On disk, direct where it goes; an older, longer content is cut off. */
static void direct_there_and_back(void **state)
{
	const struct plan p = { 10, 20, 700, CRI_WRITE_DIRECT, true };
	char name[] = "image-test-XXXXXX";
	struct cri_writer *w;
	struct stat st;
	int fd, flags;

	(void)state;
	fd = mkostemp(name, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(ftruncate(fd, 200 << 20), 0);
	flags = fcntl(fd, F_GETFL);
	write_image(fd, &p);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(st.st_size < 100 << 20);
	assert_true((uint64_t)st.st_blocks * 512 <
		    (uint64_t)st.st_size + 65536);
	read_image(fd, &p);
	/* An aborted writer gives the flags back too. */
	assert_int_equal(cri_writer_open(fd, CRI_WRITE_DIRECT, &w, NULL), 0);
	cri_writer_free(w);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	close(fd);
}

static void stream_there_and_back(void **state)
{
	const struct plan p = { 10, 30, 300, CRI_WRITE_DIRECT, true };
	int i, fds[2], status;
	pid_t pid;

	(void)state;
	for (i = 0; i < 3; i++) {
		if (i == 2)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0,
						    fds),
					 0);
		else
			assert_int_equal(pipe(fds), 0);
		if (i == 1)
			fcntl(fds[1], F_SETFL, O_NONBLOCK);
		pid = fork();
		if (!pid) {
			close(fds[0]);
			write_image(fds[1], &p);
			_exit(0);
		}
		close(fds[1]);
		read_image(fds[0], &p);
		close(fds[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* A child's pages that are its parent's take no payload. */
static void pages_of_the_parent(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC), round;
	struct cri_rec_mm *mm, *child;
	const struct cri_extent *e;
	struct cri_extent_buf *b;
	struct cri_err err = { 0 };
	struct cri_reader *r;
	struct cri_recset *set;
	struct cri_writer *w;
	uint32_t n;

	(void)state;
	for (round = 0; round < 2; round++) {
		assert_int_equal(cri_recset_new(&set), 0);
		cri_recset_add(set, CRI_REC_ORIGIN);
		mm = cri_recset_add(set, CRI_REC_MM);
		child = cri_recset_add(set, CRI_REC_MM);
		child->inherits = round ? 0 : mm->id;
		assert_int_equal(cri_writer_open(fd, 0, &w, NULL), 0);
		assert_int_equal(cri_writer_records(w, set, NULL), 0);
		put_extent(w, mm->id, 5, 3);
		assert_int_equal(cri_writer_get(w, &b, NULL), 0);
		b->obj = child->id;
		b->n_runs = 1;
		b->runs[0] = (struct cri_run){ 5, 2, CRI_RUN_PARENT };
		assert_int_equal(cri_writer_put(w, b, NULL), 0);
		put_extent(w, child->id, 15, 1);
		assert_int_equal(cri_writer_finish(w, NULL), 0);
		cri_writer_free(w);
		cri_recset_free(set);
		if (round) {
			assert_int_equal(cri_reader_open(fd, &r, &err),
					 -EBADMSG);
			assert_non_null(strstr(err.text, "parent"));
			continue;
		}
		assert_int_equal(cri_reader_open(fd, &r, NULL), 0);
		e = cri_reader_extents(r, 2, &n);
		assert_int_equal(n, 2);
		assert_int_equal(e[0].n_pages, 0);
		assert_int_equal(e[0].runs[0].flags, CRI_RUN_PARENT);
		assert_int_equal(cri_reader_verify(r, NULL), 0);
		cri_reader_free(r);
	}
	close(fd);
}

/* A file position that is not 0 makes a stream of a file too. */
static void middle_of_a_file(void **state)
{
	const struct plan p = { 2, 3, 5, 0, true };
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, "before", 6), 6);
	write_image(fd, &p);
	assert_int_equal(lseek(fd, 6, SEEK_SET), 6);
	read_image(fd, &p);
	close(fd);
}

static void writer_errors(void **state)
{
	const struct plan p = { 1, 1, 1, 0, false };
	struct cri_extent_buf *b, *more[16];
	struct cri_err err = { 0 };
	struct cri_recset *set;
	struct cri_writer *w;
	int fds[2], fd, ret, i;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	assert_int_equal(cri_writer_open(-1, 0, &w, &err), -EBADF);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(cri_writer_open(fd, 0, &w, NULL), -EBADF);
	close(fd);
	/* Nobody reads: an error, not SIGPIPE. */
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(cri_writer_open(fds[1], 0, &w, NULL), 0);
	cri_err_clear(&err);
	assert_int_equal(cri_writer_get(w, &b, NULL), -EINVAL);
	assert_int_equal(cri_writer_records(w, set, &err), -EPIPE);
	assert_non_null(strstr(err.text, "Broken pipe"));
	cri_writer_free(w);
	close(fds[1]);
	/* A full device shows, at the latest at the end. */
	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(cri_writer_open(fd, 0, &w, NULL), 0);
	assert_int_equal(cri_writer_records(w, set, NULL), -ENOSPC);
	cri_writer_free(w);
	close(fd);
	/* Order of calls, bad extents, all buffers held. */
	fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(cri_writer_open(fd, 0, &w, NULL), 0);
	assert_int_equal(cri_writer_finish(w, NULL), -EINVAL);
	assert_int_equal(cri_writer_records(w, set, NULL), 0);
	assert_int_equal(cri_writer_records(w, set, NULL), -EINVAL);
	for (i = 0; !(ret = cri_writer_get(w, &more[i], NULL)); i++)
		assert_true(i < 15);
	assert_int_equal(ret, -EBUSY);
	while (i-- > 0)
		assert_int_equal(cri_writer_put(w, more[i], NULL), 0);
	assert_int_equal(cri_writer_get(w, &b, NULL), 0);
	b->n_pages = 1;
	assert_int_equal(cri_writer_put(w, b, NULL), -EINVAL);
	b->obj = 1;
	b->n_runs = 1;
	b->runs[0] = (struct cri_run){ .count = 2 };
	assert_int_equal(cri_writer_put(w, b, NULL), -EINVAL);
	cri_writer_free(w);
	cri_writer_free(NULL);
	close(fd);
	cri_recset_free(set);
	fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	write_image(fd, &p);
	close(fd);
}

/* An error in a worker reaches the caller with its offset. */
static void late_write_error(void **state)
{
	struct cri_recset *set;
	struct cri_extent_buf *b;
	struct cri_err err = { 0 };
	struct cri_writer *w;
	int fds[2], i, ret = 0;

	(void)state;
	assert_int_equal(cri_recset_new(&set), 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(cri_writer_open(fds[1], 0, &w, NULL), 0);
	assert_int_equal(cri_writer_records(w, set, NULL), 0);
	close(fds[0]);
	for (i = 0; !ret && i < 50; i++) {
		ret = cri_writer_get(w, &b, &err);
		if (ret)
			break;
		b->obj = 1;
		b->n_pages = 1;
		b->n_runs = 1;
		b->runs[0] = (struct cri_run){ .page = 1, .count = 1 };
		ret = cri_writer_put(w, b, &err);
	}
	if (!ret)
		ret = cri_writer_finish(w, &err);
	assert_int_equal(ret, -EPIPE);
	assert_non_null(strstr(err.text, "at offset"));
	cri_writer_free(w);
	cri_recset_free(set);
	close(fds[1]);
}

static const struct plan small = { 1, 2, 3, 0, false };

static void cut_at_every_byte(void **state)
{
	int fd = mem_image(&small), ret;
	struct cri_err err;
	struct cri_reader *r;
	struct stat st;
	off_t n;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (n = st.st_size - 1; n >= 0; n--) {
		assert_int_equal(ftruncate(fd, n), 0);
		cri_err_clear(&err);
		ret = cri_reader_open(fd, &r, &err);
		if (ret != -ENODATA)
			fail_msg("cut at %ld: %d %s", (long)n, ret, err.text);
		assert_non_null(strstr(err.text, "offset"));
	}
	close(fd);
}

/* Payload is found by verify, all else when the image is opened. */
static void every_bit(void **state)
{
	int fd = mem_image(&small), ret, bit;
	struct cri_reader *r;
	struct cri_err err;
	const struct cri_extent *e;
	unsigned char *p;
	uint64_t skip[2][2];
	struct stat st;
	uint32_t n, i;
	off_t at;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(cri_reader_open(fd, &r, NULL), 0);
	for (i = 0; i < 2; i++) {
		e = cri_reader_extents(r, i + 1, &n);
		assert_int_equal(n, 1);
		skip[i][0] = e->offset;
		skip[i][1] = e->offset + (uint64_t)e->n_pages * CRI_PAGE;
	}
	cri_reader_free(r);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	for (at = 0; at < st.st_size; at++) {
		bool payload = false;

		for (i = 0; i < 2; i++)
			if ((uint64_t)at >= skip[i][0] &&
			    (uint64_t)at < skip[i][1])
				payload = true;
		if (payload && at % 61)
			continue;
		for (bit = 0; bit < 8; bit++) {
			p[at] ^= (unsigned char)(1 << bit);
			cri_err_clear(&err);
			ret = cri_reader_open(fd, &r, &err);
			if (!ret) {
				if (!payload)
					fail_msg("byte %ld", (long)at);
				ret = cri_reader_verify(r, &err);
				cri_reader_free(r);
			}
			p[at] ^= (unsigned char)(1 << bit);
			if (!ret || !strstr(err.text, "offset"))
				fail_msg("byte %ld: %d %s", (long)at, ret,
					 err.text);
		}
	}
	munmap(p, (size_t)st.st_size);
	close(fd);
}

static int expect(int fd, int code, const char *words)
{
	struct cri_err err = { 0 };
	struct cri_reader *r;
	int ret;

	ret = cri_reader_open(fd, &r, &err);
	if (ret != code || !strstr(err.text, words))
		fail_msg("want %d \"%s\", got %d \"%s\"", code, words, ret,
			 err.text);
	return ret;
}

static void reseal_head(int fd, unsigned char *page)
{
	uint32_t crc = cri_crc32c(0, page, CRI_CRC_AT);

	memcpy(page + CRI_CRC_AT, &crc, sizeof(crc));
	assert_int_equal(pwrite(fd, page, CRI_PAGE, 0), CRI_PAGE);
}

static void foreign_and_newer(void **state)
{
	unsigned char page[CRI_PAGE], good[CRI_PAGE];
	int fd = mem_image(&small);
	int other = memfd_create("other", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(pread(fd, good, CRI_PAGE, 0), CRI_PAGE);
	expect(other, -ENODATA, "empty");
	assert_int_equal(write(other, "CR\0\0\x7f""ELFELF", 11), 11);
	lseek(other, 0, SEEK_SET);
	expect(other, -ENOEXEC, "not a Stasis image");
	memcpy(page, good, CRI_PAGE);
	page[8] = 2; /* the rest may look like anything */
	memset(page + 100, 0x55, 1000);
	assert_int_equal(pwrite(fd, page, CRI_PAGE, 0), CRI_PAGE);
	expect(fd, -EPROTONOSUPPORT, "format 2.0");
	memcpy(page, good, CRI_PAGE);
	page[12] = 183; /* aarch64 */
	reseal_head(fd, page);
	expect(fd, -ENOTSUP, "another architecture");
	memcpy(page, good, CRI_PAGE);
	page[20] = 1;
	reseal_head(fd, page);
	expect(fd, -EPROTONOSUPPORT, "flags");
	memcpy(page, good, CRI_PAGE);
	page[40] = 1;
	reseal_head(fd, page);
	expect(fd, -EPROTONOSUPPORT, "parent");
	memcpy(page, good, CRI_PAGE);
	page[10] = 9; /* a newer minor version is read */
	reseal_head(fd, page);
	read_image(fd, &small);
	memcpy(page, good, CRI_PAGE);
	page[24] ^= 1; /* another id: nothing belongs to it */
	reseal_head(fd, page);
	expect(fd, -EBADMSG, "offset 4096");
	memcpy(page, good, CRI_PAGE);
	page[68] = 0xff; /* records longer than the file */
	reseal_head(fd, page);
	expect(fd, -ENODATA, "truncated");
	memcpy(page, good, CRI_PAGE);
	page[60] -= 1;
	reseal_head(fd, page);
	expect(fd, -EBADMSG, "after the last record");
	close(fd);
	close(other);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	expect(fd, -EISDIR, "directory");
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	expect(fd, -ENODATA, "empty");
	close(fd);
}

static void exchange(int fd, int from, off_t a, off_t b, size_t len)
{
	unsigned char *x = malloc(len), *y = malloc(len);

	assert_int_equal(pread(fd, x, len, a), len);
	assert_int_equal(pread(from, y, len, b), len);
	assert_int_equal(pwrite(fd, y, len, a), len);
	if (fd == from)
		assert_int_equal(pwrite(fd, x, len, b), len);
	free(x);
	free(y);
}

static void reordered_and_mixed(void **state)
{
	const size_t len = CRI_PAGE * 4; /* an extent of three pages */
	int fd = mem_image(&small), other = mem_image(&small);
	const struct cri_extent *e;
	struct cri_reader *r;
	off_t one, two;
	struct stat st;
	uint32_t n;

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(cri_reader_open(fd, &r, NULL), 0);
	e = cri_reader_extents(r, 1, &n);
	one = (off_t)e->offset - CRI_PAGE;
	e = cri_reader_extents(r, 2, &n);
	two = (off_t)e->offset - CRI_PAGE;
	cri_reader_free(r);
	exchange(fd, fd, one, two, len);
	expect(fd, -EBADMSG, "extent 1 of object 2 where 0 of object 1");
	exchange(fd, fd, one, two, len);
	read_image(fd, &small);
	/* An extent, the records, and the end of another image. */
	exchange(fd, other, one, one, len);
	expect(fd, -EBADMSG, "extent of another image");
	close(fd);
	fd = mem_image(&small);
	exchange(fd, other, CRI_PAGE, CRI_PAGE, CRI_PAGE);
	expect(fd, -EBADMSG, "offset 4096");
	close(fd);
	fd = mem_image(&small);
	exchange(fd, other, st.st_size - CRI_PAGE, st.st_size - CRI_PAGE,
		 CRI_PAGE);
	expect(fd, -EBADMSG, "trailer of another image");
	close(fd);
	/* Something behind the trailer. */
	fd = mem_image(&small);
	assert_int_equal(pwrite(fd, "more", 4, st.st_size), 4);
	expect(fd, -ENODATA, "no trailer");
	close(fd);
	close(other);
}

static void crc_is_castagnoli(void **state)
{
	unsigned char *p = malloc(100000);
	size_t len, at;
	uint32_t whole;

	(void)state;
	assert_int_equal(cri_crc32c(0, "123456789", 9), 0xe3069283u);
	assert_int_equal(cri_crc32c_table(0, "123456789", 9), 0xe3069283u);
	for (at = 0; at < 100000; at++)
		p[at] = (unsigned char)(at * at >> 3);
	for (len = 0; len < 100000; len = len * 2 + 7)
		for (at = 0; at < 17 && at < len; at++)
			assert_int_equal(cri_crc32c(5, p + at, len - at),
					 cri_crc32c_table(5, p + at, len - at));
	whole = cri_crc32c(0, p, 100000);
	assert_int_equal(cri_crc32c(cri_crc32c(0, p, 33333), p + 33333, 66667),
			 whole);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_castagnoli),
		cmocka_unit_test(file_there_and_back),
		cmocka_unit_test(direct_there_and_back),
		cmocka_unit_test(stream_there_and_back),
		cmocka_unit_test(pages_of_the_parent),
		cmocka_unit_test(middle_of_a_file),
		cmocka_unit_test(writer_errors),
		cmocka_unit_test(late_write_error),
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(every_bit),
		cmocka_unit_test(foreign_and_newer),
		cmocka_unit_test(reordered_and_mixed),
	};

	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
