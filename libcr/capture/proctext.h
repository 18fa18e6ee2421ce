/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text of /proc, read whole and taken apart.  The parsers take untrusted text
 * (a program chooses its name and its files') and are tested alone in
 * tests/unit/proctext.c; nothing here touches a task.
 */
#ifndef CRI_CAPTURE_PROCTEXT_H
#define CRI_CAPTURE_PROCTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Growing buffer that keeps its memory between reads. */
struct cri_text {
	char *p; /* NUL at p[len] */
	size_t len;
	size_t size;
};

/* /proc/PID/NAME whole (NAME may have slashes).  -errno as open/read give. */
int cri_text_proc(struct cri_text *t, pid_t pid, const char *name);
int cri_text_file(struct cri_text *t, const char *path);
void cri_text_fini(struct cri_text *t);

struct cri_pstat {
	char comm[65];
	char state;
	pid_t pid, ppid, pgrp, session;
	uint64_t tty_nr;
	int64_t num_threads;
	uint64_t start_time, rss_pages;
	uint64_t start_code, end_code, start_stack;
	int32_t exit_signal;
	uint64_t start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint32_t exit_code;
};
int cri_pstat_parse(const char *text, struct cri_pstat *st);

#define CRI_MAX_GROUPS 65536u
struct cri_pstatus {
	pid_t tgid, ppid, tracer;
	pid_t inner_pid; /* last of NSpid */
	uint32_t ns_depth; /* entries of NSpid */
	uint32_t umask;
	uint32_t uid[4], gid[4];
	const char *groups; /* text after "Groups:", to the line's end */
	uint64_t shd_pnd, sig_pnd, sig_blk, sig_ign, sig_cgt;
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint32_t no_new_privs, seccomp, seccomp_filters, threads;
	uint64_t vm_lck_kb, vm_rss_kb, fd_size;
	char state;
	bool has_mm;
};
int cri_pstatus_parse(const char *text, struct cri_pstatus *st);

/* One line of maps or head line of smaps. */
struct cri_mapline {
	uint64_t start, end, offset, dev, ino;
	uint32_t prot; /* PROT_* */
	bool shared;
	const char *path; /* in the text, not terminated */
	size_t path_len;
};
/*
 * Parse the line at *text, move *text past it.  1: a mapping, 0: end of text,
 * -EINVAL.
 */
int cri_mapline_next(const char **text, struct cri_mapline *m);
/* Lines of one smaps entry after its head: flags and sizes. */
struct cri_smap {
	uint32_t flags; /* CRI_VMA_* that VmFlags tells */
	bool hugetlb, io, pfnmap, shadow_stack, userfault;
	bool maywrite;
	uint32_t pkey;
	uint64_t anon_kb, anon_huge_kb, rss_kb, swap_kb, page_kb;
};
int cri_smap_next(const char **text, struct cri_smap *s);

/* Undo the \ooo of maps and mountinfo; to must hold len + 1 bytes. */
void cri_unescape(char *to, const char *from, size_t len);
/* "name:\tvalue" of fdinfo; octal, decimal or hex as base says. */
bool cri_fdinfo_get(const char *text, const char *name, int base,
		    uint64_t *value);

#endif
