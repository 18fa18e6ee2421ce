/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cr_restart: continue saved processes, stay their parent, pass signals on,
 * and end as the eldest of them does.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcr_ext.h"
#include "message.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"
#include "progress.h"
#include "restart_hooks.h"
#include "trust.h"

#define MAX_RELOCATE 16

struct request {
	struct cr_ext_restart_args args;
	struct cr_ext_relocate moves[MAX_RELOCATE];
	const char *path;
	const char *dir;
	long fd;
	unsigned int n_sources;
	struct hooks hooks;
	bool verbose;
	bool check;
	bool detach;
	bool force_progress;
	const char *log_path;
	FILE *log;
	int kmsg;
	struct kmsg *lines;
	struct progress progress;
};

/* For the signal handler alone. */
static struct cr_ext_restart *running;

static int set_source(struct request *r, int key, const char *arg)
{
	r->n_sources++;
	if (key == KEY_FD)
		return opt_number(arg, 0, 1 << 20, &r->fd);
	if (key == KEY_DIR)
		r->dir = arg;
	else
		r->path = arg;
	return 0;
}

static int set_signal(struct request *r, int sig, const char *arg)
{
	if (sig < 0)
		sig = signal_number(arg);
	if (sig < 0)
		return sig;
	r->args.signal = sig;
	return 0;
}

int restart_take(void *ctx, const struct opt_row *row, const char *arg)
{
	struct request *r = ctx;
	int ret;

	switch (row->key) {
	case KEY_VERBOSE:
		r->verbose = true;
		return 0;
	case KEY_FILE:
	case KEY_FD:
	case KEY_DIR:
		return set_source(r, row->key, arg);
	case KEY_SIGNAL:
		return set_signal(r, row->value, arg);
	case KEY_OMIT:
		return 0;
	case KEY_HOOK:
		hooks_set(&r->hooks, (unsigned int)row->value, arg);
		return 0;
	case KEY_RELOCATE:
		if (r->args.n_relocate == MAX_RELOCATE)
			return -E2BIG;
		ret = relocate_parse(arg, &r->moves[r->args.n_relocate]);
		if (ret > 0)
			r->args.n_relocate++;
		return ret < 0 ? ret : 0;
	case KEY_RESTORE:
		r->args.flags |= (uint32_t)row->value;
		return 0;
	case KEY_NO_RESTORE:
		r->args.flags &= ~(uint32_t)row->value;
		return 0;
	case KEY_KMSG:
		r->kmsg = row->value;
		return 0;
	case KEY_CHECK:
		r->check = true;
		r->args.flags |= CR_EXT_CHECK_ONLY;
		return 0;
	case KEY_DETACH:
		r->detach = true;
		return 0;
	case KEY_LAZY:
		r->args.flags |= CR_EXT_LAZY;
		return 0;
	case KEY_LOG:
		r->log_path = arg;
		return 0;
	case KEY_PROGRESS:
		r->force_progress = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static void on_log(void *arg, const char *line)
{
	struct request *r = arg;

	if (r->log)
		fprintf(r->log, "%s\n", line);
	if (!r->verbose)
		return;
	progress_end(&r->progress);
	message("%s", line);
}

static void on_progress(void *arg, const struct cr_ext_progress *p)
{
	struct request *r = arg;

	progress_show(&r->progress, p);
}

static void on_finding(void *arg, const struct cr_ext_finding *f)
{
	struct request *r = arg;
	char line[1024];

	snprintf(line, sizeof(line), "%spid %d (%s): %s%s%s",
		 f->fatal ? "" : "warning: ", f->pid, f->comm ? f->comm : "?",
		 f->what, f->remedy && f->remedy[0] ? "; " : "",
		 f->remedy ? f->remedy : "");
	if (r->check)
		printf("%s\n", line);
	else
		kmsg_add(r->lines, line);
	if (r->log)
		fprintf(r->log, "%s\n", line);
}

/* The one image in a directory. */
static int find_in_dir(const char *dir, char *path, size_t size)
{
	struct dirent *e;
	int found = 0, n = 0;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return -errno;
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "context.", 8) ||
		    e->d_name[strlen(e->d_name) - 1] == '~')
			continue;
		found++;
		n = snprintf(path, size, "%s/%s", dir, e->d_name);
	}
	closedir(d);
	if (found > 1)
		return -ENOTUNIQ;
	if (!found)
		return -ENOENT;
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* 0 or -errno with the reason in text. */
static int open_image(struct request *r, char *text, size_t size)
{
	char found[4096];
	const char *path = r->path;
	int ret;

	if (r->fd >= 0) {
		r->args.fd = (int)r->fd;
		if (fcntl(r->args.fd, F_GETFD) < 0) {
			snprintf(text, size, "descriptor %d: %s", r->args.fd,
				 strerror(errno));
			return -EBADF;
		}
		return 0;
	}
	if (r->dir) {
		ret = find_in_dir(r->dir, found, sizeof(found));
		if (ret) {
			snprintf(text, size, "%s: %s", r->dir,
				 ret == -ENOTUNIQ ?
					 "more than one context.* file" :
					 strerror(-ret));
			return ret;
		}
		path = found;
	}
	r->args.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (r->args.fd < 0) {
		ret = -errno;
		snprintf(text, size, "cannot open %s: %s", path,
			 strerror(errno));
		return ret;
	}
	return 0;
}

static int fail(struct request *r, unsigned int hook, int status,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The hook of this kind of failure may take over the exit status. */
static int fail(struct request *r, unsigned int hook, int status,
		const char *fmt, ...)
{
	char text[4400];
	va_list ap;
	int ret;

	progress_end(&r->progress);
	ret = hooks_run(&r->hooks, hook);
	if (ret)
		return ret;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (text[0])
		message("%s", text);
	return status;
}

/* To the eldest; the terminal's stop signals stop us as well. */
static void pass_on(int sig)
{
	int saved = errno;

	if (running)
		(void)cr_ext_restart_signal(running, sig);
	if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU)
		raise(SIGSTOP);
	errno = saved;
}

static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = pass_on,
				.sa_flags = SA_RESTART };
	int sig;

	sigfillset(&sa.sa_mask);
	for (sig = 1; sig <= SIGRTMAX; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP || sig == SIGCHLD ||
		    sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE ||
		    sig == SIGILL || (sig > 31 && sig < SIGRTMIN) ||
		    sig == SIGRTMAX)
			continue;
		sigaction(sig, &sa, NULL);
	}
}

/* End as the eldest did. */
static int end_like(int status)
{
	const struct rlimit no_core = { 0, 0 };
	sigset_t set;
	int sig;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	if (!WIFSIGNALED(status))
		return EXIT_USAGE;
	sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
	return 128 + sig;
}

static int follow(struct request *r, struct cr_ext_restart *rs)
{
	int status = 0, ret;

	ret = hooks_run(&r->hooks, HOOK_SUCCESS);
	if (ret)
		return ret;
	if (r->detach) {
		printf("%d\n", cr_ext_restart_pid(rs));
		fflush(stdout);
		return 0;
	}
	ret = cr_ext_restart_wait(rs, &status);
	if (ret == -ECHILD)
		return 0;
	if (ret) {
		message("waiting: %s", cr_ext_restart_message(rs));
		return exit_status(ret);
	}
	return end_like(status);
}

static int restart(struct request *r)
{
	struct cr_ext_restart *rs = NULL;
	const char *text;
	int ret, status;

	ret = cr_ext_restart_run(&r->args, &rs);
	progress_end(&r->progress);
	kmsg_flush(r->lines, ret != 0);
	if (r->log)
		fflush(r->log);
	if (ret) {
		text = cr_ext_restart_message(rs);
		status = fail(r, hook_of(ret), exit_status(ret),
			      "Restart failed: %s",
			      text && text[0] ? text : strerror(-ret));
	} else if (r->check) {
		printf("%s can be restarted here\n",
		       r->path ? r->path : "the image");
		status = 0;
	} else {
		running = rs;
		catch_signals();
		status = follow(r, rs);
		running = NULL;
	}
	cr_ext_restart_close(rs);
	return status;
}

static int usage(struct request *r, const struct opt_result *res,
		 const char *text)
{
	int ret = hooks_run(&r->hooks, HOOK_ARGS);

	if (ret)
		return ret;
	if (res->quiet)
		return EXIT_USAGE;
	message("%s", text);
	fprintf(stderr, "Try '%s --help' for more.\nUsage: %s %s\n",
		opt_restart.name, opt_restart.name, opt_restart.usage);
	return EXIT_USAGE;
}

static int prepare(struct request *r)
{
	char text[4352];
	int ret;

	if (r->log_path) {
		r->log = fopen(r->log_path, "we");
		if (!r->log)
			return fail(r, HOOK_ARGS, EXIT_USAGE, "%s: %s",
				    r->log_path, strerror(errno));
	}
	ret = open_image(r, text, sizeof(text));
	if (ret)
		return fail(r, HOOK_ARGS, EXIT_USAGE, "%s", text);
	ret = image_trusted(r->args.fd, text, sizeof(text));
	if (ret)
		return fail(r, HOOK_ENV, exit_status(ret),
			    "Restart failed: %s", text);
	return 0;
}

int main(int argc, char **argv)
{
	struct request r = {
		.args = { .size = sizeof(r.args),
			  .flags = CR_EXT_RESTORE_PID, .fd = -1 },
		.fd = -1,
		.kmsg = 1,
	};
	struct opt_result res;
	int status;

	opt_parse(&opt_restart, argc, argv, &r, &res);
	message_init(opt_restart.name, res.quiet);
	if (res.done)
		return 0;
	if (res.wrong)
		return usage(&r, &res, res.complaint);
	for (; res.first < argc; res.first++)
		(void)set_source(&r, KEY_FILE, argv[res.first]);
	if (r.n_sources != 1)
		return usage(&r, &res, r.n_sources ?
				     "more than one image is named" :
				     "no image is named");
	status = prepare(&r);
	if (status)
		return status;
	r.args.relocate = r.moves;
	r.args.log = r.verbose || r.log ? on_log : NULL;
	r.args.finding = on_finding;
	r.args.progress = on_progress;
	r.args.arg = &r;
	r.lines = kmsg_new(r.kmsg);
	progress_init(&r.progress, r.force_progress, res.quiet);
	return restart(&r);
}
