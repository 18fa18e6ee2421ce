/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The capture half of libcr_ext.h, the tool's side: starts a guardian, sends
 * it commands, passes its messages on to the caller's functions.
 */
#include "config.h"

#include "libcr_ext.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/engine.h"
#include "capture/guardian.h"
#include "util/err.h"

struct cr_ext_capture {
	struct cr_ext_args args;
	pid_t *omit;
	int sock;
	pid_t guardian;
	struct cr_ext_stats stats;
	char message[512];
};

static int vsay(struct cr_ext_capture *c, int ret, const char *text)
{
	snprintf(c->message, sizeof(c->message), "%s", text);
	return ret;
}

/* The tool leaves itself out: it is infrastructure, not the program. */
static int copy_omit(struct cr_ext_capture *c)
{
	uint32_t n = c->args.n_omit;

	c->omit = calloc(n + 1u, sizeof(pid_t));
	if (!c->omit)
		return -ENOMEM;
	if (n)
		memcpy(c->omit, c->args.omit, n * sizeof(pid_t));
	c->omit[n] = getpid();
	c->args.omit = c->omit;
	c->args.n_omit = n + 1;
	return 0;
}

static int start(struct cr_ext_capture *c)
{
	int pair[2];
	pid_t tool = getpid();

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return vsay(c, -errno, strerror(errno));
	c->guardian = fork();
	if (c->guardian == 0) {
		close(pair[0]);
		cri_guardian(&c->args, pair[1], tool);
	}
	close(pair[1]);
	if (c->guardian < 0) {
		int e = errno;

		close(pair[0]);
		return vsay(c, -e, strerror(e));
	}
	c->sock = pair[0];
	return 0;
}

static int judge_engine(struct cr_ext_capture *c, const char *name)
{
	struct cri_err err = { 0 };
	int ret;

	if (!name || strcmp(name, "auto") == 0 || strcmp(name, "user") == 0)
		return 0;
	if (strcmp(name, "kmod") != 0)
		return vsay(c, -ENOSYS, "there is no such engine");
	ret = cri_engine_kmod.probe(&err);
	return ret ? vsay(c, ret, err.text) : 0;
}

static int judge(struct cr_ext_capture *c)
{
	const struct cr_ext_args *a = &c->args;

	if (a->target <= 0 || a->scope > CR_EXT_SCOPE_TREE)
		return vsay(c, -EINVAL, "no such process or scope");
	if (a->target == 1)
		return vsay(c, -EPERM,
			    "process 1 runs the machine and cannot be "
			    "checkpointed");
	return judge_engine(c, a->engine);
}

int cr_ext_open(const struct cr_ext_args *args, struct cr_ext_capture **out)
{
	struct cr_ext_capture *c;
	size_t size = args->size;
	int ret;

	*out = NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->sock = -1;
	if (size > sizeof(c->args))
		size = sizeof(c->args);
	memcpy(&c->args, args, size);
	*out = c;
	ret = judge(c);
	if (!ret)
		ret = copy_omit(c);
	if (!ret)
		ret = start(c);
	return ret;
}

static int send_command(struct cr_ext_capture *c, uint32_t cmd, int arg, int fd)
{
	struct cri_guard_request req = { .cmd = cmd, .arg = arg };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct iovec iov = { .iov_base = &req, .iov_len = sizeof(req) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *h;

		msg.msg_control = &ctl;
		msg.msg_controllen = sizeof(ctl);
		h = CMSG_FIRSTHDR(&msg);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(h), &fd, sizeof(int));
	}
	do {
		n = sendmsg(c->sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void pass_on(struct cr_ext_capture *c, struct cri_guard_message *m)
{
	struct cr_ext_finding f;

	m->text[sizeof(m->text) - 1] = 0;
	m->comm[sizeof(m->comm) - 1] = 0;
	m->remedy[sizeof(m->remedy) - 1] = 0;
	switch (m->kind) {
	case CRI_GUARD_LOG:
		if (c->args.log)
			c->args.log(c->args.arg, m->text);
		break;
	case CRI_GUARD_PROGRESS:
		if (c->args.progress)
			c->args.progress(c->args.arg, &m->progress);
		break;
	case CRI_GUARD_FINDING:
		f = (struct cr_ext_finding){ .pid = m->pid,
					     .comm = m->comm,
					     .what = m->text,
					     .remedy = m->remedy,
					     .fatal = m->fatal };
		if (c->args.finding)
			c->args.finding(c->args.arg, &f);
		break;
	default:
		break;
	}
}

static int command(struct cr_ext_capture *c, uint32_t cmd, int arg, int fd)
{
	struct cri_guard_message m;
	ssize_t n;
	int ret;

	if (c->sock < 0)
		return vsay(c, -EBADF, "no capture is open");
	ret = send_command(c, cmd, arg, fd);
	while (!ret) {
		n = recv(c->sock, &m, sizeof(m), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof(m)) {
			ret = -EPIPE;
			break;
		}
		if (m.kind == CRI_GUARD_DONE) {
			m.text[sizeof(m.text) - 1] = 0;
			c->stats = m.stats;
			return m.ret ? vsay(c, m.ret, m.text) : 0;
		}
		pass_on(c, &m);
	}
	return vsay(c, ret,
		    "the guardian has died; a process of the program "
		    "may have been disturbed");
}

int cr_ext_check(struct cr_ext_capture *c)
{
	return command(c, CRI_GUARD_CHECK, 0, -1);
}

int cr_ext_freeze(struct cr_ext_capture *c)
{
	return command(c, CRI_GUARD_FREEZE, 0, -1);
}

int cr_ext_write(struct cr_ext_capture *c, int fd)
{
	return command(c, CRI_GUARD_WRITE, 0, fd);
}

int cr_ext_release(struct cr_ext_capture *c, int how)
{
	return command(c, CRI_GUARD_RELEASE, how, -1);
}

int cr_ext_stats(struct cr_ext_capture *c, struct cr_ext_stats *s)
{
	uint32_t size = s->size;

	if (size < sizeof(uint32_t) || size > sizeof(*s))
		size = sizeof(*s);
	memcpy(s, &c->stats, size);
	s->size = size;
	return 0;
}

const char *cr_ext_message(const struct cr_ext_capture *c)
{
	return c ? c->message : "out of memory";
}

void cr_ext_close(struct cr_ext_capture *c)
{
	int status;

	if (!c)
		return;
	if (c->sock >= 0)
		close(c->sock);
	if (c->guardian > 0)
		while (waitpid(c->guardian, &status, 0) < 0 && errno == EINTR)
			continue;
	free(c->omit);
	free(c);
}
