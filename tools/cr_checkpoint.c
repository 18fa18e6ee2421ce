/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cr_checkpoint: save running processes to a file.  The tool forks; the child
 * does the work and leaves itself out of the image, the parent only waits, so
 * that the tool can be part of what it saves (a shell's own session).  When
 * the parent finds itself restarted it has no child and ends with 0.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "human.h"
#include "libcr_ext.h"
#include "message.h"
#include "options/keys.h"
#include "options/options.h"
#include "options/take.h"
#include "outfile.h"
#include "progress.h"

struct request {
	struct cr_ext_args args;
	enum { DEST_CWD, DEST_FILE, DEST_FD, DEST_DIR } dest;
	unsigned int n_dests;
	const char *path;
	long fd;
	struct outfile out;
	bool hold; /* the image is complete before the signal goes out */
	bool verbose;
	bool check;
	bool force_progress;
	bool quiet;
	int kmsg;
	long time_ms;
	struct kmsg *lines;
	struct progress progress;
	unsigned int fatal; /* findings */
	long result_fd; /* a program's own request, -1 none */
};

/* For the signal handler alone. */
static struct outfile *unfinished;

static int set_dest(struct request *r, int dest, const char *arg)
{
	r->n_dests++;
	r->dest = dest;
	r->path = arg;
	if (dest == DEST_FD)
		return opt_number(arg, 0, 1 << 20, &r->fd);
	return 0;
}

/*
 * Signals that end or stop the program wait for a complete image; the others
 * need not.
 */
static int set_signal(struct request *r, int sig, const char *arg)
{
	if (sig < 0)
		sig = signal_number(arg);
	if (sig < 0)
		return sig;
	r->args.signal = sig;
	r->hold = sig && sig != SIGCONT && sig != SIGCHLD && sig != SIGURG &&
		  sig != SIGWINCH;
	return 0;
}

static int set_bits(uint32_t *flags, uint32_t mask, int value)
{
	*flags = (*flags & ~mask) | (uint32_t)value;
	return 0;
}

static int set_output(struct request *r, enum out_mode mode, const char *arg)
{
	r->out.mode = mode;
	r->out.backup = arg;
	return 0;
}

static int set_engine(struct request *r, const char *arg)
{
	if (strcmp(arg, "auto") && strcmp(arg, "user") && strcmp(arg, "kmod"))
		return -EINVAL;
	r->args.engine = arg;
	return 0;
}

int checkpoint_take(void *ctx, const struct opt_row *row, const char *arg)
{
	struct request *r = ctx;

	switch (row->key) {
	case KEY_VERBOSE:
		r->verbose = true;
		return 0;
	case KEY_SCOPE:
		r->args.scope = (uint32_t)row->value;
		return 0;
	case KEY_CWD:
		return set_dest(r, DEST_CWD, NULL);
	case KEY_FILE:
		return set_dest(r, DEST_FILE, arg);
	case KEY_FD:
		return set_dest(r, DEST_FD, arg);
	case KEY_DIR:
		return set_dest(r, DEST_DIR, arg);
	case KEY_ATOMIC:
		return set_output(r, OUT_ATOMIC, NULL);
	case KEY_BACKUP:
		return set_output(r, OUT_BACKUP, arg);
	case KEY_CLOBBER:
		return set_output(r, OUT_CLOBBER, NULL);
	case KEY_NOCLOBBER:
		return set_output(r, OUT_NOCLOBBER, NULL);
	case KEY_SIGNAL:
	case KEY_LEAVE_STOPPED:
		return set_signal(r, row->value, arg);
	case KEY_SYNC:
		r->out.sync = row->value;
		return 0;
	case KEY_SAVE:
		if (!row->value)
			r->args.flags &= ~(CR_EXT_DUMP_EXEC |
					   CR_EXT_DUMP_PRIVATE |
					   CR_EXT_DUMP_SHARED);
		r->args.flags |= (uint32_t)row->value;
		return 0;
	case KEY_PTRACED:
		return set_bits(&r->args.flags,
				CR_EXT_PTRACED_ALLOW | CR_EXT_PTRACED_SKIP,
				row->value);
	case KEY_PTRACER:
		return set_bits(&r->args.flags, CR_EXT_PTRACER_SKIP,
				row->value);
	case KEY_KMSG:
		r->kmsg = row->value;
		return 0;
	case KEY_TIME:
		return opt_time(arg, &r->time_ms);
	case KEY_CHECK:
		r->check = true;
		return 0;
	case KEY_PROGRESS:
		r->force_progress = true;
		return 0;
	case KEY_RESULT:
		return opt_number(arg, 0, 1 << 20, &r->result_fd);
	case KEY_ENGINE:
		return set_engine(r, arg);
	default:
		return -EINVAL;
	}
}

static void on_log(void *arg, const char *line)
{
	struct request *r = arg;

	progress_end(&r->progress);
	if (r->verbose)
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
		 f->fatal ? "" : "warning: ", f->pid, f->comm, f->what,
		 f->remedy[0] ? "; " : "", f->remedy);
	r->fatal += f->fatal != 0;
	if (r->check)
		printf("%s\n", line);
	else
		kmsg_add(r->lines, line);
}

/* An interrupted or overdue checkpoint leaves no file behind. */
static void on_end(int sig)
{
	static const char late[] = "cr_checkpoint: time limit reached; the "
				   "program goes on\n";

	outfile_abort(unfinished);
	if (sig == SIGALRM) {
		if (write(STDERR_FILENO, late, sizeof(late) - 1) < 0)
			_exit(ETIMEDOUT);
		_exit(ETIMEDOUT);
	}
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Handlers begin with an interrupted system call's end by the process's. */
static void catch_ends(struct request *r)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				       SIGALRM };
	struct sigaction sa = { .sa_handler = on_end,
				.sa_flags = SA_NODEFER };
	struct itimerval it = { 0 };
	sigset_t set;
	size_t i;

	unfinished = &r->out;
	sigemptyset(&set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &sa, NULL);
		sigaddset(&set, signals[i]);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (!r->time_ms)
		return;
	/* A little later than the engine, whose message says more. */
	it.it_value.tv_sec = r->time_ms / 1000;
	it.it_value.tv_usec = r->time_ms % 1000 * 1000 + 300000;
	if (it.it_value.tv_usec >= 1000000) {
		it.it_value.tv_sec++;
		it.it_value.tv_usec -= 1000000;
	}
	setitimer(ITIMER_REAL, &it, NULL);
}

static int open_dest(struct request *r)
{
	char path[4096];
	int n;

	switch (r->dest) {
	case DEST_FD:
		return outfile_borrow(&r->out, (int)r->fd);
	case DEST_FILE:
		return outfile_open(&r->out, r->path);
	case DEST_DIR:
	case DEST_CWD:
	default:
		n = snprintf(path, sizeof(path), "%s%scontext.%d",
			     r->dest == DEST_DIR ? r->path : "",
			     r->dest == DEST_DIR ? "/" : "", r->args.target);
		if (n < 0 || (size_t)n >= sizeof(path))
			return -ENAMETOOLONG;
		return outfile_open(&r->out, path);
	}
}

static void boast(struct request *r, struct cr_ext_capture *c)
{
	char size[HUMAN_LEN], pause[HUMAN_LEN], took[HUMAN_LEN];
	struct cr_ext_stats s = { .size = sizeof(s) };

	if (!r->verbose || cr_ext_stats(c, &s))
		return;
	message("%u processes, %u threads, %s; stood still %s, written in %s",
		s.processes, s.threads, human_size(size, s.image_bytes),
		human_time(pause, s.pause_ns), human_time(took, s.write_ns));
	if (r->args.signal)
		message("sent signal %d", r->args.signal);
}

static int engine_failed(const char *what, struct cr_ext_capture *c, int ret)
{
	const char *text = c ? cr_ext_message(c) : "";

	message("%s: %s", what, text[0] ? text : strerror(-ret));
	return ret;
}

static int capture(struct request *r, struct cr_ext_capture *c)
{
	int ret;

	ret = cr_ext_freeze(c);
	if (ret)
		return engine_failed("checkpoint failed", c, ret);
	ret = cr_ext_write(c, r->out.fd);
	progress_end(&r->progress);
	if (ret)
		return engine_failed("writing the image failed", c, ret);
	ret = outfile_commit(&r->out);
	if (ret) {
		message("%s", r->out.why);
		return ret;
	}
	if (r->args.flags & CR_EXT_HOLD) {
		ret = cr_ext_release(c, r->args.signal == SIGKILL ?
						CR_EXT_KILL :
						CR_EXT_THAW);
		if (ret)
			return engine_failed("after the checkpoint", c, ret);
	}
	boast(r, c);
	return 0;
}

static int check_only(struct request *r, struct cr_ext_capture *c)
{
	int ret = cr_ext_check(c);

	if (ret && !r->fatal)
		return engine_failed("check failed", c, ret);
	if (!ret)
		printf("pid %d can be checkpointed\n", r->args.target);
	return ret;
}

static int work(struct request *r)
{
	struct cr_ext_capture *c = NULL;
	int ret;

	if (!r->check) {
		ret = open_dest(r);
		if (ret) {
			message("%s", r->out.why[0] ? r->out.why :
						      strerror(-ret));
			return ret;
		}
	}
	catch_ends(r);
	if (r->verbose)
		printf("%d\n", r->args.target);
	fflush(stdout);
	ret = cr_ext_open(&r->args, &c);
	if (ret)
		engine_failed("cannot begin", c, ret);
	else
		ret = r->check ? check_only(r, c) : capture(r, c);
	cr_ext_close(c);
	progress_end(&r->progress);
	if (ret)
		outfile_abort(&r->out);
	kmsg_flush(r->lines, ret != 0);
	fflush(stdout);
	return ret;
}

/*
 * No memory of the parent's is of use here after a restart; only the child's
 * status counts, and a restarted parent has no child.
 */
static int wait_for(pid_t child)
{
	int status;
	pid_t pid;

	do {
		pid = waitpid(child, &status, 0);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return 0;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	message("ended by signal %d", WTERMSIG(status));
	return 1;
}

static int split(struct request *r)
{
	pid_t parent = getpid(), child;

	fflush(stdout);
	child = fork();
	if (child < 0) {
		message("fork: %s", strerror(errno));
		return exit_status(-errno);
	}
	if (child)
		return wait_for(child);
	/* A tool that was killed must not go on by half. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(1);
	_exit(exit_status(work(r)));
}

/*
 * Asked for by a program through libcr: no child, nobody waits for us, and the
 * outcome goes to the memory that the program has mapped.
 */
static int serve(struct request *r)
{
	struct cr_ext_result *res;
	int ret;

	res = mmap(NULL, CR_EXT_RESULT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		   (int)r->result_fd, 0);
	if (res == MAP_FAILED)
		return EXIT_USAGE;
	ret = work(r);
	if (ret)
		snprintf(res->log, sizeof(res->log), "%s", message_last());
	res->ret = ret;
	__atomic_store_n(&res->state, CR_EXT_RESULT_DONE, __ATOMIC_RELEASE);
	syscall(SYS_futex, &res->state, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
	munmap(res, CR_EXT_RESULT_SIZE);
	return exit_status(ret);
}

static int usage(const struct opt_result *res, const char *text)
{
	if (res->quiet)
		return EXIT_USAGE;
	message("%s", text);
	fprintf(stderr, "Try '%s --help' for more.\nUsage: %s %s\n",
		opt_checkpoint.name, opt_checkpoint.name, opt_checkpoint.usage);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct request r = {
		.args = { .size = sizeof(r.args),
			  .scope = CR_EXT_SCOPE_TREE },
		.out = { .mode = OUT_ATOMIC, .sync = true, .fd = -1,
			 .dir_fd = -1 },
		.kmsg = 1,
		.result_fd = -1,
	};
	struct opt_result res;
	long pid;

	opt_parse(&opt_checkpoint, argc, argv, &r, &res);
	message_init(opt_checkpoint.name, res.quiet);
	if (res.done)
		return 0;
	if (res.wrong)
		return usage(&res, res.complaint);
	if (argc - res.first != 1)
		return usage(&res, "exactly one ID is needed");
	if (opt_number(argv[res.first], 1, 1 << 30, &pid))
		return usage(&res, "the ID is not a number");
	if (r.n_dests > 1) {
		message("more than one destination");
		return exit_status(-EINVAL);
	}
	r.quiet = res.quiet;
	r.args.target = (pid_t)pid;
	r.args.timeout_ms = (uint32_t)r.time_ms;
	if (r.hold)
		r.args.flags |= CR_EXT_HOLD;
	r.args.log = on_log;
	r.args.finding = on_finding;
	r.args.progress = on_progress;
	r.args.arg = &r;
	r.lines = kmsg_new(r.kmsg);
	progress_init(&r.progress, r.force_progress, r.quiet);
	return r.result_fd >= 0 ? serve(&r) : split(&r);
}
