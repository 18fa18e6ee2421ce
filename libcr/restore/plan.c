/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compiles the program of each process: memory, children, descriptors,
 * threads, attributes, in the order that the stages need.  Children are forked
 * after the parent's memory is filled, so that pages which a fork shared are
 * shared again; those of an older session are forked before the parent makes
 * its own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "kind/kind.h"
#include "restore/restore.h"

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

struct rb_op *cri_op(struct cri_restore *rs, struct cri_rthread *th,
		     enum rb_code code, const char *label)
{
	struct rb_prog *prog = th->prog;
	struct rb_op *ops = (struct rb_op *)prog->ops;

	if (prog->n_ops == th->max_ops) {
		size_t more = th->max_ops ? 2 * th->max_ops : 64;
		struct rb_op *grown = realloc(ops, more * sizeof(*ops));

		if (!grown)
			return NULL;
		(void)rs;
		ops = grown;
		prog->ops = (uint64_t)ops;
		th->max_ops = more;
	}
	ops += prog->n_ops++;
	memset(ops, 0, sizeof(*ops));
	ops->code = (uint16_t)code;
	ops->label = (uint64_t)label;
	return ops;
}

struct rb_op *cri_op_sys(struct cri_restore *rs, struct cri_rthread *th,
			 const char *label, int nr, int64_t a, int64_t b,
			 int64_t c, int64_t d, int64_t e, int64_t f)
{
	struct rb_op *op = cri_op(rs, th, RB_SYS, label);

	if (!op)
		return NULL;
	op->nr = nr;
	op->arg[0] = a;
	op->arg[1] = b;
	op->arg[2] = c;
	op->arg[3] = d;
	op->arg[4] = e;
	op->arg[5] = f;
	return op;
}

int cri_op_barrier(struct cri_restore *rs, struct cri_rthread *th,
		   enum cri_stage stage)
{
	struct rb_op *op = cri_op(rs, th, RB_BARRIER, "waiting for the others");

	if (!op)
		return -ENOMEM;
	op->arg[0] = stage;
	return 0;
}

/* The finished program moves from the planner's heap into the area. */
int cri_prog_seal(struct cri_restore *rs, struct cri_rthread *th)
{
	struct rb_prog *prog = th->prog;
	void *heap = (void *)prog->ops, *to;

	to = cri_area_copy(rs, heap, prog->n_ops * sizeof(struct rb_op));
	free(heap);
	prog->ops = (uint64_t)to;
	th->max_ops = 0;
	return to ? 0 : -ENOMEM;
}

int cri_prog_new(struct cri_restore *rs, struct cri_rthread *th)
{
	char *stack = cri_area_alloc(rs, RB_STACK, 64);
	struct rb_prog *prog = cri_area_alloc(rs, sizeof(*prog), 64);

	if (!stack || !prog)
		return -ENOMEM;
	memset(prog, 0, sizeof(*prog));
	prog->area = (uint64_t)rs->area;
	prog->stack = (uint64_t)(stack + RB_STACK);
	prog->task = th->task->index;
	th->prog = prog;
	return 0;
}

static int park(struct cri_restore *rs, struct cri_rthread *th,
		enum cri_stage stage)
{
	struct rb_op *op = cri_op(rs, th, RB_PARK, "waiting for the others");

	if (!op)
		return -ENOMEM;
	op->arg[0] = stage;
	return 0;
}

/* Away with what the planner had at these numbers, then the program's own. */
static int descriptors(struct cri_restore *rs, struct cri_rtask *t,
		       struct cri_err *err)
{
	struct cri_rthread *th = t->threads;
	uint32_t i;
	int ret;

	if (!cri_op_sys(rs, th, "closing descriptors", SYS_close_range, 0,
			rs->fd_base - 1, 0, 0, 0, 0))
		return -ENOMEM;
	ret = cri_plan_late(rs, t);
	if (ret)
		return ret;
	for (i = 0; i < t->files->n_fds; i++) {
		const struct cri_fd *fd = &t->files->fds[i];
		int from = -1;

		if (cri_late_fd(rs, fd->ofd))
			continue;
		if (cri_recset_find(rs->set, CRI_REC_OFD, fd->ofd))
			from = rs->ofd_fd[fd->ofd];
		if (from < 0 || fd->fd >= (uint32_t)rs->fd_base)
			return cri_fail(err, EBADMSG,
					"damaged image: descriptor %u of "
					"process %u",
					fd->fd, t->rec->pid);
		if (!cri_op_sys(rs, th, "placing a descriptor", SYS_dup3, from,
				fd->fd, fd->flags & FD_CLOEXEC ? O_CLOEXEC : 0,
				0, 0, 0))
			return -ENOMEM;
	}
	return cri_plan_late_items(rs, t);
}

/* The number under which the task has the open file, -1 none. */
static int fd_of(const struct cri_rtask *t, uint32_t ofd)
{
	uint32_t i;

	for (i = 0; i < t->files->n_fds; i++)
		if (t->files->fds[i].ofd == ofd)
			return (int)t->files->fds[i].fd;
	return -1;
}

static int posix_locks(struct cri_restore *rs, struct cri_rtask *t,
		       struct cri_err *err)
{
	struct cri_rec_lock *lock;
	struct flock fl;
	uint32_t i;
	void *p;
	int fd;

	cri_for_each(rs->set, CRI_REC_LOCK, i, lock)
	{
		if (!t->has_locks || lock->kind || lock->task != t->rec->id)
			continue;
		fd = fd_of(t, lock->ofd);
		if (fd < 0)
			return cri_fail(err, EBADMSG,
					"damaged image: file lock");
		memset(&fl, 0, sizeof(fl));
		fl.l_type = (short)lock->type;
		fl.l_whence = SEEK_SET;
		fl.l_start = (off_t)lock->start;
		fl.l_len = (off_t)lock->len;
		p = cri_area_copy(rs, &fl, sizeof(fl));
		if (!p ||
		    !cri_op_sys(rs, t->threads, "taking its file lock",
				SYS_fcntl, fd, F_SETLK, (int64_t)p, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int filesystem(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rthread *th = t->threads;
	const char *cwd = cri_restore_path(rs, t->fs->cwd);
	char *path = cri_area_copy(rs, cwd, strlen(cwd) + 1);
	char *root = NULL;

	if (!path)
		return -ENOMEM;
	/* Both names are told from our root, so the chroot comes last. */
	if (!cri_op_sys(rs, th, "entering its working directory", SYS_chdir,
			(int64_t)path, 0, 0, 0, 0, 0) ||
	    !cri_op_sys(rs, th, "setting its umask", SYS_umask, t->fs->umask, 0,
			0, 0, 0, 0))
		return -ENOMEM;
	if (strcmp(t->fs->root, "/") != 0) {
		root = cri_area_copy(rs, t->fs->root, strlen(t->fs->root) + 1);
		if (!root ||
		    !cri_op_sys(rs, th, "entering its root directory",
				SYS_chroot, (int64_t)root, 0, 0, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int tables(struct cri_restore *rs, struct cri_rtask *t,
		  struct cri_err *err)
{
	int ret;

	if (!t->shares_fs) {
		ret = filesystem(rs, t);
		if (ret)
			return ret;
	}
	if (!t->shares_files) {
		ret = descriptors(rs, t, err);
		if (ret)
			return ret;
		if (!cri_op_sys(rs, t->threads,
				"closing the planner's descriptors",
				SYS_close_range, rs->fd_base, 0xffffffff, 0, 0,
				0, 0))
			return -ENOMEM;
	}
	return t->has_locks ? posix_locks(rs, t, err) : 0;
}

struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

static int action(struct cri_restore *rs, struct cri_rthread *th, uint32_t sig,
		  const struct kernel_sigaction *sa)
{
	void *p = cri_area_copy(rs, sa, sizeof(*sa));

	if (!p || !cri_op_sys(rs, th, "setting a signal's action",
			      SYS_rt_sigaction, sig, (int64_t)p, 0, 8, 0, 0))
		return -ENOMEM;
	return 0;
}

static int actions(struct cri_restore *rs, struct cri_rtask *t)
{
	struct kernel_sigaction sa;
	uint32_t i;
	int ret;

	/*
	 * Default first, where the planner ignores a signal and for SIGCHLD:
	 * it flushes what children that ended have sent.
	 */
	memset(&sa, 0, sizeof(sa));
	ret = action(rs, t->threads, SIGCHLD, &sa);
	for (i = 1; !ret && i < 65; i++)
		if (rs->ignored >> (i - 1) & 1)
			ret = action(rs, t->threads, i, &sa);
	for (i = 0; !ret && i < t->rec->n_actions; i++) {
		const struct cri_sigaction *a = &t->rec->actions[i];

		sa.handler = a->handler;
		sa.flags = a->flags;
		sa.restorer = a->restorer;
		sa.mask = a->mask;
		ret = action(rs, t->threads, a->signo, &sa);
	}
	return ret;
}

static int pending(struct cri_restore *rs, struct cri_rtask *t)
{
	uint32_t i;

	for (i = 0; i < t->rec->n_pending; i++) {
		const struct cri_bytes *raw = &t->rec->pending[i].raw;
		void *p;
		int sig;

		if (raw->len != sizeof(siginfo_t))
			return -EBADMSG;
		memcpy(&sig, raw->p, sizeof(sig));
		p = cri_area_copy(rs, raw->p, raw->len);
		if (!p ||
		    !cri_op_sys(rs, t->threads, "queueing a pending signal",
				SYS_rt_sigqueueinfo, t->rec->pid, sig,
				(int64_t)p, 0, 0, 0))
			return -ENOMEM;
	}
	return 0;
}

static int itimers(struct cri_restore *rs, struct cri_rtask *t)
{
	uint32_t i;

	for (i = 0; i < t->rec->n_itimers; i++) {
		const struct cri_itimer *it = &t->rec->itimers[i];
		struct itimerval tv;
		void *p;

		/* Value 0 with an interval: it was just expiring. */
		tv.it_value.tv_sec = (time_t)(it->value / 1000000000);
		tv.it_value.tv_usec =
			(suseconds_t)(it->value % 1000000000 / 1000);
		if (it->interval && it->value < 1000)
			tv.it_value.tv_usec = 1;
		tv.it_interval.tv_sec = (time_t)(it->interval / 1000000000);
		tv.it_interval.tv_usec =
			(suseconds_t)(it->interval % 1000000000 / 1000);
		p = cri_area_copy(rs, &tv, sizeof(tv));
		if (!p ||
		    !cri_op_sys(rs, t->threads, "setting an interval timer",
				SYS_setitimer, it->which, (int64_t)p, 0, 0, 0,
				0))
			return -ENOMEM;
	}
	return 0;
}

static int ptimer(struct cri_restore *rs, struct cri_rtask *t,
		  const struct cri_ptimer *pt)
{
	struct itimerspec its;
	struct sigevent sev;
	struct rb_op *op;
	uint64_t value = pt->value;
	void *p;

	memset(&sev, 0, sizeof(sev));
	sev.sigev_notify = (int)pt->notify;
	sev.sigev_signo = (int)pt->signo;
	sev.sigev_value.sival_ptr = (void *)pt->sigval;
	sev._sigev_un._tid = (pid_t)pt->tid;
	p = cri_area_copy(rs, &sev, sizeof(sev));
	op = cri_op(rs, t->threads, RB_TIMER, "making a POSIX timer");
	if (!p || !op)
		return -ENOMEM;
	op->arg[0] = pt->clock;
	op->arg[1] = (int64_t)p;
	op->arg[2] = pt->timer;
	if (!value && pt->armed)
		value = 1;
	its.it_value.tv_sec = (time_t)(value / 1000000000);
	its.it_value.tv_nsec = (long)(value % 1000000000);
	its.it_interval.tv_sec = (time_t)(pt->interval / 1000000000);
	its.it_interval.tv_nsec = (long)(pt->interval % 1000000000);
	p = cri_area_copy(rs, &its, sizeof(its));
	if (!p ||
	    !cri_op_sys(rs, t->threads, "setting a POSIX timer",
			SYS_timer_settime, pt->timer, 0, (int64_t)p, 0, 0, 0))
		return -ENOMEM;
	return 0;
}

static int by_timer(const void *a, const void *b)
{
	const struct cri_ptimer *x = a, *y = b;

	return x->timer < y->timer ? -1 : x->timer > y->timer;
}

/* Newer kernels take the id wanted; older ones only count up. */
static int exact_ids(struct cri_restore *rs, struct cri_rtask *t, int on)
{
	struct rb_op *op;

	op = cri_op_sys(rs, t->threads, "choosing timer ids", SYS_prctl,
			PR_TIMER_CREATE_RESTORE_IDS, on, 0, 0, 0, 0);
	if (!op)
		return -ENOMEM;
	op->flags |= RB_IGNORE;
	return 0;
}

static int timers(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rec_task *rec = t->rec;
	uint32_t i;
	int ret;

	ret = itimers(rs, t);
	if (ret || !rec->n_ptimers)
		return ret;
	qsort(rec->ptimers, rec->n_ptimers, sizeof(*rec->ptimers), by_timer);
	ret = exact_ids(rs, t, 1);
	for (i = 0; !ret && i < rec->n_ptimers; i++)
		ret = ptimer(rs, t, &rec->ptimers[i]);
	return ret ? ret : exact_ids(rs, t, 0);
}

static int process_attrs(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rthread *th = t->threads;
	struct cri_rec_task *rec = t->rec;
	struct rb_op *op;

	if (!cri_op_sys(rs, th, "setting its personality", SYS_personality,
			(int64_t)rec->personality, 0, 0, 0, 0, 0))
		return -ENOMEM;
	if (rec->subreaper &&
	    !cri_op_sys(rs, th, "becoming a subreaper", SYS_prctl,
			PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, 0))
		return -ENOMEM;
	if (rec->mdwe && !cri_op_sys(rs, th, "denying writable code", SYS_prctl,
				     PR_SET_MDWE, rec->mdwe, 0, 0, 0, 0))
		return -ENOMEM;
	op = cri_op_sys(rs, th, "registering for membarrier", SYS_membarrier,
			MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0,
			0);
	if (!op)
		return -ENOMEM;
	op->flags |= RB_IGNORE;
	if (rec->thp_disable &&
	    !cri_op_sys(rs, th, "disabling huge pages", SYS_prctl,
			PR_SET_THP_DISABLE, 1, 0, 0, 0, 0))
		return -ENOMEM;
	return 0;
}

static int thread_start(struct cri_restore *rs, struct cri_rthread *th)
{
	struct rb_op *op;

	op = cri_op(rs, th->task->threads, RB_THREAD, "creating a thread");
	if (!op)
		return -ENOMEM;
	op->arg[0] = (int64_t)th->prog;
	op->arg[1] = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
		     CLONE_THREAD | CLONE_SYSVSEM;
	if (rs->fresh_pids)
		return 0;
	op->arg[3] = th->rec->tid;
	op->expect = th->rec->tid;
	op->flags = RB_EXPECT;
	return 0;
}

static int thread_program(struct cri_restore *rs, struct cri_rthread *th,
			  struct cri_err *err)
{
	int ret;

	ret = cri_plan_thread(rs, th, err);
	if (ret)
		return ret;
	ret = park(rs, th, CRI_STAGE_READY);
	if (ret)
		return ret;
	ret = cri_plan_last(rs, th, err);
	if (ret)
		return ret;
	return park(rs, th, CRI_STAGE_LAST);
}

/* Until the last touches, whoever loses its creator dies with it. */
int cri_op_leash(struct cri_restore *rs, struct cri_rthread *th)
{
	return cri_op_sys(rs, th, "tying it to its parent", SYS_prctl,
			  PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0) ?
		       0 :
		       -ENOMEM;
}

static int process_program(struct cri_restore *rs, struct cri_rtask *t,
			   struct cri_err *err)
{
	struct cri_rthread *th = t->threads;
	uint32_t i;
	int ret;

	ret = cri_op_leash(rs, th);
	if (ret)
		return ret;
	ret = cri_plan_memory(rs, t, err);
	if (ret)
		return ret;
	ret = cri_plan_session(rs, t);
	if (ret)
		return ret;
	ret = cri_plan_group(rs, t);
	if (ret)
		return ret;
	ret = cri_plan_dead(rs, t);
	if (ret)
		return ret;
	ret = cri_plan_tty(rs, t, err);
	if (ret)
		return ret;
	ret = tables(rs, t, err);
	if (ret)
		return ret;
	ret = process_attrs(rs, t);
	if (ret)
		return ret;
	for (i = 1; i < t->n_threads; i++) {
		ret = thread_start(rs, &th[i]);
		if (ret)
			return ret;
	}
	ret = actions(rs, t);
	if (ret)
		return ret;
	ret = pending(rs, t);
	if (ret)
		return ret;
	ret = timers(rs, t);
	if (ret)
		return ret;
	for (i = 0; i < t->n_threads; i++) {
		ret = thread_program(rs, &th[i], err);
		if (ret)
			return ret;
	}
	return 0;
}

/* A zombie has no threads in the image; its program needs one all the same. */
static int zombie_thread(struct cri_restore *rs, struct cri_rtask *t)
{
	struct cri_rthread *th = calloc(1, sizeof(*th));

	(void)rs;
	if (!th)
		return -ENOMEM;
	th->task = t;
	t->threads = th;
	return 0;
}

int cri_plan_tasks(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t i, k;
	int ret;

	for (i = 0; i < rs->n_tasks; i++) {
		struct cri_rtask *t = &rs->tasks[i];

		ret = t->n_threads ? 0 : zombie_thread(rs, t);
		for (k = 0; !ret && k < (t->n_threads ? t->n_threads : 1); k++)
			ret = cri_prog_new(rs, &t->threads[k]);
		if (ret)
			return cri_fail(err, -ret, "no memory for the plan");
	}
	ret = cri_plan_ghosts(rs);
	if (ret)
		return cri_fail(err, -ret, "no memory for the plan");
	for (i = 0; i < rs->n_tasks; i++) {
		struct cri_rtask *t = &rs->tasks[i];

		ret = t->n_threads ? process_program(rs, t, err) :
				     cri_plan_zombie(rs, t);
		for (k = 0; !ret && k < (t->n_threads ? t->n_threads : 1); k++)
			ret = cri_prog_seal(rs, &t->threads[k]);
		if (ret)
			return cri_fail(err, -ret,
					"cannot plan process %u (%s)",
					t->rec->pid, t->rec->comm);
	}
	return 0;
}
