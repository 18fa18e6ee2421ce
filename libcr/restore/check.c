/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can be refused before anything is created: another user's image, a
 * weaker processor, another vdso, files that are gone or changed.
 */
#include "config.h"

#include <cpuid.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kind/kind.h"
#include "restore/restore.h"
#include "image/crc32c.h"

#define CAP_BIT(c) (1ull << (c))

static uint64_t own_caps(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2] = { { 0 } };

	if (syscall(SYS_capget, &head, data))
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

static bool has_group(const gid_t *list, int n, uint32_t gid)
{
	int i;

	for (i = 0; i < n; i++)
		if (list[i] == gid)
			return true;
	return gid == getgid() || gid == getegid();
}

/* An ordinary user gets back what he is anyway, and nothing else. */
static int user_check(const struct cri_rec_task *t, const gid_t *groups, int n,
		      struct cri_err *err)
{
	uint32_t uid = getuid(), gid = getgid(), i;

	if (t->ruid != uid || t->euid != uid || t->suid != uid ||
	    t->fsuid != uid)
		return cri_fail(err, EPERM,
				"process %u (%s) belonged to user %u, you are "
				"user %u: restart it as that user",
				t->pid, t->comm, t->euid, uid);
	if (t->rgid != gid || t->egid != gid || t->sgid != gid ||
	    t->fsgid != gid)
		return cri_fail(err, EPERM,
				"process %u (%s) had group %u, yours is %u: "
				"restart it under that group (newgrp)",
				t->pid, t->comm, t->egid, gid);
	for (i = 0; i < t->n_groups; i++)
		if (!has_group(groups, n, t->groups[i].gid))
			return cri_fail(err, EPERM,
					"process %u (%s) was in group %u, you "
					"are not",
					t->pid, t->comm, t->groups[i].gid);
	return 0;
}

static int credentials(struct cri_restore *rs, struct cri_err *err)
{
	gid_t groups[65536 / sizeof(gid_t)];
	int n = getgroups(sizeof(groups) / sizeof(*groups), groups), ret;
	uint32_t i;

	rs->cap_limit = own_caps();
	rs->set_ids = rs->cap_limit & CAP_BIT(CAP_SETUID) &&
		      rs->cap_limit & CAP_BIT(CAP_SETGID);
	rs->set_groups = rs->set_ids;
	rs->drop_bounding = rs->cap_limit & CAP_BIT(CAP_SETPCAP);
	for (i = 0; i < rs->n_tasks && !rs->set_ids; i++) {
		if (!rs->tasks[i].n_threads)
			continue;
		ret = user_check(rs->tasks[i].rec, groups, n < 0 ? 0 : n, err);
		if (ret)
			return ret;
	}
	return 0;
}

static uint64_t own_xcr0(uint32_t *size)
{
	uint32_t a = 0, b = 0, c = 0, d = 0, lo, hi;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return 3;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	__cpuid_count(0xd, 0, a, b, c, d);
	*size = b;
	return lo | (uint64_t)hi << 32;
}

static int cpu(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t size = 0, i;
	uint64_t mine = own_xcr0(&size), bv;

	for (i = 0; i < rs->n_threads; i++) {
		const struct cri_bytes *x = &rs->threads[i].rec->xstate;

		if (x->len < 576)
			continue;
		memcpy(&bv, (const char *)x->p + 512, sizeof(bv));
		if (bv & ~mine)
			return cri_fail(err, ENOTSUP,
					"thread %u uses processor state that "
					"this machine lacks (features %#lx): "
					"restart on a newer processor, or "
					"start "
					"the program with cr_run --cpu",
					rs->threads[i].rec->tid,
					(unsigned long)(bv & ~mine));
	}
	return 0;
}

static int vdso(struct cri_restore *rs, struct cri_err *err)
{
	uint32_t crc, saved, i;
	int ret;

	ret = cri_vdso_find(rs, err);
	if (ret)
		return ret;
	crc = cri_crc32c(0, (const void *)rs->vdso, rs->vdso_size);
	for (i = 0; i < rs->n_mms; i++) {
		const struct cri_rec_mm *mm = rs->mms[i].rec;

		if (!mm->vdso || mm->vdso_hash.len != sizeof(saved))
			continue;
		memcpy(&saved, mm->vdso_hash.p, sizeof(saved));
		if (saved == crc)
			continue;
		rs->vdso_foreign = true;
		if (!rs->origin->vdso.len)
			return cri_fail(err, ENOTSUP,
					"the image was made under another "
					"kernel (%s) and lacks its vdso",
					rs->origin->kernel);
	}
	return 0;
}

static int files(struct cri_restore *rs, struct cri_err *err)
{
	const struct cri_kind *kind;
	struct cri_rec_file *f;
	struct cri_rec_ofd *ofd;
	uint32_t i;
	int ret;

	cri_for_each(rs->set, CRI_REC_OFD, i, ofd)
	{
		kind = cri_kind_find(ofd->type);
		if (!kind)
			return cri_fail(err, EBADMSG,
					"damaged image: open file %u of type "
					"%u",
					ofd->id, ofd->type);
		ret = kind->verify ? kind->verify(rs, ofd, err) : 0;
		if (ret)
			return cri_fail(err, -ret, "open file %u", ofd->id);
	}
	cri_for_each(rs->set, CRI_REC_FILE, i, f)
	{
		const char *path = cri_restore_path(rs, f->path);

		if (!f->unlinked && f->flags & CRI_FILE_EXE &&
		    access(path, R_OK))
			return cri_fail(err, errno,
					"mapped file %s (see --relocate)",
					path);
	}
	return 0;
}

int cri_restore_check(struct cri_restore *rs, struct cri_err *err)
{
	int ret;

	if (rs->origin->page_size != CRI_PAGE)
		return cri_fail(err, ENOTSUP, "pages of %u bytes",
				rs->origin->page_size);
	ret = credentials(rs, err);
	if (ret)
		return ret;
	ret = cpu(rs, err);
	if (ret)
		return ret;
	ret = vdso(rs, err);
	if (ret)
		return ret;
	return files(rs, err);
}
