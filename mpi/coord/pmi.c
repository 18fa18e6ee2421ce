/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PMI-1 wire protocol as MPICH's simple PMI client speaks it: text lines
 * of key=value words (pmi_version=1, subversion 1).  The store lives for one
 * life of the library; each up starts with an empty one.
 */
#include "config.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "coord/coord_int.h"

#define BUCKETS 4096u

struct pair {
	struct pair *next;
	char *value;
	char key[];
};

struct pmi {
	struct pair *bucket[BUCKETS];
	int joined, in_barrier, done;
};

static int reply(struct sm_coord *c, int conn, const char *line)
{
	size_t n = strlen(line);

	return send(c->conns[conn].fd, line, n, MSG_NOSIGNAL) == (ssize_t)n ?
		       0 :
		       -EPIPE;
}

static unsigned hash(const char *s)
{
	unsigned h = 2166136261u;

	while (*s)
		h = (h ^ (unsigned char)*s++) * 16777619u;
	return h % BUCKETS;
}

/* The value of a word, cut at the next blank; value= takes the rest. */
static int word(const char *line, const char *name, char *out, size_t size)
{
	size_t n = strlen(name), len;
	const char *p = line;

	while ((p = strstr(p, name))) {
		if ((p == line || p[-1] == ' ') && p[n] == '=')
			break;
		p += n;
	}
	if (!p)
		return -ENOENT;
	p += n + 1;
	len = strcmp(name, "value") ? strcspn(p, " ") : strlen(p);
	if (len >= size)
		return -E2BIG;
	memcpy(out, p, len);
	out[len] = '\0';
	return 0;
}

static struct pmi *state(struct sm_coord *c)
{
	if (!c->pmi)
		c->pmi = calloc(1, sizeof(*c->pmi));
	return c->pmi;
}

static int put(struct sm_coord *c, const char *line)
{
	struct pmi *p = state(c);
	char key[128], value[2048];
	struct pair *k;
	unsigned b;

	if (!p || word(line, "key", key, sizeof(key)) ||
	    word(line, "value", value, sizeof(value)))
		return -EINVAL;
	k = calloc(1, sizeof(*k) + strlen(key) + 1);
	if (!k)
		return -ENOMEM;
	k->value = strdup(value);
	if (!k->value) {
		free(k);
		return -ENOMEM;
	}
	strcpy(k->key, key);
	b = hash(key);
	k->next = p->bucket[b];
	p->bucket[b] = k;
	return 0;
}

/* "(vector,(node,1,ranks)...)" in the order of the ranks. */
static int send_map(struct sm_coord *c, int conn)
{
	char text[4096] = "cmd=get_result rc=0 msg=success value=(vector";
	size_t at = strlen(text);
	int i, j, run;

	for (i = 0; i < c->size; i += run) {
		for (run = 1; i + run < c->size &&
			      !strcmp(c->ranks[i].host,
				      c->ranks[i + run].host); run++)
			;
		/* a node is named by the first rank that lives on it */
		for (j = 0; strcmp(c->ranks[j].host, c->ranks[i].host); j++)
			;
		if (sizeof(text) - at < 64)
			return -E2BIG;
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       ",(%d,1,%d)", j, run);
	}
	strcpy(text + at, ")\n");
	return reply(c, conn, text);
}

static int get(struct sm_coord *c, int conn, const char *line)
{
	struct pmi *p = state(c);
	char key[128], text[2304];
	struct pair *k;

	if (!p || word(line, "key", key, sizeof(key)))
		return -EINVAL;
	if (!strcmp(key, "PMI_process_mapping")) {
		if (p->joined >= c->size)
			return send_map(c, conn);
		c->conns[conn].want_map = 1;
		return 0;
	}
	for (k = p->bucket[hash(key)]; k && strcmp(k->key, key); k = k->next)
		;
	if (k)
		snprintf(text, sizeof(text),
			 "cmd=get_result rc=0 msg=success value=%s\n",
			 k->value);
	else
		snprintf(text, sizeof(text), "cmd=get_result rc=-1 "
			 "msg=key_not_found value=unknown\n");
	return reply(c, conn, text);
}

static int barrier(struct sm_coord *c)
{
	struct pmi *p = state(c);
	int i;

	if (!p || ++p->in_barrier < c->size)
		return 0;
	p->in_barrier = 0;
	for (i = 0; i < c->n_conns; i++)
		if (c->conns[i].kind == CONN_PMI)
			reply(c, i, "cmd=barrier_out rc=0\n");
	return 0;
}

void pmi_joined(struct sm_coord *c)
{
	struct pmi *p = state(c);
	int i;

	if (!p || ++p->joined < c->size)
		return;
	for (i = 0; i < c->n_conns; i++) {
		if (c->conns[i].kind != CONN_PMI || !c->conns[i].want_map)
			continue;
		c->conns[i].want_map = 0;
		send_map(c, i);
	}
}

int pmi_line(struct sm_coord *c, int conn, const char *line)
{
	char cmd[64], text[128];

	if (word(line, "cmd", cmd, sizeof(cmd)))
		return -EPROTO;
	if (!strcmp(cmd, "init"))
		return reply(c, conn, "cmd=response_to_init pmi_version=1 "
				      "pmi_subversion=1 rc=0\n");
	if (!strcmp(cmd, "get_maxes"))
		return reply(c, conn, "cmd=maxes kvsname_max=64 keylen_max=64 "
				      "vallen_max=1024 rc=0\n");
	if (!strcmp(cmd, "get_appnum"))
		return reply(c, conn, "cmd=appnum appnum=0 rc=0\n");
	if (!strcmp(cmd, "get_my_kvsname"))
		return reply(c, conn, "cmd=my_kvsname kvsname=stasis rc=0\n");
	if (!strcmp(cmd, "get_universe_size")) {
		snprintf(text, sizeof(text),
			 "cmd=universe_size size=%d rc=0\n", c->size);
		return reply(c, conn, text);
	}
	if (!strcmp(cmd, "put"))
		return reply(c, conn, put(c, line) ?
				     "cmd=put_result rc=-1 msg=failed\n" :
				     "cmd=put_result rc=0 msg=success\n");
	if (!strcmp(cmd, "get"))
		return get(c, conn, line);
	if (!strcmp(cmd, "barrier_in"))
		return barrier(c);
	if (!strcmp(cmd, "finalize"))
		return reply(c, conn, "cmd=finalize_ack rc=0\n");
	if (!strcmp(cmd, "abort")) {
		if (c->conf.aborted)
			c->conf.aborted(c->conf.arg, c->conns[conn].rank, 1);
		return 0;
	}
	return -EPROTO;
}

void pmi_reset(struct sm_coord *c)
{
	unsigned i;

	if (!c->pmi)
		return;
	for (i = 0; i < BUCKETS; i++) {
		while (c->pmi->bucket[i]) {
			struct pair *k = c->pmi->bucket[i];

			c->pmi->bucket[i] = k->next;
			free(k->value);
			free(k);
		}
	}
	c->pmi->joined = c->pmi->in_barrier = 0;
}

void pmi_free(struct sm_coord *c)
{
	pmi_reset(c);
	free(c->pmi);
	c->pmi = NULL;
}
