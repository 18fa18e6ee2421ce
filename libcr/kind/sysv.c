/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SysV segments, semaphore sets and message queues.  An object that survived
 * the program is taken as it is by number and key and gets its old content; a
 * missing one is made under its old number, which the kernel allows to whoever
 * owns the IPC namespace.  Messages are looked at by MSG_COPY, which takes
 * none.
 */
#include "config.h"

#include "kind/sysv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <unistd.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#define MAX_MSG (1u << 20)

union semun {
	int val;
	struct semid_ds *buf;
	unsigned short *array;
	struct seminfo *info;
};

struct message {
	long type;
	char text[];
};

static bool ours(struct cri_capture *cap, pid_t pid)
{
	return pid > 0 && cri_capture_by_pid(cap, pid);
}

/* --- capture --- */

static int sem_values(int id, uint32_t n, struct cri_recset *set,
		      struct cri_rec_semset *r)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		int value = semctl(id, (int)i, GETVAL);
		int pid = semctl(id, (int)i, GETPID);
		struct cri_sem *s = CRI_GROW(set, r->sems, r->n_sems);

		if (!s)
			return -ENOMEM;
		if (value < 0 || pid < 0)
			return -errno;
		s->value = (uint32_t)value;
		s->pid = (uint32_t)pid;
	}
	return 0;
}

/* Is a thread of the tree just waiting for that object? */
static bool awaited(struct cri_recset *set, int id, const long *calls)
{
	struct user_regs_struct regs;
	struct cri_rec_thread *t;
	uint32_t i, k;

	cri_for_each(set, CRI_REC_THREAD, i, t)
	{
		if (t->regs.len != sizeof(regs))
			continue;
		memcpy(&regs, t->regs.p, sizeof(regs));
		if ((int)regs.rdi != id)
			continue;
		for (k = 0; calls[k]; k++)
			if ((long)regs.orig_rax == calls[k] ||
			    (long)regs.rax == calls[k])
				return true;
	}
	return false;
}

static bool sem_used(struct cri_capture *cap, struct cri_recset *set, int id,
		     uint32_t n)
{
	static const long calls[] = { SYS_semop, SYS_semtimedop, 0 };
	uint32_t i;

	for (i = 0; i < n; i++)
		if (ours(cap, semctl(id, (int)i, GETPID)))
			return true;
	return awaited(set, id, calls);
}

static int semset(struct cri_capture *cap, struct cri_recset *set, int index,
		  struct cri_err *err)
{
	struct semid_ds ds;
	union semun arg = { .buf = &ds };
	struct cri_rec_semset *r;
	int id = semctl(index, 0, SEM_STAT, arg), ret;

	if (id < 0 || !sem_used(cap, set, id, (uint32_t)ds.sem_nsems))
		return 0;
	r = cri_recset_add(set, CRI_REC_SEMSET);
	if (!r)
		return -ENOMEM;
	r->ipc_id = (uint32_t)id;
	r->key = ds.sem_perm.__key;
	r->mode = ds.sem_perm.mode & 0777;
	r->uid = ds.sem_perm.uid;
	r->gid = ds.sem_perm.gid;
	ret = sem_values(id, (uint32_t)ds.sem_nsems, set, r);
	if (ret)
		return cri_fail(err, -ret, "reading semaphore set %d", id);
	return 0;
}

static int copy_messages(int id, uint32_t n, struct cri_recset *set,
			 struct cri_rec_msgq *r)
{
	struct message *m = malloc(sizeof(*m) + MAX_MSG);
	struct cri_sysvmsg *to;
	ssize_t len;
	uint32_t i;
	int ret = m ? 0 : -ENOMEM;

	for (i = 0; !ret && i < n; i++) {
		len = msgrcv(id, m, MAX_MSG, (long)i, MSG_COPY | IPC_NOWAIT);
		if (len < 0) {
			ret = errno == ENOMSG ? 0 : -errno;
			break;
		}
		to = CRI_GROW(set, r->msgs, r->n_msgs);
		if (!to) {
			ret = -ENOMEM;
			break;
		}
		to->mtype = m->type;
		ret = cri_recset_bytes(set, &to->data, m->text, (size_t)len);
	}
	free(m);
	return ret;
}

static int msgq(struct cri_capture *cap, struct cri_recset *set, int index,
		struct cri_err *err)
{
	struct msqid_ds ds;
	struct cri_rec_msgq *r;
	static const long calls[] = { SYS_msgsnd, SYS_msgrcv, 0 };
	int id = msgctl(index, MSG_STAT, &ds), ret;

	if (id < 0)
		return 0;
	if (!ours(cap, ds.msg_lspid) && !ours(cap, ds.msg_lrpid) &&
	    !awaited(set, id, calls))
		return 0;
	r = cri_recset_add(set, CRI_REC_MSGQ);
	if (!r)
		return -ENOMEM;
	r->ipc_id = (uint32_t)id;
	r->key = ds.msg_perm.__key;
	r->mode = ds.msg_perm.mode & 0777;
	r->uid = ds.msg_perm.uid;
	r->gid = ds.msg_perm.gid;
	r->qbytes = ds.msg_qbytes;
	ret = copy_messages(id, (uint32_t)ds.msg_qnum, set, r);
	if (ret)
		return cri_fail(err, -ret, "reading message queue %d", id);
	return 0;
}

int cri_sysv_capture(struct cri_capture *cap, struct cri_recset *set,
		     struct cri_err *err)
{
	struct seminfo si;
	struct msginfo mi;
	union semun arg = { .info = &si };
	int top, i, ret = 0;

	top = semctl(0, 0, SEM_INFO, arg);
	for (i = 0; !ret && i <= top; i++)
		ret = semset(cap, set, i, err);
	top = msgctl(0, MSG_INFO, (struct msqid_ds *)&mi);
	for (i = 0; !ret && i <= top; i++)
		ret = msgq(cap, set, i, err);
	return ret;
}

/* --- restore --- */

bool cri_sysv_any(struct cri_recset *set)
{
	return cri_recset_count(set, CRI_REC_SYSVSHM) ||
	       cri_recset_count(set, CRI_REC_SEMSET) ||
	       cri_recset_count(set, CRI_REC_MSGQ);
}

/* Ask for the next object's number. */
static int next_id(const char *what, uint32_t id)
{
	char path[64], text[16];
	int fd, n, ret = 0;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s_next_id", what);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%u", id);
	if (write(fd, text, (size_t)n) != n)
		ret = -errno;
	close(fd);
	return ret;
}

static int wrong(struct cri_err *err, const char *what, uint32_t id, int ret)
{
	return cri_fail(err, -ret,
			"the SysV %s %u cannot get its number back%s", what, id,
			ret == -EPERM || ret == -EACCES ? " (needs an IPC "
							  "namespace of its "
							  "own)" :
							  "");
}

static int shm_fill(struct cri_restore *rs, const struct cri_rec_sysvshm *r,
		    struct cri_err *err)
{
	int fd = memfd_create("stasis-sysv", MFD_CLOEXEC), ret = 0;
	void *to, *from = MAP_FAILED;

	to = shmat((int)r->ipc_id, NULL, 0);
	if (fd < 0 || ftruncate(fd, (off_t)r->size) || to == (void *)-1)
		ret = -errno;
	if (!ret)
		ret = cri_restore_content(rs, r->id, fd, err);
	if (!ret)
		from = mmap(NULL, r->size, PROT_READ, MAP_SHARED, fd, 0);
	if (!ret && from == MAP_FAILED)
		ret = -errno;
	if (!ret) {
		memcpy(to, from, r->size);
		munmap(from, r->size);
	}
	/* A removed segment lives as long as it is attached: by us, so far. */
	if (to != (void *)-1 && (!r->removed || ret))
		shmdt(to);
	if (fd >= 0)
		close(fd);
	return ret ? cri_fail(err, -ret, "filling the SysV segment %u",
			      r->ipc_id) :
		     0;
}

static int shm_make(struct cri_restore *rs, const struct cri_rec_sysvshm *r,
		    struct cri_err *err)
{
	key_t key = r->removed ? IPC_PRIVATE : (key_t)r->key;
	struct shmid_ds ds;
	int id, ret;

	if (!shmctl((int)r->ipc_id, IPC_STAT, &ds)) {
		if (ds.shm_perm.__key != key || ds.shm_segsz != r->size ||
		    ds.shm_nattch)
			return wrong(err, "segment", r->ipc_id, -EBUSY);
		return shm_fill(rs, r, err);
	}
	ret = next_id("shm", r->ipc_id);
	if (ret)
		return wrong(err, "segment", r->ipc_id, ret);
	id = shmget(key, r->size, (int)(IPC_CREAT | IPC_EXCL | r->mode));
	if (id < 0)
		return wrong(err, "segment", r->ipc_id, -errno);
	if ((uint32_t)id != r->ipc_id) {
		shmctl(id, IPC_RMID, NULL);
		return wrong(err, "segment", r->ipc_id, -EEXIST);
	}
	if (!shmctl(id, IPC_STAT, &ds) && ds.shm_perm.uid != r->uid) {
		ds.shm_perm.uid = r->uid;
		ds.shm_perm.gid = r->gid;
		(void)shmctl(id, IPC_SET, &ds);
	}
	return shm_fill(rs, r, err);
}

static int sem_make(const struct cri_rec_semset *r, struct cri_err *err)
{
	struct semid_ds ds;
	union semun arg = { .buf = &ds };
	int id, ret;

	if (semctl((int)r->ipc_id, 0, IPC_STAT, arg) >= 0)
		return ds.sem_perm.__key == (key_t)r->key &&
				       ds.sem_nsems == r->n_sems ?
			       0 :
			       wrong(err, "semaphore set", r->ipc_id, -EBUSY);
	ret = next_id("sem", r->ipc_id);
	if (ret)
		return wrong(err, "semaphore set", r->ipc_id, ret);
	id = semget((key_t)r->key, (int)r->n_sems,
		    (int)(IPC_CREAT | IPC_EXCL | r->mode));
	if (id < 0)
		return wrong(err, "semaphore set", r->ipc_id, -errno);
	if ((uint32_t)id != r->ipc_id) {
		semctl(id, 0, IPC_RMID);
		return wrong(err, "semaphore set", r->ipc_id, -EEXIST);
	}
	if (semctl(id, 0, IPC_STAT, arg) >= 0 && ds.sem_perm.uid != r->uid) {
		ds.sem_perm.uid = r->uid;
		ds.sem_perm.gid = r->gid;
		(void)semctl(id, 0, IPC_SET, arg);
	}
	return 0;
}

static int msg_make(const struct cri_rec_msgq *r, struct cri_err *err)
{
	struct msqid_ds ds;
	int id, ret;

	if (!msgctl((int)r->ipc_id, IPC_STAT, &ds))
		return ds.msg_perm.__key == (key_t)r->key ?
			       0 :
			       wrong(err, "message queue", r->ipc_id, -EBUSY);
	ret = next_id("msg", r->ipc_id);
	if (ret)
		return wrong(err, "message queue", r->ipc_id, ret);
	id = msgget((key_t)r->key, (int)(IPC_CREAT | IPC_EXCL | r->mode));
	if (id < 0)
		return wrong(err, "message queue", r->ipc_id, -errno);
	if ((uint32_t)id != r->ipc_id) {
		msgctl(id, IPC_RMID, NULL);
		return wrong(err, "message queue", r->ipc_id, -EEXIST);
	}
	if (!msgctl(id, IPC_STAT, &ds)) {
		ds.msg_perm.uid = r->uid;
		ds.msg_perm.gid = r->gid;
		if (r->qbytes)
			ds.msg_qbytes = r->qbytes;
		(void)msgctl(id, IPC_SET, &ds);
	}
	return 0;
}

int cri_sysv_restore(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_sysvshm *shm;
	struct cri_rec_semset *sem;
	struct cri_rec_msgq *msg;
	uint32_t i;
	int ret;

	cri_for_each(set, CRI_REC_SYSVSHM, i, shm)
	{
		ret = shm_make(rs, shm, err);
		if (ret)
			return ret;
	}
	cri_for_each(set, CRI_REC_SEMSET, i, sem)
	{
		ret = sem_make(sem, err);
		if (ret)
			return ret;
	}
	cri_for_each(set, CRI_REC_MSGQ, i, msg)
	{
		ret = msg_make(msg, err);
		if (ret)
			return ret;
	}
	return 0;
}

static int sem_set(const struct cri_rec_semset *r, struct cri_err *err)
{
	unsigned short *values = calloc(r->n_sems + 1ul, sizeof(*values));
	union semun arg = { .array = values };
	uint32_t i;
	int ret;

	if (!values)
		return -ENOMEM;
	for (i = 0; i < r->n_sems; i++)
		values[i] = (unsigned short)r->sems[i].value;
	ret = semctl((int)r->ipc_id, 0, SETALL, arg) < 0 ? -errno : 0;
	free(values);
	return ret ? cri_fail(err, -ret, "setting semaphore set %u",
			      r->ipc_id) :
		     0;
}

/* Whatever came later goes; what was there then comes back. */
static int msg_set(const struct cri_rec_msgq *r, struct cri_err *err)
{
	struct message *m = malloc(sizeof(*m) + MAX_MSG);
	uint32_t i;
	int ret = m ? 0 : -ENOMEM;

	while (!ret && msgrcv((int)r->ipc_id, m, MAX_MSG, 0,
			      IPC_NOWAIT | MSG_NOERROR) >= 0)
		;
	for (i = 0; !ret && i < r->n_msgs; i++) {
		const struct cri_sysvmsg *s = &r->msgs[i];

		if (s->data.len > MAX_MSG) {
			ret = -EBADMSG;
			break;
		}
		m->type = (long)s->mtype;
		if (s->data.len)
			memcpy(m->text, s->data.p, s->data.len);
		if (msgsnd((int)r->ipc_id, m, s->data.len, IPC_NOWAIT))
			ret = -errno;
	}
	free(m);
	return ret ? cri_fail(err, -ret, "filling message queue %u",
			      r->ipc_id) :
		     0;
}

int cri_sysv_outside(struct cri_restore *rs, struct cri_err *err)
{
	struct cri_recset *set = cri_restore_records(rs);
	struct cri_rec_sysvshm *shm;
	struct cri_rec_semset *sem;
	struct cri_rec_msgq *msg;
	uint32_t i;
	int ret;

	cri_for_each(set, CRI_REC_SYSVSHM, i, shm)
	{
		if (shm->removed && shmctl((int)shm->ipc_id, IPC_RMID, NULL))
			return cri_fail(err, errno,
					"removing the SysV segment %u",
					shm->ipc_id);
	}
	cri_for_each(set, CRI_REC_SEMSET, i, sem)
	{
		ret = sem_set(sem, err);
		if (ret)
			return ret;
	}
	cri_for_each(set, CRI_REC_MSGQ, i, msg)
	{
		ret = msg_set(msg, err);
		if (ret)
			return ret;
	}
	return 0;
}
