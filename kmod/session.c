// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processes of a session and who may look at them.  The proof is an open
 * descriptor of /proc/PID/mem: the kernel asked ptrace_may_access() and the
 * LSMs when it was opened.  What can change afterwards is asked again at each
 * call, under exec_update_lock: a descriptor survives setuid() and
 * PR_SET_DUMPABLE, and it can be handed to somebody else.
 */
#include <linux/cred.h>
#include <linux/magic.h>
#include <linux/pid_namespace.h>
#include <linux/regset.h>
#include <linux/sched/coredump.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>
#include <asm/elf.h>
#include <asm/fpu/xstate.h>

#include "stasis.h"

static const struct user_regset *regset_find(struct task_struct *t, u32 note)
{
	const struct user_regset_view *view = task_user_regset_view(t);
	unsigned int i;

	for (i = 0; i < view->n; i++)
		if (view->regsets[i].core_note_type == note)
			return &view->regsets[i];
	return NULL;
}

int stasis_ioc_version(struct stasis_session *s, void *arg)
{
	const struct user_regset *rs = regset_find(current, NT_X86_XSTATE);
	struct stasis_version *v = arg;

	v->abi = STASIS_ABI;
	v->features = STASIS_FEATURE_PARK | STASIS_FEATURE_FREEZER;
	if (stasis_cow_possible())
		v->features |= STASIS_FEATURE_COW;
	v->regs_size = sizeof(struct user_regs_struct);
	v->xstate_size = rs ? rs->n * rs->size : 0;
	v->page_size = PAGE_SIZE;
	return 0;
}

void stasis_proc_free(struct stasis_proc *p)
{
	if (p->mm)
		mmdrop(p->mm);
	put_pid(p->pid);
	if (p->proof)
		fput(p->proof);
	kfree(p);
}

/* Is it /proc/PID/mem, opened by somebody with the caller's identity? */
static int proof_check(struct file *f)
{
	const struct cred *c = current_cred();
	const struct cred *o = f->f_cred;

	if (file_inode(f)->i_sb->s_magic != PROC_SUPER_MAGIC ||
	    !S_ISREG(file_inode(f)->i_mode) ||
	    strcmp(f->f_path.dentry->d_name.name, "mem") ||
	    !(f->f_mode & FMODE_READ) || !f->private_data)
		return -EBADF;
	if (!uid_eq(o->fsuid, c->fsuid) || !uid_eq(o->euid, c->euid) ||
	    !gid_eq(o->fsgid, c->fsgid) || o->user_ns != c->user_ns)
		return -EPERM;
	return 0;
}

/* What __ptrace_may_access() asks, without the LSM hook of the open. */
static int creds_check(struct task_struct *t, struct mm_struct *mm)
{
	const struct cred *c = current_cred();
	const struct cred *o = get_task_cred(t);
	bool over = ns_capable(o->user_ns, CAP_SYS_PTRACE);
	int ret = -EPERM;

	if (!over &&
	    (!uid_eq(c->fsuid, o->euid) || !uid_eq(c->fsuid, o->suid) ||
	     !uid_eq(c->fsuid, o->uid) || !gid_eq(c->fsgid, o->egid) ||
	     !gid_eq(c->fsgid, o->sgid) || !gid_eq(c->fsgid, o->gid)))
		goto out;
	if (!over && (o->user_ns != c->user_ns ||
		      !cap_issubset(o->cap_permitted, c->cap_permitted)))
		goto out;
	if (get_dumpable(mm) != SUID_DUMP_USER &&
	    !ns_capable(mm->user_ns, CAP_SYS_PTRACE))
		goto out;
	ret = 0;
out:
	put_cred(o);
	return ret;
}

/* A live thread of the group; the leader where it lives.  Referenced. */
static struct task_struct *live_thread(struct pid *pid)
{
	struct task_struct *leader, *t, *found = NULL;

	rcu_read_lock();
	leader = pid_task(pid, PIDTYPE_TGID);
	if (leader) {
		for_each_thread(leader, t)
		{
			if (!READ_ONCE(t->exit_state) && t->mm) {
				found = t;
				break;
			}
		}
	}
	if (found)
		get_task_struct(found);
	rcu_read_unlock();
	return found;
}

static int hold_proc(struct stasis_proc *p, struct stasis_hold *h)
{
	struct task_struct *t;
	int ret;

	ret = proof_check(p->proof);
	if (ret)
		return ret;
	t = live_thread(p->pid);
	if (!t)
		return -ESRCH;
	if (down_read_killable(&t->signal->exec_update_lock)) {
		put_task_struct(t);
		return -EINTR;
	}
	ret = t->mm == p->mm ? creds_check(t, p->mm) : -EPERM;
	if (!t->mm)
		ret = -ESRCH;
	if (ret) {
		up_read(&t->signal->exec_update_lock);
		put_task_struct(t);
		return ret;
	}
	h->proc = p;
	h->task = t;
	return 0;
}

int stasis_hold_get(struct stasis_session *s, u32 id, struct stasis_hold *h)
{
	struct stasis_proc *p = xa_load(&s->procs, id);

	if (!p)
		return -ENOENT;
	return hold_proc(p, h);
}

void stasis_hold_put(struct stasis_hold *h)
{
	up_read(&h->task->signal->exec_update_lock);
	put_task_struct(h->task);
	h->task = NULL;
}

void stasis_threads_put(struct task_struct **list, u32 n)
{
	while (n)
		put_task_struct(list[--n]);
	kvfree(list);
}

int stasis_threads_get(struct task_struct *task, struct task_struct ***list,
		       u32 *n)
{
	u32 max = READ_ONCE(task->signal->nr_threads) + 8;
	struct task_struct **l, *t;
	u32 i = 0;

	if (max > STASIS_MAX_THREADS)
		return -E2BIG;
	l = kvmalloc_array(max, sizeof(*l), GFP_KERNEL);
	if (!l)
		return -ENOMEM;
	rcu_read_lock();
	for_each_thread(task, t)
	{
		if (READ_ONCE(t->exit_state) || !t->mm)
			continue;
		if (i == max)
			break;
		get_task_struct(t);
		l[i++] = t;
	}
	rcu_read_unlock();
	*list = l;
	*n = i;
	if (i == max) {
		stasis_threads_put(l, i);
		return -EAGAIN;
	}
	return 0;
}

/* The file's descriptor names the mm, the pid a thread that uses it. */
static int proc_new(struct stasis_attach *a, struct stasis_proc **out)
{
	struct task_struct *t = NULL;
	struct stasis_proc *p;
	struct pid *pid;
	int ret;

	p = kzalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (!p)
		return -ENOMEM;
	p->proof = fget(a->mem_fd);
	ret = p->proof ? proof_check(p->proof) : -EBADF;
	if (ret)
		goto err;
	ret = -ESRCH;
	pid = find_get_pid(a->pid);
	if (pid)
		t = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);
	if (!t)
		goto err;
	ret = -EOPNOTSUPP;
	if (t->flags & PF_KTHREAD || is_global_init(t) ||
	    task_user_regset_view(t)->e_machine != EM_X86_64)
		goto err_task;
	ret = -ESRCH;
	rcu_read_lock();
	p->pid = get_pid(task_tgid(t));
	rcu_read_unlock();
	if (!p->pid)
		goto err_task;
	p->mm = p->proof->private_data;
	mmgrab(p->mm);
	put_task_struct(t);
	*out = p;
	return 0;
err_task:
	put_task_struct(t);
err:
	stasis_proc_free(p);
	return ret;
}

int stasis_ioc_attach(struct stasis_session *s, void *arg)
{
	struct stasis_attach *a = arg;
	struct stasis_proc *p, *q;
	struct stasis_hold h;
	unsigned long i;
	u32 n;
	int ret;

	if (a->reserved || a->id || a->n_threads)
		return -EINVAL;
	if (s->n_procs == STASIS_MAX_PROCS)
		return -E2BIG;
	if (s->snap_mode)
		return -EEXIST;
	ret = proc_new(a, &p);
	if (ret)
		return ret;
	ret = hold_proc(p, &h);
	if (ret)
		goto err;
	n = READ_ONCE(h.task->signal->nr_threads);
	stasis_hold_put(&h);
	ret = -EBUSY;
	xa_for_each(&s->procs, i, q) if (q->pid == p->pid) goto err;
	ret = -E2BIG;
	if (s->n_threads + n > STASIS_MAX_THREADS)
		goto err;
	ret = xa_alloc(&s->procs, &p->id, p, XA_LIMIT(1, STASIS_MAX_PROCS),
		       GFP_KERNEL_ACCOUNT);
	if (ret)
		goto err;
	s->n_procs++;
	s->n_threads += n;
	a->id = p->id;
	a->n_threads = n;
	return 0;
err:
	stasis_proc_free(p);
	return ret;
}
