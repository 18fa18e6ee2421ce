// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Signal state under the sighand's lock: actions and pending signals with
 * their siginfo, in the order in which they will be delivered per signal.
 */
#include <linux/signal.h>

#include "stasis.h"

/* lock_task_sighand() is not for modules. */
struct sighand_struct *stasis_sighand_lock(struct task_struct *t,
					   unsigned long *flags)
{
	struct sighand_struct *sh;

	rcu_read_lock();
	for (;;) {
		sh = rcu_dereference(t->sighand);
		if (!sh)
			break;
		spin_lock_irqsave(&sh->siglock, *flags);
		if (sh == rcu_access_pointer(t->sighand))
			break;
		spin_unlock_irqrestore(&sh->siglock, *flags);
	}
	rcu_read_unlock();
	return sh;
}

void stasis_actions(struct stasis_out *o, struct task_struct *t)
{
	struct stasis_sigaction *a;
	struct sighand_struct *sh;
	unsigned long flags;
	struct k_sigaction *k;
	u32 n = 0, i;
	void *rec;

	sh = stasis_sighand_lock(t, &flags);
	if (!sh)
		return;
	for (i = 0; i < _NSIG; i++)
		n += sh->action[i].sa.sa_handler != SIG_DFL;
	rec = stasis_out_add(o, STASIS_REC_SIGACTION,
			     sizeof(struct stasis_rec) + n * sizeof(*a));
	a = rec + sizeof(struct stasis_rec);
	for (i = 0; rec && i < _NSIG; i++) {
		k = &sh->action[i];
		if (k->sa.sa_handler == SIG_DFL)
			continue;
		a->signo = i + 1;
		a->handler = (unsigned long)k->sa.sa_handler;
		a->flags = k->sa.sa_flags;
		a->restorer = (unsigned long)k->sa.sa_restorer;
		a->mask = k->sa.sa_mask.sig[0];
		a++;
	}
	spin_unlock_irqrestore(&sh->siglock, flags);
}

static void siginfo_add(struct stasis_out *o, const kernel_siginfo_t *info)
{
	struct stasis_rec *rec;

	rec = stasis_out_add(o, STASIS_REC_SIGINFO,
			     sizeof(*rec) + sizeof(siginfo_t));
	if (rec)
		copy_siginfo_to_external((siginfo_t *)(rec + 1), info);
}

/* The queue, then the signals that are pending without an entry in it. */
void stasis_pending(struct stasis_out *o, struct task_struct *t, bool shared)
{
	kernel_siginfo_t plain;
	struct sighand_struct *sh;
	struct sigpending *p;
	unsigned long flags;
	struct sigqueue *q;
	sigset_t rest;
	int sig;

	sh = stasis_sighand_lock(t, &flags);
	if (!sh)
		return;
	p = shared ? &t->signal->shared_pending : &t->pending;
	rest = p->signal;
	list_for_each_entry(q, &p->list, list)
	{
		siginfo_add(o, &q->info);
		if (q->info.si_signo > 0 && q->info.si_signo <= _NSIG)
			sigdelset(&rest, q->info.si_signo);
	}
	for (sig = 1; sig <= _NSIG; sig++) {
		if (!sigismember(&rest, sig))
			continue;
		clear_siginfo(&plain);
		plain.si_signo = sig;
		plain.si_code = SI_USER;
		siginfo_add(o, &plain);
	}
	spin_unlock_irqrestore(&sh->siglock, flags);
}
