/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests by a program, also for itself.  The work is done by cr_checkpoint,
 * started so that the program never sees a child of it: the child that starts
 * it is gone before the call returns and sends no signal.  The handle is the
 * descriptor of a memory file for the result.  After a restart the file is
 * another one with the old contents, by which the restarted copy knows itself.
 * One lock guards the table of requests.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libcr.h"
#include "libcr_ext.h"

#ifndef CR_BINDIR
#define CR_BINDIR "/usr/bin"
#endif
#define MAX_REQUESTS 64
#define MAX_ARGS 24
#define IMAGE_FD 3 /* in the helper */
#define RESULT_FD 4
#define SLICE_NS 20000000L

struct request {
	bool used;
	int fd;
	ino_t ino; /* of the memory file, before any restart */
	struct cr_ext_result *result;
};

static struct request requests[MAX_REQUESTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int client_id = -1;
static int next_client;

cr_client_id_t cr_init(void)
{
	if (client_id < 0)
		client_id =
			__atomic_fetch_add(&next_client, 1, __ATOMIC_RELAXED);
	return client_id;
}

static int fail(int code)
{
	errno = code;
	return -1;
}

/* The helper's command line, made before the clone. */
struct command {
	char *argv[MAX_ARGS];
	int argc;
	char text[MAX_ARGS][24];
	int image_fd; /* -1: a file in the working directory */
};

static void add(struct command *c, const char *word)
{
	if (c->argc < MAX_ARGS - 1) {
		snprintf(c->text[c->argc], sizeof(c->text[0]), "%s", word);
		c->argv[c->argc] = c->text[c->argc];
		c->argc++;
	}
}

static void add_number(struct command *c, const char *word, long n)
{
	char text[24];

	snprintf(text, sizeof(text), "%s%ld", word, n);
	add(c, text);
}

static void build(struct command *c, const cr_checkpoint_args_t *a,
		  pid_t target)
{
	static const char *const scopes[] = { "--pid", "--pgid", "--sid",
					      "--tree" };
	static const struct {
		unsigned int flag;
		const char *word;
	} flags[] = {
		{ CR_CHKPT_PTRACED_ALLOW, "--ptraced-allow" },
		{ CR_CHKPT_PTRACED_SKIP, "--ptraced-skip" },
		{ CR_CHKPT_PTRACER_SKIP, "--ptracer-skip" },
		{ CR_CHKPT_DUMP_EXEC, "--save-exe" },
		{ CR_CHKPT_DUMP_PRIVATE, "--save-private" },
		{ CR_CHKPT_DUMP_SHARED, "--save-shared" },
	};
	size_t i;

	memset(c, 0, sizeof(*c));
	add(c, "cr_checkpoint");
	add_number(c, "--result-fd=", RESULT_FD);
	add(c, scopes[a->cr_scope]);
	if (a->cr_fd == CR_DEST_CWD)
		add(c, "--cwd");
	else
		add_number(c, "--fd=", IMAGE_FD);
	if (a->cr_signal)
		add_number(c, "--signal=", a->cr_signal);
	if (a->cr_timeout)
		add_number(c, "--time=", (long)a->cr_timeout);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (a->cr_flags & flags[i].flag)
			add(c, flags[i].word);
	add_number(c, "", target);
	c->image_fd = a->cr_fd == CR_DEST_CWD ? -1 : a->cr_fd;
}

/* Is the caller below target, or target itself? */
static bool self_in_tree(pid_t target)
{
	char path[64], line[512], *p;
	pid_t pid = getpid();
	FILE *f;

	while (pid > 1 && pid != target) {
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "re");
		if (!f)
			return false;
		p = fgets(line, sizeof(line), f);
		fclose(f);
		p = p ? strrchr(line, ')') : NULL;
		if (!p || sscanf(p, ") %*c %d", &pid) != 1)
			return false;
	}
	return pid == target;
}

static bool self_in_scope(const cr_checkpoint_args_t *a, pid_t target)
{
	switch (a->cr_scope) {
	case CR_SCOPE_PROC:
		return target == getpid();
	case CR_SCOPE_PGRP:
		return target == getpgrp();
	case CR_SCOPE_SESS:
		return target == getsid(0);
	default:
		return self_in_tree(target);
	}
}

static int judge(const cr_checkpoint_args_t *a, pid_t *target)
{
	pid_t probe;

	if (client_id < 0)
		return CR_ENOINIT;
	if (a->cr_version != 1)
		return CR_EVERSION;
	if (a->cr_scope < CR_SCOPE_PROC || a->cr_scope > CR_SCOPE_TREE ||
	    a->cr_target < 0 || a->cr_signal < 0 || a->cr_signal > 64)
		return EINVAL;
	if (a->cr_fd != CR_DEST_CWD && fcntl(a->cr_fd, F_GETFD) < 0)
		return EBADF;
	*target = a->cr_target;
	if (!*target && a->cr_scope == CR_SCOPE_PGRP)
		*target = getpgrp();
	else if (!*target && a->cr_scope == CR_SCOPE_SESS)
		*target = getsid(0);
	else if (!*target)
		*target = getpid();
	probe = a->cr_scope == CR_SCOPE_PGRP ? -*target : *target;
	if (a->cr_scope != CR_SCOPE_SESS && kill(probe, 0))
		return errno;
	if (a->cr_flags & CR_CHKPT_PROHIBIT_SELF && self_in_scope(a, *target))
		return EDEADLK;
	return 0;
}

static void finish_early(struct cr_ext_result *res, int code)
{
	res->ret = -code;
	__atomic_store_n(&res->state, CR_EXT_RESULT_DONE, __ATOMIC_RELEASE);
	_exit(1);
}

/* Only system calls from here on: other threads may hold any lock. */
static void become_helper(struct command *c, int result_fd,
			  struct cr_ext_result *res, const char *path)
{
	static char *const env[] = { NULL };
	int image, result;

	/* Out of the way first, then to their places. */
	image = c->image_fd < 0 ? open("/dev/null", O_RDWR) :
				  fcntl(c->image_fd, F_DUPFD, 10);
	result = fcntl(result_fd, F_DUPFD, 10);
	if (image < 0 || result < 0 || dup2(image, IMAGE_FD) < 0 ||
	    dup2(result, RESULT_FD) < 0)
		finish_early(res, errno);
	syscall(SYS_close_range, 5U, ~0U, 0);
	res->helper = (int32_t)syscall(SYS_getpid);
	execve(path, c->argv, env);
	finish_early(res, errno);
}

static long bare_clone(int exit_signal)
{
	return syscall(SYS_clone, (unsigned long)exit_signal, 0, 0, 0, 0);
}

static int start(struct command *c, struct request *r)
{
	const char *env = getenv("CR_CHECKPOINT");
	char path[PATH_MAX];
	int status;
	long pid;

	snprintf(path, sizeof(path), "%s",
		 env && *env ? env : CR_BINDIR "/cr_checkpoint");
	pid = bare_clone(0);
	if (!pid) {
		setsid();
		pid = bare_clone(SIGCHLD);
		if (!pid)
			become_helper(c, r->fd, r->result, path);
		if (pid < 0)
			finish_early(r->result, errno);
		_exit(0);
	}
	if (pid < 0)
		return errno;
	while (waitpid((pid_t)pid, &status, __WALL) < 0)
		if (errno != EINTR)
			break;
	return 0;
}

static int open_result(struct request *r)
{
	struct stat st;
	void *p;
	int ret;

	r->fd = memfd_create("cr_request", MFD_CLOEXEC);
	if (r->fd < 0)
		return errno;
	ret = ftruncate(r->fd, CR_EXT_RESULT_SIZE);
	if (!ret)
		ret = fstat(r->fd, &st);
	if (ret)
		goto out;
	p = mmap(NULL, CR_EXT_RESULT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		 r->fd, 0);
	if (p == MAP_FAILED)
		goto out;
	r->ino = st.st_ino;
	r->result = p;
	return 0;
out:
	ret = errno ? errno : EIO;
	close(r->fd);
	return ret;
}

static void close_result(struct request *r)
{
	munmap(r->result, CR_EXT_RESULT_SIZE);
	close(r->fd);
	memset(r, 0, sizeof(*r));
}

int cr_request_checkpoint(cr_checkpoint_args_t *args,
			  cr_checkpoint_handle_t *handle)
{
	struct request *r = NULL;
	struct command c;
	pid_t target;
	int ret, i;

	ret = judge(args, &target);
	if (ret)
		return fail(ret);
	build(&c, args, target);
	pthread_mutex_lock(&lock);
	for (i = 0; i < MAX_REQUESTS && !r; i++)
		if (!requests[i].used)
			r = &requests[i];
	ret = r ? open_result(r) : EAGAIN;
	if (!ret) {
		r->used = true;
		ret = start(&c, r);
		if (ret)
			close_result(r);
		else
			*handle = (cr_checkpoint_handle_t)r->fd;
	}
	pthread_mutex_unlock(&lock);
	return ret ? fail(ret) : 0;
}

static struct request *find(const cr_checkpoint_handle_t *handle)
{
	int i;

	for (i = 0; i < MAX_REQUESTS; i++)
		if (requests[i].used &&
		    (cr_checkpoint_handle_t)requests[i].fd == *handle)
			return &requests[i];
	return NULL;
}

/* 0 pending, 1 complete, 2 we are the restarted copy. */
static int look(const struct request *r)
{
	struct stat st;

	if (fstat(r->fd, &st) || st.st_ino != r->ino)
		return 2;
	if (__atomic_load_n(&r->result->state, __ATOMIC_ACQUIRE) ==
	    CR_EXT_RESULT_DONE)
		return 1;
	/* It could not tell: it was killed. */
	if (r->result->helper && kill(r->result->helper, 0) && errno == ESRCH &&
	    __atomic_load_n(&r->result->state, __ATOMIC_ACQUIRE) ==
		    CR_EXT_RESULT_PENDING) {
		r->result->ret = -EIO;
		r->result->state = CR_EXT_RESULT_DONE;
		return 1;
	}
	return 0;
}

static void sleep_on(const struct request *r, int64_t left)
{
	struct timespec ts = { 0, SLICE_NS };

	if (left >= 0 && left < SLICE_NS)
		ts.tv_nsec = left;
	(void)syscall(SYS_futex, &r->result->state, FUTEX_WAIT,
		      CR_EXT_RESULT_PENDING, &ts, NULL, 0);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int cr_wait_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
	struct request *r = find(handle);
	int64_t end = -1, left = -1;

	if (!r)
		return fail(EINVAL);
	if (timeout)
		end = now() + timeout->tv_sec * 1000000000LL +
		      timeout->tv_usec * 1000LL;
	while (!look(r)) {
		if (timeout) {
			left = end - now();
			if (left <= 0)
				return 0;
		}
		sleep_on(r, left);
	}
	return 1;
}

int cr_log_checkpoint(cr_checkpoint_handle_t *handle, unsigned int len,
		      char *buf)
{
	struct request *r = find(handle);
	size_t n;

	if (!r)
		return fail(EINVAL);
	n = strnlen(r->result->log, sizeof(r->result->log) - 1);
	if (!n)
		return 0;
	if (buf && len) {
		if (len > n + 1)
			len = (unsigned int)n + 1;
		memcpy(buf, r->result->log, len);
		buf[len - 1] = '\0';
	}
	return (int)n + 1;
}

int cr_reap_checkpoint(cr_checkpoint_handle_t *handle)
{
	struct request *r;
	int state, ret = 0;

	pthread_mutex_lock(&lock);
	r = find(handle);
	state = r ? look(r) : 0;
	if (!r)
		ret = EINVAL;
	else if (!state)
		ret = EAGAIN;
	else if (state == 2)
		ret = CR_ERESTARTED;
	else
		ret = -r->result->ret;
	if (state)
		close_result(r);
	pthread_mutex_unlock(&lock);
	return ret ? fail(ret) : 0;
}

int cr_poll_checkpoint_msg(cr_checkpoint_handle_t *handle,
			   struct timeval *timeout, char **msg)
{
	int ret, len;

	if (msg)
		*msg = NULL;
	ret = cr_wait_checkpoint(handle, timeout);
	if (!ret)
		return 0;
	if (ret < 0)
		return CR_POLL_CHKPT_ERR_PRE;
	len = cr_log_checkpoint(handle, 0, NULL);
	if (msg && len > 0) {
		*msg = calloc(1, (size_t)len);
		if (!*msg)
			return CR_POLL_CHKPT_ERR_LOG;
		(void)cr_log_checkpoint(handle, (unsigned int)len, *msg);
	}
	if (cr_reap_checkpoint(handle))
		return CR_POLL_CHKPT_ERR_POST;
	return 1;
}

int cr_poll_checkpoint(cr_checkpoint_handle_t *handle, struct timeval *timeout)
{
	return cr_poll_checkpoint_msg(handle, timeout, NULL);
}
