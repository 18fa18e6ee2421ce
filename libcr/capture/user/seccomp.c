/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seccomp: root suspends a program's filters while the blob works and saves
 * them; anybody else may capture only a program whose filters are those that
 * the tool lives under too, and cr_restart will inherit them.
 */
#include "config.h"

#include "capture/user/user.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "util/err.h"

#define CAP_SYS_ADMIN_BIT 21
#define MAX_FILTERS 512

static int own_status(struct cri_pstatus *st)
{
	struct cri_text text = { 0 };
	int ret = cri_text_proc(&text, getpid(), "status");

	if (!ret)
		ret = cri_pstatus_parse(text.p, st);
	cri_text_fini(&text);
	return ret;
}

int cri_user_seccomp(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_err *err)
{
	const struct cri_pstatus *st = &uproc(p)->status;
	struct cri_pstatus own;
	int ret;

	(void)cap;
	if (st->seccomp == 0)
		return 0;
	ret = own_status(&own);
	if (ret)
		return ret;
	if (own.seccomp == 0 && own.cap_eff >> CAP_SYS_ADMIN_BIT & 1) {
		uproc(p)->seccomp_off = true;
		return 0;
	}
	if (own.seccomp == st->seccomp &&
	    own.seccomp_filters == st->seccomp_filters)
		return 0;
	return cri_fail(err, ENOTSUP,
			"has a seccomp filter of its own (only root can save "
			"it)");
}

int cri_user_filters(struct cri_capture *cap, struct cri_cproc *p,
		     struct cri_rec_task *rec, struct cri_err *err)
{
	struct cri_packet *f;
	struct sock_filter *code;
	unsigned long i;
	long n;
	int ret = 0;

	if (rec->seccomp != 2)
		return 0;
	if (!uproc(p)->seccomp_off) {
		rec->seccomp_ambient = 1;
		return 0;
	}
	for (i = 0; i < MAX_FILTERS && !ret; i++) {
		n = ptrace(PTRACE_SECCOMP_GET_FILTER, p->threads[0].tid,
			   (void *)i, NULL);
		if (n < 0 && errno == ENOENT)
			return 0;
		if (n < 0)
			return cri_fail(err, errno, "seccomp filter %lu: %s", i,
					strerror(errno));
		code = calloc((size_t)n + 1, sizeof(*code));
		f = CRI_GROW(cap->set, rec->filters, rec->n_filters);
		if (!code || !f ||
		    ptrace(PTRACE_SECCOMP_GET_FILTER, p->threads[0].tid,
			   (void *)i, code) != n)
			ret = -ENOMEM;
		else
			ret = cri_recset_bytes(cap->set, &f->data, code,
					       (uint32_t)((size_t)n *
							  sizeof(*code)));
		free(code);
	}
	return ret;
}
