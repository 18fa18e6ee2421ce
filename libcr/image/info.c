/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The summary of an image: who, what, when, where, how large, and what a
 * restart needs.  An image is untrusted: lists are bounded, trees may have
 * loops, text may hold escape sequences.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libcr_ext.h"

#define MAX_LINES 40u /* of files, notes, processes; the rest is counted */
#define MAX_DEPTH 12u

void cri_info_text(FILE *to, const char *s)
{
	const unsigned char *p = (const unsigned char *)(s ? s : "");

	for (; *p; p++)
		fputc(*p < 0x20 || *p == 0x7f || *p == 0x9b ? '?' : *p, to);
}

char *cri_info_size(char buf[32], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "kB", "MB",
					     "GB",    "TB", "PB" };
	double v = (double)bytes;
	unsigned int u = 0;

	while (v >= 999.5 && u < 5) {
		v /= 1000;
		u++;
	}
	snprintf(buf, 32, u && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[u]);
	return buf;
}

static const char *scope_name(uint32_t scope)
{
	static const char *const names[] = { "process", "process group",
					     "session", "tree" };

	return scope < 4 ? names[scope] : "?";
}

static void show_origin(struct cri_reader *r, FILE *to)
{
	const struct cri_rec_origin *o;
	char when[64] = "?", size[32];
	time_t t;
	struct tm tm;

	o = cri_recset_at(r->set, CRI_REC_ORIGIN, 0);
	t = (time_t)(o->realtime / 1000000000);
	if (localtime_r(&t, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &tm);
	fprintf(to, "Taken      %s on ", when);
	cri_info_text(to, o->host);
	fputs("\n           Linux ", to);
	cri_info_text(to, o->kernel);
	fputs(" ", to);
	cri_info_text(to, o->machine);
	fprintf(to, ", by uid %u gid %u, ", o->uid, o->gid);
	cri_info_text(to, o->creator);
	fputs(", engine ", to);
	cri_info_text(to, o->engine);
	fprintf(to, "\nOf         %s %u", scope_name(o->scope), o->outer_pid);
	if (o->pause)
		fprintf(to, ", stood still %.1f ms", (double)o->pause / 1e6);
	fprintf(to, "\nImage      %s, format %u.%u, %u records, %u extents\n",
		cri_info_size(size, r->size), r->head.major, r->head.minor,
		r->head.n_records, r->n_extents);
}

static void show_tasks(const struct cri_recset *set, FILE *to, uint32_t parent,
		       uint32_t depth, uint32_t *left)
{
	static const char *const states[] = { "", ", stopped", ", zombie",
					      ", without its leader" };
	const struct cri_rec_task *t;
	const struct cri_rec_thread *th;
	uint32_t i, k, n;

	cri_for_each(set, CRI_REC_TASK, i, t) {
		if (t->parent != parent || depth > MAX_DEPTH || !*left)
			continue;
		--*left;
		n = 0;
		if (cri_recset_count(set, CRI_REC_TASK) < 1000)
			cri_for_each(set, CRI_REC_THREAD, k, th)
				n += th->task == t->id;
		fprintf(to, "%*s%u ", (int)(11 + 2 * depth), "", t->pid);
		cri_info_text(to, t->comm);
		if (n > 1)
			fprintf(to, ", %u threads", n);
		fprintf(to, "%s\n", t->state < 4 ? states[t->state] : "");
		show_tasks(set, to, t->id, depth + 1, left);
	}
}

void cri_info_tree(struct cri_reader *r, FILE *to)
{
	uint32_t n = cri_recset_count(r->set, CRI_REC_TASK);
	uint32_t left = MAX_LINES;

	fprintf(to, "Processes  %u, with %u threads\n", n,
		cri_recset_count(r->set, CRI_REC_THREAD));
	show_tasks(r->set, to, 0, 0, &left);
	if (!left && n > MAX_LINES)
		fprintf(to, "           ... and %u more\n", n - MAX_LINES);
}

/* How the program holds a file. */
static void show_file(const struct cri_rec_file *f, FILE *to)
{
	char size[32];

	fputs("           ", to);
	cri_info_text(to, f->path);
	if (S_ISDIR(f->mode))
		fputs("  directory", to);
	else if (S_ISREG(f->mode))
		fprintf(to, "  %s", cri_info_size(size, f->size));
	if (f->unlinked)
		fputs(", unlinked, its contents are in the image", to);
	else if (f->flags & CRI_FILE_EXE)
		fputs(", executable or library", to);
	fputs("\n", to);
}

static void show_files(const struct cri_recset *set, FILE *to)
{
	const struct cri_rec_file *f;
	uint32_t i, n = cri_recset_count(set, CRI_REC_FILE);

	if (!n)
		return;
	fprintf(to, "Files      %u\n", n);
	cri_for_each(set, CRI_REC_FILE, i, f) {
		if (i == MAX_LINES)
			break;
		show_file(f, to);
	}
	if (n > MAX_LINES)
		fprintf(to, "           ... and %u more\n", n - MAX_LINES);
}

static void show_counts(const struct cri_recset *set, FILE *to)
{
	static const struct {
		enum cri_rec_type type;
		const char *one;
		const char *many;
	} kinds[] = {
		{ CRI_REC_PIPE, "pipe", "pipes" },
		{ CRI_REC_SOCKET, "socket", "sockets" },
		{ CRI_REC_TTY, "terminal", "terminals" },
		{ CRI_REC_EVENTFD, "eventfd", "eventfds" },
		{ CRI_REC_EPOLL, "epoll", "epolls" },
		{ CRI_REC_TIMERFD, "timerfd", "timerfds" },
		{ CRI_REC_SIGNALFD, "signalfd", "signalfds" },
		{ CRI_REC_INOTIFY, "inotify", "inotifies" },
		{ CRI_REC_PIDFD, "pidfd", "pidfds" },
		{ CRI_REC_SPECIAL, "special file", "special files" },
		{ CRI_REC_LOCK, "file lock", "file locks" },
		{ CRI_REC_SHMEM, "shared memory", "shared memories" },
		{ CRI_REC_SYSVSHM, "SysV segment", "SysV segments" },
		{ CRI_REC_SEMSET, "semaphore set", "semaphore sets" },
		{ CRI_REC_MSGQ, "message queue", "message queues" },
	};
	const char *sep = "Also       ";
	uint32_t n;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		n = cri_recset_count(set, kinds[i].type);
		if (!n)
			continue;
		fprintf(to, "%s%u %s", sep, n,
			n == 1 ? kinds[i].one : kinds[i].many);
		sep = ", ";
	}
	if (*sep == ',')
		fputs("\n", to);
}

static void show_notes(const struct cri_recset *set, FILE *to)
{
	const struct cri_rec_note *n;
	uint32_t i;

	cri_for_each(set, CRI_REC_NOTE, i, n) {
		if (i == MAX_LINES)
			break;
		fputs(i ? "           " : "Notes      ", to);
		cri_info_text(to, n->key);
		fputs(": ", to);
		cri_info_text(to, n->value);
		fputs("\n", to);
	}
}

/* What the place of a restart must offer. */
static void show_needs(struct cri_reader *r, FILE *to)
{
	const struct cri_rec_origin *o;
	const struct cri_rec_task *t;
	uint32_t i, outside = 0, low = UINT32_MAX, high = 0;
	const struct cri_rec_pipe *p;

	o = cri_recset_at(r->set, CRI_REC_ORIGIN, 0);
	cri_for_each(r->set, CRI_REC_TASK, i, t) {
		low = t->pid < low ? t->pid : low;
		high = t->pid > high ? t->pid : high;
	}
	cri_for_each(r->set, CRI_REC_PIPE, i, p)
		outside += p->outside != 0;
	fprintf(to, "Needs      the files above, unchanged; uid %u\n", o->uid);
	if (high)
		fprintf(to,
			"           process ids %u to %u, or a PID namespace\n",
			low, high);
	if (o->xsave_size)
		fprintf(to,
			"           a processor with features 0x%" PRIx64
			" (XSAVE area of %u bytes)\n",
			o->xfeatures, o->xsave_size);
	if (outside)
		fprintf(to,
			"           %u pipes lead outside: from cr_restart's "
			"own descriptors\n",
			outside);
}

void cri_info_summary(struct cri_reader *r, FILE *to)
{
	show_origin(r, to);
	cri_info_tree(r, to);
	cri_info_memory(r, to);
	show_files(r->set, to);
	show_counts(r->set, to);
	show_notes(r->set, to);
	show_needs(r, to);
}

static int verify(struct cri_reader *r, FILE *to, uint32_t flags,
		  struct cri_err *err)
{
	char size[32];
	int ret;

	ret = cri_reader_verify(r, err);
	if (ret)
		return ret;
	if (!(flags & CR_EXT_INFO_JSON))
		fprintf(to, "Verified   %s, every checksum matches\n",
			cri_info_size(size, r->size));
	return 0;
}

int cr_ext_info(int image_fd, int out_fd, uint32_t flags, char *msg,
		size_t msg_size)
{
	struct cri_reader *r = NULL;
	struct cri_err err = { 0 };
	FILE *to = NULL;
	int fd, ret;

	ret = cri_reader_open(image_fd, &r, &err);
	if (ret)
		goto out;
	fd = dup(out_fd);
	if (fd >= 0)
		to = fdopen(fd, "w");
	if (!to) {
		ret = cri_fail(&err, errno, "output: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		goto out;
	}
	if (flags & CR_EXT_INFO_JSON)
		cri_info_json(r, to);
	else
		cri_info_summary(r, to);
	if (flags & CR_EXT_INFO_VERIFY)
		ret = verify(r, to, flags, &err);
out:
	if (to && fclose(to) && !ret)
		ret = cri_fail(&err, errno, "output: %s", strerror(errno));
	cri_reader_free(r);
	if (msg && msg_size)
		snprintf(msg, msg_size, "%s", err.text);
	return ret;
}
