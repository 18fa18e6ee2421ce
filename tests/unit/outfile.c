/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tools' output files in their four modes, human numbers, relocation.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "outfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "human.h"
#include "options/keys.h"
#include "restart_hooks.h"

static char dir[] = "/tmp/outfile-XXXXXX";

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? chdir(dir) : -1;
}

static int teardown(void **state)
{
	char cmd[64];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return chdir("/") || system(cmd);
}

static void put(const char *name, const char *text)
{
	FILE *f;

	unlink(name);
	f = fopen(name, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void is(const char *name, const char *text)
{
	char got[64] = "";
	FILE *f = fopen(name, "r");

	if (!f)
		fail_msg("%s is missing", name);
	if (!fgets(got, sizeof(got), f) && *text)
		fail_msg("%s is empty", name);
	fclose(f);
	assert_string_equal(got, text);
}

static int n_files(void)
{
	FILE *p = popen("ls -A | wc -l", "r");
	int n = -1;

	assert_int_equal(fscanf(p, "%d", &n), 1);
	pclose(p);
	return n;
}

static int begin(struct outfile *o, enum out_mode mode, const char *name)
{
	*o = (struct outfile){ .mode = mode, .sync = true };
	return outfile_open(o, name);
}

static int write_new(enum out_mode mode, const char *name, const char *backup)
{
	struct outfile o;
	int ret = begin(&o, mode, name);

	if (ret)
		return ret;
	o.backup = backup;
	assert_int_equal(write(o.fd, "new", 3), 3);
	return outfile_commit(&o);
}

static void modes(void **state)
{
	struct outfile o;
	struct stat st;

	(void)state;
	assert_int_equal(write_new(OUT_ATOMIC, "a", NULL), 0);
	is("a", "new");
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	put("a", "old");
	/* Until the commit, and after an abort, the old one is there. */
	assert_int_equal(begin(&o, OUT_ATOMIC, "a"), 0);
	assert_int_equal(write(o.fd, "half", 4), 4);
	is("a", "old");
	outfile_abort(&o);
	is("a", "old");
	assert_int_equal(n_files(), 1);
	assert_int_equal(write_new(OUT_ATOMIC, "a", NULL), 0);
	is("a", "new");
	put("a", "old");
	assert_int_equal(write_new(OUT_NOCLOBBER, "a", NULL), -EEXIST);
	is("a", "old");
	assert_int_equal(write_new(OUT_BACKUP, "a", NULL), 0);
	is("a", "new");
	is("a.~1~", "old");
	assert_int_equal(write_new(OUT_BACKUP, "a", NULL), 0);
	is("a.~2~", "new");
	put("a", "old");
	assert_int_equal(write_new(OUT_BACKUP, "a", "kept"), 0);
	is("kept", "old");
	assert_int_equal(write_new(OUT_BACKUP, "first", NULL), 0);
	is("first", "new");
	assert_int_equal(write_new(OUT_CLOBBER, "a", NULL), 0);
	is("a", "new");
	assert_int_equal(link("a", "b"), 0);
	assert_int_equal(write_new(OUT_CLOBBER, "a", NULL), -EMLINK);
	assert_int_equal(write_new(OUT_ATOMIC, "a", NULL), 0);
	assert_int_equal(write_new(OUT_ATOMIC, ".", NULL), -EISDIR);
	assert_int_equal(write_new(OUT_ATOMIC, "/tmp/", NULL), -EISDIR);
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(write_new(OUT_ATOMIC, "d", NULL), -EISDIR);
	assert_int_equal(write_new(OUT_ATOMIC, "none/x", NULL), -ENOENT);
	assert_int_equal(write_new(OUT_NOCLOBBER, "d/x", NULL), 0);
	is("d/x", "new");
	/* What appears meanwhile is not replaced by noclobber. */
	assert_int_equal(begin(&o, OUT_NOCLOBBER, "late"), 0);
	put("late", "other");
	assert_int_equal(outfile_commit(&o), -EEXIST);
	is("late", "other");
	/* A link of somebody's is replaced, not followed. */
	assert_int_equal(symlink("kept", "link"), 0);
	assert_int_equal(write_new(OUT_ATOMIC, "link", NULL), 0);
	is("kept", "old");
	is("link", "new");
	/* Devices and pipes are written to as they are. */
	assert_int_equal(write_new(OUT_ATOMIC, "/dev/null", NULL), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
}

static void stale_and_busy(void **state)
{
	struct outfile o;
	int fd;

	(void)state;
	put("s", "old");
	put(".s.tmp", "left by a crash");
	assert_int_equal(write_new(OUT_ATOMIC, "s", NULL), 0);
	is("s", "new");
	assert_int_not_equal(access(".s.tmp", F_OK), 0);
	put("s", "old");
	put(".s.tmp", "being written");
	fd = open(".s.tmp", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(write_new(OUT_ATOMIC, "s", NULL), -EBUSY);
	is("s", "old");
	is(".s.tmp", "being written");
	close(fd);
	assert_int_equal(outfile_borrow(&o, 1234), -EBADF);
	fd = open("s", O_RDONLY | O_CLOEXEC);
	assert_int_equal(outfile_borrow(&o, fd), -EBADF);
	close(fd);
}

static void numbers(void **state)
{
	char buf[HUMAN_LEN];

	(void)state;
	assert_string_equal(human_size(buf, 0), "0 bytes");
	assert_string_equal(human_size(buf, 999), "999 bytes");
	assert_string_equal(human_size(buf, 1000), "1.0 kB");
	assert_string_equal(human_size(buf, 25300000), "25.3 MB");
	assert_string_equal(human_size(buf, UINT64_MAX), "18447 PB");
	assert_string_equal(human_time(buf, 31000000), "31 ms");
	assert_string_equal(human_time(buf, 1500000), "1.5 ms");
	assert_string_equal(human_time(buf, 125000000000ull), "2 min 5 s");
	assert_string_equal(human_time(buf, 7260000000000ull), "2 h 1 min");
}

static void relocation(void **state)
{
	struct cr_ext_relocate r;

	(void)state;
	assert_int_equal(relocate_parse("/a/=/b//", &r), 1);
	assert_string_equal(r.from, "/a");
	assert_string_equal(r.to, "/b");
	assert_int_equal(relocate_parse("/a\\=b\\\\=/c=d", &r), 1);
	assert_string_equal(r.from, "/a=b\\");
	assert_string_equal(r.to, "/c=d");
	assert_int_equal(relocate_parse("/=/b", &r), 1);
	assert_string_equal(r.from, "/");
	assert_int_equal(relocate_parse("/a=/a/", &r), 0);
	assert_int_equal(relocate_parse("a=/b", &r), -EINVAL);
	assert_int_equal(relocate_parse("/a=b", &r), -EINVAL);
	assert_int_equal(relocate_parse("/a", &r), -EINVAL);
	assert_int_equal(relocate_parse("", &r), -EINVAL);
	assert_int_equal(hook_of(-EBUSY), HOOK_TEMP);
	assert_int_equal(hook_of(-ENOENT), HOOK_ENV);
	assert_int_equal(hook_of(-EBADMSG), HOOK_PERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes),
		cmocka_unit_test(stale_and_busy),
		cmocka_unit_test(numbers),
		cmocka_unit_test(relocation),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
