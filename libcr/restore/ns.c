/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Namespaces of a restart.  Where the old ids are taken, or the caller may not
 * choose ids, the tree gets a PID namespace (an ordinary user: in a user
 * namespace) with its own /proc; where the clocks would jump back, a time
 * namespace.  The planner is then that namespace's init: it restores, reports
 * to the caller, passes signals on and reaps until the last process is gone.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kind/sysv.h"
#include "restore/ns.h"

#define CAP_BIT(c) (1ull << (c))

static bool id_taken(pid_t id)
{
	return !kill(id, 0) || errno == EPERM;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Ids that are in use, also as a group's or session's: kill(-id) sees those. */
static bool ids_taken(struct cri_restore *rs)
{
	uint32_t i;

	for (i = 0; i < rs->n_threads; i++)
		if (id_taken((pid_t)rs->threads[i].rec->tid))
			return true;
	for (i = 0; i < rs->n_tasks; i++) {
		pid_t pid = (pid_t)rs->tasks[i].rec->pid;

		if (id_taken(pid) || id_taken(-pid))
			return true;
	}
	return false;
}

int cri_ns_decide(struct cri_restore *rs, struct cri_err *err)
{
	const uint64_t choose = CAP_BIT(CAP_SYS_ADMIN) |
				CAP_BIT(CAP_CHECKPOINT_RESTORE);

	(void)err;
	rs->exe_allowed = rs->cap_limit & choose;
	if (!(rs->args->flags & CR_EXT_RESTORE_PID)) {
		rs->fresh_pids = true;
	} else if (!(rs->cap_limit & choose) || rs->own_ids || ids_taken(rs)) {
		rs->ns_flags = CLONE_NEWPID | CLONE_NEWNS;
		if (!(rs->cap_limit & CAP_BIT(CAP_SYS_ADMIN)))
			rs->ns_flags |= CLONE_NEWUSER;
	}
	if (clock_ns(CLOCK_MONOTONIC) < rs->origin->monotonic &&
	    (rs->ns_flags & CLONE_NEWUSER ||
	     rs->cap_limit & CAP_BIT(CAP_SYS_ADMIN)))
		rs->ns_flags |= CLONE_NEWTIME;
	/* SysV objects are known by numbers that only their owner gives. */
	if (rs->ns_flags & CLONE_NEWUSER && cri_sysv_any(rs->set))
		rs->ns_flags |= CLONE_NEWIPC;
	if (rs->ns_flags & CLONE_NEWUSER) {
		rs->exe_allowed = true;
		rs->set_ids = rs->set_groups = rs->drop_bounding = false;
		rs->cap_limit = 0;
	}
	return 0;
}

static int write_text(const char *path, const char *text, struct cri_err *err)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;
	size_t len = strlen(text);

	if (fd < 0)
		return cri_fail(err, errno, "%s", path);
	if (write(fd, text, len) != (ssize_t)len)
		ret = cri_fail(err, errno, "%s", path);
	close(fd);
	return ret;
}

static int map_user(uid_t uid, gid_t gid, struct cri_err *err)
{
	char text[64];
	int ret;

	snprintf(text, sizeof(text), "%u %u 1\n", uid, uid);
	ret = write_text("/proc/self/uid_map", text, err);
	if (ret)
		return ret;
	ret = write_text("/proc/self/setgroups", "deny", err);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%u %u 1\n", gid, gid);
	return write_text("/proc/self/gid_map", text, err);
}

static int set_clocks(struct cri_restore *rs, struct cri_err *err)
{
	int64_t mono =
		(int64_t)(rs->origin->monotonic - clock_ns(CLOCK_MONOTONIC));
	int64_t boot =
		(int64_t)(rs->origin->boottime - clock_ns(CLOCK_BOOTTIME));
	char text[160];

	mono = mono < 0 ? 0 : mono;
	boot = boot < 0 ? 0 : boot;
	if (unshare(CLONE_NEWTIME))
		return cri_fail(err, errno, "making a time namespace");
	snprintf(text, sizeof(text), "monotonic %ld %ld\nboottime %ld %ld\n",
		 (long)(mono / 1000000000), (long)(mono % 1000000000),
		 (long)(boot / 1000000000), (long)(boot % 1000000000));
	return write_text("/proc/self/timens_offsets", text, err);
}

static int mount_proc(struct cri_restore *rs, struct cri_err *err)
{
	if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL))
		return cri_fail(err, errno, "making the mounts private");
	if (!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		   NULL))
		return 0;
	/* Containers mask parts of /proc: then a fresh one is forbidden. */
	if (rs->args->log)
		rs->args->log(rs->args->arg, "warning: /proc cannot be mounted "
					     "here; the "
					     "program sees the outer one");
	return 0;
}

/* In the new init, before any object is opened. */
int cri_ns_enter(struct cri_restore *rs, struct cri_err *err)
{
	int ret;

	if (rs->ns_flags & CLONE_NEWUSER) {
		ret = map_user(rs->uid, rs->gid, err);
		if (ret)
			return ret;
	}
	if (rs->ns_flags & CLONE_NEWNS) {
		ret = mount_proc(rs, err);
		if (ret)
			return ret;
	}
	if (rs->ns_flags & CLONE_NEWPID && setsid() < 0)
		return cri_fail(err, errno, "setsid");
	if (rs->ns_flags & CLONE_NEWTIME)
		return set_clocks(rs, err);
	return 0;
}

pid_t cri_ns_fork(struct cri_restore *rs, struct cri_err *err)
{
	struct clone_args ca;
	long ret;

	rs->uid = geteuid();
	rs->gid = getegid();
	memset(&ca, 0, sizeof(ca));
	ca.flags = rs->ns_flags & ~(uint64_t)CLONE_NEWTIME;
	ca.exit_signal = SIGCHLD;
	ret = syscall(SYS_clone3, &ca, sizeof(ca));
	if (ret < 0 && rs->ns_flags & CLONE_NEWUSER)
		return cri_fail(err, errno,
				"user namespaces are not allowed here, and "
				"without them pids cannot be restored "
				"(sysctl user.max_user_namespaces, "
				"kernel.apparmor_restrict_unprivileged_userns; "
				"or cr_restart --no-restore-pid)");
	if (ret < 0)
		return cri_fail(err, errno, "making namespaces");
	return (pid_t)ret;
}

/* Only the pipe to the caller stays: its stdio must see an end. */
static void close_all_but(int fd)
{
	if (fd > 0)
		close_range(0, (unsigned int)fd - 1, 0);
	close_range((unsigned int)fd + 1, ~0u, 0);
}

static bool reap(pid_t eldest, int sock)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG | __WALL);
		if (pid == 0)
			return true;
		if (pid < 0)
			return errno == EINTR;
		if (pid == eldest)
			(void)!write(sock, &status, sizeof(status));
	}
}

/* The rest of the init's life: signals in, statuses out, no zombies. */
void cri_ns_init_loop(pid_t eldest, int sock)
{
	struct pollfd pfd[2];
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_PDEATHSIG, 0);
	close_all_but(sock);
	pfd[0] =
		(struct pollfd){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
				 POLLIN, 0 };
	pfd[1] = (struct pollfd){ sock, POLLIN, 0 };
	while (reap(eldest, sock)) {
		struct signalfd_siginfo si;

		if (poll(pfd, 2, -1) < 0)
			continue;
		while (read(pfd[0].fd, &si, sizeof(si)) > 0)
			;
		if (pfd[1].revents &&
		    read(sock, &sig, sizeof(sig)) == sizeof(sig))
			kill(eldest, sig);
		else if (pfd[1].revents)
			pfd[1].fd = -1; /* the caller is gone */
	}
}
