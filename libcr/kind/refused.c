/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What no kind can restore, by name: the message tells what the descriptor is,
 * so that a person can tell which part of the program it belongs to.
 */
#include "config.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "kind/util.h"

struct named {
	const char *start; /* of the link's text */
	const char *name;
};

static const struct named links[] = {
	{ "anon_inode:[io_uring]", "an io_uring ring" },
	{ "anon_inode:[userfaultfd]", "a userfaultfd" },
	{ "anon_inode:[perf_event]", "a perf event" },
	{ "anon_inode:[fanotify]", "a fanotify group" },
	{ "anon_inode:bpf", "a BPF object" },
	{ "anon_inode:[bpf", "a BPF object" },
	{ "anon_inode:btf", "a BPF object" },
	{ "anon_inode:kvm", "a KVM virtual machine" },
	{ "anon_inode:[landlock-ruleset]", "a Landlock rule set" },
	{ "anon_inode:seccomp notify", "a seccomp listener" },
	{ "anon_inode:[fscontext]", "a file system context" },
	{ "anon_inode:[uverbs", "an RDMA object" },
	{ "anon_inode:[infiniband", "an RDMA object" },
	{ "anon_inode:[vfio", "a VFIO device" },
	{ "anon_inode:[secretmem]", "secret memory" },
	{ "/secretmem", "secret memory" },
	{ "anon_inode:sync_file", "a GPU fence" },
	{ "/dmabuf:", "a DMA buffer" },
	{ "net:[", "a network namespace" },
	{ "mnt:[", "a mount namespace" },
	{ "pid:[", "a PID namespace" },
	{ "user:[", "a user namespace" },
	{ "uts:[", "a UTS namespace" },
	{ "ipc:[", "an IPC namespace" },
	{ "time:[", "a time namespace" },
	{ "cgroup:[", "a cgroup namespace" },
	{ "/dev/kvm", "the KVM device" },
	{ "/dev/nvidia", "an NVIDIA GPU" },
	{ "/dev/dri/", "a GPU" },
	{ "/dev/kfd", "an AMD GPU" },
	{ "/dev/infiniband/", "an RDMA device" },
	{ "/dev/fuse", "a FUSE connection" },
	{ "/dev/net/tun", "a network tunnel" },
	{ "/dev/vfio/", "a VFIO device" },
};

static const struct {
	int family;
	const char *name;
} families[] = {
	{ AF_NETLINK, "a netlink socket" },
	{ AF_PACKET, "a packet socket" },
	{ AF_ALG, "a kernel crypto socket" },
	{ AF_VSOCK, "a vsock socket" },
	{ AF_BLUETOOTH, "a Bluetooth socket" },
	{ AF_KEY, "a key management socket" },
	{ AF_XDP, "an XDP socket" },
	{ AF_TIPC, "a TIPC socket" },
};

static bool match(const struct cri_probe *p)
{
	(void)p;
	return true;
}

static int say(struct cri_err *err, const char *what)
{
	return cri_fail(err, ENOTSUP, "is %s (not supported)", what);
}

static int socket_check(const struct cri_probe *p, struct cri_err *err)
{
	int family = 0;
	socklen_t len = sizeof(family);
	size_t i;

	if (getsockopt(p->fd, SOL_SOCKET, SO_DOMAIN, &family, &len))
		family = 0;
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (families[i].family == family)
			return say(err, families[i].name);
	if (family == AF_INET || family == AF_INET6)
		return say(err, "a raw or unusual internet socket");
	return cri_fail(err, ENOTSUP,
			"is a socket of family %d (not supported)", family);
}

static int check(const struct cri_probe *p, struct cri_err *err)
{
	size_t i;

	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (strncmp(p->link, links[i].start, strlen(links[i].start)) ==
		    0)
			return say(err, links[i].name);
	if (S_ISSOCK(p->st.st_mode))
		return socket_check(p, err);
	if (S_ISBLK(p->st.st_mode))
		return cri_fail(err, ENOTSUP,
				"is the block device %.150s (not supported)",
				p->link);
	if (S_ISCHR(p->st.st_mode))
		return cri_fail(err, ENOTSUP,
				"is the device %.150s, %u:%u (not supported)",
				p->link, major(p->st.st_rdev),
				minor(p->st.st_rdev));
	return cri_fail(err, ENOTSUP, "is %.150s (not supported)", p->link);
}

static int capture(struct cri_probe *p, struct cri_err *err)
{
	return check(p, err);
}

/* Only ever given by cri_kind_match(): no record has this type. */
const struct cri_kind cri_kind_refused = {
	.type = CRI_REC_MAX,
	.name = "refused object",
	.match = match,
	.check = check,
	.capture = capture,
};
