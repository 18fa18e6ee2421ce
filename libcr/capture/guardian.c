/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guardian: a process in a session of its own that traces the program, so
 * that neither the tool's death nor a signal to the tool's group can leave the
 * program stopped.  It holds user memory, hence is not dumpable, and keeps no
 * descriptor but its socket.
 */
#include "config.h"

#include "capture/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "capture/capture.h"
#include "util/err.h"
#include "util/fault.h"

/* The capture is the first member: its hooks find the rest. */
struct guardian {
	struct cri_capture cap;
	int sock;
	int tool; /* pidfd */
	bool gone;
	uint32_t tasks;
};

static struct guardian *self(struct cri_capture *cap)
{
	return (struct guardian *)cap;
}

static void tell(struct guardian *g, const struct cri_guard_message *m)
{
	ssize_t n;

	do {
		n = send(g->sock, m, sizeof(*m), MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		g->gone = true;
}

static void on_log(struct cri_capture *cap, const char *line)
{
	struct cri_guard_message m = { .kind = CRI_GUARD_LOG };

	snprintf(m.text, sizeof(m.text), "%s", line);
	tell(self(cap), &m);
}

static void on_progress(struct cri_capture *cap, uint32_t phase, uint64_t done,
			uint64_t total)
{
	struct cri_guard_message m = { .kind = CRI_GUARD_PROGRESS };

	m.progress.phase = phase;
	m.progress.tasks = cap->n_threads;
	m.progress.done = done;
	m.progress.total = total;
	tell(self(cap), &m);
}

static void on_finding(struct cri_capture *cap, pid_t pid, const char *comm,
		       const char *what, const char *remedy, int fatal)
{
	struct cri_guard_message m = { .kind = CRI_GUARD_FINDING };

	m.pid = pid;
	m.fatal = fatal;
	snprintf(m.comm, sizeof(m.comm), "%s", comm);
	snprintf(m.text, sizeof(m.text), "%s", what);
	snprintf(m.remedy, sizeof(m.remedy), "%s", remedy);
	if (fatal)
		cap->fatal++;
	tell(self(cap), &m);
}

static bool on_orphaned(struct cri_capture *cap)
{
	struct guardian *g = self(cap);
	struct pollfd p[2] = {
		{ .fd = g->sock, .events = 0 },
		{ .fd = g->tool, .events = POLLIN },
	};

	if (!g->gone && poll(p, g->tool >= 0 ? 2 : 1, 0) > 0)
		g->gone = p[0].revents & (POLLHUP | POLLERR) ||
			  (g->tool >= 0 && p[1].revents);
	return g->gone;
}

/* The next command; 1 got one, 0 the tool has gone. */
static int next_command(struct guardian *g, struct cri_guard_request *req,
			int *fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl;
	struct iovec iov = { .iov_base = req, .iov_len = sizeof(*req) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &ctl,
			      .msg_controllen = sizeof(ctl) };
	struct pollfd p[2] = {
		{ .fd = g->sock, .events = POLLIN },
		{ .fd = g->tool, .events = POLLIN },
	};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	while (poll(p, g->tool >= 0 ? 2 : 1, -1) < 0)
		if (errno != EINTR)
			return 0;
	n = recvmsg(g->sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n != sizeof(*req))
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof(int));
	return 1;
}

static int write_image(struct guardian *g, int fd, struct cri_err *err)
{
	struct cri_capture *cap = &g->cap;
	int ret;

	if (fd < 0)
		return cri_fail(err, EBADF, "no file to write to");
	if (cap->n_procs == 0)
		return cri_fail(err, EINVAL, "nothing is frozen");
	ret = cri_fault("capture-write");
	if (!ret)
		ret = cri_capture_write(cap, fd, err);
	/* Written while it stood: now it may go on. */
	if (cap->held_write && !(cap->flags & CR_EXT_HOLD))
		(void)cri_capture_release(cap, CR_EXT_THAW, err);
	if (!ret && cap->flags & CR_EXT_SYNC && fsync(fd) != 0 &&
	    errno != EINVAL && errno != EROFS)
		ret = cri_fail(err, errno, "fsync: %s", strerror(errno));
	return ret;
}

/* The program waits for us meanwhile: first in line where we may be. */
static int hurry(struct cri_capture *cap, struct cri_err *err)
{
	int was = getpriority(PRIO_PROCESS, 0), ret;

	(void)setpriority(PRIO_PROCESS, 0, -20);
	ret = cri_capture_freeze(cap, err);
	(void)setpriority(PRIO_PROCESS, 0, was);
	return ret;
}

static int execute(struct guardian *g, const struct cri_guard_request *req,
		   int fd, struct cri_err *err)
{
	struct cri_capture *cap = &g->cap;

	switch (req->cmd) {
	case CRI_GUARD_CHECK:
		return cri_capture_check(cap, err);
	case CRI_GUARD_FREEZE:
		return hurry(cap, err);
	case CRI_GUARD_WRITE:
		return write_image(g, fd, err);
	case CRI_GUARD_RELEASE:
		return cri_capture_release(cap, req->arg, err);
	default:
		return -ENOSYS;
	}
}

static void answer(struct guardian *g, uint32_t cmd, int ret,
		   const struct cri_err *err)
{
	struct cri_guard_message m = { .kind = CRI_GUARD_DONE, .ret = ret };
	struct cri_capture *cap = &g->cap;

	m.stats.size = sizeof(m.stats);
	m.stats.processes = cap->n_procs;
	m.stats.threads = cap->n_threads;
	m.stats.pause_ns = cap->pause_ns;
	m.stats.write_ns = cap->write_ns;
	m.stats.image_bytes = cap->image_bytes;
	if (ret)
		snprintf(m.text, sizeof(m.text), "%s%s",
			 err->text[0] ? err->text : strerror(-ret),
			 cmd == CRI_GUARD_FREEZE ? "; the checkpoint was not "
						   "taken, the program "
						   "goes on" :
						   "");
	tell(g, &m);
}

static void settle_down(struct guardian *g, pid_t tool)
{
	struct rlimit lim;
	int sig;

	setsid();
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NAME, "cr_guardian");
	for (sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	/* Keep the socket only; it moves to 3. */
	if (g->sock != 3) {
		dup3(g->sock, 3, O_CLOEXEC);
		g->sock = 3;
	}
	syscall(SYS_close_range, 4U, ~0U, 0);
	syscall(SYS_close_range, 0U, 2U, 0);
	/* Low numbers stay taken, so that no library writes into an image. */
	while (open("/dev/null", O_RDWR | O_CLOEXEC) < 2 && errno == 0)
		continue;
	g->tool = (int)syscall(SYS_pidfd_open, tool, 0);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* The module where it answers, unless the other one is asked for. */
static const struct cri_engine *engine_for(const char *name)
{
	struct cri_err err = { 0 };

	if (name && strcmp(name, "kmod") == 0)
		return &cri_engine_kmod;
	if (name && strcmp(name, "user") == 0)
		return &cri_engine_user;
	return cri_engine_kmod.probe(&err) ? &cri_engine_user :
					     &cri_engine_kmod;
}

void cri_guardian(const struct cr_ext_args *args, int sock, pid_t tool)
{
	static struct guardian g;
	struct cri_capture *cap = &g.cap;
	struct cri_guard_request req;
	struct timespec ts;
	int fd, ret;

	g.sock = sock;
	settle_down(&g, tool);
	cap->scope = args->scope;
	cap->target = args->target;
	cap->flags = args->flags;
	cap->signal = args->signal;
	cap->omit = args->omit;
	cap->n_omit = args->n_omit;
	cap->engine = engine_for(args->engine);
	cap->log = on_log;
	cap->progress = on_progress;
	cap->finding = on_finding;
	cap->orphaned = on_orphaned;
	if (args->timeout_ms) {
		clock_gettime(CLOCK_MONOTONIC, &ts);
		cap->deadline = ts.tv_sec * 1000000000LL + ts.tv_nsec +
				args->timeout_ms * 1000000LL;
	}
	ret = cri_capture_init(cap);
	while (!ret && next_command(&g, &req, &fd)) {
		struct cri_err err = { 0 };

		ret = execute(&g, &req, fd, &err);
		if (fd >= 0)
			close(fd);
		answer(&g, req.cmd, ret, &err);
		ret = 0;
		if (g.gone)
			break;
	}
	cri_capture_fini(cap);
	_exit(0);
}
