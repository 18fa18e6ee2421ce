/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Signal descriptors: only a mask; the signals themselves are the tasks'.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/util.h"

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "[signalfd]");
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_signalfd *r = cri_recset_add(p->set, CRI_REC_SIGNALFD);

	if (!r)
		return -ENOMEM;
	if (!cri_kind_field(p->fdinfo, "sigmask", 16, &r->mask))
		return cri_fail(err, ENOTSUP, "is a signalfd without a mask");
	cri_kind_refer(p, r->id);
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	struct cri_rec_signalfd *r = cri_recset_find(
		cri_restore_records(rs), CRI_REC_SIGNALFD, ofd->inode);

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: signalfd");
	*fd = (int)syscall(SYS_signalfd4, -1, &r->mask, sizeof(r->mask),
			   02000000);
	if (*fd < 0)
		return cri_fail(err, errno, "signalfd");
	return cri_kind_status(*fd, ofd->flags);
}

const struct cri_kind cri_kind_signalfd = {
	.type = CRI_REC_SIGNALFD,
	.name = "signalfd",
	.match = match,
	.capture = capture,
	.open = open_again,
};
