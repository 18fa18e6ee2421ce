/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions, process groups, zombies and ghosts.  A ghost is a process that
 * lives only until a group whose leader had died has its members: it takes the
 * leader's pid, leads, and ends.  Its parent reaps it before the program runs.
 */
#include "config.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "restore/restore.h"

static int fork_ghosts(struct cri_restore *rs, struct cri_rtask *t)
{
	struct rb_op *op;
	uint32_t i;

	for (i = 0; i < rs->n_ghosts; i++) {
		struct cri_ghost *g = &rs->ghosts[i];

		if (g->parent != t)
			continue;
		op = cri_op(rs, t->threads, RB_FORK,
			    "standing in for a dead group leader");
		if (!op)
			return -ENOMEM;
		op->arg[0] = (int64_t)g->th.prog;
		if (rs->fresh_pids)
			continue;
		op->arg[3] = g->pgid;
		op->expect = g->pgid;
		op->flags = RB_EXPECT;
	}
	return 0;
}

static int fork_child(struct cri_restore *rs, struct cri_rtask *t,
		      struct cri_rtask *child)
{
	struct rb_op *op;

	op = cri_op(rs, t->threads, RB_FORK, "creating a child process");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)child->threads->prog;
	op->arg[1] = (child->shares_files ? CLONE_FILES : 0) |
		     (child->shares_fs ? CLONE_FS : 0);
	op->arg[2] = child->rec->exit_signal;
	if (rs->fresh_pids)
		return 0;
	op->arg[3] = child->rec->pid;
	op->expect = child->rec->pid;
	op->flags = RB_EXPECT;
	return 0;
}

/* Does the child belong to a session that t leaves when it makes its own? */
static bool older_session(const struct cri_rtask *t,
			  const struct cri_rtask *child)
{
	return t->rec->sid == t->rec->pid && child->rec->sid != t->rec->pid &&
	       child->rec->sid != child->rec->pid;
}

static int fork_children(struct cri_restore *rs, struct cri_rtask *t,
			 bool older)
{
	struct cri_rtask *c;
	int ret;

	for (c = t->child; c; c = c->sibling) {
		if (older_session(t, c) != older)
			continue;
		ret = fork_child(rs, t, c);
		if (ret)
			return ret;
	}
	return 0;
}

static int zombies(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rtask *c;
	struct rb_op *op;

	for (c = t->child; c; c = c->sibling) {
		if (c->rec->state != CRI_TASK_ZOMBIE)
			continue;
		op = cri_op(rs, t->threads, RB_DEAD, "ending a child again");
		if (!op)
			return -ENOMEM;
		op->arg[0] = (int64_t)c->threads->prog;
	}
	return 0;
}

int cri_plan_session(struct cri_restore *rs, struct cri_rtask *t)
{
	int ret;

	ret = fork_children(rs, t, true);
	if (ret)
		return ret;
	if (t->rec->sid == t->rec->pid &&
	    !cri_op_sys(rs, t->threads, "making its session", SYS_setsid, 0, 0,
			0, 0, 0, 0))
		return -ENOMEM;
	ret = fork_ghosts(rs, t);
	return ret ? ret : fork_children(rs, t, false);
}

static int group_make(struct cri_restore *rs, struct cri_rtask *t)
{
	struct rb_op *op;

	if (t->rec->pgid != t->rec->pid || t->rec->sid == t->rec->pid)
		return 0;
	op = cri_op_sys(rs, t->threads, "making its process group", SYS_setpgid,
			0, 0, 0, 0, 0, 0);
	return op ? 0 : -ENOMEM;
}

static struct cri_ghost *ghost_find(struct cri_restore *rs, uint32_t pgid)
{
	uint32_t i;

	for (i = 0; i < rs->n_ghosts; i++)
		if (rs->ghosts[i].pgid == pgid)
			return &rs->ghosts[i];
	return NULL;
}

static int group_join(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rtask *leader = cri_task_by_pid(rs, t->rec->pgid);
	struct cri_ghost *ghost = leader ? NULL : ghost_find(rs, t->rec->pgid);
	struct rb_op *op;

	if (!t->rec->pgid || leader == t || (!leader && !ghost))
		return 0;
	op = cri_op(rs, t->threads, RB_SETPGID, "joining its process group");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)(leader ? leader->threads->prog : ghost->th.prog);
	return 0;
}

/* Make or join a group, with all the others. */
int cri_plan_group(struct cri_restore *rs, struct cri_rtask *t)
{
	int ret;

	ret = group_make(rs, t);
	if (!ret)
		ret = cri_op_barrier(rs, t->threads, CRI_STAGE_BORN);
	if (!ret)
		ret = group_join(rs, t);
	if (!ret)
		ret = cri_op_barrier(rs, t->threads, CRI_STAGE_JOINED);
	return ret;
}

/* Children that are to be zombies are dead, and ghosts gone, from here on. */
int cri_plan_dead(struct cri_restore *rs, struct cri_rtask *t)
{
	uint32_t i;
	int ret;

	ret = zombies(rs, t);
	for (i = 0; i < rs->n_ghosts && !ret; i++) {
		struct rb_op *op;

		if (rs->ghosts[i].parent != t)
			continue;
		op = cri_op(rs, t->threads, RB_REAP, "reaping a stand-in");
		if (!op)
			return -ENOMEM;
		op->arg[0] = (int64_t)rs->ghosts[i].th.prog;
	}
	return ret;
}

int cri_plan_zombie(struct cri_restore *rs, struct cri_rtask *t)
{
	void *name = cri_area_copy(rs, t->rec->comm, strlen(t->rec->comm) + 1);
	struct rb_op *op;
	int ret;

	if (t->rec->sid == t->rec->pid &&
	    !cri_op_sys(rs, t->threads, "making its session", SYS_setsid, 0, 0,
			0, 0, 0, 0))
		return -ENOMEM;
	ret = cri_plan_group(rs, t);
	if (ret)
		return ret;
	if (!name || !cri_op_sys(rs, t->threads, "setting its name", SYS_prctl,
				 PR_SET_NAME, (int64_t)name, 0, 0, 0, 0))
		return -ENOMEM;
	op = cri_op(rs, t->threads, RB_EXIT, "ending");
	if (!op)
		return -ENOMEM;
	op->arg[0] = t->rec->exit_code;
	return 0;
}

static int ghost_program(struct cri_restore *rs, struct cri_ghost *g)
{
	int ret;

	ret = cri_op_leash(rs, &g->th);
	if (!ret && !cri_op_sys(rs, &g->th, "leading a process group",
				SYS_setpgid, 0, 0, 0, 0, 0, 0))
		ret = -ENOMEM;
	if (!ret)
		ret = cri_op_barrier(rs, &g->th, CRI_STAGE_BORN);
	if (!ret)
		ret = cri_op_barrier(rs, &g->th, CRI_STAGE_JOINED);
	if (!ret && !cri_op(rs, &g->th, RB_EXIT, "ending"))
		ret = -ENOMEM;
	return ret ? ret : cri_prog_seal(rs, &g->th);
}

/* A group of a session that lies in the tree, but whose leader is gone. */
static bool headless(struct cri_restore *rs, const struct cri_rec_task *t)
{
	return t->pgid && t->pgid != t->pid && !cri_task_by_pid(rs, t->pgid) &&
	       cri_task_by_pid(rs, t->sid) && !ghost_find(rs, t->pgid);
}

int cri_plan_ghosts(struct cri_restore *rs)
{
	struct cri_ghost *g;
	uint32_t i;
	int ret = 0;

	rs->ghosts = calloc(rs->n_tasks, sizeof(*rs->ghosts));
	if (!rs->ghosts)
		return -ENOMEM;
	for (i = 0; i < rs->n_tasks; i++) {
		struct cri_rtask *t = &rs->tasks[i], *parent = t->parent;

		if (!headless(rs, t->rec))
			continue;
		if (!parent || parent->rec->sid != t->rec->sid)
			parent = cri_task_by_pid(rs, t->rec->sid);
		if (parent->rec->state == CRI_TASK_ZOMBIE)
			continue;
		g = &rs->ghosts[rs->n_ghosts++];
		g->pgid = t->rec->pgid;
		g->parent = parent;
		g->th.task = parent;
		ret = cri_prog_new(rs, &g->th);
		if (!ret)
			ret = ghost_program(rs, g);
		if (ret)
			break;
	}
	return ret;
}
