/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A terminal across namespaces.  The init of a new PID namespace is a session
 * of its own, so the caller's terminal cannot be its controlling one.  It gets
 * the slave of a new pty; the caller, in the foreground of its terminal, turns
 * that raw and carries the bytes and the window size while it waits.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "restore/relay.h"

void cri_relay_init(struct cri_relay *r)
{
	memset(r, 0, sizeof(*r));
	r->tty = r->master = r->slave = -1;
	r->stdio[0] = r->stdio[1] = r->stdio[2] = -1;
}

static bool wants_terminal(struct cri_restore *rs)
{
	struct cri_rec_tty *tty;
	uint32_t i;

	cri_for_each(rs->set, CRI_REC_TTY, i, tty)
	{
		if (tty->kind == CRI_TTY_OUTSIDE)
			return true;
	}
	return false;
}

static void size_over(const struct cri_relay *r)
{
	struct winsize w;

	if (!ioctl(r->tty, TIOCGWINSZ, &w))
		(void)ioctl(r->master, TIOCSWINSZ, &w);
}

/* A session leader of the tree that had the outside terminal for its own. */
static bool has_leader(struct cri_restore *rs)
{
	struct cri_rec_tty *tty;
	uint32_t i;

	for (i = 0; i < rs->n_tasks; i++) {
		const struct cri_rec_task *t = rs->tasks[i].rec;

		if (!t->ctty || t->sid != t->pid)
			continue;
		tty = cri_recset_find(rs->set, CRI_REC_TTY, t->ctty);
		if (tty && tty->kind == CRI_TTY_OUTSIDE)
			return true;
	}
	return false;
}

/* No terminal, or in its background: then there is nothing to relay. */
int cri_relay_open(struct cri_relay *r, struct cri_restore *rs,
		   struct cri_err *err)
{
	struct termios t;

	r->leader = has_leader(rs);
	if (!wants_terminal(rs) || !(r->leader || rs->ns_flags & CLONE_NEWPID))
		return 0;
	r->tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (r->tty < 0)
		return 0;
	if (tcgetpgrp(r->tty) != getpgrp() || tcgetattr(r->tty, &r->saved)) {
		close(r->tty);
		r->tty = -1;
		return 0;
	}
	r->master = posix_openpt(O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (r->master < 0 || unlockpt(r->master))
		return cri_fail(err, errno, "a pseudo terminal");
	r->slave = ioctl(r->master, TIOCGPTPEER, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (r->slave < 0)
		return cri_fail(err, errno, "a pseudo terminal");
	(void)tcsetattr(r->slave, TCSANOW, &r->saved);
	size_over(r);
	t = r->saved;
	cfmakeraw(&t);
	if (tcsetattr(r->tty, TCSADRAIN, &t))
		return cri_fail(err, errno, "the terminal");
	r->raw = true;
	return 0;
}

/* In the init, after setsid(): the slave is its terminal and its stdio. */
int cri_relay_enter(struct cri_relay *r, struct cri_err *err)
{
	if (r->slave < 0)
		return 0;
	close(r->master);
	close(r->tty);
	r->master = r->tty = -1;
	if (!r->leader && ioctl(r->slave, TIOCSCTTY, 0))
		return cri_fail(err, errno, "taking the pseudo terminal");
	return cri_relay_stdio(r, err);
}

/* The planner's own terminals are what the program's outside ones become. */
int cri_relay_stdio(struct cri_relay *r, struct cri_err *err)
{
	int fd;

	for (fd = 0; fd < 3; fd++) {
		r->stdio[fd] = -1;
		if (r->slave < 0 || !isatty(fd))
			continue;
		r->stdio[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (r->stdio[fd] < 0 || dup2(r->slave, fd) < 0)
			return cri_fail(err, errno, "the pseudo terminal");
	}
	return 0;
}

void cri_relay_stdio_back(struct cri_relay *r)
{
	int fd;

	for (fd = 0; fd < 3; fd++) {
		if (r->stdio[fd] < 0)
			continue;
		dup2(r->stdio[fd], fd);
		close(r->stdio[fd]);
		r->stdio[fd] = -1;
	}
}

/* The caller keeps the master only. */
void cri_relay_started(struct cri_relay *r)
{
	if (r->slave >= 0)
		close(r->slave);
	r->slave = -1;
}

static bool carry(int from, int to)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf)), done = 0, w;

	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	while (done < n) {
		w = write(to, buf + done, (size_t)(n - done));
		if (w < 0 && errno != EINTR)
			return false;
		done += w > 0 ? w : 0;
	}
	return true;
}

/* What the program wrote last must not be lost with its pty. */
static void drain(struct cri_relay *r)
{
	struct pollfd p = { r->master, POLLIN, 0 };

	while (poll(&p, 1, 0) > 0 && p.revents & POLLIN)
		if (!carry(r->master, r->tty))
			break;
}

void cri_relay_until(struct cri_relay *r, int sock)
{
	struct pollfd p[3] = { { sock, POLLIN, 0 },
			       { r->master, POLLIN, 0 },
			       { r->tty, POLLIN, 0 } };

	while (r->master >= 0) {
		if (poll(p, 3, -1) < 0) {
			size_over(r); /* SIGWINCH, among others */
			continue;
		}
		if (p[1].revents && !carry(r->master, r->tty))
			p[1].fd = -1;
		if (p[2].revents && !carry(r->tty, r->master))
			p[2].fd = -1;
		if (p[0].revents) {
			drain(r);
			return;
		}
	}
}

void cri_relay_fini(struct cri_relay *r)
{
	if (r->raw)
		(void)tcsetattr(r->tty, TCSADRAIN, &r->saved);
	r->raw = false;
	if (r->slave >= 0)
		close(r->slave);
	if (r->master >= 0)
		close(r->master);
	if (r->tty >= 0)
		close(r->tty);
	r->tty = r->master = r->slave = -1;
}
