/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kinds of memory and queues that have a name or a descriptor: memfd with
 * seals, files in /dev/shm, SysV shared memory, semaphores with undo, message
 * queues with contents; and what madvise, mlock and mbind have set.
 *
 * test: wait as=both timeout=300
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conform.h"

#define PAGE 4096ul
#define MB (1024ul * 1024)

/* --- memfd --- */

static int mfd, mfd_ro;
static unsigned char *mmem;
static pid_t kid;

static void memfd_child(struct conform *c, long arg)
{
	conform_child_ready();
	conform_wait_go(c);
	CHECK_SAME(mmem, MB, c->nonce);
	mmem[MB] = 0x77;
	CHECK_EQ(arg, 1);
}

static void memfd_setup(struct conform *c)
{
	mfd = (int)NEED(
		memfd_create("conform", MFD_ALLOW_SEALING | MFD_CLOEXEC));
	NEED(ftruncate(mfd, 4 * MB));
	mmem = mmap(NULL, 4 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
	CHECK(mmem != MAP_FAILED, "mmap: %m");
	conform_fill(mmem, MB, c->nonce);
	NEED(fcntl(mfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	NEED(lseek(mfd, 12345, SEEK_SET));
	mfd_ro = (int)NEED(memfd_create("readonly", MFD_ALLOW_SEALING));
	NEED(write(mfd_ro, &c->nonce, 8));
	NEED(fcntl(mfd_ro, F_ADD_SEALS,
		   F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
	kid = conform_child(c, memfd_child, 1);
}

static void memfd_after(struct conform *c)
{
	char link[128] = "";
	uint64_t v;

	CHECK_SAME(mmem, MB, c->nonce);
	CHECK_EQ(fcntl(mfd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
	CHECK_EQ(fcntl(mfd_ro, F_GET_SEALS),
		 F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	CHECK_EQ(lseek(mfd, 0, SEEK_CUR), 12345);
	CHECK_EQ(fcntl(mfd, F_GETFD), FD_CLOEXEC);
	CHECK(pread(mfd_ro, &v, 8, 0) == 8 && v == c->nonce, "contents");
	CHECK(ftruncate(mfd, 5 * MB) == -1 && errno == EPERM, "seal is off");
	NEED(readlink("/proc/self/fd/3", link, sizeof(link) - 1));
	CHECK(mfd != 3 || strstr(link, "memfd:conform"), "name is %s", link);
	/* Descriptor, mapping and the child's mapping are one. */
	NEED(pwrite(mfd, "Q", 1, 2 * MB));
	CHECK_EQ(mmem[2 * MB], 'Q');
	conform_join(c, kid, 1);
	CHECK_EQ(mmem[MB], 0x77);
}

/* --- /dev/shm --- */

static char shm_name[64];
static unsigned char *named, *nameless;

static void dev_shm_name(uint64_t nonce)
{
	snprintf(shm_name, sizeof(shm_name), "/conform-%lx",
		 (unsigned long)conform_rand(nonce, 31));
}

static unsigned char *dev_shm_open(struct conform *c, const char *name,
				   uint64_t seed)
{
	int fd = (int)NEED(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
	unsigned char *p;

	(void)c;
	NEED(ftruncate(fd, MB));
	p = mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED, "mmap: %m");
	conform_fill(p, MB / 2, seed);
	close(fd);
	return p;
}

static void dev_shm_setup(struct conform *c)
{
	char other[80];

	dev_shm_name(c->nonce);
	named = dev_shm_open(c, shm_name, c->nonce);
	snprintf(other, sizeof(other), "%s-x", shm_name);
	nameless = dev_shm_open(c, other, c->nonce + 1);
	shm_unlink(other);
}

/* Another node: the private file of /dev/shm is not there any more. */
static void dev_shm_between(uint64_t nonce)
{
	dev_shm_name(nonce);
	shm_unlink(shm_name);
}

static void dev_shm_after(struct conform *c)
{
	unsigned char buf[PAGE];
	int fd;

	CHECK_SAME(named, MB / 2, c->nonce);
	CHECK_SAME(nameless, MB / 2, c->nonce + 1);
	fd = shm_open(shm_name, O_RDWR, 0);
	CHECK(fd >= 0, "%s is not there: %m", shm_name);
	named[MB - 1] = 0x42;
	NEED(pread(fd, buf, 1, MB - 1));
	CHECK_EQ(buf[0], 0x42);
	close(fd);
	shm_unlink(shm_name);
}

/* --- SysV --- */

static int shmid, semid, msgid;
static unsigned char *attached;
static key_t key;

static void sysvshm_child(struct conform *c, long arg)
{
	conform_child_ready();
	conform_wait_go(c);
	CHECK_SAME(attached, MB / 2, c->nonce);
	attached[MB - 1] = 0x21;
	NEED(shmdt(attached));
	CHECK_EQ(arg, 1);
}

static void sysvshm_setup(struct conform *c)
{
	key = (key_t)(conform_rand(c->nonce, 32) | 1);
	shmid = (int)NEED(shmget(key, MB, IPC_CREAT | IPC_EXCL | 0640));
	attached = shmat(shmid, NULL, 0);
	CHECK(attached != (void *)-1, "shmat: %m");
	conform_fill(attached, MB / 2, c->nonce);
	kid = conform_child(c, sysvshm_child, 1);
}

static void sysvshm_after(struct conform *c)
{
	struct shmid_ds ds;

	CHECK_EQ(shmget(key, 0, 0), shmid);
	NEED(shmctl(shmid, IPC_STAT, &ds));
	CHECK_EQ(ds.shm_segsz, MB);
	CHECK_EQ(ds.shm_perm.mode & 0777, 0640);
	CHECK_SAME(attached, MB / 2, c->nonce);
	conform_join(c, kid, 1);
	CHECK_EQ(attached[MB - 1], 0x21);
	NEED(shmctl(shmid, IPC_RMID, NULL));
}

static void sysv_between(uint64_t nonce)
{
	key_t k = (key_t)(conform_rand(nonce, 32) | 1);

	/* As on another node or after a reboot. */
	shmctl(shmget(k, 0, 0), IPC_RMID, NULL);
	semctl(semget(k, 0, 0), 0, IPC_RMID);
	msgctl(msgget(k, 0), IPC_RMID, NULL);
}

static void sysvsem_child(struct conform *c, long arg)
{
	struct sembuf op = { 2, 1, SEM_UNDO };

	NEED(semop(semid, &op, 1));
	conform_child_ready();
	conform_wait_go(c);
	CHECK_EQ(arg, 2);
}

static void sysvsem_setup(struct conform *c)
{
	struct sembuf op = { 1, 0, 0 };
	unsigned short init[3] = { 5, 9, 0 };

	key = (key_t)(conform_rand(c->nonce, 32) | 1);
	init[2] = (unsigned short)(c->nonce % 1000 + 10);
	semid = (int)NEED(semget(key, 3, IPC_CREAT | IPC_EXCL | 0600));
	NEED(semctl(semid, 0, SETALL, init));
	op.sem_op = -2;
	NEED(semop(semid, &op, 1));
	kid = conform_child(c, sysvsem_child, 2);
}

static void sysvsem_after(struct conform *c)
{
	long was = (long)(c->nonce % 1000 + 10);

	CHECK_EQ(semget(key, 0, 0), semid);
	CHECK_EQ(semctl(semid, 0, GETVAL), 5);
	CHECK_EQ(semctl(semid, 1, GETVAL), 7);
	/* The child may have left by now; its undo brings the old value. */
	conform_join(c, kid, 2);
	CHECK_EQ(semctl(semid, 2, GETVAL), was);
	NEED(semctl(semid, 0, IPC_RMID));
}

struct message {
	long type;
	unsigned char text[300];
};

static void sysvmsg_setup(struct conform *c)
{
	struct message m;
	long i;

	key = (key_t)(conform_rand(c->nonce, 32) | 1);
	msgid = (int)NEED(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
	for (i = 0; i < 5; i++) {
		m.type = 1 + i % 3;
		conform_fill(m.text, sizeof(m.text), c->nonce + (uint64_t)i);
		NEED(msgsnd(msgid, &m, (size_t)(100 + i * 50), 0));
	}
}

static void sysvmsg_after(struct conform *c)
{
	struct message m;
	long i;

	CHECK_EQ(msgget(key, 0), msgid);
	for (i = 0; i < 5; i++) {
		CHECK_EQ(msgrcv(msgid, &m, sizeof(m.text), 0, IPC_NOWAIT),
			 100 + i * 50);
		CHECK_EQ(m.type, 1 + i % 3);
		CHECK_SAME(m.text, (size_t)(100 + i * 50),
			   c->nonce + (uint64_t)i);
	}
	CHECK(msgrcv(msgid, &m, sizeof(m.text), 0, IPC_NOWAIT) == -1, "one "
								      "message "
								      "too "
								      "many");
	NEED(msgctl(msgid, IPC_RMID, NULL));
}

/* --- advice --- */

static unsigned char *adv;
static const struct {
	int advice;
	const char *flag;
	bool fill;
} advices[] = {
	{ MADV_DONTFORK, " dc", true },	 { MADV_WIPEONFORK, " wf", true },
	{ MADV_DONTDUMP, " dd", true },	 { MADV_SEQUENTIAL, " sr", true },
	{ MADV_RANDOM, " rr", true },	 { MADV_NOHUGEPAGE, " nh", true },
	{ MADV_HUGEPAGE, " hg", false },
};
#define ADVICES (sizeof(advices) / sizeof(advices[0]))

static void advice_setup(struct conform *c)
{
	size_t i;

	adv = mmap(NULL, ADVICES * MB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(adv != MAP_FAILED, "mmap: %m");
	for (i = 0; i < ADVICES; i++) {
		NEED(madvise(adv + i * MB, MB, advices[i].advice));
		if (advices[i].fill)
			conform_fill(adv + i * MB, MB, c->nonce + i);
	}
}

static void advice_after(struct conform *c)
{
	size_t i;

	for (i = 0; i < ADVICES; i++) {
		if (advices[i].fill)
			CHECK_SAME(adv + i * MB, MB, c->nonce + i);
		CHECK(strstr(conform_vmflags(adv + i * MB), advices[i].flag),
		      "flag%s is lost", advices[i].flag);
	}
}

static void mlock_setup(struct conform *c)
{
	adv = mmap(NULL, 8 * MB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(adv != MAP_FAILED, "mmap: %m");
	NEED(mlock(adv, MB));
	NEED(mlock2(adv + 2 * MB, MB, MLOCK_ONFAULT));
	conform_fill(adv, MB, c->nonce);
	conform_fill(adv + 2 * MB, PAGE, c->nonce + 1);
}

static void mlock_after(struct conform *c)
{
	CHECK_SAME(adv, MB, c->nonce);
	CHECK_SAME(adv + 2 * MB, PAGE, c->nonce + 1);
	CHECK(strstr(conform_vmflags(adv), " lo"), "mlock is lost");
	CHECK_EQ(conform_smaps(adv, "Locked"), 1024);
	CHECK(strstr(conform_vmflags(adv + 2 * MB), " lo"), "mlock2 is lost");
	CHECK(conform_smaps(adv + 2 * MB, "Rss") < 1024, "MLOCK_ONFAULT has "
							 "become plain");
	CHECK(!strstr(conform_vmflags(adv + 4 * MB), " lo"), "too much locked");
}

static void policy_setup(struct conform *c)
{
	unsigned long node0 = 1;

	adv = mmap(NULL, 2 * MB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(adv != MAP_FAILED, "mmap: %m");
	if (syscall(SYS_mbind, adv, MB, MPOL_BIND, &node0, 64, 0))
		conform_skip("no memory policies here: %m");
	NEED(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &node0, 64));
	conform_fill(adv, 2 * MB, c->nonce);
}

static void policy_after(struct conform *c)
{
	unsigned long nodes = 0;
	int mode = -1;

	CHECK_SAME(adv, 2 * MB, c->nonce);
	NEED(syscall(SYS_get_mempolicy, &mode, &nodes, 64, NULL, 0));
	CHECK_EQ(mode, MPOL_INTERLEAVE);
	CHECK_EQ(nodes, 1);
	NEED(syscall(SYS_get_mempolicy, &mode, &nodes, 64, adv, MPOL_F_ADDR));
	CHECK_EQ(mode, MPOL_BIND);
}

/* --- hugetlb --- */

static void hugetlb_setup(struct conform *c)
{
	adv = mmap(NULL, 4 * MB, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (adv == MAP_FAILED)
		conform_skip("no huge page is reserved");
	mfd = (int)NEED(memfd_create("huge", MFD_HUGETLB));
	NEED(ftruncate(mfd, 2 * MB));
	mmem = mmap(NULL, 2 * MB, PROT_READ | PROT_WRITE, MAP_SHARED, mfd, 0);
	if (mmem == MAP_FAILED)
		conform_skip("no huge page is reserved");
	conform_fill(adv, 4 * MB, c->nonce);
	conform_fill(mmem, 2 * MB, c->nonce + 1);
}

static void hugetlb_after(struct conform *c)
{
	CHECK_SAME(adv, 4 * MB, c->nonce);
	CHECK_SAME(mmem, 2 * MB, c->nonce + 1);
	CHECK(strstr(conform_vmflags(adv), " ht"), "not huge any more");
}

const struct conform_kind conform_kinds[] = {
	{ .name = "shm_memfd", .setup = memfd_setup, .continued = memfd_after },
	{ .name = "shm_dev_shm",
	  .setup = dev_shm_setup,
	  .continued = dev_shm_after,
	  .between = dev_shm_between },
	{ .name = "shm_sysv",
	  .setup = sysvshm_setup,
	  .continued = sysvshm_after,
	  .between = sysv_between },
	{ .name = "sysv_sem",
	  .setup = sysvsem_setup,
	  .continued = sysvsem_after,
	  .between = sysv_between },
	{ .name = "sysv_msg",
	  .setup = sysvmsg_setup,
	  .continued = sysvmsg_after,
	  .between = sysv_between },
	{ .name = "mem_advice",
	  .setup = advice_setup,
	  .continued = advice_after },
	{ .name = "mem_locked",
	  .setup = mlock_setup,
	  .continued = mlock_after },
	{ .name = "mem_policy",
	  .setup = policy_setup,
	  .continued = policy_after },
	{ .name = "mem_hugetlb",
	  .setup = hugetlb_setup,
	  .continued = hugetlb_after,
	  .flags = CONFORM_NOGEN },
	{ .name = NULL },
};
