/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs an MPI command under a coordinator and takes its ranks through cycles
 * (drain, MPI down, MPI up) without a capture:
 *   drive [-n CYCLES] [-g GAP_MS] [-t SECONDS] [-r TEXT] [-T HOST] COMMAND...
 * With -n each of the cycles must succeed, and the command must end well
 * within the time.  With -r the first request must be refused with TEXT.
 * -T listens on TCP instead of a unix socket.  The last line of the output
 * has the mean times.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "coord/coord.h"

static struct {
	int want, done, failed, gap;
	int ended; /* begun in vain: ranks had come to their end */
	const char *refuse;
	struct sm_coord *coord;
	struct sm_coord_times sum;
	double due;
} d = { .want = 5, .gap = 20 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void done(void *arg, int err, const char *message)
{
	const struct sm_coord_times *t = sm_coord_times(d.coord);

	(void)arg;
	d.due = now() + d.gap / 1000.0;
	if (err) {
		if (d.refuse && strstr(message, d.refuse)) {
			printf("refused as expected: %s\n", message);
			d.done++;
		} else if (strstr(message, "MPI_Finalize") ||
			   strstr(message, "ended")) {
			d.ended++;
		} else {
			fprintf(stderr, "drive: cycle %d: %s (%s)\n", d.done,
				message, strerror(-err));
			d.failed++;
		}
		return;
	}
	d.done++;
	d.sum.gate += t->gate;
	d.sum.drain += t->drain;
	d.sum.finish += t->finish;
	d.sum.down += t->down;
	d.sum.away += t->away;
	d.sum.up += t->up;
	d.sum.resume += t->resume;
	d.sum.rounds += t->rounds;
}

static void report(void)
{
	double n = d.done ? d.done : 1;

	printf("cycles %d rounds %.1f ms: gate %.2f drain %.2f finish %.2f "
	       "down %.2f away %.2f up %.2f resume %.2f\n",
	       d.done, d.sum.rounds / n, (double)d.sum.gate / n / 1e3,
	       (double)d.sum.drain / n / 1e3, (double)d.sum.finish / n / 1e3,
	       (double)d.sum.down / n / 1e3, (double)d.sum.away / n / 1e3,
	       (double)d.sum.up / n / 1e3, (double)d.sum.resume / n / 1e3);
}

static pid_t start(char **argv)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		setenv("STASIS_MPI_COORD", sm_coord_address(d.coord), 1);
		setenv("STASIS_MPI_KEY", "drive", 1);
		execvp(argv[0], argv);
		perror(argv[0]);
		_exit(127);
	}
	return pid;
}

int main(int argc, char **argv)
{
	struct sm_coord_conf conf = { .key = "drive", .done = done,
				      .limit_ms = 20000 };
	char path[64];
	int opt, status = 0, limit = 120, ret;
	double end;
	pid_t pid;

	snprintf(path, sizeof(path), "/tmp/sm-drive.%d", getpid());
	conf.address = path;
	while ((opt = getopt(argc, argv, "+n:g:t:r:T:l:")) != -1) {
		switch (opt) {
		case 'n':
			d.want = atoi(optarg);
			break;
		case 'g':
			d.gap = atoi(optarg);
			break;
		case 't':
			limit = atoi(optarg);
			break;
		case 'l':
			conf.limit_ms = (unsigned)atoi(optarg);
			break;
		case 'r':
			d.refuse = optarg;
			break;
		case 'T':
			snprintf(path, sizeof(path), "%s:0", optarg);
			break;
		default:
			return 2;
		}
	}
	ret = sm_coord_open(&conf, &d.coord);
	if (ret) {
		fprintf(stderr, "drive: %s\n", strerror(-ret));
		return 2;
	}
	pid = start(argv + optind);
	end = now() + limit;
	d.due = now() + d.gap / 1000.0;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() > end) {
			fprintf(stderr, "drive: time is up, %d cycles\n",
				d.done);
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			return 1;
		}
		sm_coord_step(d.coord, 20);
		if (!sm_coord_busy(d.coord) && now() > d.due &&
		    d.done < d.want && !d.failed)
			sm_coord_begin(d.coord);
	}
	report();
	sm_coord_close(d.coord);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "drive: command ended with status 0x%x\n",
			status);
		return 1;
	}
	if (d.failed || d.done < d.want) {
		fprintf(stderr, "drive: %d of %d cycles\n", d.done, d.want);
		return 1;
	}
	return 0;
}
