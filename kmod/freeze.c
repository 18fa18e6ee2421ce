// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Standstill: threads frozen by the cgroup v2 freezer are only looked at;
 * where no cgroup does it, a task_work parks each thread at its next return
 * to user mode.  A task_work cannot be withdrawn, so what it needs (gate,
 * place, the module) is counted: an unparked or forgotten one finds the gate
 * open and goes on at once.
 */
#include <linux/delay.h>
#include <linux/sched/debug.h>
#include <linux/slab.h>
#include <linux/task_work.h>

#include "stasis.h"

/* Works that have not run yet, of all sessions: memory that only time frees. */
#define WORKS_MAX 262144

static atomic_t works = ATOMIC_INIT(0);

struct stasis_gate {
	struct kref ref;
	wait_queue_head_t wait;
	bool open;
	struct xarray parks; /* task address -> struct stasis_place */
};

struct stasis_place {
	struct callback_head work;
	struct kref ref; /* callback's and session's */
	struct stasis_gate *gate;
	struct task_struct *task; /* session's reference */
	bool parked;
	bool gone; /* it ran, and will not park any more */
};

static void gate_free(struct kref *ref)
{
	struct stasis_gate *g = container_of(ref, struct stasis_gate, ref);

	xa_destroy(&g->parks);
	kfree(g);
}

static void place_free(struct kref *ref)
{
	struct stasis_place *p = container_of(ref, struct stasis_place, ref);

	kref_put(&p->gate->ref, gate_free);
	kfree(p);
}

/* Runs as the thread itself, on its way to user mode or at its exit. */
static void park_run(struct callback_head *work)
{
	struct stasis_place *p = container_of(work, struct stasis_place, work);
	struct stasis_gate *g = p->gate;

	if (!(current->flags & PF_EXITING)) {
		WRITE_ONCE(p->parked, true);
		wait_event_killable(g->wait, READ_ONCE(g->open));
		WRITE_ONCE(p->parked, false);
	}
	WRITE_ONCE(p->gone, true);
	kref_put(&p->ref, place_free);
	atomic_dec(&works);
	module_put(THIS_MODULE);
}

static int place_add(struct stasis_gate *g, struct task_struct *t)
{
	struct stasis_place *p, *old;
	int ret;

	old = xa_load(&g->parks, (unsigned long)t >> 3);
	if (old && !READ_ONCE(old->gone))
		return 0;
	if (atomic_read(&works) >= WORKS_MAX)
		return -EAGAIN;
	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	kref_init(&p->ref);
	kref_get(&g->ref);
	p->gate = g;
	p->task = get_task_struct(t);
	init_task_work(&p->work, park_run);
	ret = xa_err(xa_store(&g->parks, (unsigned long)t >> 3, p,
			      GFP_KERNEL_ACCOUNT));
	if (ret)
		goto err;
	if (old) {
		put_task_struct(old->task);
		kref_put(&old->ref, place_free);
	}
	kref_get(&p->ref);
	__module_get(THIS_MODULE);
	atomic_inc(&works);
	ret = task_work_add(t, &p->work, TWA_SIGNAL);
	if (!ret)
		return 1;
	/* It exits: nothing to park, the place stays empty. */
	WRITE_ONCE(p->gone, true);
	kref_put(&p->ref, place_free);
	atomic_dec(&works);
	module_put(THIS_MODULE);
	return 0;
err:
	put_task_struct(p->task);
	kref_put(&p->ref, place_free);
	return ret;
}

static int gate_new(struct stasis_session *s)
{
	struct stasis_gate *g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);

	if (!g)
		return -ENOMEM;
	kref_init(&g->ref);
	init_waitqueue_head(&g->wait);
	xa_init(&g->parks);
	s->gate = g;
	return 0;
}

static int park_list(struct stasis_session *s, struct task_struct **list, u32 n,
		     u32 *asked)
{
	int ret = 0;
	u32 i;

	for (i = 0; i < n && ret >= 0; i++) {
		if (list[i] == current)
			ret = -EDEADLK;
		else
			ret = place_add(s->gate, list[i]);
		if (ret > 0)
			*asked += 1;
	}
	stasis_threads_put(list, n);
	return ret < 0 ? ret : 0;
}

static int park_proc(struct stasis_session *s, u32 id, u32 *asked)
{
	struct task_struct **list;
	struct stasis_hold h;
	int ret;
	u32 n;

	ret = stasis_hold_get(s, id, &h);
	if (ret)
		return ret == -ESRCH ? 0 : ret;
	ret = stasis_threads_get(h.task, &list, &n);
	/* More were born while we looked: WAIT will tell. */
	if (ret == -EAGAIN)
		ret = 0;
	else if (!ret)
		ret = park_list(s, list, n, asked);
	stasis_hold_put(&h);
	return ret;
}

int stasis_ioc_park(struct stasis_session *s, void *arg)
{
	struct stasis_park *a = arg;
	struct stasis_proc *p;
	unsigned long id;
	int ret;

	if (a->n_threads)
		return -EINVAL;
	if (!s->gate) {
		ret = gate_new(s);
		if (ret)
			return ret;
	}
	xa_for_each(&s->procs, id, p)
	{
		ret = park_proc(s, id, &a->n_threads);
		if (ret)
			return ret;
	}
	return 0;
}

static u32 unpark(struct stasis_session *s)
{
	struct stasis_gate *g = s->gate;
	struct stasis_place *p;
	unsigned long i;
	u32 n = 0;

	if (!g)
		return 0;
	s->gate = NULL;
	WRITE_ONCE(g->open, true);
	wake_up_all(&g->wait);
	xa_for_each(&g->parks, i, p)
	{
		xa_erase(&g->parks, i);
		n += READ_ONCE(p->parked);
		put_task_struct(p->task);
		kref_put(&p->ref, place_free);
	}
	kref_put(&g->ref, gate_free);
	return n;
}

void stasis_unpark(struct stasis_session *s)
{
	unpark(s);
}

int stasis_ioc_unpark(struct stasis_session *s, void *arg)
{
	struct stasis_park *a = arg;

	if (a->n_threads)
		return -EINVAL;
	a->n_threads = unpark(s);
	return 0;
}

bool stasis_parked(struct stasis_session *s, struct task_struct *t)
{
	struct stasis_place *p;

	if (!s->gate)
		return false;
	p = xa_load(&s->gate->parks, (unsigned long)t >> 3);
	return p && READ_ONCE(p->parked);
}

/* Asked to park: when it is continued it comes by before user mode. */
static bool will_park(struct stasis_session *s, struct task_struct *t)
{
	struct stasis_place *p;

	if (!s->gate)
		return false;
	p = xa_load(&s->gate->parks, (unsigned long)t >> 3);
	return p && !READ_ONCE(p->gone);
}

/*
 * A vfork() parent counts as frozen for the freezer while it is inside of
 * the call; it sleeps killable, where a thread in the freezer's trap sleeps
 * interruptible.  Registers are final only when the thread has left its CPU.
 */
u32 stasis_stands(struct stasis_session *s, struct task_struct *t)
{
	unsigned int state = READ_ONCE(t->__state);

	if (stasis_parked(s, t)) {
		if (!(state & TASK_UNINTERRUPTIBLE))
			return STASIS_WHY_RUNS;
	} else if (state & __TASK_TRACED) {
		return STASIS_WHY_TRACED;
	} else if (state & __TASK_STOPPED) {
		if (!t->frozen && !will_park(s, t))
			return STASIS_WHY_STOPPED;
	} else if (!t->frozen) {
		return state & TASK_UNINTERRUPTIBLE ? STASIS_WHY_SLEEPS :
						      STASIS_WHY_RUNS;
	} else if (state & TASK_UNINTERRUPTIBLE) {
		return STASIS_WHY_VFORK;
	} else if (!(state & TASK_INTERRUPTIBLE)) {
		return STASIS_WHY_RUNS;
	}
	return smp_load_acquire(&t->on_cpu) ? STASIS_WHY_RUNS : 0;
}

int stasis_all_stand(struct stasis_session *s, struct stasis_hold *h)
{
	struct task_struct *t;
	int ret = 0;

	rcu_read_lock();
	for_each_thread(h->task, t)
	{
		if (READ_ONCE(t->exit_state) || !t->mm)
			continue;
		if (stasis_stands(s, t)) {
			ret = -EBUSY;
			break;
		}
	}
	rcu_read_unlock();
	return ret;
}

static void wait_look(struct stasis_session *s, struct stasis_hold *h,
		      struct stasis_wait *w)
{
	struct task_struct *t;
	u32 why;

	rcu_read_lock();
	for_each_thread(h->task, t)
	{
		if (READ_ONCE(t->exit_state) || !t->mm)
			continue;
		w->n_threads++;
		why = stasis_stands(s, t);
		if (!why)
			continue;
		w->running++;
		if (!w->pid || why == STASIS_WHY_VFORK) {
			w->pid = task_pid_vnr(t);
			w->why = why;
		}
	}
	rcu_read_unlock();
}

static int wait_once(struct stasis_session *s, struct stasis_wait *w)
{
	struct stasis_hold h;
	struct stasis_proc *p;
	unsigned long id;
	int ret;

	w->n_threads = 0;
	w->running = 0;
	w->pid = 0;
	w->why = 0;
	xa_for_each(&s->procs, id, p)
	{
		ret = stasis_hold_get(s, id, &h);
		if (ret)
			return ret;
		wait_look(s, &h, w);
		stasis_hold_put(&h);
	}
	return w->running ? -ETIMEDOUT : 0;
}

int stasis_ioc_wait(struct stasis_session *s, void *arg)
{
	struct stasis_wait *w = arg;
	unsigned long end, us = 50;
	int ret;

	if (w->n_threads || w->running || w->pid || w->why ||
	    w->timeout_ms > 60000)
		return -EINVAL;
	end = jiffies + msecs_to_jiffies(w->timeout_ms);
	for (;;) {
		ret = wait_once(s, w);
		if (ret != -ETIMEDOUT || !time_before(jiffies, end))
			return ret;
		if (signal_pending(current))
			return -EINTR;
		usleep_range(us, 2 * us);
		us = min(2 * us, 2000ul);
	}
}
