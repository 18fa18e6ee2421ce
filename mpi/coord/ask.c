/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clients of a coordinator that are no ranks: requests, environments. */
#include "config.h"
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "coord/coord.h"
#include "coord/proto.h"

static int open_address(const char *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				  .ai_socktype = SOCK_STREAM };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr *sa = (struct sockaddr *)&un;
	socklen_t len = sizeof(un);
	struct addrinfo *ai = NULL;
	const char *colon = strrchr(address, ':');
	char host[64];
	int fd, ret = 0;

	if (*address == '/') {
		if (strlen(address) >= sizeof(un.sun_path))
			return -ENAMETOOLONG;
		strcpy(un.sun_path, address);
	} else {
		if (!colon || (size_t)(colon - address) >= sizeof(host))
			return -EINVAL;
		memcpy(host, address, (size_t)(colon - address));
		host[colon - address] = '\0';
		if (getaddrinfo(host, colon + 1, &hints, &ai))
			return -EINVAL;
		sa = ai->ai_addr;
		len = ai->ai_addrlen;
	}
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, sa, len))
		ret = -errno;
	if (ai)
		freeaddrinfo(ai);
	if (ret && fd >= 0)
		close(fd);
	return ret ? ret : fd;
}

static int put(int fd, uint32_t type, const void *data, uint32_t len)
{
	struct sm_head h = { SM_MAGIC, type, 0, len };
	const char *p = data;
	ssize_t n;

	if (send(fd, &h, sizeof(h), MSG_NOSIGNAL) != (ssize_t)sizeof(h))
		return -EPIPE;
	while (len) {
		n = send(fd, p, len, MSG_NOSIGNAL);
		if (n <= 0)
			return -EPIPE;
		p += n;
		len -= (uint32_t)n;
	}
	return 0;
}

static int greet(const char *address, const char *key, int rank,
		 uint32_t flags)
{
	struct sm_hello h = { .rank = rank, .flags = flags, .size = 1,
			      .pid = getpid() };
	int fd, ret;

	fd = open_address(address);
	if (fd < 0)
		return fd;
	memcpy(h.key, key ? key : "", key ? strnlen(key, SM_KEY_LEN) : 0);
	gethostname(h.host, sizeof(h.host) - 1);
	ret = put(fd, SM_M_HELLO, &h, sizeof(h));
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int get(int fd, void *p, size_t n, int timeout_ms)
{
	struct pollfd f = { fd, POLLIN, 0 };

	while (n) {
		ssize_t k;

		if (poll(&f, 1, timeout_ms) <= 0)
			return -ETIMEDOUT;
		k = recv(fd, p, n, 0);
		if (k <= 0)
			return -ECONNRESET;
		p = (char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

int sm_coord_ask(const char *address, const char *key, const char *request,
		 int timeout_ms, char *answer, size_t size)
{
	struct sm_head h;
	int fd, ret;

	*answer = '\0';
	fd = greet(address, key, 0, SM_HELLO_CONTROL);
	if (fd < 0)
		return fd;
	ret = put(fd, SM_M_CONTROL, request, (uint32_t)strlen(request));
	if (!ret)
		ret = get(fd, &h, sizeof(h), timeout_ms);
	if (!ret && (h.magic != SM_MAGIC || h.type != SM_M_RESULT ||
		     h.len >= size))
		ret = -EPROTO;
	if (!ret) {
		ret = get(fd, answer, h.len, timeout_ms);
		answer[ret ? 0 : h.len] = '\0';
	}
	if (!ret)
		ret = -(int)h.arg;
	close(fd);
	return ret;
}

int sm_coord_send_env(const char *address, const char *key, int rank,
		      const char *env, uint32_t len)
{
	int fd, ret;

	fd = greet(address, key, rank, SM_HELLO_ENV);
	if (fd < 0)
		return fd;
	ret = put(fd, SM_M_ENV, env, len);
	close(fd);
	return ret;
}
