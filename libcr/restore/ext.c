/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cr_ext_restart_*: the public face of a restart.  Checks run in the caller;
 * the rest too, or in the init of new namespaces.  The handle then stands for
 * the eldest restored process.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restore/ns.h"
#include "restore/relay.h"
#include "util/fault.h"

struct cr_ext_restart {
	struct cri_err err;
	pid_t eldest; /* our child: the eldest itself or the init */
	int sock; /* to the init, -1 without one */
	struct cri_relay relay;
};

/* Room for the plan's descriptors and for memory that will be locked. */
static void raise_limits(void)
{
	static const int which[] = { RLIMIT_NOFILE, RLIMIT_MEMLOCK,
				     RLIMIT_STACK, RLIMIT_AS, RLIMIT_DATA };
	struct rlimit lim;
	size_t i;

	for (i = 0; i < sizeof(which) / sizeof(*which); i++) {
		if (getrlimit((__rlimit_resource_t)which[i], &lim))
			continue;
		lim.rlim_cur = lim.rlim_max;
		setrlimit((__rlimit_resource_t)which[i], &lim);
	}
}

static void note_ignored(struct cri_restore *rs)
{
	struct sigaction sa;
	int sig;

	for (sig = 1; sig < 65; sig++)
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler == SIG_IGN)
			rs->ignored |= 1ull << (sig - 1);
}

/* Root trusts only what nobody else could have written. */
static int trust(int fd, struct cri_err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return cri_fail(err, errno, "the image");
	if (geteuid() == 0 && (st.st_uid != 0 || st.st_mode & 022) &&
	    S_ISREG(st.st_mode))
		return cri_fail(err, EPERM,
				"root restarts only images that root alone "
				"could write: this one belongs to user %u "
				"(mode %o); restart it as that user",
				st.st_uid, st.st_mode & 07777);
	return 0;
}

static int prepare(struct cri_restore *rs, struct cri_err *err)
{
	int ret;

	ret = trust(rs->args->fd, err);
	if (ret)
		return ret;
	ret = cri_reader_open(rs->args->fd, &rs->reader, err);
	if (ret)
		return ret;
	rs->set = cri_reader_records(rs->reader);
	ret = cri_restore_tree(rs, err);
	if (ret)
		return ret;
	ret = cri_restore_check(rs, err);
	if (ret)
		return ret;
	return cri_ns_decide(rs, err);
}

static int rebuild(struct cri_restore *rs, struct cri_err *err)
{
	int ret;

	raise_limits();
	note_ignored(rs);
	ret = cri_restore_objects(rs, err);
	if (ret)
		return ret;
	ret = cri_restore_fill_objects(rs, err);
	if (ret)
		return ret;
	ret = cri_area_create(rs, err);
	if (ret)
		return ret;
	ret = cri_plan_tasks(rs, err);
	if (ret)
		return ret;
	ret = cri_fault("restart-planned");
	if (ret)
		return cri_fail(err, -ret, "restart-planned: fault point");
	return cri_restore_go(rs, err);
}

static void fini(struct cri_restore *rs)
{
	uint32_t i;

	cri_restore_objects_close(rs);
	cri_area_destroy(rs);
	for (i = 0; i < rs->n_tasks; i++)
		if (!rs->tasks[i].n_threads)
			free(rs->tasks[i].threads);
	for (i = 0; i < rs->n_mms; i++)
		free(rs->mms[i].runs);
	free(rs->tasks);
	free(rs->ghosts);
	free(rs->threads);
	free(rs->mms);
	free(rs->by_pid);
	cri_reader_free(rs->reader);
}

/* The namespace's init; never returns. */
static void init_main(struct cri_restore *rs, struct cri_relay *relay, int sock)
{
	struct cri_ns_report rep;

	memset(&rep, 0, sizeof(rep));
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sock = fcntl(sock, F_DUPFD_CLOEXEC, 900);
	rep.ret = cri_ns_enter(rs, &rep.err);
	if (!rep.ret)
		rep.ret = cri_relay_enter(relay, &rep.err);
	if (!rep.ret)
		rep.ret = rebuild(rs, &rep.err);
	rep.eldest = rs->eldest;
	(void)!write(sock, &rep, sizeof(rep));
	if (rep.ret)
		_exit(1);
	fini(rs);
	cri_ns_init_loop(rep.eldest, sock);
	_exit(0);
}

static int here(struct cri_restore *rs, struct cr_ext_restart *r)
{
	int ret;

	ret = cri_relay_open(&r->relay, rs, &r->err);
	if (ret)
		return ret;
	ret = cri_relay_stdio(&r->relay, &r->err);
	if (!ret)
		ret = rebuild(rs, &r->err);
	cri_relay_stdio_back(&r->relay);
	cri_relay_started(&r->relay);
	r->eldest = rs->eldest;
	return ret;
}

static int in_namespaces(struct cri_restore *rs, struct cr_ext_restart *r)
{
	struct cri_ns_report rep;
	int pair[2], ret;
	pid_t pid;

	ret = cri_relay_open(&r->relay, rs, &r->err);
	if (ret)
		return ret;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return cri_fail(&r->err, errno, "socketpair");
	pid = cri_ns_fork(rs, &r->err);
	if (pid == 0) {
		close(pair[0]);
		init_main(rs, &r->relay, pair[1]);
	}
	close(pair[1]);
	cri_relay_started(&r->relay);
	if (pid < 0) {
		close(pair[0]);
		return pid;
	}
	do {
		ret = (int)read(pair[0], &rep, sizeof(rep));
	} while (ret < 0 && errno == EINTR);
	if (ret == (int)sizeof(rep) && !rep.ret) {
		r->sock = pair[0];
		r->eldest = pid;
		return 0;
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(pair[0]);
	if (ret != (int)sizeof(rep))
		return cri_fail(&r->err, ESRCH, "the planner died");
	r->err = rep.err;
	return rep.ret;
}

static int attempt(const struct cr_ext_restart_args *args,
		   struct cr_ext_restart *r, bool own_ids, bool *shared_ids)
{
	struct cri_restore rs;
	int ret;

	memset(&rs, 0, sizeof(rs));
	rs.args = args;
	rs.area_fd = -1;
	rs.data_fd = -1;
	rs.own_ids = own_ids;
	ret = prepare(&rs, &r->err);
	*shared_ids = !(rs.ns_flags & CLONE_NEWPID);
	if (!ret && !(args->flags & CR_EXT_CHECK_ONLY))
		ret = rs.ns_flags ? in_namespaces(&rs, r) : here(&rs, r);
	fini(&rs);
	if (ret)
		cri_relay_fini(&r->relay);
	return ret;
}

/*
 * An id that was free when it was looked at may be taken a moment later (or
 * its last owner be slow to die): then the tree gets a PID namespace after
 * all.  The first attempt has undone what it did.
 */
int cr_ext_restart_run(const struct cr_ext_restart_args *args,
		       struct cr_ext_restart **out)
{
	struct cr_ext_restart *r = calloc(1, sizeof(*r));
	off_t at = lseek(args->fd, 0, SEEK_CUR);
	bool shared_ids;
	int ret;

	*out = r;
	if (!r)
		return -ENOMEM;
	r->sock = -1;
	cri_relay_init(&r->relay);
	ret = attempt(args, r, false, &shared_ids);
	if (ret != -EEXIST || !shared_ids || at < 0 ||
	    !(args->flags & CR_EXT_RESTORE_PID))
		return ret;
	if (lseek(args->fd, at, SEEK_SET) != at)
		return ret;
	cri_err_clear(&r->err);
	return attempt(args, r, true, &shared_ids);
}

pid_t cr_ext_restart_pid(const struct cr_ext_restart *r)
{
	return r->eldest;
}

int cr_ext_restart_wait(struct cr_ext_restart *r, int *status)
{
	pid_t pid;
	ssize_t n;

	if (r->sock >= 0) {
		cri_relay_until(&r->relay, r->sock);
		do {
			n = read(r->sock, status, sizeof(*status));
		} while (n < 0 && errno == EINTR);
		if (n == (ssize_t)sizeof(*status))
			return 0;
		return cri_fail(&r->err, ECHILD,
				"the namespace's init was killed");
	}
	if (r->relay.master >= 0) {
		int pidfd = (int)syscall(SYS_pidfd_open, r->eldest, 0);

		cri_relay_until(&r->relay, pidfd);
		close(pidfd);
	}
	do {
		pid = waitpid(r->eldest, status, 0);
	} while (pid < 0 && errno == EINTR);
	return pid < 0 ? cri_fail(&r->err, errno, "waiting") : 0;
}

int cr_ext_restart_signal(struct cr_ext_restart *r, int sig)
{
	if (r->sock < 0)
		return kill(r->eldest, sig) ? -errno : 0;
	return write(r->sock, &sig, sizeof(sig)) < 0 ? -errno : 0;
}

const char *cr_ext_restart_message(const struct cr_ext_restart *r)
{
	return r ? r->err.text : "no memory";
}

void cr_ext_restart_close(struct cr_ext_restart *r)
{
	if (!r)
		return;
	cri_relay_fini(&r->relay);
	if (r->sock >= 0)
		close(r->sock);
	free(r);
}
