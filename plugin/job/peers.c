/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker's links: the parent, agents, commands.  Everything that comes in
 * is handled in one place, also while a checkpoint waits for its agents.
 */
#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker.h"

void sj_worker_order(struct sj_worker *w, const struct sj_order *o)
{
	if (send(SJ_ORDER_FD, o, sizeof(*o), MSG_NOSIGNAL) < 0)
		sj_job_log(&w->job, "no word to the parent: %s",
			   strerror(errno));
}

static void read_parent(struct sj_worker *w)
{
	struct sj_order o;
	ssize_t n;

	n = recv(SJ_ORDER_FD, &o, sizeof(o), MSG_DONTWAIT);
	if (n == 0)
		_exit(0);
	if (n != sizeof(o))
		return;
	switch (o.what) {
	case SJ_ORDER_STATE:
		w->child = o.value;
		w->parent_hold = o.hold;
		w->child_restored = o.restored;
		break;
	case SJ_ORDER_SIGNAL:
		if (o.value == SIGTERM)
			w->term = 1;
		if (o.value == SJ_WARN_SIGNAL)
			w->warned = 1;
		break;
	case SJ_ORDER_END:
		w->child = 0;
		w->child_status = o.value;
		if (!o.hold) {
			w->end = 1;
			w->end_status = o.value;
		}
		break;
	default:
		break;
	}
}

static void accept_peer(struct sj_worker *w)
{
	struct sj_peer **bigger;
	struct sj_peer *p;

	p = calloc(1, sizeof(*p));
	if (!p)
		return;
	if (w->n_peers >= SJ_PEERS || sj_link_accept(&p->link, w->listen_fd)) {
		free(p);
		return;
	}
	bigger = reallocarray(w->peer, w->n_peers + 1, sizeof(*bigger));
	if (!bigger) {
		sj_link_close(&p->link);
		free(p);
		return;
	}
	w->peer = bigger;
	w->peer[w->n_peers++] = p;
}

static void drop(struct sj_worker *w, uint32_t i)
{
	struct sj_peer *p = w->peer[i];

	if (p->in_set && p->waiting)
		cri_fail(&w->peer_err, EPIPE, "agent of step %u on %s is gone",
			 p->step, p->node);
	sj_link_close(&p->link);
	free(p);
	w->peer[i] = w->peer[--w->n_peers];
}

static int add_image(struct sj_worker *w, const struct sj_peer *p,
		     const struct sj_msg *m)
{
	struct sj_image *im;

	if (!p->in_set || (*m->text[0] && !sj_name_ok(m->text[0])) ||
	    m->num[0] >= p->tasks)
		return -EBADMSG;
	im = sj_manifest_image(&w->manifest);
	if (!im)
		return -ENOMEM;
	if (sj_fmt(im->file, sizeof(im->file), "%s", m->text[0]) ||
	    sj_fmt(im->node, sizeof(im->node), "%s", p->node))
		return -EBADMSG;
	im->step = p->step;
	im->task = m->num[0];
	im->tasks = p->tasks;
	im->status = m->num[2];
	im->bytes = m->num[3];
	return 0;
}

static int agent_message(struct sj_worker *w, struct sj_peer *p,
			 const struct sj_msg *m)
{
	switch (m->type) {
	case SJ_TASKS:
		p->local = m->num[0];
		p->running = m->num[1];
		return 0;
	case SJ_IMAGE:
		return add_image(w, p, m);
	case SJ_DONE:
		if (p->waiting != m->num[0])
			return 0;
		p->waiting = 0;
		if (m->num[1])
			cri_fail(&w->peer_err, m->num[1] % 4096, "%s: %s",
				 p->node, m->text[0]);
		return 0;
	default:
		return -EBADMSG;
	}
}

static int message(struct sj_worker *w, struct sj_peer *p,
		   const struct sj_msg *m)
{
	if (p->kind == SJ_PEER_AGENT)
		return agent_message(w, p, m);
	if (m->type == SJ_HELLO && p->kind == SJ_PEER_NEW &&
	    p->link.peer == getuid()) {
		p->kind = SJ_PEER_AGENT;
		p->step = m->num[0];
		p->tasks = m->num[1];
		p->local = m->num[2];
		return sj_fmt(p->node, sizeof(p->node), "%s", m->text[0]);
	}
	if (m->type != SJ_REQUEST)
		return -EBADMSG;
	p->kind = SJ_PEER_COMMAND;
	if (w->busy) {
		sj_worker_reply(p, -EALREADY, w, NULL);
		return 0;
	}
	p->asked = 1;
	p->request = *m;
	return 0;
}

static int read_peer(struct sj_worker *w, struct sj_peer *p)
{
	struct sj_msg m;
	int ret;

	ret = sj_link_fill(&p->link);
	if (ret)
		return ret;
	for (;;) {
		ret = sj_link_next(&p->link, &w->key, &m);
		if (ret == -EAGAIN)
			return 0;
		if (ret)
			return ret;
		ret = message(w, p, &m);
		if (ret)
			return ret;
	}
}

void sj_worker_pump(struct sj_worker *w, int timeout_ms)
{
	struct pollfd *fds;
	uint32_t n = w->n_peers;
	uint32_t i;

	fds = calloc(n + 2, sizeof(*fds));
	if (!fds) {
		usleep(10000);
		return;
	}
	for (i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = w->peer[i]->link.fd,
					  .events = POLLIN };
	fds[n] = (struct pollfd){ .fd = SJ_ORDER_FD, .events = POLLIN };
	fds[n + 1] = (struct pollfd){ .fd = w->listen_fd, .events = POLLIN };
	if (poll(fds, n + 2, timeout_ms) > 0) {
		if (fds[n].revents)
			read_parent(w);
		/* Downwards: a dropped one is replaced by the last. */
		for (i = n; i-- > 0;)
			if (fds[i].revents && read_peer(w, w->peer[i]))
				drop(w, i);
		if (fds[n + 1].revents)
			accept_peer(w);
	}
	for (i = w->n_peers; i-- > 0;)
		if (sj_link_overdue(&w->peer[i]->link, sj_now_ms()))
			drop(w, i);
	free(fds);
}

int sj_worker_tell(struct sj_worker *w, const struct sj_msg *m)
{
	struct sj_peer *p;
	uint32_t i;
	int first = 0;
	int ret;

	cri_err_clear(&w->peer_err);
	for (i = 0; i < w->n_peers; i++) {
		p = w->peer[i];
		if (p->kind != SJ_PEER_AGENT || !p->in_set)
			continue;
		ret = sj_link_send(&p->link, m);
		if (!ret)
			p->waiting = m->type;
		else if (!first)
			first = cri_fail(&w->peer_err, -ret, "%s: %s", p->node,
					 strerror(-ret));
	}
	return first;
}

static int anyone_waited_for(const struct sj_worker *w)
{
	uint32_t i;

	for (i = 0; i < w->n_peers; i++)
		if (w->peer[i]->in_set && w->peer[i]->waiting)
			return 1;
	return 0;
}

int sj_worker_collect(struct sj_worker *w, unsigned int timeout_ms)
{
	uint64_t end = sj_now_ms() + timeout_ms;

	while (anyone_waited_for(w)) {
		if (sj_now_ms() > end)
			return cri_fail(&w->peer_err, ETIMEDOUT,
					"an agent did not answer");
		sj_worker_pump(w, 100);
	}
	return -w->peer_err.code;
}

void sj_worker_reply(struct sj_peer *p, int ret, const struct sj_worker *w,
		     const struct sj_result *r)
{
	struct sj_msg m = { .type = SJ_REPLY };

	p->asked = 0;
	m.num[0] = -ret;
	m.num[1] = w->job.epoch;
	if (r) {
		m.num[2] = r->seq;
		m.num[3] = r->pause_us;
		m.num[4] = r->total_us;
		m.num[5] = r->bytes;
		snprintf(m.text[0], SJ_MSG_TEXT, "%s", r->err.text);
	}
	if (sj_link_send(&p->link, &m))
		sj_job_log(&w->job, "a command has left before its answer");
}
