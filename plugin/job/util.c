/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are complete or absent, directory trees, times.  All functions
 * work on their arguments only.
 */
#include "util.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int sj_fmt(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, size, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -EINVAL;
	return (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int sj_mkdirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	char *p;
	int ret;

	ret = sj_fmt(part, sizeof(part), "%s", path);
	if (ret)
		return ret;
	for (p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, mode) && errno != EEXIST && errno != EROFS &&
		    errno != EACCES)
			return -errno;
		*p = '/';
	}
	if (mkdir(part, mode) && errno != EEXIST)
		return -errno;
	return 0;
}

int sj_read_file(const char *path, char *buf, size_t size)
{
	struct stat st;
	size_t at = 0;
	ssize_t n;
	int ret = 0;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		ret = -errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode)) {
		ret = -EINVAL;
		goto out;
	}
	while (at < size) {
		n = read(fd, buf + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			ret = -errno;
			goto out;
		}
		if (!n)
			break;
		at += n;
	}
	if (at == size) {
		ret = -EFBIG;
		goto out;
	}
	buf[at] = '\0';
out:
	close(fd);
	return ret;
}

int sj_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= n;
	}
	return 0;
}

int sj_sync_dir(const char *path)
{
	int ret = 0;
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Some file systems cannot sync a directory and say EINVAL. */
	if (fsync(fd) && errno != EINVAL)
		ret = -errno;
	close(fd);
	return ret;
}

static int sync_parent(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int ret;

	ret = sj_fmt(dir, sizeof(dir), "%s", path);
	if (ret)
		return ret;
	slash = strrchr(dir, '/');
	if (!slash)
		return sj_sync_dir(".");
	*slash = '\0';
	return sj_sync_dir(*dir ? dir : "/");
}

int sj_write_file(const char *path, const void *data, size_t len)
{
	char tmp[PATH_MAX];
	int fd = -1;
	int ret;

	ret = sj_fmt(tmp, sizeof(tmp), "%s.%d.tmp", path, (int)getpid());
	if (ret)
		return ret;
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return -errno;
	ret = sj_write_all(fd, data, len);
	if (ret)
		goto out;
	if (fsync(fd)) {
		ret = -errno;
		goto out;
	}
	if (rename(tmp, path)) {
		ret = -errno;
		goto out;
	}
	ret = sync_parent(path);
out:
	close(fd);
	if (ret)
		unlink(tmp);
	return ret;
}

static int rm_at(int dirfd, const char *name, dev_t dev, int depth)
{
	struct dirent *e;
	struct stat st;
	DIR *d;
	int ret = 0;
	int fd;

	fd = openat(dirfd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_dev != dev || depth > 16) {
		close(fd);
		return -EXDEV;
	}
	d = fdopendir(fd);
	if (!d) {
		ret = -errno;
		close(fd);
		return ret;
	}
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(fd, e->d_name, 0) || errno == ENOENT)
			continue;
		if (errno == EISDIR || errno == EPERM)
			ret = rm_at(fd, e->d_name, dev, depth + 1);
		else
			ret = -errno;
		if (ret)
			break;
	}
	closedir(d);
	if (!ret && unlinkat(dirfd, name, AT_REMOVEDIR))
		ret = -errno;
	return ret;
}

int sj_rm_tree(const char *path)
{
	struct stat st;

	if (lstat(path, &st))
		return -errno;
	return rm_at(AT_FDCWD, path, st.st_dev, 0);
}

static uint64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

uint64_t sj_now_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t sj_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int sj_parse_num(const char *text, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		if (v > (max - (*text - '0')) / 10)
			return -ERANGE;
		v = v * 10 + (*text - '0');
	}
	*value = v;
	return 0;
}

/* Up to three numbers between colons. */
static int parse_fields(const char *text, uint64_t *f, int *n)
{
	char part[16];
	size_t len;
	int ret;

	*n = 0;
	for (;;) {
		len = strcspn(text, ":");
		if (!len || len >= sizeof(part) || *n == 3)
			return -EINVAL;
		memcpy(part, text, len);
		part[len] = '\0';
		ret = sj_parse_num(part, 10000000, &f[(*n)++]);
		if (ret)
			return -EINVAL;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

int sj_parse_time(const char *text, uint32_t *seconds)
{
	uint64_t f[3] = { 0, 0, 0 };
	uint64_t total = 0;
	uint64_t days = 0;
	const char *dash;
	char part[16];
	int ret;
	int n;

	dash = strchr(text, '-');
	if (dash) {
		if ((size_t)(dash - text) >= sizeof(part))
			return -EINVAL;
		memcpy(part, text, dash - text);
		part[dash - text] = '\0';
		ret = sj_parse_num(part, 36500, &days);
		if (ret)
			return -EINVAL;
		text = dash + 1;
	}
	ret = parse_fields(text, f, &n);
	if (ret)
		return ret;
	if (dash || n == 3)
		total = days * 86400 + f[0] * 3600 + f[1] * 60 + f[2];
	else
		total = f[0] * 60 + f[1];
	if (total > UINT32_MAX)
		return -EINVAL;
	*seconds = total;
	return 0;
}

int sj_random_hex(char *buf, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	uint8_t raw[64];
	size_t i;

	if (len > sizeof(raw))
		return -EINVAL;
	if (getrandom(raw, len, 0) != (ssize_t)len)
		return -EIO;
	for (i = 0; i < len; i++) {
		buf[2 * i] = digit[raw[i] >> 4];
		buf[2 * i + 1] = digit[raw[i] & 15];
	}
	buf[2 * len] = '\0';
	return 0;
}

int sj_name_ok(const char *name)
{
	if (!*name || *name == '.')
		return 0;
	for (; *name; name++)
		if (*name == '/' || !isgraph((unsigned char)*name))
			return 0;
	return 1;
}
