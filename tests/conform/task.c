/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of what a process has beside memory and files: prctl settings,
 * limits, directories, names, credentials, capabilities, seccomp.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

/* --- prctl --- */

static void prctl_setup(struct conform *c)
{
	(void)c;
	NEED(prctl(PR_SET_NAME, "odd (name) 1"));
	NEED(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	NEED(prctl(PR_SET_KEEPCAPS, 1));
	NEED(prctl(PR_SET_TSC, PR_TSC_ENABLE));
	NEED(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	NEED(prctl(PR_SET_TIMERSLACK, 77777));
}

static void prctl_after(struct conform *c)
{
	char name[16];

	(void)c;
	NEED(prctl(PR_GET_NAME, name));
	CHECK(!strcmp(name, "odd (name) 1"), "name is %s", name);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
	CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	CHECK_EQ(prctl(PR_GET_TIMERSLACK), 77777);
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
}

static void dumpable_setup(struct conform *c)
{
	(void)c;
	NEED(prctl(PR_SET_DUMPABLE, 0));
}

static void dumpable_after(struct conform *c)
{
	(void)c;
	CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
}

/* --- personality, umask, directories --- */

static void misc_setup(struct conform *c)
{
	(void)c;
	NEED(personality(ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS));
	umask(0137);
	NEED(mkdir("deep", 0777));
	NEED(chmod("deep", 0777));
	NEED(chdir("deep"));
}

static void misc_after(struct conform *c)
{
	char want[300], cwd[300];
	struct stat st;

	CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE | STICKY_TIMEOUTS);
	snprintf(want, sizeof(want), "%s/w/deep", c->dir);
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, want), "cwd is %s", cwd);
	close((int)NEED(open("masked", O_WRONLY | O_CREAT, 0777)));
	NEED(stat("masked", &st));
	CHECK_EQ(st.st_mode & 0777, 0640);
	CHECK_EQ(umask(0), 0137);
}

/* exe link, argv and environment areas, auxv */
static char exe_was[512], cmdline_was[512];
static size_t environ_len, auxv_len;
static unsigned long stat_areas[7];

static size_t file_len(const char *path, char *buf, size_t size)
{
	int fd = (int)NEED(open(path, O_RDONLY));
	ssize_t n = NEED(read(fd, buf, size));

	close(fd);
	return (size_t)n;
}

/* start_code end_code start_stack are 26..28, start_data .. env_end 45..51 */
static void read_areas(unsigned long *a)
{
	char *p, *text;
	int i;

	text = strdup(conform_slurp("/proc/self/stat"));
	p = strrchr(text, ')') + 2;
	for (i = 3, p = strtok(p, " "); p; i++, p = strtok(NULL, " "))
		if (i >= 45 && i < 52)
			a[i - 45] = strtoul(p, NULL, 10);
	free(text);
}

static void exe_setup(struct conform *c)
{
	char buf[65536];
	ssize_t n;

	(void)c;
	n = NEED(readlink("/proc/self/exe", exe_was, sizeof(exe_was) - 1));
	exe_was[n] = 0;
	file_len("/proc/self/cmdline", cmdline_was, sizeof(cmdline_was));
	environ_len = file_len("/proc/self/environ", buf, sizeof(buf));
	auxv_len = file_len("/proc/self/auxv", buf, sizeof(buf));
	read_areas(stat_areas);
}

static void exe_after(struct conform *c)
{
	char now[512] = "", buf[65536];
	unsigned long areas[7] = { 0 };
	int i;

	(void)c;
	NEED(readlink("/proc/self/exe", now, sizeof(now) - 1));
	CHECK(!strcmp(now, exe_was), "exe is %s, not %s", now, exe_was);
	memset(now, 0, sizeof(now));
	file_len("/proc/self/cmdline", now, sizeof(now));
	CHECK(!memcmp(now, cmdline_was, sizeof(now)), "cmdline differs: %s",
	      now);
	CHECK_EQ(file_len("/proc/self/environ", buf, sizeof(buf)), environ_len);
	CHECK_EQ(file_len("/proc/self/auxv", buf, sizeof(buf)), auxv_len);
	read_areas(areas);
	for (i = 0; i < 7; i++)
		CHECK(areas[i] == stat_areas[i],
		      "area %d of the mm is %#lx, not %#lx", i, areas[i],
		      stat_areas[i]);
}

static void chroot_setup(struct conform *c)
{
	char top[300], name[300], *slash;

	snprintf(top, sizeof(top), "%s", c->dir);
	slash = strrchr(top, '/');
	NEED(slash && slash != top ? 0 : -1);
	snprintf(name, sizeof(name), "%s", slash);
	*slash = '\0';
	NEED(chroot(top));
	NEED(chdir("/"));
	memmove(c->dir, name, strlen(name) + 1);
}

static void chroot_after(struct conform *c)
{
	char cwd[300];

	(void)c;
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/"), "cwd is %s", cwd);
	CHECK(access("/etc/passwd", F_OK) == -1, "the root is the old one");
}

/* --- limits --- */

static const int limits[] = { RLIMIT_NOFILE,	RLIMIT_STACK, RLIMIT_CORE,
			      RLIMIT_AS,	RLIMIT_FSIZE, RLIMIT_NICE,
			      RLIMIT_SIGPENDING };

static void limits_setup(struct conform *c)
{
	struct rlimit rl;
	unsigned int i;
	int fd;

	(void)c;
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		NEED(getrlimit((__rlimit_resource_t)limits[i], &rl));
		if (limits[i] == RLIMIT_NOFILE)
			rl.rlim_cur = 333, rl.rlim_max = 444;
		else if (limits[i] == RLIMIT_AS)
			rl.rlim_cur = 1ul << 40;
		else if (limits[i] == RLIMIT_FSIZE)
			rl.rlim_cur = 1ul << 33, rl.rlim_max = 1ul << 34;
		else if (limits[i] == RLIMIT_CORE)
			rl.rlim_cur = rl.rlim_max = 0;
		else if (limits[i] == RLIMIT_SIGPENDING)
			rl.rlim_cur = 1234;
		NEED(setrlimit((__rlimit_resource_t)limits[i], &rl));
	}
	fd = (int)NEED(open("/proc/self/oom_score_adj", O_WRONLY));
	NEED(write(fd, "567", 3));
	close(fd);
	fd = (int)NEED(open("/proc/self/coredump_filter", O_WRONLY));
	NEED(write(fd, "0x15", 4));
	close(fd);
}

static void limits_after(struct conform *c)
{
	struct rlimit rl;

	(void)c;
	NEED(getrlimit(RLIMIT_NOFILE, &rl));
	CHECK_EQ(rl.rlim_cur, 333);
	CHECK_EQ(rl.rlim_max, 444);
	NEED(getrlimit(RLIMIT_AS, &rl));
	CHECK_EQ(rl.rlim_cur, 1ul << 40);
	NEED(getrlimit(RLIMIT_FSIZE, &rl));
	CHECK_EQ(rl.rlim_cur, 1ul << 33);
	CHECK_EQ(rl.rlim_max, 1ul << 34);
	NEED(getrlimit(RLIMIT_CORE, &rl));
	CHECK_EQ(rl.rlim_max, 0);
	NEED(getrlimit(RLIMIT_SIGPENDING, &rl));
	CHECK_EQ(rl.rlim_cur, 1234);
	CHECK_EQ(atoi(conform_slurp("/proc/self/oom_score_adj")), 567);
	CHECK_EQ(strtol(conform_slurp("/proc/self/coredump_filter"), NULL, 16),
		 0x15);
}

/* --- credentials (root: those of others) --- */

static uid_t ids_was[6];
static gid_t groups_was[64];
static int n_groups;

static void creds_read(uid_t *ids, gid_t *groups, int *n)
{
	NEED(getresuid(&ids[0], &ids[1], &ids[2]));
	NEED(getresgid(&ids[3], &ids[4], &ids[5]));
	*n = (int)NEED(getgroups(64, groups));
}

static void creds_setup(struct conform *c)
{
	static const gid_t groups[] = { 3001, 3002, 3003 };

	if (c->root) {
		NEED(setgroups(3, groups));
		NEED(setresgid(4001, 4002, 4003));
		NEED(setresuid(0, 0, 58311));
	}
	creds_read(ids_was, groups_was, &n_groups);
}

static void creds_after(struct conform *c)
{
	gid_t groups[64];
	uid_t ids[6];
	int i, n;

	(void)c;
	creds_read(ids, groups, &n);
	for (i = 0; i < 6; i++)
		CHECK(ids[i] == ids_was[i], "id %d is %u, not %u", i, ids[i],
		      ids_was[i]);
	CHECK_EQ(n, n_groups);
	CHECK(!memcmp(groups, groups_was, (size_t)n * sizeof(gid_t)), "the "
								      "groups "
								      "differ");
}

static uint64_t cap_was[3];

static void caps_read(uint64_t *v)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	NEED(syscall(SYS_capget, &h, d));
	v[0] = d[0].effective | (uint64_t)d[1].effective << 32;
	v[1] = d[0].permitted | (uint64_t)d[1].permitted << 32;
	v[2] = d[0].inheritable | (uint64_t)d[1].inheritable << 32;
}

/* No less and no more; a user has none at all, also after a restart. */
static void caps_setup(struct conform *c)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (c->root) {
		NEED(syscall(SYS_capget, &h, d));
		d[0].effective &= ~(1u << CAP_NET_ADMIN);
		d[0].permitted &= ~(1u << CAP_SYS_BOOT);
		d[0].effective &= ~(1u << CAP_SYS_BOOT);
		d[0].inheritable |= 1u << CAP_NET_RAW;
		NEED(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE));
		NEED(syscall(SYS_capset, &h, d));
		NEED(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0,
			   0));
		NEED(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
	}
	caps_read(cap_was);
}

static void caps_after(struct conform *c)
{
	uint64_t now[3];
	int i;

	caps_read(now);
	for (i = 0; i < 3; i++)
		CHECK(now[i] == cap_was[i], "capability set %d is %lx, not %lx",
		      i, (unsigned long)now[i], (unsigned long)cap_was[i]);
	if (!c->root)
		return;
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_MODULE), 0);
	CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_NET_ADMIN), 1);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0,
		       0),
		 1);
	CHECK_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
}

/* --- seccomp --- */

static void deny(unsigned int nr, unsigned int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { 4, code };

	NEED(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
}

static void seccomp_setup(struct conform *c)
{
	(void)c;
	deny(SYS_sethostname, 71);
	deny(SYS_munmap, 72);
	deny(SYS_rt_sigreturn, 73);
	deny(SYS_clone, 74);
}

static void seccomp_after(struct conform *c)
{
	(void)c;
	CHECK(syscall(SYS_sethostname, "x", -1) == -1 && errno == 71, "the "
								      "first "
								      "filter "
								      "is "
								      "gone: "
								      "%m");
	CHECK(syscall(SYS_munmap, 0, 0) == -1 && errno == 72, "the second "
							      "filter is gone: "
							      "%m");
	CHECK(syscall(SYS_clone, 0, 0, 0, 0, 0) == -1 && errno == 74, "the "
								      "last "
								      "filter "
								      "is "
								      "gone: "
								      "%m");
	CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "task_prctl",
	  .setup = prctl_setup,
	  .continued = prctl_after },
	{ .name = "task_dumpable",
	  .setup = dumpable_setup,
	  .continued = dumpable_after,
	  .flags = CONFORM_ROOT },
	{ .name = "task_misc", .setup = misc_setup, .continued = misc_after },
	{ .name = "task_exe", .setup = exe_setup, .continued = exe_after },
	{ .name = "task_chroot",
	  .setup = chroot_setup,
	  .continued = chroot_after,
	  .flags = CONFORM_ROOT },
	{ .name = "task_limits",
	  .setup = limits_setup,
	  .continued = limits_after },
	{ .name = "task_creds",
	  .setup = creds_setup,
	  .continued = creds_after },
	{ .name = "task_caps", .setup = caps_setup, .continued = caps_after },
	{ .name = "task_seccomp",
	  .setup = seccomp_setup,
	  .continued = seccomp_after,
	  .flags = CONFORM_ROOT },
	{ .name = NULL },
};
