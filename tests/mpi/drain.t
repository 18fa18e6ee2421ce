#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=300
#
# Programs that a naive drain would hang or from which it would lose data:
# the two counter-examples of counter1.c and the NBX consensus, under
# checkpoints back to back.
. "$(dirname "$0")/lib.sh"

for mpi in mpich openmpi; do
	for name in counter1 nbx; do
		prog=$(mpi_program "$mpi" "$name") || exit 1
		mpi_drive "-n 4 -g 2 -t 120" "$mpi" 4 "$prog" 14 \
			>"$MPI_TMP/out" 2>&1
		status=$?
		sed 's/^/# /' "$MPI_TMP/out"
		mpi_point $status "$mpi: cycles under $name"
		grep -q "^$name ok" "$MPI_TMP/out"
		mpi_point $? "$mpi: $name is right"
	done
done
mpi_done
