/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of pseudo terminals inside the tree: termios and window size, bytes
 * that nobody has read yet (refused), a session on one with its foreground
 * group, job
 * control after the restart.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "conform.h"

static int master, slave;
static pid_t kid;

static void expect_text(int fd, const char *want)
{
	struct pollfd w = { .fd = fd, .events = POLLIN };
	char got[256] = "";
	size_t n = 0;

	while (n < strlen(want)) {
		ssize_t r;

		CHECK(poll(&w, 1, 5000) == 1, "'%s' did not come, only '%s'",
		      want, got);
		r = read(fd, got + n, strlen(want) - n);
		CHECK(r > 0, "read: %m");
		n += (size_t)r;
	}
	CHECK(!strcmp(got, want), "text is '%s', not '%s'", got, want);
}

static void pair_setup(struct conform *c)
{
	struct winsize ws = { 33, 121, 4, 5 };
	struct termios t;

	(void)c;
	CHECK(!openpty(&master, &slave, NULL, NULL, &ws), "openpty: %m");
	NEED(tcgetattr(slave, &t));
	cfmakeraw(&t);
	t.c_cc[VINTR] = 7;
	cfsetspeed(&t, B19200);
	NEED(tcsetattr(slave, TCSANOW, &t));
	NEED(fcntl(master, F_SETFL, O_NONBLOCK));
}

static void pair_after(struct conform *c)
{
	struct winsize ws;
	struct termios t;

	(void)c;
	NEED(ioctl(slave, TIOCGWINSZ, &ws));
	CHECK_EQ(ws.ws_row, 33);
	CHECK_EQ(ws.ws_col, 121);
	CHECK_EQ(ws.ws_ypixel, 5);
	NEED(tcgetattr(slave, &t));
	CHECK(!(t.c_lflag & (ICANON | ECHO | ISIG)), "not raw any more");
	CHECK_EQ(t.c_cc[VINTR], 7);
	CHECK_EQ(cfgetospeed(&t), B19200);
	CHECK(fcntl(master, F_GETFL) & O_NONBLOCK, "O_NONBLOCK is lost");
	CHECK(isatty(slave), "the slave is no terminal");
	NEED(write(master, "to slave", 8));
	expect_text(slave, "to slave");
	NEED(write(slave, "to master", 9));
	expect_text(master, "to master");
	NEED(close(slave));
	CHECK(read(master, &ws, 1) == -1 && errno == EIO, "no hang-up");
}

static void queued_setup(struct conform *c)
{
	struct termios t;

	(void)c;
	CHECK(!openpty(&master, &slave, NULL, NULL, NULL), "openpty: %m");
	NEED(tcgetattr(slave, &t));
	cfmakeraw(&t);
	NEED(tcsetattr(slave, TCSANOW, &t));
	NEED(write(master, "typed ahead", 11));
	NEED(write(slave, "not yet read", 12));
	conform_msleep(50);
}

static void queued_after(struct conform *c)
{
	(void)c;
	expect_text(slave, "typed ahead");
	expect_text(master, "not yet read");
}

/* --- a session on the terminal --- */

static void session_child(struct conform *c, long arg)
{
	char line[64] = "";
	ssize_t n;
	pid_t fg;

	close(master);
	NEED(setsid());
	NEED(ioctl(slave, TIOCSCTTY, 0));
	NEED(close(slave));
	slave = (int)NEED(open("/dev/tty", O_RDWR));
	conform_child_ready();
	conform_wait_go(c);
	NEED(ioctl(slave, TIOCGPGRP, &fg));
	CHECK_EQ(fg, getpid());
	CHECK_EQ(tcgetsid(slave), getpid());
	n = read(slave, line, sizeof(line) - 1);
	CHECK(n > 0 && !strcmp(line, "hello\n"), "line is '%s' (%m)", line);
	NEED(write(slave, "bye", 3));
	close((int)NEED(open("/dev/tty", O_RDWR)));
	CHECK_EQ(arg, 1);
}

static void session_setup(struct conform *c)
{
	CHECK(!openpty(&master, &slave, NULL, NULL, NULL), "openpty: %m");
	kid = conform_child(c, session_child, 1);
	NEED(close(slave));
}

static void session_after(struct conform *c)
{
	NEED(write(master, "hello\n", 6));
	expect_text(master, "hello\r\nbye");
	conform_join(c, kid, 1);
}

/* ^C reaches the foreground group only; a background one is stopped. */
static volatile int hit;

static void on_int(int sig)
{
	hit = sig;
}

static void fg_child(struct conform *c, long arg)
{
	int i;

	c->eintr_ok = true;
	signal(SIGINT, on_int);
	conform_child_ready();
	for (i = 0; i < 5000 && !hit; i++)
		conform_msleep(5);
	CHECK_EQ(hit, arg == 2 ? SIGINT : 0);
}

static void bg_child(struct conform *c, long arg)
{
	signal(SIGINT, on_int);
	conform_child_ready();
	conform_wait_go(c);
	conform_msleep(300);
	CHECK_EQ(hit, 0);
	CHECK_EQ(arg, 3);
}

static void shell_child(struct conform *c, long arg)
{
	pid_t fg, bg;

	close(master);
	NEED(setsid());
	NEED(ioctl(slave, TIOCSCTTY, 0));
	signal(SIGTTOU, SIG_IGN);
	fg = conform_child(c, fg_child, 2);
	NEED(setpgid(fg, fg));
	bg = conform_child(c, bg_child, 3);
	NEED(setpgid(bg, bg));
	NEED(tcsetpgrp(slave, fg));
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(tcgetpgrp(slave), fg);
	conform_join(c, fg, 2);
	conform_join(c, bg, 3);
	CHECK_EQ(arg, 1);
}

static void jobs_setup(struct conform *c)
{
	CHECK(!openpty(&master, &slave, NULL, NULL, NULL), "openpty: %m");
	kid = conform_child(c, shell_child, 1);
	NEED(close(slave));
}

static void jobs_after(struct conform *c)
{
	NEED(write(master, "\003", 1));
	conform_join(c, kid, 1);
}

const struct conform_kind conform_kinds[] = {
	{ .name = "pty_pair", .setup = pair_setup, .continued = pair_after },
	{ .name = "pty_queued", /* can be read only by consuming it */
	  .setup = queued_setup,
	  .continued = queued_after,
	  .refused = "terminal",
	  .flags = CONFORM_TRANSIENT },
	{ .name = "pty_session",
	  .setup = session_setup,
	  .continued = session_after },
	{ .name = "pty_jobs", .setup = jobs_setup, .continued = jobs_after },
	{ .name = NULL },
};
