/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Event counters.  fdinfo tells the count, and since Linux 6.5 also whether it
 * is a semaphore; before, that is found out by one read which is given back.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "kind/util.h"

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "[eventfd]");
}

/* With a count of at least two, a semaphore's read takes one and no more. */
static uint32_t semaphore(int fd, uint64_t count)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t got = 0;

	if (count < 2 || poll(&pfd, 1, 0) != 1)
		return 0;
	if (read(fd, &got, sizeof(got)) != sizeof(got) ||
	    write(fd, &got, sizeof(got)) != sizeof(got))
		return 0;
	return got == 1;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_eventfd *r = cri_recset_add(p->set, CRI_REC_EVENTFD);
	uint64_t v;

	if (!r)
		return -ENOMEM;
	if (!cri_kind_field(p->fdinfo, "eventfd-count", 16, &r->count))
		return cri_fail(err, ENOTSUP,
				"is an eventfd whose count this kernel does "
				"not tell");
	if (cri_kind_field(p->fdinfo, "eventfd-semaphore", 10, &v))
		r->semaphore = (uint32_t)v;
	else
		r->semaphore = semaphore(p->fd, r->count);
	cri_kind_refer(p, r->id);
	return 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	struct cri_rec_eventfd *r = cri_recset_find(
		cri_restore_records(rs), CRI_REC_EVENTFD, ofd->inode);
	uint64_t count;

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: eventfd");
	*fd = eventfd(0, EFD_CLOEXEC | (r->semaphore ? EFD_SEMAPHORE : 0));
	if (*fd < 0)
		return cri_fail(err, errno, "eventfd");
	count = r->count == UINT64_MAX ? UINT64_MAX - 1 : r->count;
	if (count && write(*fd, &count, sizeof(count)) != sizeof(count))
		return cri_fail(err, errno, "eventfd");
	return cri_kind_status(*fd, ofd->flags);
}

const struct cri_kind cri_kind_eventfd = {
	.type = CRI_REC_EVENTFD,
	.name = "eventfd",
	.match = match,
	.capture = capture,
	.open = open_again,
};
