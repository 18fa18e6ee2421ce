/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Costs of calls, for runs with and without the MPI front side by side: half
 * round trip of 8 bytes, Waitall of 1000 requests (per request), Allreduce of
 * one int, Iprobe that finds nothing.  Two ranks; the minimum over rounds, in
 * nanoseconds.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#define N 2000
#define REQS 1000

static int rank, other;
static double best[4] = { 1e9, 1e9, 1e9, 1e9 };

static void keep(int i, double seconds, int n)
{
	double ns = seconds * 1e9 / n;

	if (ns < best[i])
		best[i] = ns;
}

static void pingpong(void)
{
	double t, v = 0;
	int i;

	MPI_Barrier(MPI_COMM_WORLD);
	t = MPI_Wtime();
	for (i = 0; i < N; i++) {
		if (rank == 0)
			MPI_Send(&v, 1, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD);
		MPI_Recv(&v, 1, MPI_DOUBLE, other, 0, MPI_COMM_WORLD,
			 MPI_STATUS_IGNORE);
		if (rank == 1)
			MPI_Send(&v, 1, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD);
	}
	keep(0, MPI_Wtime() - t, 2 * N);
}

static void waitall(void)
{
	static MPI_Request q[2 * REQS];
	static int in[REQS], out[REQS];
	double t;
	int i;

	MPI_Barrier(MPI_COMM_WORLD);
	t = MPI_Wtime();
	for (i = 0; i < REQS; i++)
		MPI_Irecv(&in[i], 1, MPI_INT, other, 1, MPI_COMM_WORLD, &q[i]);
	for (i = 0; i < REQS; i++)
		MPI_Isend(&out[i], 1, MPI_INT, other, 1, MPI_COMM_WORLD,
			  &q[REQS + i]);
	MPI_Waitall(2 * REQS, q, MPI_STATUSES_IGNORE);
	keep(1, MPI_Wtime() - t, 2 * REQS);
}

static void allreduce(void)
{
	int i, a = 1, b;
	double t;

	MPI_Barrier(MPI_COMM_WORLD);
	t = MPI_Wtime();
	for (i = 0; i < N; i++)
		MPI_Allreduce(&a, &b, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	keep(2, MPI_Wtime() - t, N);
}

static void iprobe(void)
{
	int i, flag;
	double t = MPI_Wtime();

	for (i = 0; i < N; i++)
		MPI_Iprobe(other, 5, MPI_COMM_WORLD, &flag, MPI_STATUS_IGNORE);
	keep(3, MPI_Wtime() - t, N);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 200, i;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	other = 1 - rank;
	for (i = 0; i < rounds; i++) {
		pingpong();
		waitall();
		allreduce();
		iprobe();
	}
	if (rank == 0)
		printf("ns: ping-pong %.0f waitall/request %.1f allreduce "
		       "%.0f iprobe %.1f\n",
		       best[0], best[1], best[2], best[3]);
	MPI_Finalize();
	return 0;
}
