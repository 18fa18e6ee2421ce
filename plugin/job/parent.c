/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stasis-parent: the batch task of a job with --checkpoint.  It starts the
 * worker and, on the worker's word, the script or the restart of its image;
 * relays signals; starts a dead worker again; ends as the script ends.  It
 * does nothing that can fail for long: its death would be the job's end.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf.h"
#include "order.h"
#include "util.h"

#define WORKER_TRIES 5 /* before the job has been started */
#define WORKER_PAUSE_MS 250

struct parent {
	char **argv;
	const char *script;
	struct sj_conf conf;
	sigset_t old_mask;
	int sig_fd;
	int link; /* to the worker, -1 none */
	pid_t worker;
	int worker_tries;
	uint64_t worker_next; /* when to start one */
	pid_t child; /* script or cr_restart */
	int restored;
	int hold;
	int ended; /* script is gone, status holds how */
	int killed; /* it ended in a hold: Slurm or the worker ends us */
	int term; /* Slurm has asked us to end */
	int status;
	uint64_t end_by; /* worker's time to tidy up */
};

static void say(struct parent *p, uint32_t what, int value)
{
	struct sj_order o = { .what = what, .value = value };

	if (p->link < 0)
		return;
	o.hold = p->hold;
	o.restored = p->restored;
	/* A full or broken socket: the worker's death will show. */
	if (send(p->link, &o, sizeof(o), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return;
}

static void worker_child(struct parent *p, int fd)
{
	char path[PATH_MAX];

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, SJ_ORDER_FD) < 0)
		_exit(71);
	sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
	if (!sj_fmt(path, sizeof(path), "%s/stasis-worker",
		    p->conf.libexec_dir))
		execl(path, "stasis-worker", (char *)NULL);
	_exit(71);
}

static void start_worker(struct parent *p)
{
	int sv[2];

	/* One that dies again and again gets ever longer pauses. */
	p->worker_next =
		sj_now_ms() + (WORKER_PAUSE_MS
			       << (p->worker_tries < 6 ? p->worker_tries : 6));
	p->worker_tries++;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return;
	p->worker = fork();
	if (!p->worker)
		worker_child(p, sv[1]);
	close(sv[1]);
	if (p->worker < 0) {
		p->worker = 0;
		close(sv[0]);
		return;
	}
	p->link = sv[0];
	say(p, SJ_ORDER_STATE, p->child);
}

static void exec_script(struct parent *p)
{
	p->argv[0] = (char *)(uintptr_t)p->script;
	execv(p->script, p->argv);
	fprintf(stderr, "stasis: %s: %s\n", p->script, strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void exec_restart(struct parent *p, const struct sj_order *o)
{
	char relocate[2 * PATH_MAX];
	char path[PATH_MAX];
	const char *args[8];
	int n = 0;

	args[n++] = "cr_restart";
	/* The hook tells the worker that this is no failed restart. */
	args[n++] = "--run-on-success=: >\"$STASIS_RESTORED\"";
	/* Each node may have its own spool directory, each run another one. */
	if (*o->script && strcmp(o->script, p->script) != 0 &&
	    !strchr(o->script, '=') &&
	    !sj_fmt(relocate, sizeof(relocate), "%s=%s", o->script,
		    p->script)) {
		args[n++] = "--relocate";
		args[n++] = relocate;
	}
	args[n++] = o->path;
	args[n] = NULL;
	if (!sj_fmt(path, sizeof(path), "%s/cr_restart", p->conf.bin_dir))
		execv(path, (char *const *)(uintptr_t)args);
	fprintf(stderr, "stasis: %s: %s\n", path, strerror(errno));
	_exit(126);
}

/*
 * A run from the beginning empties its append-mode files, as Slurm would have
 * done: another job's of that name, or an earlier run's without a checkpoint.
 */
static void empty_output(void)
{
	struct stat st;
	int fd;

	for (fd = 1; fd <= 2; fd++)
		if (!fstat(fd, &st) && S_ISREG(st.st_mode) && ftruncate(fd, 0))
			return;
}

static void start_child(struct parent *p, const struct sj_order *o)
{
	int restore = o && o->what == SJ_ORDER_RESTORE;

	if (p->child || p->ended)
		return;
	p->killed = 0;
	if (!restore && getenv("STASIS_APPEND"))
		empty_output();
	p->child = fork();
	if (!p->child) {
		setpgid(0, 0);
		sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
		if (o && *o->job_dir)
			setenv("STASIS_JOBDIR", o->job_dir, 1);
		if (restore)
			setenv("STASIS_RESTORED", o->restored_file, 1);
		unsetenv("STASIS_SCRIPT");
		unsetenv("STASIS_APPEND");
		if (restore)
			exec_restart(p, o);
		exec_script(p);
	}
	if (p->child < 0)
		_exit(71);
	p->restored = restore;
	say(p, SJ_ORDER_STATE, p->child);
}

static void finish(const struct parent *p, int status)
{
	struct rlimit none = { 0, 0 };
	sigset_t all;
	int sig;

	(void)p;
	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	raise(sig);
	_exit(128 + sig);
}

static void worker_gone(struct parent *p)
{
	if (p->link >= 0)
		close(p->link);
	p->link = -1;
	p->worker = 0;
	if (p->ended)
		finish(p, p->status);
	if (p->killed && p->term)
		finish(p, SIGTERM);
	/* Nobody is left who could thaw or kill; the guardian has thawed. */
	p->hold = 0;
	if (p->child || p->killed || p->worker_tries < WORKER_TRIES)
		return;
	/* A first run needs no worker; a restart must not begin again. */
	if (getenv("SLURM_RESTART_COUNT"))
		_exit(75);
	start_child(p, NULL);
}

static void child_gone(struct parent *p, int status)
{
	p->child = 0;
	p->status = status;
	p->killed = p->hold;
	p->ended = !p->hold;
	p->end_by = sj_now_ms() + 5000;
	say(p, SJ_ORDER_END, status);
	if (p->ended && p->link < 0)
		finish(p, status);
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == p->worker) {
			worker_gone(p);
		} else if (pid == p->child) {
			child_gone(p, status);
		}
	}
}

static void relay(struct parent *p, const struct signalfd_siginfo *si)
{
	say(p, SJ_ORDER_SIGNAL, si->ssi_signo);
	if (si->ssi_signo == SJ_WARN_SIGNAL)
		return;
	/* Frozen processes must not find signals of their stop later. */
	if (p->hold || !p->child || p->ended)
		return;
	kill(p->child, si->ssi_signo);
}

static void read_signals(struct parent *p)
{
	struct signalfd_siginfo si;

	while (read(p->sig_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			reap(p);
		else
			relay(p, &si);
		if (si.ssi_signo != SIGTERM)
			continue;
		p->term = 1;
		/* Nothing runs, and no worker has something to finish. */
		if (!p->child && !p->ended && !(p->hold && p->worker))
			finish(p, SIGTERM);
	}
}

static void read_order(struct parent *p)
{
	struct sj_order o;
	ssize_t n;

	n = recv(p->link, &o, sizeof(o), MSG_DONTWAIT);
	if (n == 0) {
		close(p->link);
		p->link = -1;
		return;
	}
	if (n != sizeof(o))
		return;
	o.path[sizeof(o.path) - 1] = '\0';
	o.script[sizeof(o.script) - 1] = '\0';
	switch (o.what) {
	case SJ_ORDER_SCRIPT:
	case SJ_ORDER_RESTORE:
		start_child(p, &o);
		break;
	case SJ_ORDER_HOLD:
		p->hold = o.value;
		say(p, SJ_ORDER_STATE, p->child);
		break;
	case SJ_ORDER_EXIT:
		finish(p, p->ended ? p->status : o.value);
		break;
	default:
		break;
	}
}

static void loop(struct parent *p)
{
	struct pollfd fds[2];
	uint64_t now;

	for (;;) {
		now = sj_now_ms();
		if (p->ended && (p->link < 0 || now > p->end_by))
			finish(p, p->status);
		if (!p->worker && !p->killed && now >= p->worker_next)
			start_worker(p);
		fds[0] = (struct pollfd){ .fd = p->sig_fd, .events = POLLIN };
		fds[1] = (struct pollfd){ .fd = p->link, .events = POLLIN };
		if (poll(fds, 2, p->worker && !p->ended ? -1 : 200) < 0)
			continue;
		if (fds[0].revents)
			read_signals(p);
		if (p->link >= 0 && fds[1].revents)
			read_order(p);
	}
}

int main(int argc, char **argv)
{
	struct parent p = { .argv = argv, .link = -1 };
	struct cri_err err = { 0 };
	sigset_t all;
	int sig;

	(void)argc;
	p.script = getenv("STASIS_SCRIPT");
	if (!p.script)
		return 64;
	sigfillset(&all);
	/* Faults and terminal stops keep their meaning. */
	for (sig = SIGILL; sig <= SIGSEGV; sig++)
		if (sig == SIGILL || sig == SIGBUS || sig == SIGFPE ||
		    sig == SIGSEGV)
			sigdelset(&all, sig);
	sigprocmask(SIG_BLOCK, &all, &p.old_mask);
	p.sig_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p.sig_fd < 0)
		return 71;
	/* Submission has checked the file; a bad one now must not kill. */
	if (sj_conf_load(&p.conf, NULL, &err))
		fprintf(stderr, "stasis: %s\n", err.text);
	loop(&p);
}
