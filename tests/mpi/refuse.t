#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=120
#
# What cannot be moved is refused when a checkpoint is asked for, by name and
# place, and the job goes on.
. "$(dirname "$0")/lib.sh"

for mpi in mpich openmpi; do
	prog=$(mpi_program "$mpi" window) || exit 1
	mpi_drive "-n 1 -g 500 -t 50 -r MPI_Win_create" "$mpi" 2 "$prog" \
		>"$MPI_TMP/out" 2>&1
	status=$?
	sed 's/^/# /' "$MPI_TMP/out"
	mpi_point $status "$mpi: a window refuses the checkpoint by name"
	grep -q "window from MPI_Win_create at window.$mpi+0x" "$MPI_TMP/out"
	mpi_point $? "$mpi: it says where the window was made"
	grep -q "^window ok yes" "$MPI_TMP/out"
	mpi_point $? "$mpi: the program goes on and is right"
done
mpi_done
