/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first counter-example to a naive drain: rank 0 {Bcast; Send(1)}, rank 1
 * {Recv(0); Bcast}.  Rank 0 is ahead by one collective that rank 1 reaches
 * only after a message which rank 0 sends after its own: here rank 0 must not
 * be parked with the message unsent.  And the second: rank 2 in Barrier{1,2};
 * rank 1 Recv(0), then Barrier{1,2}; rank 0 stands before Barrier{0,3} and
 * sends to 1 after it: it must be let pass.  3 or 4 ranks; with an argument
 * the seconds to run.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int rank, size;
static long sum;

static void first(int step)
{
	/* a root's broadcast may end before anybody else is there */
	int v = step, m = -1;

	if (rank == 0) {
		MPI_Bcast(&v, 1, MPI_INT, 0, MPI_COMM_WORLD);
		m = step * 2;
		MPI_Send(&m, 1, MPI_INT, 1, 5, MPI_COMM_WORLD);
	} else if (rank == 1) {
		MPI_Recv(&m, 1, MPI_INT, 0, 5, MPI_COMM_WORLD,
			 MPI_STATUS_IGNORE);
		v = -1;
		MPI_Bcast(&v, 1, MPI_INT, 0, MPI_COMM_WORLD);
		if (m != step * 2)
			MPI_Abort(MPI_COMM_WORLD, 3);
	} else {
		v = -1;
		MPI_Bcast(&v, 1, MPI_INT, 0, MPI_COMM_WORLD);
	}
	if (v != step)
		MPI_Abort(MPI_COMM_WORLD, 2);
	sum += v;
}

static void second(int step, MPI_Comm low, MPI_Comm high)
{
	int m = -1;

	switch (rank) {
	case 0:
		MPI_Barrier(high);
		MPI_Ssend(&step, 1, MPI_INT, 1, 6, MPI_COMM_WORLD);
		break;
	case 1:
		MPI_Recv(&m, 1, MPI_INT, MPI_ANY_SOURCE, 6, MPI_COMM_WORLD,
			 MPI_STATUS_IGNORE);
		if (m != step)
			MPI_Abort(MPI_COMM_WORLD, 4);
		MPI_Barrier(low);
		break;
	case 2:
		MPI_Barrier(low);
		break;
	default:
		MPI_Barrier(high);
		break;
	}
}

int main(int argc, char **argv)
{
	double limit = argc > 1 ? atof(argv[1]) : 3, t0;
	MPI_Comm low, high;
	int step, go = 1;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Comm_split(MPI_COMM_WORLD,
		       rank == 1 || rank == 2 ? 0 : MPI_UNDEFINED, rank, &low);
	MPI_Comm_split(MPI_COMM_WORLD,
		       rank == 0 || rank == 3 ? 0 : MPI_UNDEFINED, rank,
		       &high);
	t0 = MPI_Wtime();
	for (step = 0; go; step++) {
		if (step % 2)
			first(step);
		else
			second(step, low, high);
		if (step % 100 == 99) {
			go = MPI_Wtime() - t0 < limit;
			MPI_Bcast(&go, 1, MPI_INT, 0, MPI_COMM_WORLD);
		}
	}
	if (rank == 0)
		printf("counter1 ok %s\n", step > 0 && sum > 0 ? "yes" : "no");
	MPI_Finalize();
	return 0;
}
