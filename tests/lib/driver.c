/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver of the conformance framework: runs the legs of each kind of a
 * test program, as root and as an ordinary user, with the real tools by
 * command line only.  A leg runs in a process of its own, which is a child
 * subreaper and has a work directory of its own.
 *
 * usage: KIND [--dry] [--user|--root] [--leg=LEG] [--engine=E]
 *             [--generations=N] [--only=NAME] [--pending] [--keep] [--list]
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conform_int.h"

#define TOOL_MS 60000
#define LEG_S 200

static struct {
	bool dry;
	bool keep;
	bool pending;
	int who; /* 'r', 'u' or 0: both */
	const char *leg;
	const char *engine;
	const char *only;
	int generations;
} opt;

struct leg {
	const struct conform_kind *kind;
	const char *stage; /* what the subject is told */
	bool user;
	uint64_t nonce;
	char dir[256];
	pid_t subject; /* as we see it */
	pid_t inner; /* as it sees itself */
	struct tool restart;
	char msg[2048];
	char seen[1024]; /* what differs from outside; the subject goes first */
};

__attribute__((format(printf, 2, 3))) static int leg_fail(struct leg *l,
							  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (!l->msg[0])
		vsnprintf(l->msg, sizeof(l->msg), fmt, ap);
	va_end(ap);
	return 1;
}

static const char *leg_path(const struct leg *l, const char *name)
{
	static char path[4][320];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", l->dir, name);
	return p;
}

static int put_file(const char *path, const char *text)
{
	char tmp[340];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s~", path);
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	fputs(text, f);
	if (fclose(f) || rename(tmp, path))
		return -errno;
	return 0;
}

static bool get_file(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	buf[0] = 0;
	if (!f)
		return false;
	n = fread(buf, 1, size - 1, f);
	fclose(f);
	buf[n] = 0;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return n > 0;
}

static bool has_text(const char *path, const char *word)
{
	char buf[65536];

	get_file(path, buf, sizeof(buf));
	return strcasestr(buf, word) != NULL;
}

/* 77 and a message if the subject gave up, 1 if it failed, else 0. */
static int leg_verdict(struct leg *l)
{
	char text[1024];

	if (!get_file(leg_path(l, "result"), text, sizeof(text)))
		return 0;
	if (!strncmp(text, "SKIP ", 5)) {
		leg_fail(l, "%s", text + 5);
		return 77;
	}
	if (!strncmp(text, "FAIL ", 5))
		return leg_fail(l, "%s", text + 5);
	return 0;
}

static int leg_spawn(struct leg *l)
{
	char nonce[32], only[128];
	const char *argv[] = { "/proc/self/exe", "--subject", only, l->dir,
			       NULL };
	struct tool t;
	int ret;

	snprintf(only, sizeof(only), "%s", l->kind->name);
	snprintf(nonce, sizeof(nonce), "%016llx\n",
		 (unsigned long long)l->nonce);
	if (put_file(leg_path(l, "nonce"), nonce) ||
	    mkdir(leg_path(l, "w"), 0755))
		return leg_fail(l, "cannot write into %s: %m", l->dir);
	ret = tool_start(&t, leg_path(l, "subject.log"), argv);
	if (ret)
		return leg_fail(l, "cannot start the subject");
	l->subject = l->inner = t.pid;
	return 0;
}

static int leg_await_ready(struct leg *l)
{
	uint64_t end = conform_now() + 60000;
	siginfo_t si = { 0 };
	int ret;

	while (access(leg_path(l, "ready"), F_OK)) {
		ret = leg_verdict(l);
		if (ret)
			return ret;
		if (!waitid(P_PID, (id_t)l->subject, &si,
			    WEXITED | WNOHANG | WNOWAIT) &&
		    si.si_pid)
			return leg_fail(l, "subject ended in its setup");
		if (conform_now() >= end)
			return leg_fail(l, "subject not ready in 60 s");
		conform_msleep(2);
	}
	conform_msleep(l->kind->before_ms + (unsigned int)(l->nonce % 17));
	return leg_verdict(l);
}

static int run_checkpoint(struct leg *l, const char *opt1, int *status)
{
	char pid[16], engine[64];
	const char *argv[10];
	int n = 0, ret;

	snprintf(pid, sizeof(pid), "%d", (int)l->subject);
	argv[n++] = tool_path("cr_checkpoint");
	if (opt.engine) {
		snprintf(engine, sizeof(engine), "--engine=%s", opt.engine);
		argv[n++] = engine;
	}
	if (opt1) {
		argv[n++] = opt1;
	} else {
		argv[n++] = "-f";
		argv[n++] = leg_path(l, "img");
	}
	argv[n++] = pid;
	argv[n] = NULL;
	unlink(leg_path(l, "checkpoint.log"));
	ret = tool_run(leg_path(l, "checkpoint.log"), TOOL_MS, status, argv);
	if (ret)
		return leg_fail(l, "cr_checkpoint: %s", strerror(-ret));
	return 0;
}

static int status_text(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   1000 + WTERMSIG(status);
}

static int check_leftovers(struct leg *l)
{
	struct stat st;
	int n;

	n = tool_leftover(3000, l->subject);
	if (n)
		return leg_fail(l, "%d processes of ours are left", n);
	if (!stat(leg_path(l, ".img.tmp"), &st))
		return leg_fail(l, "a temporary image is left");
	return 0;
}

/* The same from outside as before; a transient descriptor may pass by. */
static int check_same(struct leg *l, const char *before, pid_t pid,
		      unsigned int flags, const char *when)
{
	uint64_t end = conform_now() + 1500;
	char *after, *diff;

	for (;;) {
		after = observe_tree(pid, flags);
		diff = observe_diff(before, after);
		free(after);
		if (!diff)
			return 0;
		if (conform_now() >= end)
			break;
		free(diff);
		conform_msleep(7);
	}
	if (!l->seen[0])
		snprintf(l->seen, sizeof(l->seen), "%s: %s", when, diff);
	free(diff);
	return 0;
}

/* Two equal looks at it: the subject's own short-lived descriptors. */
static char *observe_settled(pid_t pid, unsigned int flags)
{
	char *a = observe_tree(pid, flags), *b, *diff;
	int i;

	for (i = 0; i < 50; i++) {
		conform_msleep(3);
		b = observe_tree(pid, flags);
		diff = observe_diff(a, b);
		free(a);
		a = b;
		if (!diff)
			break;
		free(diff);
	}
	return a;
}

static int check_image(struct leg *l)
{
	struct stat st;

	if (stat(leg_path(l, "img"), &st))
		return leg_fail(l, "no image though cr_checkpoint said 0");
	if ((st.st_mode & 07777) != 0400)
		return leg_fail(l, "image has mode %o, not 0400",
				(unsigned int)st.st_mode & 07777);
	if (l->kind->max_image_kb &&
	    st.st_size > (off_t)l->kind->max_image_kb * 1024)
		return leg_fail(l, "image has %lld kB, more than %u",
				(long long)st.st_size / 1024,
				l->kind->max_image_kb);
	return 0;
}

static int leg_checkpoint(struct leg *l)
{
	int status, ret;

	ret = run_checkpoint(l, NULL, &status);
	if (ret)
		return ret;
	ret = leg_verdict(l);
	if (ret)
		return ret;
	if (status)
		return leg_fail(l, "cr_checkpoint ended with %d",
				status_text(status));
	return check_image(l);
}

/* --check: findings without stopping; tracer seen = it was stopped. */
static int leg_check_option(struct leg *l, bool good)
{
	char fd[32] = "", word[64];
	int status, ret;

	ret = run_checkpoint(l, "--check", &status);
	if (ret)
		return ret;
	if (good && status)
		return leg_fail(l, "cr_checkpoint --check ended with %d",
				status_text(status));
	if (good)
		return 0;
	if (!status)
		return leg_fail(l, "cr_checkpoint --check found nothing");
	if (!has_text(leg_path(l, "checkpoint.log"), l->kind->refused))
		return leg_fail(l, "--check does not say '%s'",
				l->kind->refused);
	if (get_file(leg_path(l, "fact.fd"), fd, sizeof(fd))) {
		snprintf(word, sizeof(word), "fd %s", fd);
		if (!has_text(leg_path(l, "checkpoint.log"), word))
			return leg_fail(l, "--check does not say '%s'", word);
	}
	return 0;
}

static int leg_finish(struct leg *l, int wstatus)
{
	char text[256], want[128];
	int ret;

	ret = leg_verdict(l);
	if (ret)
		return ret;
	if (!get_file(leg_path(l, "result"), text, sizeof(text)))
		return leg_fail(l, "no result file; status %d, not %d",
				status_text(wstatus), conform_status(l->nonce));
	snprintf(want, sizeof(want), "ok %s %016llx", l->stage,
		 (unsigned long long)conform_expect(l->nonce, l->stage));
	if (strcmp(text, want))
		return leg_fail(l, "result is '%s', not '%s'", text, want);
	if (status_text(wstatus) != conform_status(l->nonce))
		return leg_fail(l, "right result, but status %d, not %d",
				status_text(wstatus), conform_status(l->nonce));
	return 0;
}

static int leg_go(struct leg *l)
{
	char text[32];

	snprintf(text, sizeof(text), "%s\n", l->stage);
	if (put_file(leg_path(l, "go"), text))
		return leg_fail(l, "cannot write the go file: %m");
	return 0;
}

/* Wait for the subject itself, our child. */
static int leg_end_subject(struct leg *l)
{
	struct tool t = { .pid = l->subject };
	int status, ret;

	ret = tool_wait(&t, 30000, &status);
	if (ret) {
		ret = leg_verdict(l);
		if (ret)
			return ret;
		return leg_fail(l, "subject did not end in 30 s");
	}
	return leg_finish(l, status);
}

static int leg_continued(struct leg *l)
{
	bool busy = l->kind->flags & CONFORM_BUSY;
	char *before = busy ? NULL : observe_settled(l->subject, 0);
	int ret;

	ret = leg_check_option(l, true);
	if (!ret)
		ret = leg_checkpoint(l);
	if (!ret && before)
		ret = check_same(l, before, l->subject, 0,
				 "the continued process changed");
	if (!ret)
		ret = check_leftovers(l);
	free(before);
	if (ret)
		return ret;
	ret = leg_go(l);
	return ret ? ret : leg_end_subject(l);
}

static int leg_refused(struct leg *l)
{
	char *before = observe_settled(l->subject, 0);
	char fd[32], word[64];
	int status, ret = 0;

	if (!(l->kind->flags & CONFORM_TRANSIENT))
		ret = leg_check_option(l, false);
	if (ret)
		goto out;
	ret = run_checkpoint(l, NULL, &status);
	if (ret)
		goto out;
	if (!status) {
		ret = leg_fail(l, "cr_checkpoint took what it cannot restore");
		goto out;
	}
	snprintf(word, sizeof(word), "%d (", (int)l->subject);
	if (!has_text(leg_path(l, "checkpoint.log"), l->kind->refused) ||
	    !has_text(leg_path(l, "checkpoint.log"), word)) {
		ret = leg_fail(l, "the message does not say '%s' and '%s'",
			       l->kind->refused, word);
		goto out;
	}
	if (get_file(leg_path(l, "fact.fd"), fd, sizeof(fd))) {
		snprintf(word, sizeof(word), "fd %s", fd);
		if (!has_text(leg_path(l, "checkpoint.log"), word)) {
			ret = leg_fail(l, "no '%s' in the message", word);
			goto out;
		}
	}
	if (!access(leg_path(l, "img"), F_OK)) {
		ret = leg_fail(l, "an image is left after the refusal");
		goto out;
	}
	ret = check_same(l, before, l->subject, 0, "refused, yet changed");
	if (!ret)
		ret = check_leftovers(l);
	if (!ret)
		ret = leg_go(l);
	if (!ret)
		ret = leg_end_subject(l);
out:
	free(before);
	return ret;
}

static void leg_kill(struct leg *l)
{
	pid_t list[1024];
	int i, n = observe_descendants(getpid(), list, 1024);

	/* The leader first: nobody of it may see the others die. */
	kill(l->subject, SIGSTOP);
	for (i = 0; i < n; i++)
		kill(list[i], SIGKILL);
	tool_kill_all();
}

static int start_restart(struct leg *l)
{
	const char *argv[] = { tool_path("cr_restart"), leg_path(l, "img"),
			       NULL };

	unlink(leg_path(l, "restart.log"));
	if (tool_start(&l->restart, leg_path(l, "restart.log"), argv))
		return leg_fail(l, "cannot start cr_restart");
	return 0;
}

static int end_restart(struct leg *l)
{
	int status, ret;

	ret = tool_wait(&l->restart, 40000, &status);
	if (ret) {
		ret = leg_verdict(l);
		if (ret)
			return ret;
		return leg_fail(l, "cr_restart did not end in 40 s");
	}
	l->subject = 0;
	ret = leg_finish(l, status);
	if (!ret && (l->kind->flags & CONFORM_BUSY) == 0)
		ret = check_leftovers(l);
	return ret;
}

/* The restarted subject runs: it takes away the ping file. */
static int await_alive(struct leg *l)
{
	uint64_t end = conform_now() + 20000;
	int status, ret;

	if (put_file(leg_path(l, "ping"), "?\n"))
		return leg_fail(l, "cannot write the ping file: %m");
	while (!access(leg_path(l, "ping"), F_OK)) {
		ret = leg_verdict(l);
		if (ret)
			return ret;
		if (waitpid(l->restart.pid, &status, WNOHANG) > 0)
			return leg_fail(l, "cr_restart ended with %d",
					status_text(status));
		if (conform_now() >= end)
			return leg_fail(l, "not alive 20 s after the restart");
		conform_msleep(3);
	}
	l->subject = observe_find(l->restart.pid, l->inner);
	if (!l->subject)
		return leg_fail(l, "no process has the old pid %d",
				(int)l->inner);
	return 0;
}

static int run_between(struct leg *l)
{
	if (!l->kind->between)
		return 0;
	if (chdir(leg_path(l, "w")))
		return leg_fail(l, "cannot enter the work directory: %m");
	l->kind->between(l->nonce);
	return chdir(l->dir) ? leg_fail(l, "chdir: %m") : 0;
}

static int restart_refused(struct leg *l)
{
	int status, ret;

	ret = start_restart(l);
	if (ret)
		return ret;
	ret = tool_wait(&l->restart, TOOL_MS, &status);
	if (ret)
		return leg_fail(l, "cr_restart: %s", strerror(-ret));
	if (!WIFEXITED(status) || !WEXITSTATUS(status) ||
	    WEXITSTATUS(status) == conform_status(l->nonce))
		return leg_fail(l, "cr_restart ended with %d, no refusal",
				status_text(status));
	if (!has_text(leg_path(l, "restart.log"), l->kind->no_restart))
		return leg_fail(l, "cr_restart does not say '%s'",
				l->kind->no_restart);
	l->subject = 0;
	return check_leftovers(l);
}

static int leg_restarted(struct leg *l)
{
	unsigned int flags = OBSERVE_MOVED;
	bool busy = l->kind->flags & CONFORM_BUSY;
	char *before = busy ? NULL : observe_settled(l->subject, flags);
	int ret;

	ret = leg_checkpoint(l);
	if (ret)
		goto out;
	leg_kill(l);
	ret = run_between(l);
	if (ret)
		goto out;
	conform_msleep(l->kind->dead_ms);
	if (l->kind->no_restart) {
		ret = restart_refused(l);
		goto out;
	}
	ret = start_restart(l);
	if (!ret)
		ret = await_alive(l);
	if (!ret && before)
		ret = check_same(l, before, l->subject, flags,
				 "the restarted process differs");
	if (!ret)
		ret = leg_go(l);
	if (!ret)
		ret = end_restart(l);
out:
	free(before);
	return ret;
}

/* Images of images: nothing may grow from one to the next. */
static int leg_generations(struct leg *l)
{
	off_t first = 0;
	struct stat st;
	int i, ret = 0, fds = observe_fds(l->subject);

	for (i = 0; i < opt.generations; i++) {
		ret = leg_checkpoint(l);
		if (ret)
			break;
		if (stat(leg_path(l, "img"), &st))
			return leg_fail(l, "no image: %m");
		if (!first)
			first = st.st_size;
		if (st.st_size > first + first / 10 + 65536)
			return leg_fail(l, "image grew from %lld to %lld",
					(long long)first,
					(long long)st.st_size);
		leg_kill(l);
		conform_msleep(l->kind->dead_ms);
		ret = start_restart(l);
		if (!ret)
			ret = await_alive(l);
		if (ret)
			break;
		if (observe_fds(l->subject) > fds + 1)
			return leg_fail(l, "descriptors grew from %d to %d",
					fds, observe_fds(l->subject));
	}
	if (ret) {
		snprintf(l->msg + strlen(l->msg),
			 sizeof(l->msg) - strlen(l->msg), " (generation %d)",
			 i + 1);
		return ret;
	}
	ret = leg_go(l);
	return ret ? ret : end_restart(l);
}

static int leg_dry(struct leg *l)
{
	int ret;

	if (l->kind->between && !strcmp(l->stage, "restarted"))
		return 77;
	ret = leg_go(l);
	return ret ? ret : leg_end_subject(l);
}

static int leg_body(struct leg *l)
{
	int ret;

	ret = leg_spawn(l);
	if (!ret)
		ret = leg_await_ready(l);
	if (ret)
		return ret;
	if (opt.dry)
		return leg_dry(l);
	if (l->kind->refused)
		return leg_refused(l);
	if (opt.generations)
		return leg_generations(l);
	if (!strcmp(l->stage, "restarted"))
		return leg_restarted(l);
	return leg_continued(l);
}

static void become_user(const char *dir)
{
	const char *text = getenv("CR_TEST_UID");
	uid_t uid = text ? (uid_t)atoi(text) : 58311;

	if (chown(dir, uid, uid) || setgroups(0, NULL) ||
	    setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1);
}

static void say(const struct leg *l, int ret)
{
	printf("%-7s %s %s %s%s%s\n",
	       ret == 77 ? "skip" :
	       ret	 ? "FAIL" :
			   "ok",
	       l->kind->name, l->user ? "user" : "root", l->stage,
	       l->msg[0] ? ": " : "", l->msg);
	if (ret == 1) {
		tool_show(leg_path(l, "subject.log"));
		tool_show(leg_path(l, "checkpoint.log"));
		tool_show(leg_path(l, "restart.log"));
	}
	fflush(stdout);
}

static void remove_dir(const char *dir)
{
	const char *argv[] = { "rm", "-rf", "--one-file-system", dir, NULL };
	int status;

	tool_run("/dev/null", 10000, &status, argv);
}

/* In a process of its own; the exit status is the leg's. */
static int leg_main(const struct conform_kind *k, const char *stage, bool user)
{
	const char *tmp = getenv("TMPDIR");
	struct leg l = { .kind = k, .stage = stage, .user = user };
	int ret;

	alarm(LEG_S);
	umask(022);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(l.dir, sizeof(l.dir), "%s/conform.XXXXXX", tmp ? tmp : "/tmp");
	if (getrandom(&l.nonce, sizeof(l.nonce), 0) != sizeof(l.nonce) ||
	    !mkdtemp(l.dir))
		return leg_fail(&l, "no work directory");
	if (user && geteuid() == 0)
		become_user(l.dir);
	ret = chdir(l.dir) ? leg_fail(&l, "chdir: %m") : leg_body(&l);
	tool_kill_all();
	if (!ret && l.seen[0])
		ret = leg_fail(&l, "%s", l.seen);
	say(&l, ret);
	if (opt.keep)
		printf("        kept in %s\n", l.dir);
	else
		remove_dir(l.dir);
	return ret;
}

static int leg_run(const struct conform_kind *k, const char *stage, bool user)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		return 1;
	if (!pid)
		_exit(leg_main(k, stage, user));
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (!WIFEXITED(status)) {
		printf("FAIL    %s %s %s: the leg itself took over %d s\n",
		       k->name, user ? "user" : "root", stage, LEG_S);
		tool_kill_all();
		return 1;
	}
	return WEXITSTATUS(status);
}

/*
 * Lines of tests/conform/pending: NAME WHO REASON; WHO is root, user or any.
 * Such a kind is not run, or the only one that is (--pending).
 */
static bool is_pending(const char *name, bool user)
{
	const char *top = getenv("STASIS_TOP");
	char line[512], path[512], kind[128], who[16];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/conform/pending",
		 top ? top : "");
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		if (line[0] != '#' &&
		    sscanf(line, "%127s %15s", kind, who) == 2)
			found = !strcmp(kind, name) &&
				(who[0] == 'a' || (who[0] == 'u') == user);
	fclose(f);
	return found;
}

struct count {
	int good, bad, skipped, pending;
};

static void kind_as(const struct conform_kind *k, bool user, struct count *n)
{
	static const char *const stages[] = { "continued", "restarted" };
	int i, ret;

	if (is_pending(k->name, user) != opt.pending) {
		n->pending += !opt.pending;
		return;
	}
	for (i = 0; i < 2; i++) {
		if (opt.leg && strcmp(opt.leg, stages[i]))
			continue;
		if (i == 0 && (opt.generations || k->no_restart))
			continue;
		if (i == 1 && (k->refused ||
			       (opt.dry && (k->no_restart || k->between ||
					    k->flags & CONFORM_NODRYRESTART))))
			continue;
		if (opt.generations && k->flags & CONFORM_NOGEN)
			continue;
		ret = leg_run(k, stages[i], user);
		n->good += !ret;
		n->skipped += ret == 77;
		n->bad += ret && ret != 77;
	}
}

static int run_kinds(void)
{
	const struct conform_kind *k;
	struct count n = { 0 };

	for (k = conform_kinds; k->name; k++) {
		if (opt.only && strcmp(opt.only, k->name))
			continue;
		if (geteuid() == 0 && opt.who != 'u')
			kind_as(k, false, &n);
		if (!(k->flags & CONFORM_ROOT) && opt.who != 'r')
			kind_as(k, true, &n);
	}
	printf("%d passed, %d failed, %d skipped\n", n.good, n.bad, n.skipped);
	if (n.pending)
		printf("not run: %d in tests/conform/pending\n", n.pending);
	if (n.bad)
		return 1;
	return n.good ? 0 : 77;
}

static int list_kinds(void)
{
	const struct conform_kind *k;

	for (k = conform_kinds; k->name; k++)
		printf("%s\n", k->name);
	return 0;
}

static int find_subject(const char *name, const char *dir)
{
	const struct conform_kind *k;

	if (chdir(dir) || chdir("w"))
		return 1;
	for (k = conform_kinds; k->name; k++)
		if (!strcmp(k->name, name))
			return conform_subject(k, dir);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dry", no_argument, NULL, 'd' },
		{ "engine", required_argument, NULL, 'e' },
		{ "generations", required_argument, NULL, 'g' },
		{ "keep", no_argument, NULL, 'k' },
		{ "leg", required_argument, NULL, 'l' },
		{ "list", no_argument, NULL, 'L' },
		{ "only", required_argument, NULL, 'o' },
		{ "pending", no_argument, NULL, 'p' },
		{ "root", no_argument, NULL, 'r' },
		{ "user", no_argument, NULL, 'u' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	if (argc == 4 && !strcmp(argv[1], "--subject"))
		return find_subject(argv[2], argv[3]);
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		opt.dry |= c == 'd';
		opt.keep |= c == 'k';
		opt.pending |= c == 'p';
		if (c == 'e')
			opt.engine = optarg;
		if (c == 'g')
			opt.generations = atoi(optarg);
		if (c == 'l')
			opt.leg = optarg;
		if (c == 'o')
			opt.only = optarg;
		if (c == 'r' || c == 'u')
			opt.who = c;
		if (c == 'L')
			return list_kinds();
		if (c == '?')
			return 2;
	}
	/* tests/lib/run starts a test once as root and once as a user. */
	if (!opt.who && geteuid() == 0 && getenv("STASIS_TEST"))
		opt.who = 'r';
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return run_kinds();
}
