/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Timer descriptors, from fdinfo.  A timer that expires just now may show no
 * time left though it is periodic: it is armed all the same.  Expirations not
 * yet read come back as such.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kind/util.h"

#define NS 1000000000ull
#define SET_TICKS _IOW('T', 0, uint64_t)

static bool match(const struct cri_probe *p)
{
	return cri_kind_anon(p, "[timerfd]");
}

static bool pair(const char *text, const char *name, uint64_t *ns)
{
	const char *at = strstr(text, name);
	unsigned long long sec, nsec;

	if (!at ||
	    sscanf(at + strlen(name), ": (%llu, %llu)", &sec, &nsec) != 2)
		return false;
	*ns = sec * NS + nsec;
	return true;
}

/*
 * A periodic timer stands still after its first unread expiration; asking for
 * its time makes the kernel count the others and go on.
 */
static const char *current(const struct cri_probe *p, char *text, size_t size)
{
	struct itimerspec its;
	char path[64];
	ssize_t n;
	int fd;

	if (timerfd_gettime(p->fd, &its))
		return p->fdinfo;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", p->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return p->fdinfo;
	n = read(fd, text, size - 1);
	close(fd);
	if (n <= 0)
		return p->fdinfo;
	text[n] = '\0';
	return text;
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	struct cri_rec_timerfd *r = cri_recset_add(p->set, CRI_REC_TIMERFD);
	char room[1024];
	const char *info = current(p, room, sizeof(room));
	uint64_t v;

	if (!r)
		return -ENOMEM;
	if (!cri_kind_field(info, "clockid", 10, &v) ||
	    !cri_kind_field(info, "ticks", 10, &r->ticks) ||
	    !pair(info, "it_value", &r->value) ||
	    !pair(info, "it_interval", &r->interval))
		return cri_fail(err, ENOTSUP,
				"is a timerfd that this kernel does not "
				"describe");
	r->clock = (uint32_t)v;
	if (cri_kind_field(info, "settime flags", 8, &v))
		r->settime_flags = (uint32_t)v;
	r->armed = r->value || r->interval;
	cri_kind_refer(p, r->id);
	return 0;
}

static struct timespec spec(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / NS), (long)(ns % NS) };

	return ts;
}

/* A moment of the wall clock stays that moment; all else is a duration. */
static int arm(const struct cri_rec_timerfd *r,
	       const struct cri_rec_origin *origin, int fd)
{
	uint64_t value = r->value ? r->value : 1;
	int flags = 0;
	struct itimerspec its;

	if (!r->armed)
		return 0;
	if ((r->clock == CLOCK_REALTIME || r->clock == CLOCK_REALTIME_ALARM) &&
	    r->settime_flags & TFD_TIMER_ABSTIME && origin) {
		flags = (int)(r->settime_flags &
			      (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET));
		value += origin->realtime;
	}
	its.it_value = spec(value);
	its.it_interval = spec(r->interval);
	return timerfd_settime(fd, flags, &its, NULL) ? -errno : 0;
}

static int open_again(struct cri_restore *rs, const struct cri_rec_ofd *ofd,
		      int *fd, struct cri_err *err)
{
	struct cri_rec_timerfd *r = cri_recset_find(
		cri_restore_records(rs), CRI_REC_TIMERFD, ofd->inode);

	if (!r)
		return cri_fail(err, EBADMSG, "damaged image: timerfd");
	*fd = timerfd_create((int)r->clock, TFD_CLOEXEC);
	if (*fd < 0)
		return cri_fail(err, errno, "timerfd of clock %u", r->clock);
	return cri_kind_status(*fd, ofd->flags);
}

/* Late, so that little of the time left passes in the restart itself. */
static int start(struct cri_restore *rs, const struct cri_rec_ofd *ofd, int fd,
		 struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_timerfd *r =
		cri_recset_find(set, CRI_REC_TIMERFD, ofd->inode);
	int ret;

	if (!r)
		return 0;
	ret = arm(r, cri_recset_at(set, CRI_REC_ORIGIN, 0), fd);
	if (ret)
		return cri_fail(err, -ret, "timerfd");
	if (r->ticks && ioctl(fd, SET_TICKS, &r->ticks))
		cri_restore_log(rs,
				"fd %u: %lu expirations of a timerfd were "
				"not read and are lost",
				ofd->num, (unsigned long)r->ticks);
	return 0;
}

const struct cri_kind cri_kind_timerfd = {
	.type = CRI_REC_TIMERFD,
	.name = "timerfd",
	.match = match,
	.capture = capture,
	.open = open_again,
	.outside = start,
};
