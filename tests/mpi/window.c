/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects that cannot be moved yet: while a window lives a checkpoint is
 * refused by name, and the program goes on; freed, it can be taken.
 */
#include <mpi.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int rank, size, v = -1, got = -1, i;
	MPI_Win w;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	MPI_Win_create(&v, sizeof(v), 1, MPI_INFO_NULL, MPI_COMM_WORLD, &w);
	for (i = 0; i < 30; i++) {
		MPI_Win_fence(0, w);
		MPI_Put(&i, 1, MPI_INT, (rank + 1) % size, 0, 1, MPI_INT, w);
		MPI_Win_fence(0, w);
		if (v != i)
			MPI_Abort(MPI_COMM_WORLD, 2);
		MPI_Barrier(MPI_COMM_WORLD);
		usleep(100000);
	}
	MPI_Win_free(&w);
	MPI_Allreduce(&v, &got, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
	if (rank == 0)
		printf("window ok %s\n", got == 29 * size ? "yes" : "no");
	MPI_Finalize();
	return 0;
}
