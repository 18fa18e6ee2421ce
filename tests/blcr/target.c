/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program to be checkpointed by the tests of the command line: it makes
 * up a secret, notes its birth in DIR/born, counts, and when DIR/stop appears
 * writes "SECRET PID" to DIR/out and ends with the status that is in
 * DIR/stop ("sig N": kills itself).  SIGUSR1 is noted in DIR/signals.  With
 * a second argument it has a child and a thread too.
 *
 * usage: target DIR [family]
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static char born[300], out[300], stop[300], signals[300], ready[300];
static uint64_t secret;

static void note(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(99);
	close(fd);
}

static void on_usr1(int sig)
{
	note(signals, sig == SIGUSR1 ? "usr1\n" : "?\n");
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void finish(void)
{
	char text[64] = "";
	int fd = open(stop, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		_exit(98);
	close(fd);
	if (!strncmp(text, "sig ", 4)) {
		signal(atoi(text + 4), SIG_DFL);
		raise(atoi(text + 4));
	}
	exit(atoi(text));
}

int main(int argc, char **argv)
{
	struct timespec ts = { 0, 5000000 };
	char text[128];
	pthread_t t;
	pid_t kid = 0;

	if (argc < 2)
		return 2;
	snprintf(born, sizeof(born), "%s/born", argv[1]);
	snprintf(out, sizeof(out), "%s/out", argv[1]);
	snprintf(stop, sizeof(stop), "%s/stop", argv[1]);
	snprintf(signals, sizeof(signals), "%s/signals", argv[1]);
	snprintf(ready, sizeof(ready), "%s/ready", argv[1]);
	if (getrandom(&secret, sizeof(secret), 0) != sizeof(secret))
		return 2;
	signal(SIGUSR1, on_usr1);
	if (argc > 2) {
		if (pthread_create(&t, NULL, idle, NULL))
			return 2;
		kid = fork();
		if (!kid)
			idle(NULL);
	}
	snprintf(text, sizeof(text), "%016llx %d\n", (unsigned long long)secret,
		 (int)getpid());
	note(born, text);
	note(ready, "yes\n");
	while (access(stop, F_OK))
		nanosleep(&ts, NULL);
	snprintf(text, sizeof(text), "%016llx %d\n", (unsigned long long)secret,
		 (int)getpid());
	note(out, text);
	if (kid > 0)
		kill(kid, SIGKILL);
	finish();
}
