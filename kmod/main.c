// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device: open makes a session, ioctl copies the argument in, calls the
 * one that knows, copies it out, release undoes everything.  Nothing runs
 * while no descriptor is open.
 */
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "stasis.h"

struct stasis_call {
	size_t size;
	int (*fn)(struct stasis_session *s, void *arg);
};

union stasis_arg {
	u32 size;
	struct stasis_version version;
	struct stasis_attach attach;
	struct stasis_park park;
	struct stasis_wait wait;
	struct stasis_tasks tasks;
	struct stasis_vmas vmas;
	struct stasis_snapshot snapshot;
	struct stasis_pages pages;
	struct stasis_read read;
	struct stasis_stream stream;
	struct stasis_drop drop;
};

#define CALL(nr, type, f) [_IOC_NR(nr)] = { sizeof(struct type), f }

static const struct stasis_call calls[] = {
	CALL(STASIS_IOC_VERSION, stasis_version, stasis_ioc_version),
	CALL(STASIS_IOC_ATTACH, stasis_attach, stasis_ioc_attach),
	CALL(STASIS_IOC_PARK, stasis_park, stasis_ioc_park),
	CALL(STASIS_IOC_UNPARK, stasis_park, stasis_ioc_unpark),
	CALL(STASIS_IOC_WAIT, stasis_wait, stasis_ioc_wait),
	CALL(STASIS_IOC_TASKS, stasis_tasks, stasis_ioc_tasks),
	CALL(STASIS_IOC_VMAS, stasis_vmas, stasis_ioc_vmas),
	CALL(STASIS_IOC_SNAPSHOT, stasis_snapshot, stasis_ioc_snapshot),
	CALL(STASIS_IOC_PAGES, stasis_pages, stasis_ioc_pages),
	CALL(STASIS_IOC_READ, stasis_read, stasis_ioc_read),
	CALL(STASIS_IOC_STREAM, stasis_stream, stasis_ioc_stream),
	CALL(STASIS_IOC_DROP, stasis_drop, stasis_ioc_drop),
};

static_assert(sizeof(struct stasis_version) == 32);
static_assert(sizeof(struct stasis_attach) == 24);
static_assert(sizeof(struct stasis_park) == 8);
static_assert(sizeof(struct stasis_wait) == 24);
static_assert(sizeof(struct stasis_tasks) == 48);
static_assert(sizeof(struct stasis_vmas) == 40);
static_assert(sizeof(struct stasis_snapshot) == 56);
static_assert(sizeof(struct stasis_pages) == 56);
static_assert(sizeof(struct stasis_read) == 32);
static_assert(sizeof(struct stasis_stream) == 48);
static_assert(sizeof(struct stasis_drop) == 8);
static_assert(sizeof(struct stasis_rec_proc) == 112);
static_assert(sizeof(struct stasis_rec_thread) == 288);
static_assert(sizeof(struct stasis_rec_ptimer) == 64);
static_assert(sizeof(struct stasis_rec_vma) == 192);
static_assert(sizeof(struct stasis_sigaction) == 40);

static int stasis_open(struct inode *inode, struct file *file)
{
	struct stasis_session *s;

	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	mutex_init(&s->lock);
	xa_init_flags(&s->procs, XA_FLAGS_ALLOC1);
	INIT_LIST_HEAD(&s->snaps);
	file->private_data = s;
	return 0;
}

static int stasis_release(struct inode *inode, struct file *file)
{
	struct stasis_session *s = file->private_data;
	struct stasis_proc *p;
	unsigned long id;

	stasis_unpark(s);
	stasis_snapshot_drop(s);
	xa_for_each(&s->procs, id, p) stasis_proc_free(p);
	xa_destroy(&s->procs);
	kfree(s);
	return 0;
}

static long stasis_ioctl(struct file *file, unsigned int cmd,
			 unsigned long user)
{
	struct stasis_session *s = file->private_data;
	void __user *uarg = (void __user *)user;
	const struct stasis_call *call;
	union stasis_arg arg;
	u32 size;
	int ret;

	if (_IOC_TYPE(cmd) != STASIS_IOC || _IOC_NR(cmd) >= ARRAY_SIZE(calls))
		return -ENOTTY;
	call = &calls[_IOC_NR(cmd)];
	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size < call->size || size > PAGE_SIZE)
		return -EINVAL;
	memset(&arg, 0, sizeof(arg));
	ret = copy_struct_from_user(&arg, call->size, uarg, size);
	if (ret)
		return ret;
	if (mutex_lock_killable(&s->lock))
		return -EINTR;
	ret = call->fn(s, &arg);
	mutex_unlock(&s->lock);
	arg.size = size;
	if (copy_to_user(uarg, &arg, call->size))
		return -EFAULT;
	return ret;
}

static const struct file_operations stasis_fops = {
	.owner = THIS_MODULE,
	.open = stasis_open,
	.release = stasis_release,
	.unlocked_ioctl = stasis_ioctl,
	.llseek = noop_llseek,
};

/* Each call asks for proof, so that everybody may open it. */
static struct miscdevice stasis_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "stasis",
	.mode = 0666,
	.fops = &stasis_fops,
};

static int __init stasis_init(void)
{
	int ret = misc_register(&stasis_misc);

	if (ret)
		return ret;
	pr_info("stasis: version %s, abi %d\n", STASIS_VERSION, STASIS_ABI);
	return 0;
}

static void __exit stasis_exit(void)
{
	misc_deregister(&stasis_misc);
	/* A parked thread may still be in the last lines of its callback. */
	synchronize_rcu_tasks();
	pr_info("stasis: gone\n");
}

module_init(stasis_init);
module_exit(stasis_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Capture of frozen processes for checkpoints");
MODULE_VERSION(STASIS_VERSION);
