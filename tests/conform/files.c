/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of descriptors as such (duplicates, shared offsets and tables, flags,
 * owners) and of regular files and directories, also those that have grown,
 * changed or gone since, or never had a name.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

#define LEN 20000

static char buf[LEN];

static int file_new(const char *name, int flags, uint64_t seed)
{
	int fd = (int)NEED(open(name, O_RDWR | O_CREAT | flags, 0644));

	conform_fill(buf, LEN, seed);
	CHECK(write(fd, buf, LEN) == LEN, "write: %m");
	return fd;
}

static void same_at(int fd, off_t off, size_t len, uint64_t seed)
{
	char got[LEN];

	conform_fill(buf, LEN, seed);
	CHECK(pread(fd, got, len, off) == (ssize_t)len, "pread: %m");
	CHECK(!memcmp(got, buf + off, len), "contents at %ld differ",
	      (long)off);
}

/* --- descriptors --- */

static int base, dupped, high, other;
static pid_t kid;

static void dup_child(struct conform *c, long arg)
{
	close(base);
	conform_child_ready();
	conform_wait_go(c);
	/* Same open file: the parent's move is ours. */
	while (lseek(dupped, 0, SEEK_CUR) != 555)
		conform_msleep(2);
	NEED(lseek(dupped, 777, SEEK_SET));
	CHECK(fcntl(base, F_GETFD) == -1, "a closed descriptor is open");
	CHECK_EQ(arg, 1);
}

static void dup_setup(struct conform *c)
{
	base = file_new("one", 0, c->nonce);
	dupped = (int)NEED(dup(base));
	high = (int)NEED(fcntl(base, F_DUPFD_CLOEXEC, 900));
	other = (int)NEED(open("one", O_RDONLY | O_NOFOLLOW | O_NOATIME));
	NEED(lseek(base, 1234, SEEK_SET));
	NEED(lseek(other, 4321, SEEK_SET));
	kid = conform_child(c, dup_child, 1);
}

static void dup_after(struct conform *c)
{
	int i;

	CHECK_EQ(high, 900);
	CHECK_EQ(lseek(base, 0, SEEK_CUR), 1234);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 4321);
	CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(base, F_GETFD), 0);
	CHECK_EQ(fcntl(other, F_GETFL) & (O_ACCMODE | O_NOATIME), O_NOATIME);
	NEED(lseek(high, 555, SEEK_SET));
	CHECK_EQ(lseek(base, 0, SEEK_CUR), 555);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), 4321);
	for (i = 0; i < 2000 && lseek(base, 0, SEEK_CUR) != 777; i++)
		conform_msleep(2);
	CHECK_EQ(lseek(base, 0, SEEK_CUR), 777);
	conform_join(c, kid, 1);
	same_at(base, 0, LEN, c->nonce);
}

/* --- flags and owners --- */

static int pipe_fd[2];

static void flags_setup(struct conform *c)
{
	struct f_owner_ex own = { F_OWNER_PGRP, getpgid(0) };

	base = file_new("app", O_APPEND, c->nonce);
	other = (int)NEED(open("dsync", O_WRONLY | O_CREAT | O_DSYNC, 0644));
	NEED(pipe2(pipe_fd, O_NONBLOCK));
	NEED(fcntl(pipe_fd[0], F_SETOWN, getpid()));
	NEED(fcntl(pipe_fd[0], F_SETSIG, SIGRTMIN + 4));
	NEED(setpgid(0, 0));
	own.pid = getpgid(0);
	NEED(fcntl(pipe_fd[1], F_SETOWN_EX, &own));
}

static void flags_after(struct conform *c)
{
	struct f_owner_ex own;
	struct stat st;

	CHECK(fcntl(base, F_GETFL) & O_APPEND, "O_APPEND is lost");
	CHECK((fcntl(other, F_GETFL) & (O_ACCMODE | O_SYNC)) ==
		      (O_WRONLY | O_DSYNC),
	      "O_DSYNC or O_WRONLY is lost");
	CHECK(fcntl(pipe_fd[0], F_GETFL) & O_NONBLOCK, "O_NONBLOCK is lost");
	CHECK_EQ(fcntl(pipe_fd[0], F_GETOWN), getpid());
	CHECK_EQ(fcntl(pipe_fd[0], F_GETSIG), SIGRTMIN + 4);
	NEED(fcntl(pipe_fd[1], F_GETOWN_EX, &own));
	CHECK_EQ(own.type, F_OWNER_PGRP);
	CHECK_EQ(own.pid, getpid());
	NEED(lseek(base, 0, SEEK_SET));
	NEED(write(base, "tail", 4));
	NEED(fstat(base, &st));
	CHECK_EQ(st.st_size, LEN + 4);
	same_at(base, 0, LEN, c->nonce);
}

/* --- a table shared by two processes (CLONE_FILES) --- */

static pid_t sharer;
static volatile int *word;
static char sharer_stack[65536] __attribute__((aligned(16)));

static int sharer_main(void *arg)
{
	(void)arg;
	while (*word != 1)
		conform_msleep(2);
	base = open("fromkid", O_RDWR | O_CREAT, 0644);
	*word = base + 100;
	while (*word != 2)
		conform_msleep(2);
	_exit(fcntl(base, F_GETFD) == -1 ? 21 : 22);
}

static void table_setup(struct conform *c)
{
	(void)c;
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sharer = (pid_t)NEED(clone(sharer_main,
				   sharer_stack + sizeof(sharer_stack),
				   CLONE_FILES | SIGCHLD, NULL));
}

static void table_after(struct conform *c)
{
	int fd;

	(void)c;
	*word = 1;
	for (fd = 0; fd < 2000 && *word < 100; fd++)
		conform_msleep(2);
	fd = *word - 100;
	CHECK(fd > 0 && fcntl(fd, F_GETFD) == 0, "a descriptor opened by the "
						 "other is not ours");
	NEED(close(fd));
	*word = 2;
	conform_reap(sharer, 21 << 8, 5000);
}

/* --- names: unlinked, never had one, renamed, directories --- */

static int gone, tmp, dirfd_;
static DIR *dir;

static void name_setup(struct conform *c)
{
	char name[32];
	int i;

	gone = file_new("gone", 0, c->nonce + 1);
	NEED(lseek(gone, 99, SEEK_SET));
	NEED(unlink("gone"));
	tmp = open(".", O_TMPFILE | O_RDWR, 0600);
	if (tmp >= 0) {
		conform_fill(buf, LEN, c->nonce + 2);
		NEED(write(tmp, buf, LEN));
	}
	NEED(mkdir("list", 0755));
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "list/%d", i);
		close((int)NEED(open(name, O_WRONLY | O_CREAT, 0644)));
	}
	dirfd_ = (int)NEED(open("list", O_RDONLY | O_DIRECTORY));
	dir = fdopendir((int)NEED(dup(dirfd_)));
	for (i = 0; i < 100; i++)
		CHECK(readdir(dir), "readdir: %m");
}

static void name_after(struct conform *c)
{
	struct stat st;
	int n = 100;

	CHECK_EQ(lseek(gone, 0, SEEK_CUR), 99);
	same_at(gone, 0, LEN, c->nonce + 1);
	NEED(fstat(gone, &st));
	CHECK_EQ(st.st_nlink, 0);
	CHECK(access("gone", F_OK) == -1, "the unlinked file has a name");
	if (tmp >= 0) {
		same_at(tmp, 0, LEN, c->nonce + 2);
		NEED(fstat(tmp, &st));
		CHECK_EQ(st.st_nlink, 0);
	}
	CHECK(faccessat(dirfd_, "299", F_OK, 0) == 0, "the directory differs");
	while (readdir(dir))
		n++;
	CHECK_EQ(n, 302);
}

/* An unlinked file of which another name is left. */
static void link_setup(struct conform *c)
{
	gone = file_new("first", 0, c->nonce + 1);
	NEED(link("first", "second"));
	NEED(unlink("first"));
}

static void link_after(struct conform *c)
{
	int fd = (int)NEED(open("second", O_RDWR));
	char byte;

	same_at(gone, 0, LEN, c->nonce + 1);
	NEED(pwrite(fd, "#", 1, 0));
	NEED(pread(gone, &byte, 1, 0));
	CHECK(byte == '#', "the descriptor is of another file");
}

/* --- grown since --- */

static void grown_setup(struct conform *c)
{
	base = file_new("log", O_APPEND, c->nonce);
	other = (int)NEED(open("out", O_WRONLY | O_CREAT | O_TRUNC, 0644));
	conform_fill(buf, LEN, c->nonce + 1);
	NEED(write(other, buf, LEN));
	dupped = file_new("input", 0, c->nonce + 2);
	NEED(close(dupped));
	dupped = (int)NEED(open("input", O_RDONLY));
	NEED(lseek(dupped, 500, SEEK_SET));
}

static void grow(const char *name)
{
	int fd = open(name, O_WRONLY | O_APPEND);

	if (fd >= 0 && write(fd, "grown since the checkpoint\n", 27) == 27)
		close(fd);
}

static void grown_between(uint64_t nonce)
{
	(void)nonce;
	grow("log");
	grow("out");
}

static void grown_after(struct conform *c)
{
	struct stat st;
	int fd;

	NEED(fstat(base, &st));
	CHECK_EQ(st.st_size, LEN);
	NEED(write(base, "x", 1));
	same_at(base, 0, LEN, c->nonce);
	NEED(fstat(other, &st));
	CHECK_EQ(st.st_size, LEN);
	CHECK_EQ(lseek(other, 0, SEEK_CUR), LEN);
	fd = (int)NEED(open("out", O_RDONLY));
	same_at(fd, 0, LEN, c->nonce + 1);
	same_at(dupped, 500, 1000, c->nonce + 2);
}

/* --- refused at the restart --- */

static void input_setup(struct conform *c)
{
	base = file_new("input-file", 0, c->nonce);
	NEED(close(base));
	base = (int)NEED(open("input-file", O_RDONLY));
}

static void nothing(struct conform *c)
{
	(void)c;
}

static void rewrite_between(uint64_t nonce)
{
	int fd = open("input-file", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return;
	conform_fill(buf, LEN, nonce + 5);
	if (write(fd, buf, LEN - 100) > 0)
		close(fd);
}

static void vanish_between(uint64_t nonce)
{
	(void)nonce;
	unlink("input-file");
}

/* Another file has taken the name: a directory. */
static void replace_between(uint64_t nonce)
{
	(void)nonce;
	unlink("input-file");
	mkdir("input-file", 0755);
}

/* --- FIFOs and /proc --- */

static void proc_setup(struct conform *c)
{
	char path[64];

	base = (int)NEED(open("/proc/self/status", O_RDONLY));
	other = (int)NEED(open("/proc/uptime", O_RDONLY));
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)c->pid);
	dupped = (int)NEED(open(path, O_RDONLY));
	dirfd_ = (int)NEED(open("/proc/self", O_RDONLY | O_DIRECTORY));
}

static void proc_after(struct conform *c)
{
	char text[2048] = "";

	NEED(pread(base, text, sizeof(text) - 1, 0));
	CHECK_EQ(conform_field(text, "Tgid", 10), c->pid);
	NEED(pread(other, text, sizeof(text) - 1, 0));
	memset(text, 0, sizeof(text));
	NEED(pread(dupped, text, sizeof(text) - 1, 0));
	CHECK_EQ(atoi(text), c->pid);
	CHECK(faccessat(dirfd_, "status", F_OK, 0) == 0, "/proc/self: %m");
}

static const char *const devs[] = { "/dev/null", "/dev/zero", "/dev/full",
				    "/dev/random", "/dev/urandom" };
static int dev_fd[5];

static void dev_setup(struct conform *c)
{
	int i;

	(void)c;
	for (i = 0; i < 5; i++)
		dev_fd[i] = (int)NEED(open(devs[i], O_RDWR));
}

static void dev_after(struct conform *c)
{
	char b[4] = "abc";

	(void)c;
	CHECK_EQ(read(dev_fd[0], b, 4), 0);
	CHECK_EQ(write(dev_fd[0], b, 4), 4);
	CHECK_EQ(read(dev_fd[1], b, 4), 4);
	CHECK_EQ(b[0] | b[3], 0);
	CHECK(write(dev_fd[2], b, 4) == -1 && errno == ENOSPC, "/dev/full");
	CHECK_EQ(read(dev_fd[3], b, 4), 4);
	CHECK_EQ(read(dev_fd[4], b, 4), 4);
}

static void opath_setup(struct conform *c)
{
	base = file_new("path", 0, c->nonce);
	other = (int)NEED(open("path", O_PATH));
	dirfd_ = (int)NEED(open(".", O_PATH | O_DIRECTORY));
}

static void opath_after(struct conform *c)
{
	char p[64];
	int fd;

	CHECK(fcntl(other, F_GETFL) & O_PATH, "O_PATH is lost");
	snprintf(p, sizeof(p), "/proc/self/fd/%d", other);
	fd = (int)NEED(open(p, O_RDONLY));
	same_at(fd, 0, LEN, c->nonce);
	CHECK(faccessat(dirfd_, "path", F_OK, 0) == 0, "directory: %m");
}

const struct conform_kind conform_kinds[] = {
	{ .name = "fd_dup", .setup = dup_setup, .continued = dup_after },
	{ .name = "fd_flags", .setup = flags_setup, .continued = flags_after },
	{ .name = "fd_table_shared",
	  .setup = table_setup,
	  .continued = table_after },
	{ .name = "file_names", .setup = name_setup, .continued = name_after },
	{ .name = "file_linked", .setup = link_setup, .continued = link_after },
	{ .name = "file_grown",
	  .setup = grown_setup,
	  .continued = grown_after,
	  .between = grown_between },
	{ .name = "file_rewritten",
	  .setup = input_setup,
	  .continued = nothing,
	  .between = rewrite_between,
	  .no_restart = "input-file" },
	{ .name = "file_vanished",
	  .setup = input_setup,
	  .continued = nothing,
	  .between = vanish_between,
	  .no_restart = "input-file" },
	{ .name = "file_replaced",
	  .setup = input_setup,
	  .continued = nothing,
	  .between = replace_between,
	  .no_restart = "input-file" },
	{ .name = "file_proc", .setup = proc_setup, .continued = proc_after },
	{ .name = "file_dev", .setup = dev_setup, .continued = dev_after },
	{ .name = "file_opath",
	  .setup = opath_setup,
	  .continued = opath_after },
	{ .name = NULL },
};
