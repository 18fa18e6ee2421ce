/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of the process tree: ids and memory of a family, zombies with their
 * status, children reaped later, orphans under a subreaper, sessions and
 * groups whose leaders are gone, stopped processes, vfork under way.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform.h"

struct ids {
	pid_t pid, ppid, pgid, sid;
};

static struct ids ids_now(void)
{
	return (struct ids){ getpid(), getppid(), getpgid(0), getsid(0) };
}

static void ids_check(const struct ids *was)
{
	struct ids now = ids_now();

	CHECK_EQ(now.pid, was->pid);
	CHECK_EQ(now.ppid, was->ppid);
	CHECK_EQ(now.pgid, was->pgid);
	CHECK_EQ(now.sid, was->sid);
}

/* --- a family: 4 children with 3 children each --- */

static pid_t family[4];
static unsigned char *family_mem;

static void family_fill(struct conform *c, long arg)
{
	conform_fill(family_mem + 65536, 65536, c->nonce + 50 + (uint64_t)arg);
}

static void family_same(struct conform *c, long arg)
{
	CHECK_SAME(family_mem, 65536, c->nonce + 49);
	CHECK_SAME(family_mem + 65536, 65536, c->nonce + 50 + (uint64_t)arg);
}

static void grandchild(struct conform *c, long arg)
{
	struct ids was;

	if (arg % 10 == 1)
		NEED(setpgid(0, 0));
	family_fill(c, arg);
	was = ids_now();
	conform_child_ready();
	conform_wait_go(c);
	ids_check(&was);
	family_same(c, arg);
}

static void family_child(struct conform *c, long arg)
{
	struct ids was;
	pid_t kid[3];
	long i;

	if (arg == 1)
		NEED(setsid());
	if (arg == 2)
		NEED(setpgid(0, 0));
	for (i = 0; i < 3; i++)
		kid[i] = conform_child(c, grandchild, 10 * (arg + 1) + i);
	family_fill(c, arg);
	was = ids_now();
	conform_child_ready();
	conform_wait_go(c);
	ids_check(&was);
	family_same(c, arg);
	for (i = 0; i < 3; i++)
		conform_join(c, kid[i], 10 * (arg + 1) + i);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a strange "
								   "child");
}

static void family_setup(struct conform *c)
{
	long i;

	/* A leader outside becomes cr_restart's: so be one's own. */
	NEED(setsid());
	family_mem = mmap(NULL, 131072, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	conform_fill(family_mem, 65536, c->nonce + 49);
	for (i = 0; i < 4; i++)
		family[i] = conform_child(c, family_child, i);
}

static void family_after(struct conform *c)
{
	long i;

	CHECK_EQ(getsid(0), c->pid);
	CHECK_EQ(getpgid(0), c->pid);
	for (i = 0; i < 4; i++)
		conform_join(c, family[i], i);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a strange "
								   "child");
}

/* --- zombies --- */

static pid_t zombies[4], later;

static void await_zombie(pid_t pid)
{
	siginfo_t si;

	NEED(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
}

static void later_child(struct conform *c, long arg)
{
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(arg, 33);
}

static void zombie_setup(struct conform *c)
{
	static const int sigs[] = { 0, 0, SIGKILL, SIGTERM };
	struct rlimit none = { 0, 0 };
	int i;

	NEED(setrlimit(RLIMIT_CORE, &none));
	for (i = 0; i < 4; i++) {
		zombies[i] = (pid_t)NEED(fork());
		if (!zombies[i]) {
			if (sigs[i])
				raise(sigs[i]);
			_exit(i ? (int)(c->nonce % 200) + 1 : 0);
		}
	}
	for (i = 0; i < 4; i++)
		await_zombie(zombies[i]);
	later = conform_child(c, later_child, 33);
}

static void zombie_after(struct conform *c)
{
	conform_join(c, later, 33);
	conform_reap(zombies[0], 0, 2000);
	conform_reap(zombies[1], ((int)(c->nonce % 200) + 1) << 8, 2000);
	conform_reap(zombies[2], SIGKILL, 2000);
	conform_reap(zombies[3], SIGTERM, 2000);
	CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a strange "
								   "child");
}

/* SIGCHLD of a child that ends after the checkpoint comes once. */
static volatile int chld_count;

static void on_chld(int sig)
{
	chld_count += sig == SIGCHLD;
}

static pid_t chld_pid;

static void chld_setup(struct conform *c)
{
	c->eintr_ok = true;
	chld_pid = conform_child(c, later_child, 33);
	signal(SIGCHLD, on_chld);
}

static void chld_after(struct conform *c)
{
	int i;

	for (i = 0; i < 1000 && !chld_count; i++)
		conform_msleep(5);
	conform_join(c, chld_pid, 33);
	CHECK_EQ(chld_count, 1);
}

/* --- orphans --- */

static pid_t orphan, reaper_child;

static pid_t read_orphan(void)
{
	pid_t pid;
	int fd = (int)NEED(open("orphan", O_RDONLY));

	CHECK(read(fd, &pid, sizeof(pid)) == sizeof(pid), "orphan's pid");
	close(fd);
	return pid;
}

/* The orphan looks up its parent only after that has changed. */
static void orphan_main(struct conform *c, long arg)
{
	pid_t was = getppid();

	conform_child_ready();
	while (getppid() == was)
		conform_msleep(2);
	was = getppid();
	conform_wait_go(c);
	CHECK_EQ(getppid(), was);
	CHECK_EQ(arg, 7);
}

static void orphan_maker(struct conform *c, long arg)
{
	pid_t pid = conform_child(c, orphan_main, 7);
	int fd = (int)NEED(open("orphan", O_WRONLY | O_CREAT, 0600));

	NEED(write(fd, &pid, sizeof(pid)));
	close(fd);
	CHECK_EQ(arg, 6);
	conform_child_ready();
}

static void subreaper_setup(struct conform *c)
{
	pid_t maker;

	NEED(prctl(PR_SET_CHILD_SUBREAPER, 1));
	maker = conform_child(c, orphan_maker, 6);
	conform_join(c, maker, 6);
	orphan = read_orphan();
	conform_msleep(50);
}

static void subreaper_after(struct conform *c)
{
	int on = 0;

	NEED(prctl(PR_GET_CHILD_SUBREAPER, &on));
	CHECK_EQ(on, 1);
	conform_join(c, orphan, 7);
}

/* A subreaper further down has adopted an orphan. */
static void deep_reaper(struct conform *c, long arg)
{
	pid_t maker;

	NEED(prctl(PR_SET_CHILD_SUBREAPER, 1));
	maker = conform_child(c, orphan_maker, 6);
	conform_join(c, maker, 6);
	orphan = read_orphan();
	conform_child_ready();
	conform_wait_go(c);
	conform_join(c, orphan, 7);
	CHECK_EQ(arg, 8);
}

static void deep_setup(struct conform *c)
{
	reaper_child = conform_child(c, deep_reaper, 8);
	conform_msleep(50);
}

static void deep_after(struct conform *c)
{
	int on = 1;

	NEED(prctl(PR_GET_CHILD_SUBREAPER, &on));
	CHECK_EQ(on, 0);
	conform_join(c, reaper_child, 8);
}

/* --- sessions and groups without their leaders --- */

static pid_t dead_leader, member;

static void member_main(struct conform *c, long arg)
{
	struct ids was;

	conform_child_ready();
	while (getppid() != c->pid)
		conform_msleep(2);
	was = ids_now();
	CHECK(was.sid != was.pid, "not a member");
	conform_wait_go(c);
	ids_check(&was);
	CHECK_EQ(arg, 7);
}

static void leader_main(struct conform *c, long arg)
{
	pid_t pid;
	int fd;

	NEED(setsid());
	pid = conform_child(c, member_main, 7);
	fd = (int)NEED(open("orphan", O_WRONLY | O_CREAT, 0600));
	NEED(write(fd, &pid, sizeof(pid)));
	close(fd);
	CHECK_EQ(arg, 9);
	conform_child_ready();
}

static void session_setup(struct conform *c)
{
	NEED(prctl(PR_SET_CHILD_SUBREAPER, 1));
	dead_leader = conform_child(c, leader_main, 9);
	conform_join(c, dead_leader, 9);
	member = read_orphan();
	conform_msleep(50);
}

static void session_after(struct conform *c)
{
	CHECK_EQ(getsid(member), dead_leader);
	CHECK_EQ(getpgid(member), dead_leader);
	conform_join(c, member, 7);
}

/* A group whose leader has been reaped, inside our session. */
static pid_t group_leader, group_other;

static void quick_main(struct conform *c, long arg)
{
	(void)c;
	NEED(setpgid(0, 0));
	conform_child_ready();
	while (access("quit", F_OK))
		conform_msleep(2);
	CHECK_EQ(arg, 5);
}

static void group_main(struct conform *c, long arg)
{
	struct ids was;

	NEED(setpgid(0, group_leader));
	was = ids_now();
	conform_child_ready();
	conform_wait_go(c);
	ids_check(&was);
	CHECK_EQ(arg, 4);
}

static void group_setup(struct conform *c)
{
	NEED(setsid());
	group_leader = conform_child(c, quick_main, 5);
	group_other = conform_child(c, group_main, 4);
	close((int)NEED(open("quit", O_WRONLY | O_CREAT, 0600)));
	conform_join(c, group_leader, 5);
}

static void group_after(struct conform *c)
{
	CHECK_EQ(getpgid(group_other), group_leader);
	conform_join(c, group_other, 4);
}

/* --- stopped --- */

static pid_t stopped, told;

static void stop_main(struct conform *c, long arg)
{
	conform_child_ready();
	raise(SIGSTOP);
	conform_wait_go(c);
	CHECK(arg == 11 || arg == 12, "argument");
}

static void stop_setup(struct conform *c)
{
	siginfo_t si;

	stopped = conform_child(c, stop_main, 11);
	told = conform_child(c, stop_main, 12);
	NEED(waitid(P_PID, (id_t)stopped, &si, WSTOPPED | WNOWAIT));
	NEED(waitid(P_PID, (id_t)told, &si, WSTOPPED));
}

static void stop_after(struct conform *c)
{
	siginfo_t si = { 0 };
	char path[64];

	/* One stop has been reported before, the other not yet. */
	NEED(waitid(P_PID, (id_t)told, &si, WSTOPPED | WNOHANG));
	CHECK(si.si_pid == 0, "a stop was reported twice");
	snprintf(path, sizeof(path), "/proc/%d/status", (int)told);
	CHECK(strstr(conform_slurp(path), "State:\tT"), "told is not stopped");
	NEED(waitid(P_PID, (id_t)stopped, &si, WSTOPPED | WNOHANG));
	CHECK(si.si_pid == stopped, "a stop is lost");
	NEED(kill(stopped, SIGCONT));
	NEED(kill(told, SIGCONT));
	conform_join(c, stopped, 11);
	conform_join(c, told, 12);
}

/* --- vfork and exec all the time --- */

static pid_t vforker;
static volatile int enough;

static void on_enough(int sig)
{
	enough = sig;
}

static void vfork_main(struct conform *c, long arg)
{
	int status;

	(void)c;
	signal(SIGUSR1, on_enough);
	conform_child_ready();
	while (!enough) {
		pid_t pid = vfork();

		if (!pid) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		CHECK(pid > 0, "vfork: %m");
		CHECK(waitpid(pid, &status, 0) == pid, "wait: %m");
		CHECK(status == 0, "a vforked child ended with %#x", status);
	}
	CHECK_EQ(arg, 13);
}

static void vfork_setup(struct conform *c)
{
	vforker = conform_child(c, vfork_main, 13);
}

static void vfork_after(struct conform *c)
{
	conform_msleep(50);
	NEED(kill(vforker, SIGUSR1));
	conform_join(c, vforker, 13);
}

/* --- parents' death signal --- */

static pid_t pdeath_parent;

static void pdeath_main(struct conform *c, long arg)
{
	int sig = 0;
	sigset_t set;
	siginfo_t si;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	NEED(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	conform_child_ready();
	conform_wait_go(c);
	NEED(prctl(PR_GET_PDEATHSIG, &sig));
	CHECK_EQ(sig, SIGUSR2);
	CHECK(sigwaitinfo(&set, &si) == SIGUSR2, "no signal");
	close((int)NEED(open("pdeath", O_WRONLY | O_CREAT, 0600)));
	CHECK_EQ(arg, 15);
}

static void pdeath_between(struct conform *c, long arg)
{
	conform_child(c, pdeath_main, 15);
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(arg, 14);
	conform_msleep(100);
}

static void pdeath_setup(struct conform *c)
{
	NEED(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pdeath_parent = conform_child(c, pdeath_between, 14);
}

static void pdeath_after(struct conform *c)
{
	int i;

	conform_join(c, pdeath_parent, 14);
	for (i = 0; i < 600 && access("pdeath", F_OK); i++)
		conform_msleep(5);
	CHECK(!access("pdeath", F_OK), "no signal when the parent ended");
	CHECK(waitpid(-1, &i, 0) > 0, "the orphan was not adopted: %m");
	CHECK_EQ(i, conform_child_status(c, 15) << 8);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "tree_family",
	  .setup = family_setup,
	  .continued = family_after },
	{ .name = "tree_zombies",
	  .setup = zombie_setup,
	  .continued = zombie_after },
	{ .name = "tree_sigchld",
	  .setup = chld_setup,
	  .continued = chld_after },
	{ .name = "tree_subreaper",
	  .setup = subreaper_setup,
	  .continued = subreaper_after },
	{ .name = "tree_subreaper_below",
	  .setup = deep_setup,
	  .continued = deep_after },
	{ .name = "tree_session",
	  .setup = session_setup,
	  .continued = session_after },
	{ .name = "tree_group",
	  .setup = group_setup,
	  .continued = group_after },
	{ .name = "tree_stopped",
	  .setup = stop_setup,
	  .continued = stop_after },
	{ .name = "tree_vfork",
	  .setup = vfork_setup,
	  .continued = vfork_after,
	  .flags = CONFORM_BUSY },
	{ .name = "tree_pdeathsig",
	  .setup = pdeath_setup,
	  .continued = pdeath_after },
	{ .name = NULL },
};
