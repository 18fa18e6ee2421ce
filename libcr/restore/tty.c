/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Controlling terminals: a session leader takes the terminal that its session
 * had, if that one lies in the image, and sets the foreground group again.
 */
#include "config.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restore/restore.h"

/* A planner's descriptor of the terminal's own side (not the master). */
static int tty_fd(struct cri_restore *rs, uint32_t tty)
{
	struct cri_rec_ofd *ofd;
	uint32_t i;

	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		if (ofd->type == CRI_REC_TTY && ofd->inode == tty &&
		    ofd->end == 0)
			return rs->ofd_fd[ofd->id];
	}
	return -1;
}

/*
 * In a namespace the terminal of an outside session is the init's own; the
 * group that was in its foreground is there again before anything runs.
 */
int cri_restore_foreground(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_rec_tty *tty;
	struct cri_rtask *group;
	uint32_t i;
	int fd;

	if (!(rs->ns_flags & CLONE_NEWPID))
		return 0;
	cri_for_each(rs->set, CRI_REC_TTY, i, tty)
	{
		group = cri_task_by_pid(rs, tty->pgrp);
		fd = tty_fd(rs, tty->id);
		if (tty->kind != CRI_TTY_OUTSIDE || !group || fd < 0 ||
		    !isatty(fd))
			continue;
		if (tcsetpgrp(fd, (pid_t)tty->pgrp) && errno != ENOTTY)
			return cri_fail(err, errno,
					"setting the foreground group %u",
					tty->pgrp);
	}
	return 0;
}

int cri_plan_tty(struct cri_restore *rs, struct cri_rtask *t,
		 struct cri_err *err)
{
	struct cri_rec_tty *tty;
	struct cri_rtask *group;
	int32_t *pgrp;
	int fd;

	if (!t->rec->ctty || t->rec->sid != t->rec->pid)
		return 0;
	tty = cri_recset_find(rs->set, CRI_REC_TTY, t->rec->ctty);
	if (!tty)
		return cri_fail(err, EBADMSG, "damaged image: terminal");
	fd = tty_fd(rs, tty->id);
	if (fd < 0)
		return 0;
	if (!cri_op_sys(rs, t->threads, "taking its terminal", SYS_ioctl, fd,
			TIOCSCTTY, 0, 0, 0, 0))
		return -ENOMEM;
	group = cri_task_by_pid(rs, tty->pgrp);
	if (!tty->pgrp || !group)
		return 0;
	pgrp = cri_area_alloc(rs, sizeof(*pgrp), 8);
	if (!pgrp)
		return -ENOMEM;
	*pgrp = (int32_t)tty->pgrp;
	if (!cri_op_sys(rs, t->threads, "setting the foreground group",
			SYS_ioctl, fd, TIOCSPGRP, (int64_t)pgrp, 0, 0, 0))
		return -ENOMEM;
	return 0;
}
