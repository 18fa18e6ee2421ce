/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a whole image, read, verified and shown as cr_info does.  The
 * image follows a control byte: with bit 0 all checksums are made right first,
 * so that the fuzzer comes past them, with bit 1 it is read as a stream.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/crc32c.h"
#include "image/format.h"
#include "libcr_ext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void fix_records(uint8_t *p, size_t size, uint32_t seed)
{
	size_t at = CRI_PAGE, len;

	while (at + CRI_RECORD_FRAME <= size &&
	       get32(p + at) == CRI_RECORD_MAGIC) {
		len = get32(p + at + 12);
		if (len > size - at - CRI_RECORD_FRAME)
			break;
		put32(p + at + 20, 0);
		put32(p + at + 20,
		      cri_crc32c(seed, p + at, CRI_RECORD_FRAME + len));
		at += (CRI_RECORD_FRAME + len + 7) & ~(size_t)7;
	}
}

static void fix_extents(uint8_t *p, size_t size, uint32_t seed)
{
	size_t at;

	for (at = CRI_PAGE; at + CRI_PAGE <= size; at += CRI_PAGE)
		if (get32(p + at) == CRI_EXTENT_MAGIC) {
			memcpy(p + at + 8, p + 24, CRI_ID_LEN);
			put32(p + at + CRI_CRC_AT,
			      cri_crc32c(seed, p + at, CRI_CRC_AT));
		}
}

/* The entries' page checksums too, where they point to a page. */
static void fix_index(uint8_t *p, size_t size, size_t at, size_t len)
{
	size_t e = at + CRI_INDEX_HEAD, page;
	uint32_t runs;

	while (e + CRI_INDEX_ENTRY <= at + len) {
		page = (size_t)get64(p + e);
		runs = get32(p + e + 16);
		if (page < size && page + CRI_PAGE <= size)
			put32(p + e + 36, get32(p + page + CRI_CRC_AT));
		if (runs > CRI_EXTENT_RUNS)
			break;
		e += CRI_INDEX_ENTRY + (size_t)runs * CRI_RUN_SIZE;
	}
}

static void fix(uint8_t *p, size_t size)
{
	uint8_t *tail = p + size - CRI_TRAILER_LEN;
	uint32_t seed;
	uint64_t at, len;

	if (size < CRI_PAGE + CRI_TRAILER_LEN)
		return;
	put32(p + CRI_CRC_AT, cri_crc32c(0, p, CRI_CRC_AT));
	seed = cri_crc32c(0, p + 24, CRI_ID_LEN);
	fix_records(p, size, seed);
	fix_extents(p, size, seed);
	memcpy(tail + 8, p + 24, CRI_ID_LEN);
	at = get64(tail + 24);
	len = get64(tail + 32);
	if (at < size && len <= size - at) {
		fix_index(p, size, (size_t)at, (size_t)len);
		put32(tail + 52, cri_crc32c(seed, p + at, (size_t)len));
	}
	put32(tail + 60, cri_crc32c(seed, tail, CRI_TRAILER_LEN - 4));
}

/* As the restorer looks: by object, touching every run. */
static void walk(int fd)
{
	const struct cri_extent *e;
	struct cri_err err = { 0 };
	struct cri_reader *r;
	uint64_t sum = 0;
	uint32_t obj, n, i, k;

	if (cri_reader_open(fd, &r, &err)) {
		if (!err.code || !err.text[0])
			abort();
		return;
	}
	for (obj = 0; obj < 8; obj++) {
		e = cri_reader_extents(r, obj, &n);
		for (i = 0; i < n; i++)
			for (k = 0; k < e[i].n_runs; k++)
				sum += e[i].runs[k].page + e[i].runs[k].count;
	}
	if (sum == 42 || cri_reader_fd(r) < 0 || !cri_reader_size(r) ||
	    !cri_reader_records(r))
		(void)lseek(fd, 0, SEEK_SET);
	cri_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1, null = -1;
	uint8_t *copy;
	char text[256];
	off_t start;
	size_t at;
	ssize_t n;

	if (!size)
		return 0;
	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	}
	copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	if (data[0] & 1)
		fix(copy, size - 1);
	start = data[0] & 2 ? 1 : 0;
	if (ftruncate(fd, 0) || lseek(fd, start, SEEK_SET) != start)
		abort();
	for (at = 0; at < size - 1; at += (size_t)n) {
		n = pwrite(fd, copy + at, size - 1 - at, start + (off_t)at);
		if (n <= 0)
			abort();
	}
	free(copy);
	(void)cr_ext_info(fd, null, CR_EXT_INFO_VERIFY, text, sizeof(text));
	if (lseek(fd, start, SEEK_SET) == start)
		walk(fd);
	if (!start)
		(void)cr_ext_info(fd, null, CR_EXT_INFO_JSON, text,
				  sizeof(text));
	return 0;
}
