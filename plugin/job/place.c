/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing the worker's place.  The name comes first, the
 * addresses behind it help where names are not known everywhere.
 */
#include <config.h>

#include "place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int sj_job_key(const struct sj_job *j, char *buf, size_t size)
{
	return sj_fmt(buf, size, "%s-%u-%s", j->cluster, j->id, j->nonce);
}

int sj_place_read(struct sj_place *p, const char *dir)
{
	char path[PATH_MAX];
	char text[1024];
	char *at = text;
	char *line[3];
	uint64_t v;
	int ret;
	int i;

	ret = sj_fmt(path, sizeof(path), "%s/worker", dir);
	if (ret)
		return ret;
	ret = sj_read_file(path, text, sizeof(text));
	if (ret)
		return ret;
	for (i = 0; i < 3; i++) {
		line[i] = strsep(&at, "\n");
		if (!line[i])
			return -EBADMSG;
	}
	if (sj_parse_num(line[0], UINT32_MAX, &v))
		return -EBADMSG;
	p->epoch = v;
	if (sj_parse_num(line[1], UINT16_MAX, &v) || !v)
		return -EBADMSG;
	p->port = v;
	return sj_fmt(p->hosts, sizeof(p->hosts), "%s", line[2]);
}

static void add_addresses(char *buf, size_t size)
{
	struct ifaddrs *list;
	struct ifaddrs *a;
	char text[INET_ADDRSTRLEN];
	size_t at = strlen(buf);

	if (getifaddrs(&list))
		return;
	for (a = list; a; a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET ||
		    (a->ifa_flags & IFF_LOOPBACK))
			continue;
		inet_ntop(
			AF_INET,
			&((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr,
			text, sizeof(text));
		if (at + strlen(text) + 2 > size)
			break;
		at += snprintf(buf + at, size - at, " %s", text);
	}
	freeifaddrs(list);
}

int sj_place_write(const struct sj_job *j, uint16_t port)
{
	char path[PATH_MAX];
	char hosts[700] = "";
	char text[1024];
	int ret;

	if (gethostname(hosts, 256))
		return -errno;
	hosts[255] = '\0';
	add_addresses(hosts, sizeof(hosts));
	ret = sj_fmt(text, sizeof(text), "%u\n%u\n%s\n", j->epoch, port, hosts);
	if (ret)
		return ret;
	ret = sj_job_path(j, path, sizeof(path), "worker");
	return ret ? ret : sj_write_file(path, text, strlen(text));
}
