/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reserved environment slots.  A launcher that will have news for a restarted
 * program (the address of its new coordinator) leaves a variable with room in
 * the environment; the restart writes the new value into that room, in the
 * environment area of each process that has the variable.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore/restore.h"

#define ENV_MAX (2ul << 20)

/* The bytes that the image has at [addr, addr + len); absent ones are 0. */
static int image_read(struct cri_restore *rs, const struct cri_rtask *t,
		      uint64_t addr, char *to, size_t len)
{
	const struct cri_rmm *mm = t->mm;
	size_t i, done = 0;

	memset(to, 0, len);
	for (i = 0; i < mm->n_runs && done < len; i++) {
		uint64_t start = mm->runs[i].page * CRI_PAGE;
		uint64_t end = start + mm->runs[i].count * CRI_PAGE;
		uint64_t from = addr + done;
		size_t n;

		if (end <= from)
			continue;
		if (start >= addr + len)
			break;
		if (start > from) {
			done = start - addr;
			from = start;
		}
		n = end - from < len - done ? end - from : len - done;
		if (mm->runs[i].offset < 0) {
			int ret = t->parent ? image_read(rs, t->parent, from,
							 to + done, n) :
					      -EBADMSG;
			if (ret)
				return ret;
		} else if (pread(rs->data_fd, to + done, n,
				 mm->runs[i].offset + (off_t)(from - start)) !=
			   (ssize_t)n) {
			return -EIO;
		}
		done += n;
	}
	return 0;
}

/* Write the value where the variable stands, if it has the room. */
static int put(struct cri_restore *rs, struct cri_rtask *t, const char *env,
	       size_t len, const char *text, struct cri_err *err)
{
	size_t name = strcspn(text, "=") + 1, value = strlen(text) - name, at;
	struct rb_op *op;
	char *copy;

	for (at = 0; at < len; at += strnlen(env + at, len - at) + 1) {
		size_t room = strnlen(env + at, len - at);

		if (room < name || strncmp(env + at, text, name) != 0)
			continue;
		room -= name;
		if (value > room)
			return cri_fail(err, ENOSPC,
					"process %u (%s) has room for %zu "
					"bytes in %.*s, not for %zu",
					t->rec->pid, t->rec->comm, room,
					(int)name - 1, text, value);
		copy = cri_area_alloc(rs, room + 1, 8);
		op = cri_op(rs, t->threads, RB_COPY, "setting the environment");
		if (!copy || !op)
			return -ENOMEM;
		memset(copy, 0, room + 1);
		memcpy(copy, text + name, value);
		op->arg[0] = (int64_t)(t->mm->rec->env_start + at + name);
		op->arg[1] = (int64_t)copy;
		op->arg[2] = (int64_t)room;
		return 0;
	}
	return 0;
}

int cri_plan_environ(struct cri_restore *rs, struct cri_rtask *t,
		     struct cri_err *err)
{
	const struct cri_rec_mm *mm = t->mm->rec;
	size_t len = mm->env_end - mm->env_start;
	uint32_t i;
	char *env;
	int ret;

	if (!rs->args->n_setenv || mm->env_end <= mm->env_start ||
	    len > ENV_MAX)
		return 0;
	env = malloc(len + 1);
	if (!env)
		return -ENOMEM;
	env[len] = '\0';
	ret = image_read(rs, t, mm->env_start, env, len);
	for (i = 0; i < rs->args->n_setenv && !ret; i++)
		ret = put(rs, t, env, len, rs->args->setenv[i], err);
	free(env);
	return ret;
}
