/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A rank's connection to its coordinator.  STASIS_MPI_COORD names it, either
 * an absolute path of a unix socket or HOST:PORT; STASIS_MPI_KEY proves that
 * we belong to it.  Raw calls only: the program's MPI may be away.
 */
#include "config.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "coord/proto.h"
#include "gate/gate.h"

static int connect_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	return fd;
}

/* Numeric addresses only: no name service may be mapped in by this. */
static int connect_tcp(const char *addr)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct addrinfo *ai = NULL;
	char host[64];
	const char *colon = strrchr(addr, ':');
	int fd, one = 1, ret = 0;

	if (!colon || (size_t)(colon - addr) >= sizeof(host))
		return -EINVAL;
	memcpy(host, addr, (size_t)(colon - addr));
	host[colon - addr] = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &ai))
		return -EINVAL;
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen))
		ret = -errno;
	freeaddrinfo(ai);
	if (ret) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int write_all(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -EPIPE;
		p = (const char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

static int read_all(int fd, void *p, size_t n)
{
	while (n) {
		ssize_t k = recv(fd, p, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k ? -errno : -ECONNRESET;
		p = (char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

int sm_link_send(struct sm_link *l, uint32_t type, uint32_t arg,
		 const void *data, uint32_t len)
{
	struct sm_head h = { SM_MAGIC, type, arg, len };
	int ret;

	ret = write_all(l->fd, &h, sizeof(h));
	if (!ret && len)
		ret = write_all(l->fd, data, len);
	return ret;
}

int sm_link_recv(struct sm_link *l, int timeout_ms, uint32_t *type,
		 uint32_t *arg, void **data, uint32_t *len)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };
	struct sm_head h;
	int ret;

	*data = NULL;
	ret = poll(&p, 1, timeout_ms);
	if (ret == 0 || (ret < 0 && errno == EINTR))
		return 0;
	if (ret < 0)
		return -errno;
	ret = read_all(l->fd, &h, sizeof(h));
	if (ret)
		return ret;
	if (h.magic != SM_MAGIC || h.len > SM_BODY_MAX)
		return -EPROTO;
	if (h.len) {
		*data = malloc((size_t)h.len + 1);
		if (!*data)
			return -ENOMEM;
		ret = read_all(l->fd, *data, h.len);
		if (ret) {
			free(*data);
			*data = NULL;
			return ret;
		}
		((char *)*data)[h.len] = '\0';
	}
	*type = h.type;
	*arg = h.arg;
	*len = h.len;
	return 1;
}

int sm_link_open(struct sm_link *l, uint32_t flags)
{
	const char *addr = getenv("STASIS_MPI_COORD");
	const char *key = getenv("STASIS_MPI_KEY");
	struct sm_hello h = { .rank = sm_life.rank,
			      .size = sm_life.size,
			      .pid = getpid(),
			      .flags = flags };
	int ret;

	l->fd = -1;
	if (!addr || !*addr)
		return -ENOENT;
	ret = *addr == '/' ? connect_unix(addr) : connect_tcp(addr);
	if (ret < 0)
		return ret;
	l->fd = ret;
	strncpy(h.impl, sm_impl_name, sizeof(h.impl) - 1);
	gethostname(h.host, sizeof(h.host) - 1);
	memcpy(h.key, key ? key : "", key ? strnlen(key, SM_KEY_LEN) : 0);
	ret = sm_link_send(l, SM_M_HELLO, 0, &h, sizeof(h));
	if (ret)
		sm_link_close(l);
	return ret;
}

void sm_link_close(struct sm_link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

int sm_pmi_environment(void)
{
	struct sm_link l;
	char text[16];
	int ret;

	ret = sm_link_open(&l, SM_HELLO_PMI);
	if (ret)
		return ret;
	snprintf(text, sizeof(text), "%d", l.fd);
	ret = sm_env_put("PMI_FD", text);
	snprintf(text, sizeof(text), "%d", sm_life.rank);
	if (!ret)
		ret = sm_env_put("PMI_RANK", text);
	snprintf(text, sizeof(text), "%d", sm_life.size);
	if (!ret)
		ret = sm_env_put("PMI_SIZE", text);
	if (ret)
		sm_link_close(&l);
	return ret;
}
