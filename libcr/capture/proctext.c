/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading and parsing of /proc text.  Fields are found by name, never by
 * position of a line, since kernels add lines; numbers are bounded by the
 * text's end, which is always a NUL.
 */
#include "config.h"

#include "capture/proctext.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image/records.h"

int cri_text_file(struct cri_text *t, const char *path)
{
	ssize_t n;
	int ret = 0;
	int fd;

	t->len = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	for (;;) {
		if (t->len + 4096 >= t->size) {
			size_t size = t->size ? t->size * 2 : 16384;
			char *p = realloc(t->p, size);

			if (!p) {
				ret = -ENOMEM;
				goto out;
			}
			t->p = p;
			t->size = size;
		}
		n = read(fd, t->p + t->len, t->size - t->len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = -errno;
		if (n <= 0)
			break;
		t->len += (size_t)n;
	}
	t->p[t->len] = 0;
out:
	close(fd);
	return ret;
}

int cri_text_proc(struct cri_text *t, pid_t pid, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return cri_text_file(t, path);
}

void cri_text_fini(struct cri_text *t)
{
	free(t->p);
	*t = (struct cri_text){ 0 };
}

/* The n numbers after the closing bracket of the name. */
static int stat_numbers(const char *s, uint64_t *v, unsigned int n)
{
	unsigned int i;
	char *end;

	for (i = 0; i < n; i++) {
		v[i] = strtoull(s, &end, 10);
		if (end == s)
			break;
		s = end;
	}
	return (int)i;
}

int cri_pstat_parse(const char *text, struct cri_pstat *st)
{
	const char *open = strchr(text, '(');
	const char *close = strrchr(text, ')');
	uint64_t v[49] = { 0 };
	size_t len;

	memset(st, 0, sizeof(*st));
	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -EINVAL;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(st->comm))
		len = sizeof(st->comm) - 1;
	memcpy(st->comm, open + 1, len);
	st->pid = (pid_t)strtol(text, NULL, 10);
	st->state = close[2];
	/* v[i] is field i + 4 of proc(5). */
	if (stat_numbers(close + 3, v, 49) < 21)
		return -EINVAL;
	st->ppid = (pid_t)v[0];
	st->pgrp = (pid_t)v[1];
	st->session = (pid_t)v[2];
	st->tty_nr = (uint32_t)v[3];
	st->num_threads = (int64_t)v[16];
	st->start_time = v[18];
	st->rss_pages = v[20];
	st->start_code = v[22];
	st->end_code = v[23];
	st->start_stack = v[24];
	st->exit_signal = (int32_t)v[34];
	st->start_data = v[41];
	st->end_data = v[42];
	st->start_brk = v[43];
	st->arg_start = v[44];
	st->arg_end = v[45];
	st->env_start = v[46];
	st->env_end = v[47];
	st->exit_code = (uint32_t)v[48];
	return 0;
}

/* Value text after "\nNAME:\t", NULL if there is no such line. */
static const char *field(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *s = text;

	while (s && *s) {
		if (strncmp(s, name, len) == 0 && s[len] == ':')
			return s + len + 1;
		s = strchr(s, '\n');
		if (s)
			s++;
	}
	return NULL;
}

static uint64_t number(const char *text, const char *name, int base)
{
	const char *s = field(text, name);

	return s ? strtoull(s, NULL, base) : 0;
}

static void four(const char *text, const char *name, uint32_t *v)
{
	const char *s = field(text, name);
	char *end;
	int i;

	for (i = 0; s && i < 4; i++) {
		v[i] = (uint32_t)strtoul(s, &end, 10);
		s = end;
	}
}

static void inner_pid(const char *text, struct cri_pstatus *st)
{
	const char *s = field(text, "NSpid");

	st->inner_pid = (pid_t)number(text, "Pid", 10);
	if (!s)
		return;
	while (*s && *s != '\n') {
		char *end;
		long v = strtol(s, &end, 10);

		if (end == s)
			break;
		st->inner_pid = (pid_t)v;
		st->ns_depth++;
		s = end;
		while (*s == ' ' || *s == '\t')
			s++;
	}
}

int cri_pstatus_parse(const char *text, struct cri_pstatus *st)
{
	const char *s;

	memset(st, 0, sizeof(*st));
	s = field(text, "State");
	if (!s)
		return -EINVAL;
	st->state = s[strspn(s, " \t")];
	st->tgid = (pid_t)number(text, "Tgid", 10);
	st->ppid = (pid_t)number(text, "PPid", 10);
	st->tracer = (pid_t)number(text, "TracerPid", 10);
	inner_pid(text, st);
	st->umask = (uint32_t)number(text, "Umask", 8);
	four(text, "Uid", st->uid);
	four(text, "Gid", st->gid);
	st->groups = field(text, "Groups");
	st->sig_pnd = number(text, "SigPnd", 16);
	st->shd_pnd = number(text, "ShdPnd", 16);
	st->sig_blk = number(text, "SigBlk", 16);
	st->sig_ign = number(text, "SigIgn", 16);
	st->sig_cgt = number(text, "SigCgt", 16);
	st->cap_inh = number(text, "CapInh", 16);
	st->cap_prm = number(text, "CapPrm", 16);
	st->cap_eff = number(text, "CapEff", 16);
	st->cap_bnd = number(text, "CapBnd", 16);
	st->cap_amb = number(text, "CapAmb", 16);
	st->no_new_privs = (uint32_t)number(text, "NoNewPrivs", 10);
	st->seccomp = (uint32_t)number(text, "Seccomp", 10);
	st->seccomp_filters = (uint32_t)number(text, "Seccomp_filters", 10);
	st->threads = (uint32_t)number(text, "Threads", 10);
	st->vm_lck_kb = number(text, "VmLck", 10);
	st->vm_rss_kb = number(text, "VmRSS", 10);
	st->fd_size = number(text, "FDSize", 10);
	st->has_mm = field(text, "VmPeak") || field(text, "VmSize");
	return 0;
}

static bool hex(const char **s, char stop, uint64_t *v)
{
	char *end;

	*v = strtoull(*s, &end, 16);
	if (end == *s || *end != stop)
		return false;
	*s = end + 1;
	return true;
}

int cri_mapline_next(const char **text, struct cri_mapline *m)
{
	const char *s = *text;
	const char *eol;
	uint64_t major, minor;
	char *end;

	memset(m, 0, sizeof(*m));
	if (!*s)
		return 0;
	eol = strchr(s, '\n');
	if (!eol || !hex(&s, '-', &m->start) || !hex(&s, ' ', &m->end) ||
	    eol - s < 5)
		return -EINVAL;
	m->prot = (s[0] == 'r' ? PROT_READ : 0) |
		  (s[1] == 'w' ? PROT_WRITE : 0) |
		  (s[2] == 'x' ? PROT_EXEC : 0);
	m->shared = s[3] == 's';
	s += 5;
	if (!hex(&s, ' ', &m->offset) || !hex(&s, ':', &major) ||
	    !hex(&s, ' ', &minor) || m->start >= m->end)
		return -EINVAL;
	m->dev = major << 32 | minor;
	m->ino = strtoull(s, &end, 10);
	s = end;
	while (*s == ' ')
		s++;
	m->path = s;
	m->path_len = (size_t)(eol - s);
	*text = eol + 1;
	return 1;
}

static const struct {
	char name[3];
	uint32_t flag;
} vm_flags[] = {
	{ "gd", CRI_VMA_GROWSDOWN },  { "lo", CRI_VMA_LOCKED },
	{ "lf", CRI_VMA_LOCKONFAULT }, { "nr", CRI_VMA_NORESERVE },
	{ "dc", CRI_VMA_DONTFORK },   { "wf", CRI_VMA_WIPEONFORK },
	{ "dd", CRI_VMA_DONTDUMP },   { "hg", CRI_VMA_HUGEPAGE },
	{ "nh", CRI_VMA_NOHUGEPAGE }, { "mg", CRI_VMA_MERGEABLE },
	{ "sr", CRI_VMA_SEQ },	      { "rr", CRI_VMA_RAND },
	{ "ht", CRI_VMA_HUGETLB },    { "sl", CRI_VMA_SEALED },
	{ "sh", CRI_VMA_SHARED },
};

static void parse_vm_flags(const char *s, struct cri_smap *m)
{
	size_t i;

	for (; *s && *s != '\n'; s++) {
		if (s[0] == ' ' || s[1] == '\n' || !s[1])
			continue;
		for (i = 0; i < sizeof(vm_flags) / sizeof(vm_flags[0]); i++)
			if (memcmp(s, vm_flags[i].name, 2) == 0)
				m->flags |= vm_flags[i].flag;
		m->io |= memcmp(s, "io", 2) == 0;
		m->pfnmap |= memcmp(s, "pf", 2) == 0;
		m->shadow_stack |= memcmp(s, "ss", 2) == 0;
		m->maywrite |= memcmp(s, "mw", 2) == 0;
		m->userfault |= memcmp(s, "um", 2) == 0 ||
				memcmp(s, "uw", 2) == 0 ||
				memcmp(s, "ui", 2) == 0;
		s++;
	}
	m->hugetlb = (m->flags & CRI_VMA_HUGETLB) != 0;
}

int cri_smap_next(const char **text, struct cri_smap *m)
{
	const char *s = *text;
	static const char hexdigits[] = "0123456789abcdef";

	memset(m, 0, sizeof(*m));
	/* Entry lines begin with a capital, the next head with a digit. */
	while (*s && !strchr(hexdigits, *s)) {
		const char *eol = strchr(s, '\n');

		if (!eol)
			return -EINVAL;
		if (strncmp(s, "VmFlags:", 8) == 0)
			parse_vm_flags(s + 8, m);
		else if (strncmp(s, "Rss:", 4) == 0)
			m->rss_kb = strtoull(s + 4, NULL, 10);
		else if (strncmp(s, "Anonymous:", 10) == 0)
			m->anon_kb = strtoull(s + 10, NULL, 10);
		else if (strncmp(s, "Swap:", 5) == 0)
			m->swap_kb = strtoull(s + 5, NULL, 10);
		else if (strncmp(s, "AnonHugePages:", 14) == 0)
			m->anon_huge_kb = strtoull(s + 14, NULL, 10);
		else if (strncmp(s, "KernelPageSize:", 15) == 0)
			m->page_kb = strtoull(s + 15, NULL, 10);
		else if (strncmp(s, "ProtectionKey:", 14) == 0)
			m->pkey = (uint32_t)strtoul(s + 14, NULL, 10);
		s = eol + 1;
	}
	*text = s;
	return 0;
}

void cri_unescape(char *to, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		const char *f = from + i;

		if (f[0] == '\\' && len - i >= 4 && f[1] >= '0' &&
		    f[1] <= '3' && f[2] >= '0' && f[2] <= '7' && f[3] >= '0' &&
		    f[3] <= '7') {
			*to++ = (char)((f[1] - '0') << 6 | (f[2] - '0') << 3 |
				       (f[3] - '0'));
			i += 3;
		} else {
			*to++ = f[0];
		}
	}
	*to = 0;
}

bool cri_fdinfo_get(const char *text, const char *name, int base,
		    uint64_t *value)
{
	const char *s = field(text, name);

	if (!s)
		return false;
	*value = strtoull(s, NULL, base);
	return true;
}
