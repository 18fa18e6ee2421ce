/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The reader: header, records, trailer and index are checked before anybody
 * sees them; a stream goes to a memory file first, so that all of it is there
 * before anything is decoded.  Nothing of the file is trusted: sizes are
 * compared with the file's before memory is taken for them.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/crc32c.h"
#include "image/reader_int.h"
#include "util/cursor.h"

#define COPY_SIZE (1u << 20)

typedef unsigned long long ull;

int cri_reader_pread(const struct cri_reader *r, void *to, size_t len,
		     uint64_t at, const char *what, struct cri_err *err)
{
	char *p = to;
	ssize_t n;

	while (len) {
		n = pread(r->fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cri_fail(err, errno,
					"offset %llu: reading %s: %s", (ull)at,
					what, strerror(errno));
		if (!n)
			return cri_fail(err, ENODATA,
					"offset %llu: the image ends inside "
					"%s: it is truncated",
					(ull)at, what);
		p += n;
		len -= (size_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

static int write_all(int fd, const char *p, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* To the end of a pipe or socket. */
static int swallow(struct cri_reader *r, int fd, struct cri_err *err)
{
	char *buf;
	ssize_t n;
	int ret;

	r->mem_fd = memfd_create("image", MFD_CLOEXEC);
	if (r->mem_fd < 0)
		return cri_fail(err, errno, "memory file for the image: %s",
				strerror(errno));
	buf = malloc(COPY_SIZE);
	if (!buf)
		return cri_fail(err, ENOMEM, "out of memory");
	for (ret = 0; !ret;) {
		n = read(fd, buf, COPY_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = -errno;
		if (n <= 0)
			break;
		ret = write_all(r->mem_fd, buf, (size_t)n);
		r->size += (uint64_t)n;
	}
	free(buf);
	r->fd = r->mem_fd;
	if (ret)
		return cri_fail(err, -ret, "offset %llu: reading the image: %s",
				(ull)r->size, strerror(-ret));
	return 0;
}

static int attach(struct cri_reader *r, int fd, struct cri_err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return cri_fail(err, errno, "descriptor %d: %s", fd,
				strerror(errno));
	if (S_ISDIR(st.st_mode))
		return cri_fail(err, EISDIR, "is a directory, not an image");
	if (!S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0)
		return swallow(r, fd, err);
	r->fd = fd;
	r->size = (uint64_t)st.st_size;
	return 0;
}

/*
 * Truncated or foreign?  Whatever begins like an image and ends within the
 * first page was cut; the rest never was one.
 */
static int read_head(struct cri_reader *r, struct cri_err *err)
{
	uint8_t page[CRI_PAGE] = { 0 };
	size_t n = r->size < CRI_PAGE ? (size_t)r->size : CRI_PAGE;
	size_t cmp = n < CRI_MAGIC_LEN ? n : CRI_MAGIC_LEN;
	int ret;

	ret = cri_reader_pread(r, page, n, 0, "its header", err);
	if (ret)
		return ret;
	if (!n)
		return cri_fail(err, ENODATA, "offset 0: the file is empty");
	if (n < CRI_PAGE && !memcmp(page, CRI_MAGIC, cmp))
		return cri_fail(err, ENODATA,
				"offset %zu: the image ends inside its header: "
				"it is truncated",
				n);
	return cri_head_decode(page, &r->head, err);
}

static int frame_decode(struct cri_cur *c, uint32_t seed, uint64_t at,
			struct cri_frame *f, const void **payload,
			struct cri_err *err)
{
	static const uint8_t no_crc[4];
	const void *start = c->p;
	uint32_t magic, sum;
	uint16_t reserve;

	if (cri_cur_u32(c, &magic) || cri_cur_u16(c, &f->type) ||
	    cri_cur_u16(c, &f->version) || cri_cur_u16(c, &f->flags) ||
	    cri_cur_u16(c, &reserve) || cri_cur_u32(c, &f->len) ||
	    cri_cur_u32(c, &f->seq) || cri_cur_u32(c, &f->crc))
		return cri_fail(err, EBADMSG,
				"offset %llu: record cut off by the end of the "
				"records",
				(ull)at);
	if (magic != CRI_RECORD_MAGIC)
		return cri_fail(err, EBADMSG,
				"offset %llu: no record begins here", (ull)at);
	if (cri_cur_bytes(c, f->len, payload))
		return cri_fail(err, EBADMSG,
				"offset %llu: record of %u bytes is longer than "
				"the records",
				(ull)at, f->len);
	sum = cri_crc32c(seed, start, CRI_RECORD_FRAME - 4);
	sum = cri_crc32c(sum, no_crc, sizeof(no_crc));
	sum = cri_crc32c(sum, *payload, f->len);
	if (sum != f->crc || reserve)
		return cri_fail(err, EBADMSG,
				"offset %llu: record's checksum does not match",
				(ull)at);
	if (cri_cur_zero(c, -cri_cur_at(c) & 7))
		return cri_fail(err, EBADMSG,
				"offset %llu: bytes between records",
				(ull)(at + CRI_RECORD_FRAME + f->len));
	return 0;
}

static int decode_one(struct cri_reader *r, struct cri_cur *c, uint32_t seq,
		      struct cri_err *err)
{
	uint64_t at = CRI_PAGE + cri_cur_at(c);
	const void *payload;
	struct cri_frame f;
	int ret;

	ret = frame_decode(c, cri_seed(r->head.id), at, &f, &payload, err);
	if (ret)
		return ret;
	if (f.seq != seq)
		return cri_fail(err, EBADMSG,
				"offset %llu: record %u where %u belongs",
				(ull)at, f.seq, seq);
	if (!cri_schema_find(f.type)) {
		if (!(f.flags & CRI_RECORD_REQUIRED))
			return 0;
		return cri_fail(err, EPROTONOSUPPORT,
				"offset %llu: record of type %u, which this "
				"version does not know: use a newer one",
				(ull)at, f.type);
	}
	ret = cri_record_decode(r->set, f.type, f.version, payload, f.len, err);
	if (ret)
		cri_err_prefix(err, "offset %llu", (ull)at);
	return ret;
}

static int decode_all(struct cri_reader *r, const uint8_t *bytes, size_t len,
		      struct cri_err *err)
{
	struct cri_cur c;
	uint32_t i;
	int ret;

	cri_cur_init(&c, bytes, len);
	for (i = 0; i < r->head.n_records; i++) {
		ret = decode_one(r, &c, i, err);
		if (ret)
			return ret;
	}
	if (cri_cur_done(&c))
		return cri_fail(err, EBADMSG,
				"offset %llu: bytes after the last record",
				(ull)(CRI_PAGE + cri_cur_at(&c)));
	if (cri_recset_count(r->set, CRI_REC_ORIGIN) != 1)
		return cri_fail(err, EBADMSG,
				"offset %u: %u origin records where one belongs",
				CRI_PAGE,
				cri_recset_count(r->set, CRI_REC_ORIGIN));
	return 0;
}

static int read_records(struct cri_reader *r, struct cri_err *err)
{
	uint64_t len = r->head.records_len;
	uint8_t *bytes;
	size_t padded;
	struct cri_cur pad;
	int ret;

	if (len > r->size - CRI_PAGE)
		return cri_fail(err, ENODATA,
				"offset %llu: the image ends inside its "
				"records: it is truncated",
				(ull)r->size);
	padded = (len + CRI_PAGE - 1) & ~(uint64_t)(CRI_PAGE - 1);
	if (padded > r->size - CRI_PAGE)
		padded = len;
	bytes = malloc(padded ? padded : 1);
	if (!bytes)
		return cri_fail(err, ENOMEM, "out of memory");
	ret = cri_reader_pread(r, bytes, padded, CRI_PAGE, "its records", err);
	if (ret)
		goto out;
	ret = decode_all(r, bytes, len, err);
	if (ret)
		goto out;
	cri_cur_init(&pad, bytes + len, padded - len);
	ret = cri_cur_zero(&pad, padded - len);
	if (ret)
		cri_fail(err, EBADMSG,
			 "offset %llu: bytes between records and extents",
			 (ull)(CRI_PAGE + len));
	r->extents_at = CRI_PAGE + padded;
out:
	free(bytes);
	return ret;
}

int cri_reader_open(int fd, struct cri_reader **out, struct cri_err *err)
{
	struct cri_reader *r;
	int ret;

	r = calloc(1, sizeof(*r));
	if (!r)
		return cri_fail(err, ENOMEM, "out of memory");
	r->mem_fd = -1;
	r->fd = -1;
	ret = cri_recset_new(&r->set);
	if (ret)
		goto out;
	ret = attach(r, fd, err);
	if (ret)
		goto out;
	ret = read_head(r, err);
	if (ret)
		goto out;
	ret = read_records(r, err);
	if (ret)
		goto out;
	ret = cri_reader_index(r, err);
	if (ret)
		goto out;
	*out = r;
	return 0;
out:
	cri_reader_free(r);
	return ret;
}

void cri_reader_free(struct cri_reader *r)
{
	if (!r)
		return;
	cri_recset_free(r->set);
	free(r->heads);
	free(r->extents);
	free(r->runs);
	if (r->mem_fd >= 0)
		close(r->mem_fd);
	free(r);
}

struct cri_recset *cri_reader_records(struct cri_reader *r)
{
	return r->set;
}

int cri_reader_fd(struct cri_reader *r)
{
	return r->fd;
}

uint64_t cri_reader_size(struct cri_reader *r)
{
	return r->size;
}
