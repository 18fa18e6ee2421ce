/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small things that all of the job side needs: files that are complete or
 * absent, directory trees, times.  Nothing here prints or keeps state.
 */
#ifndef SJ_JOB_UTIL_H
#define SJ_JOB_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SJ_MUST __attribute__((warn_unused_result))

/* Like snprintf; -ENAMETOOLONG instead of a cut string. */
SJ_MUST int sj_fmt(char *buf, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* All missing directories of path, each with mode. */
SJ_MUST int sj_mkdirs(const char *path, mode_t mode);
/*
 * Read a small regular file, never through a symbolic link and never
 * blocking: at most size - 1 bytes, then a NUL.  -EFBIG when it is larger.
 */
SJ_MUST int sj_read_file(const char *path, char *buf, size_t size);
/* Temp file, fsync, rename, fsync of the directory; mode 0600. */
SJ_MUST int sj_write_file(const char *path, const void *data, size_t len);
SJ_MUST int sj_write_all(int fd, const void *data, size_t len);
SJ_MUST int sj_sync_dir(const char *path);
/* Remove a directory tree without following links or leaving the device. */
int sj_rm_tree(const char *path);
/* Monotonic and wall-clock milliseconds. */
uint64_t sj_now_ms(void);
uint64_t sj_wall_ms(void);
/*
 * Slurm's old time formats, in seconds: minutes, minutes:seconds, h:m:s,
 * days-h, days-h:m, days-h:m:s.  -EINVAL for all else.
 */
SJ_MUST int sj_parse_time(const char *text, uint32_t *seconds);
/* A decimal number up to max that fills the whole text. */
SJ_MUST int sj_parse_num(const char *text, uint64_t max, uint64_t *value);
/* len bytes of randomness as 2 * len hexadecimal digits and a NUL. */
SJ_MUST int sj_random_hex(char *buf, size_t len);
/* No slash, dot at the start, or unprintable byte; not empty. */
int sj_name_ok(const char *name);

#endif
