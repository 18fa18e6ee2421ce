// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Who may: an ordinary user his own processes and nobody else's, with the
 * checks made again at each call; Yama; what is no process of a user at all.
 * Run as root; becomes the user uid 4242 where one is needed.
 */
#include "config.h"

#include "session.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER 4242

static void become_user(void)
{
	CHECK(setgroups(0, NULL) == 0 && setgid(USER) == 0 && setuid(USER) == 0,
	      "setuid");
	prctl(PR_SET_DUMPABLE, 1);
}

/* Run fn as the user in a child; its checks end it with 1. */
static void as_user(void (*fn)(pid_t pid, int fd), pid_t pid, int fd)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		become_user();
		fn(pid, fd);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0, "child");
}

/* A process that waits; as the user when uid is not 0. */
static pid_t sleeper(uid_t uid, bool dumpable)
{
	int up[2];
	pid_t pid;
	char c;

	CHECK(pipe(up) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (uid)
			become_user();
		prctl(PR_SET_DUMPABLE, dumpable);
		(void)!write(up[1], "", 1);
		for (;;)
			pause();
	}
	CHECK(read(up[0], &c, 1) == 1, "sleeper");
	close(up[0]);
	close(up[1]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void own_granted(pid_t pid, int fd)
{
	struct session s;
	int ret;

	(void)fd;
	session_open(&s);
	ret = session_attach(&s, pid);
	CHECK(ret == 0, "own process: %d", ret);
	session_stop(&s);
	ret = session_attach(&s, pid);
	CHECK(ret == -EBUSY, "twice: %d", ret);
	session_close(&s);
}

static void other_refused(pid_t pid, int fd)
{
	struct session s;
	int ret;

	(void)fd;
	session_open(&s);
	ret = session_attach(&s, pid);
	CHECK(ret == -EACCES || ret == -EPERM, "another's process: %d", ret);
	session_close(&s);
}

/* A descriptor that root opened and handed on proves nothing. */
static void handed_refused(pid_t pid, int fd)
{
	struct stasis_attach a = { .size = sizeof(a),
				   .pid = pid,
				   .mem_fd = fd };
	struct session s;
	int ret;

	session_open(&s);
	ret = call(s.fd, STASIS_IOC_ATTACH, &a);
	CHECK(ret == -EPERM, "handed descriptor: %d", ret);
	session_close(&s);
}

static void wrong_proof(pid_t pid, int fd)
{
	static const char *const files[] = { "maps", "environ", "stat" };
	struct stasis_attach a = { .size = sizeof(a), .pid = pid };
	struct session s;
	char path[64];
	unsigned int i;
	int ret;

	(void)fd;
	session_open(&s);
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, files[i]);
		a.mem_fd = open(path, O_RDONLY);
		ret = call(s.fd, STASIS_IOC_ATTACH, &a);
		CHECK(ret == -EBADF, "%s: %d", files[i], ret);
		close(a.mem_fd);
	}
	a.mem_fd = open("/proc/self/mem", O_RDONLY);
	ret = call(s.fd, STASIS_IOC_ATTACH, &a);
	CHECK(ret == -EPERM, "own mem for another: %d", ret);
	a.pid = 1;
	ret = call(s.fd, STASIS_IOC_ATTACH, &a);
	CHECK(ret == -EOPNOTSUPP, "pid 1: %d", ret);
	a.pid = 2;
	ret = call(s.fd, STASIS_IOC_ATTACH, &a);
	CHECK(ret == -EOPNOTSUPP, "kernel thread: %d", ret);
	a.mem_fd = 12345;
	ret = call(s.fd, STASIS_IOC_ATTACH, &a);
	CHECK(ret == -EBADF, "no descriptor: %d", ret);
	session_close(&s);
}

/* Between attach and use the process becomes somebody else's business. */
static pid_t changing(int *tell, const char *exec)
{
	int down[2], up[2];
	pid_t pid;
	char c;

	CHECK(pipe(down) == 0 && pipe(up) == 0, "pipe");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		become_user();
		(void)!write(up[1], "", 1);
		(void)!read(down[0], &c, 1);
		if (exec) {
			execl(exec, exec, "100", NULL);
			_exit(9);
		}
		prctl(PR_SET_DUMPABLE, 0);
		(void)!write(up[1], "", 1);
		for (;;)
			pause();
	}
	CHECK(read(up[0], &c, 1) == 1, "child");
	tell[0] = up[0];
	tell[1] = down[1];
	return pid;
}

static int tell[2];

static void changed_refused(pid_t pid, int how)
{
	struct session s;
	struct stasis_wait w;
	char c;
	int ret;

	session_open(&s);
	ret = session_attach(&s, pid);
	CHECK(ret == 0, "attach: %d", ret);
	(void)!write(tell[1], "", 1);
	if (how)
		usleep(500000);
	else
		CHECK(read(tell[0], &c, 1) == 1, "child");
	ret = session_park(&s);
	CHECK(ret == -EPERM, "park after the change: %d", ret);
	ret = session_wait(&s, 0, &w);
	CHECK(ret == -EPERM, "wait after the change: %d", ret);
	session_close(&s);
}

static void yama_refused(pid_t pid, int fd)
{
	FILE *f;

	(void)fd;
	other_refused(pid, -1);
	f = fopen("/proc/sys/kernel/yama/ptrace_scope", "r");
	CHECK(f && fgetc(f) == '1', "scope");
	fclose(f);
}

static void yama(void)
{
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "r+");
	pid_t pid;

	if (!f) {
		printf("ok: Yama # not in this kernel\n");
		return;
	}
	fputs("1", f);
	fclose(f);
	pid = sleeper(USER, true);
	as_user(yama_refused, pid, -1);
	end(pid);
	f = fopen("/proc/sys/kernel/yama/ptrace_scope", "w");
	fputs("0", f);
	fclose(f);
	printf("ok: Yama scope 1 refuses who is not an ancestor\n");
}

int main(void)
{
	char path[64];
	pid_t pid, mine;
	int fd;

	CHECK(getuid() == 0, "to be run as root");
	mine = sleeper(USER, true);
	as_user(own_granted, mine, -1);
	printf("ok: own process granted\n");
	pid = sleeper(0, true);
	as_user(other_refused, pid, -1);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY);
	as_user(handed_refused, pid, fd);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/mem", mine);
	fd = open(path, O_RDONLY);
	as_user(handed_refused, mine, fd);
	close(fd);
	end(pid);
	printf("ok: root's process, handed descriptors refused\n");
	as_user(wrong_proof, mine, -1);
	end(mine);
	printf("ok: other files, init, kernel threads refused\n");
	pid = sleeper(USER, false);
	as_user(other_refused, pid, -1);
	end(pid);
	printf("ok: non-dumpable process refused\n");
	pid = changing(tell, NULL);
	as_user(changed_refused, pid, 0);
	end(pid);
	pid = changing(tell, "/bin/sleep");
	as_user(changed_refused, pid, 1);
	end(pid);
	printf("ok: changes after the open are seen (dumpable, exec)\n");
	yama();
	return 0;
}
