/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The NBX consensus: each rank sends to some others by Issend, nobody knows
 * how many come; when its own sends are matched a rank enters an Ibarrier,
 * and when that is done it believes to have everything.  A checkpoint that
 * completes an Issend without a match loses messages here.  Every message is
 * counted by a reduction afterwards.  With an argument the seconds to run.
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 8

static int rank, size;

static uint32_t draw(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

static void exchange(int step, MPI_Comm comm, uint32_t *seed, long count[2])
{
	int out[MOST][64], in[64], i, n, done, flag, barrier = 0;
	MPI_Request q[MOST], b = MPI_REQUEST_NULL;
	MPI_Status st;
	int tag = 100 + step % 7;

	n = (int)(draw(seed) % MOST);
	for (i = 0; i < n; i++) {
		int to = (int)(draw(seed) % (uint32_t)size);

		out[i][0] = step;
		out[i][1] = rank;
		count[0] += 1;
		MPI_Issend(out[i], 64, MPI_INT, to, tag, comm, &q[i]);
	}
	if (draw(seed) % 16 == 0)
		usleep(draw(seed) % 3000);
	for (done = 0; !done;) {
		MPI_Iprobe(MPI_ANY_SOURCE, tag, comm, &flag, &st);
		if (flag) {
			MPI_Recv(in, 64, MPI_INT, st.MPI_SOURCE, tag, comm,
				 &st);
			if (in[0] != step || in[1] != st.MPI_SOURCE) {
				fprintf(stderr, "step %d: message of %d\n",
					step, in[0]);
				MPI_Abort(MPI_COMM_WORLD, 2);
			}
			count[1] += 1;
		}
		if (!barrier) {
			MPI_Testall(n, q, &flag, MPI_STATUSES_IGNORE);
			if (flag) {
				MPI_Ibarrier(comm, &b);
				barrier = 1;
			}
		} else {
			MPI_Test(&b, &done, MPI_STATUS_IGNORE);
		}
	}
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 3, t0;
	long count[2] = { 0, 0 }, all[2];
	uint32_t seed;
	MPI_Comm comm;
	int step, go = 1;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Comm_dup(MPI_COMM_WORLD, &comm);
	seed = 12345u + (uint32_t)rank * 77u;
	t0 = MPI_Wtime();
	for (step = 0; go; step++) {
		exchange(step, comm, &seed, count);
		if (step % 20 == 19) {
			MPI_Allreduce(count, all, 2, MPI_LONG, MPI_SUM, comm);
			if (all[0] != all[1]) {
				fprintf(stderr, "sent %ld, received %ld\n",
					all[0], all[1]);
				MPI_Abort(MPI_COMM_WORLD, 3);
			}
			go = MPI_Wtime() - t0 < limit;
			MPI_Bcast(&go, 1, MPI_INT, 0, comm);
		}
	}
	MPI_Comm_free(&comm);
	if (rank == 0)
		printf("nbx ok\n");
	MPI_Finalize();
	return 0;
}
