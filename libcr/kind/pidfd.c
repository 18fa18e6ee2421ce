/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of processes.  One of a process of the tree is opened by its
 * holder once all live; one of a process that is gone refers to a process of
 * the planner that is gone.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kind/util.h"

#define THREAD O_EXCL /* PIDFD_THREAD */

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "[pidfd]") ||
	       strncmp(p->link, "pidfd:", 6) == 0;
}

/* The innermost number, -1 of a process that was reaped, 0 unknown. */
static int64_t inner_pid(const struct cri_probe *p)
{
	const char *at = strstr(p->fdinfo, "NSpid:");
	uint64_t v;
	char line[128];
	size_t len;
	char *last;

	if (!cri_kind_field(p->fdinfo, "Pid", 10, &v))
		return 0;
	if ((int64_t)v == -1)
		return -1;
	if (!at)
		return (int64_t)v;
	len = strcspn(at, "\n");
	if (len >= sizeof(line))
		return 0;
	memcpy(line, at, len);
	line[len] = '\0';
	last = strrchr(line, '\t');
	return last ? strtol(last + 1, NULL, 10) : (int64_t)v;
}

static int check(const struct cri_probe *p, struct cri_err *err)
{
	int64_t pid = inner_pid(p);

	if ((uint32_t)fcntl(p->fd, F_GETFL) & THREAD)
		return cri_fail(err, ENOTSUP,
				"is a pidfd of a thread (not supported)");
	if (pid > 0 && !cri_capture_proc(p->cap, (pid_t)pid) &&
	    !cri_capture_by_pid(p->cap, (pid_t)pid))
		return cri_fail(err, ENOTSUP,
				"is a pidfd of process %d, which is not part "
				"of the checkpoint (not supported)",
				(int)pid);
	return 0;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_pidfd *r;
	int64_t pid = inner_pid(p);
	int ret = check(p, err);

	if (ret)
		return ret;
	r = cri_recset_add(p->set, CRI_REC_PIDFD);
	if (!r)
		return -ENOMEM;
	r->pid = pid > 0 ? (uint32_t)pid : 0;
	cri_kind_refer(p, r->id);
	return 0;
}

static bool late(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		 struct cri_late *l)
{
	struct cri_rec_pidfd *r = cri_recset_find(cri_restore_records(rs),
						  CRI_REC_PIDFD, ofd->inode);

	if (!r || !r->pid)
		return false;
	l->path[0] = '\0';
	l->pid = r->pid;
	l->flags = ofd->flags & O_NONBLOCK;
	l->pos = 0;
	return true;
}

static int open_dead(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		     int *fd, struct cri_err *err)
{
	pid_t pid;

	(void)rs;
	pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return cri_fail(err, errno, "fork");
	*fd = (int)syscall(SYS_pidfd_open, pid, ofd->flags & O_NONBLOCK);
	if (*fd < 0)
		(void)cri_fail(err, errno, "pidfd");
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return *fd < 0 ? -EIO : 0;
}

const struct cri_kind cri_kind_pidfd = {
	.type = CRI_REC_PIDFD,
	.name = "pidfd",
	.match = match,
	.check = check,
	.capture = capture,
	.late = late,
	.open = open_dead,
};
