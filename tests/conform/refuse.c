/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cannot be restored is refused by name, at the checkpoint and by
 * --check, and the program goes on untouched.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <net/ethernet.h>
#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

static int fd = -1;

static void have(long got, const char *what)
{
	if (got < 0)
		conform_skip("no %s here: %m", what);
	fd = (int)got;
	conform_fact("fd", fd);
}

static void still_open(struct conform *c)
{
	(void)c;
	NEED(fcntl(fd, F_GETFD));
}

static void uring_setup(struct conform *c)
{
	struct io_uring_params p = { 0 };

	(void)c;
	have(syscall(SYS_io_uring_setup, 4, &p), "io_uring");
}

static void uffd_setup(struct conform *c)
{
	struct uffdio_api api = { .api = UFFD_API };

	(void)c;
	have(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), "userfa"
									"ultf"
									"d");
	NEED(ioctl(fd, UFFDIO_API, &api));
}

static void netlink_setup(struct conform *c)
{
	(void)c;
	have(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), "netlink");
}

static void packet_setup(struct conform *c)
{
	(void)c;
	have(socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), "packet sockets");
}

static void perf_setup(struct conform *c)
{
	struct perf_event_attr a = { .type = PERF_TYPE_SOFTWARE,
				     .size = sizeof(a),
				     .config = PERF_COUNT_SW_TASK_CLOCK,
				     .exclude_kernel = 1 };

	(void)c;
	have(syscall(SYS_perf_event_open, &a, 0, -1, -1, 0), "perf events");
}

static void bpf_setup(struct conform *c)
{
	union bpf_attr a = { .map_type = BPF_MAP_TYPE_ARRAY };

	(void)c;
	a.key_size = 4;
	a.value_size = 8;
	a.max_entries = 4;
	have(syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a)), "bpf");
}

static void fanotify_setup(struct conform *c)
{
	(void)c;
	have(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY), "fanotify");
}

static void ns_setup(struct conform *c)
{
	(void)c;
	have(open("/proc/self/ns/uts", O_RDONLY), "namespace files");
}

static void secret_setup(struct conform *c)
{
	(void)c;
	have(syscall(SYS_memfd_secret, 0), "memfd_secret");
}

static void lease_setup(struct conform *c)
{
	(void)c;
	close((int)NEED(open("leased", O_WRONLY | O_CREAT, 0644)));
	have(open("leased", O_RDONLY), "file");
	if (fcntl(fd, F_SETLEASE, F_RDLCK))
		conform_skip("no leases here: %m");
}

static void lease_after(struct conform *c)
{
	still_open(c);
	CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
}

/* CLONE_VM without CLONE_THREAD: two processes in one address space. */
static char stack[65536] __attribute__((aligned(16)));
static volatile int stop_it;
static pid_t twin;

static int twin_main(void *arg)
{
	while (!stop_it)
		conform_msleep(5);
	_exit(arg ? 1 : 33);
}

static void twin_setup(struct conform *c)
{
	(void)c;
	twin = (pid_t)NEED(clone(twin_main, stack + sizeof(stack),
				 CLONE_VM | SIGCHLD, NULL));
}

static void twin_after(struct conform *c)
{
	(void)c;
	stop_it = 1;
	conform_reap(twin, 33 << 8, 5000);
}

#define REFUSED(what, word, after, fl)                                         \
	{                                                                      \
		.name = "refuse_" #what, .setup = what##_setup,                \
		.continued = after, .refused = word, .flags = fl               \
	}

const struct conform_kind conform_kinds[] = {
	REFUSED(uring, "io_uring", still_open, 0),
	REFUSED(uffd, "userfaultfd", still_open, 0),
	REFUSED(netlink, "netlink", still_open, 0),
	REFUSED(packet, "packet", still_open, CONFORM_ROOT),
	REFUSED(perf, "perf", still_open, 0),
	REFUSED(bpf, "bpf", still_open, CONFORM_ROOT),
	REFUSED(fanotify, "fanotify", still_open, CONFORM_ROOT),
	REFUSED(ns, "namespace", still_open, 0),
	REFUSED(secret, "secret", still_open, 0),
	REFUSED(lease, "lease", lease_after, 0),
	REFUSED(twin, "address space", twin_after, 0),
	{ .name = NULL },
};
