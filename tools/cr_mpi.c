/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MPI jobs on one machine without Slurm:
 *   cr_mpi run COMMAND...     coordinator, and the launcher (mpiexec) below it
 *   cr_mpi checkpoint ID DIR  asks the coordinator whose pid is ID
 *   cr_mpi restart DIR        a new launcher, its ranks from DIR's images
 *   cr_mpi rank DIR           what that launcher starts for each rank
 * The launcher is no part of a checkpoint: DIR gets one image a rank and a
 * file "job", written last.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coord/coord.h"
#include "libcr_ext.h"

#ifndef FRONT_DIR
#define FRONT_DIR "/usr/lib/stasis"
#endif

static struct job {
	struct sm_coord *coord;
	char dir[4096]; /* where the images of this checkpoint go */
	int asker; /* control connection that waits, -1 none */
	char address[108];
	char key[33];
	char mpi[16];
	pid_t launcher;
	int aborted;
	char trouble[512];
} job = { .asker = -1 };

static int complain(const char *what, int err)
{
	fprintf(stderr, "cr_mpi: %s: %s\n", what, strerror(-err));
	return 1;
}

static void socket_path(char *out, size_t size, long id)
{
	snprintf(out, size, "/tmp/stasis-mpi-%u/%ld", (unsigned)getuid(), id);
}

/* The directory of sockets is ours alone, whoever made it first. */
static int make_socket_dir(void)
{
	char dir[64];
	struct stat st;

	snprintf(dir, sizeof(dir), "/tmp/stasis-mpi-%u", (unsigned)getuid());
	if (mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(dir, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
	    st.st_mode & 077)
		return -EPERM;
	return 0;
}

/* ---- capture ---- */

static int capture_rank(int rank, pid_t pid)
{
	struct cr_ext_args args = { .size = sizeof(args),
				    .scope = CR_EXT_SCOPE_TREE,
				    .target = pid,
				    .flags = CR_EXT_SYNC };
	struct cr_ext_capture *c = NULL;
	char path[4200];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/rank.%d", job.dir, rank);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = cr_ext_open(&args, &c);
	if (!ret)
		ret = cr_ext_freeze(c);
	if (!ret)
		ret = cr_ext_write(c, fd);
	if (ret)
		snprintf(job.trouble, sizeof(job.trouble), "rank %d: %.400s",
			 rank, c ? cr_ext_message(c) : strerror(-ret));
	cr_ext_close(c);
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

static int write_job_file(int n)
{
	char tmp[4200], path[4200];
	FILE *f;
	int ret = 0;

	snprintf(tmp, sizeof(tmp), "%s/job.tmp", job.dir);
	snprintf(path, sizeof(path), "%s/job", job.dir);
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	fchmod(fileno(f), 0600);
	fprintf(f, "ranks %d\nmpi %s\naddress %s\nkey %s\n", n, job.mpi,
		job.address, job.key);
	if (fflush(f) || fsync(fileno(f)))
		ret = -errno;
	if (fclose(f) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	return ret;
}

/* All ranks are plain processes now, asleep or computing. */
static int away(void *arg, const pid_t *pids, int n)
{
	int i, ret = 0;

	(void)arg;
	if (!job.dir[0])
		return 0;
	for (i = 0; i < n && !ret; i++)
		ret = capture_rank(i, pids[i]);
	if (!ret)
		ret = write_job_file(n);
	return ret;
}

static void done(void *arg, int err, const char *message)
{
	(void)arg;
	if (job.trouble[0])
		message = job.trouble;
	if (job.asker >= 0)
		sm_coord_answer(job.coord, job.asker, err,
				err ? message : "done");
	job.asker = -1;
	job.dir[0] = '\0';
	job.trouble[0] = '\0';
}

static void request(void *arg, int id, const char *text)
{
	int ret = 0;

	(void)arg;
	if (job.asker >= 0 || strlen(text) >= sizeof(job.dir) || *text != '/')
		ret = job.asker >= 0 ? -EBUSY : -EINVAL;
	if (!ret)
		ret = sm_coord_begin(job.coord);
	if (ret) {
		sm_coord_answer(job.coord, id, ret, strerror(-ret));
		return;
	}
	strcpy(job.dir, text);
	job.asker = id;
}

static void aborted(void *arg, int rank, int code)
{
	(void)arg;
	(void)rank;
	job.aborted = code ? code : 1;
}

/* ---- running ---- */

static int open_coord(const char *address, const char *key)
{
	struct sm_coord_conf conf = { .address = address,
				      .key = key,
				      .away = away,
				      .done = done,
				      .request = request,
				      .aborted = aborted };
	int ret;

	ret = make_socket_dir();
	if (!ret)
		ret = sm_coord_open(&conf, &job.coord);
	if (!ret)
		ret = setenv("STASIS_MPI_COORD", address, 1) ||
				      setenv("STASIS_MPI_KEY", key, 1) ?
			      -errno :
			      0;
	return ret;
}

static int new_key(char *key)
{
	unsigned char raw[16];
	int i;

	if (getrandom(raw, sizeof(raw), 0) != sizeof(raw))
		return -EIO;
	for (i = 0; i < 16; i++)
		sprintf(key + 2 * i, "%02x", raw[i]);
	return 0;
}

static void pass_on(int sig)
{
	if (job.launcher > 0)
		kill(job.launcher, sig);
}

/* Which MPI a launcher belongs to, by the name of what it really is. */
static const char *mpi_of(const char *launcher)
{
	char path[4096], real[4096];
	const char *dirs = getenv("PATH"), *base;
	size_t n;

	snprintf(path, sizeof(path), "%s", launcher);
	while (dirs && *dirs && !strchr(launcher, '/')) {
		n = strcspn(dirs, ":");
		snprintf(path, sizeof(path), "%.*s/%s", (int)n, dirs, launcher);
		if (!access(path, X_OK))
			break;
		dirs += n + (dirs[n] != '\0');
	}
	if (!realpath(path, real))
		return NULL;
	base = strrchr(real, '/') + 1;
	if (strstr(base, "hydra") || strstr(base, "mpich"))
		return "mpich";
	if (strstr(base, "orte") || strstr(base, "prte") ||
	    strstr(base, "openmpi"))
		return "openmpi";
	return NULL;
}

static int preload_front(const char *mpi)
{
	const char *dir = getenv("STASIS_FRONT_DIR");
	const char *old = getenv("LD_PRELOAD");
	char value[8192];

	snprintf(value, sizeof(value), "%s/%s/%s%s%s", dir ? dir : FRONT_DIR,
		 mpi, !strcmp(mpi, "mpich") ? "libmpich.so.12" : "libmpi.so.40",
		 old && *old ? ":" : "", old ? old : "");
	return setenv("LD_PRELOAD", value, 1) ? -errno : 0;
}

static int serve(char **argv)
{
	int status = 0;

	job.launcher = fork();
	if (job.launcher < 0)
		return complain("fork", -errno);
	if (job.launcher == 0) {
		execvp(argv[0], argv);
		fprintf(stderr, "cr_mpi: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	while (waitpid(job.launcher, &status, WNOHANG) == 0) {
		sm_coord_step(job.coord, 50);
		if (job.aborted)
			kill(job.launcher, SIGTERM);
	}
	sm_coord_close(job.coord);
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* For cr_checkpoint: the key, beside the socket and as closed as it. */
static int write_key(const char *key)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s.key", job.address);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, key, strlen(key)) != (ssize_t)strlen(key))
		ret = -EIO;
	close(fd);
	return ret;
}

static int serve_and_clean(char **argv)
{
	char path[128];
	int ret = serve(argv);

	snprintf(path, sizeof(path), "%s.key", job.address);
	unlink(path);
	return ret;
}

static int run(char **argv)
{
	const char *mpi = mpi_of(argv[0]);
	int ret;

	if (!mpi)
		return complain(argv[0], -ENOTSUP);
	socket_path(job.address, sizeof(job.address), (long)getpid());
	ret = new_key(job.key);
	if (!ret)
		ret = open_coord(job.address, job.key);
	if (!ret)
		ret = write_key(job.key);
	if (!ret)
		ret = preload_front(mpi);
	strcpy(job.mpi, mpi);
	return ret ? complain("coordinator", ret) : serve_and_clean(argv);
}

static int checkpoint(const char *id, const char *dir)
{
	char address[108], path[128], key[33] = "", real[4096], answer[600];
	int fd, ret;

	socket_path(address, sizeof(address), atol(id));
	snprintf(path, sizeof(path), "%s.key", address);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return complain(id, -errno);
	ret = read(fd, key, 32) == 32 ? 0 : -EIO;
	close(fd);
	if (!ret && mkdir(dir, 0700))
		ret = -errno;
	if (!ret && !realpath(dir, real))
		ret = -errno;
	if (ret)
		return complain(dir, ret);
	ret = sm_coord_ask(address, key, real, 600000, answer, sizeof(answer));
	if (!ret)
		return 0;
	fprintf(stderr, "cr_mpi: %s\n", *answer ? answer : strerror(-ret));
	return 1;
}

static int read_job(const char *dir, int *ranks)
{
	char path[4200];
	FILE *f;
	int n;

	snprintf(path, sizeof(path), "%s/job", dir);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	n = fscanf(f, "ranks %d\nmpi %15s\naddress %107s\nkey %32s\n", ranks,
		   job.mpi, job.address, job.key);
	fclose(f);
	return n == 4 && *ranks > 0 ? 0 : -EINVAL;
}

/* A new launcher for ranks that come back from their images. */
static int restart(const char *dir)
{
	char self[4096], real[4096], launcher[32], count[16];
	char opt[] = "-n", word[] = "rank";
	char *argv[] = { launcher, opt, count, self, word, real, NULL };
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int ranks, ret;

	if (n <= 0 || !realpath(dir, real))
		return complain(dir, -errno);
	self[n] = '\0';
	ret = read_job(dir, &ranks);
	if (ret)
		return complain(dir, ret);
	snprintf(launcher, sizeof(launcher), "mpiexec.%s", job.mpi);
	snprintf(count, sizeof(count), "%d", ranks);
	ret = open_coord(job.address, job.key);
	if (!ret)
		ret = write_key(job.key);
	if (!ret)
		ret = sm_coord_restart(job.coord, ranks,
				       !strcmp(job.mpi, "openmpi"));
	return ret ? complain("coordinator", ret) : serve_and_clean(argv);
}

/* What the library needs to find its new process manager. */
static int send_environment(int rank)
{
	static const char *const want[] = { "PMIX_", "OMPI_", "PRTE_" };
	extern char **environ;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	char **e;
	size_t i;
	int ret;

	if (!f)
		return -errno;
	for (e = environ; *e; e++)
		for (i = 0; i < 3; i++)
			if (!strncmp(*e, want[i], strlen(want[i])))
				fwrite(*e, strlen(*e) + 1, 1, f);
	if (fclose(f))
		return -errno;
	ret = sm_coord_send_env(job.address, job.key, rank, text,
				(uint32_t)len);
	free(text);
	return ret;
}

static struct cr_ext_restart *restored;

static void pass_to_rank(int sig)
{
	if (restored)
		cr_ext_restart_signal(restored, sig);
}

static int rank(const char *dir)
{
	struct cr_ext_restart_args args = { .size = sizeof(args),
					    .flags = CR_EXT_RESTORE_PID };
	const char *r = getenv("PMI_RANK");
	char path[4200];
	int ranks, status = 0, ret;

	if (!r)
		r = getenv("OMPI_COMM_WORLD_RANK");
	if (!r)
		return complain("no rank in the environment", -ENOENT);
	ret = read_job(dir, &ranks);
	if (!ret && !strcmp(job.mpi, "openmpi"))
		ret = send_environment(atoi(r));
	if (ret)
		return complain(dir, ret);
	snprintf(path, sizeof(path), "%s/rank.%s", dir, r);
	args.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (args.fd < 0)
		return complain(path, -errno);
	ret = cr_ext_restart_run(&args, &restored);
	if (ret) {
		fprintf(stderr, "cr_mpi: %s: %s\n", path,
			restored ? cr_ext_restart_message(restored) :
				   strerror(-ret));
		return 1;
	}
	signal(SIGTERM, pass_to_rank);
	ret = cr_ext_restart_wait(restored, &status);
	if (ret)
		return complain(path, ret);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "run"))
		return run(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "checkpoint"))
		return checkpoint(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "restart"))
		return restart(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "rank"))
		return rank(argv[2]);
	fprintf(stderr, "usage: cr_mpi run COMMAND... | checkpoint ID DIR | "
			"restart DIR\n");
	return 2;
}
