#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=1000
#
# MPI taken down and up under a running program that uses communicators,
# types and traffic of all kinds: the program's sum must be that of a run
# without the layer, and nothing may grow.
. "$(dirname "$0")/lib.sh"

CYCLES=${MPI_CYCLES:-25}
for mpi in mpich openmpi; do
	prog=$(mpi_program "$mpi" traffic) || exit 1
	for n in 2 4; do
		want=$(mpi_plain "$mpi" "$n" "$prog" 40 | grep ^traffic)
		[ -n "$want" ]
		mpi_point $? "$mpi, $n ranks: runs without the layer"
		mpi_drive "-n $CYCLES -g 10 -t 400" "$mpi" "$n" \
			"$prog" 40 $((CYCLES * 2)) >"$MPI_TMP/out" 2>&1
		status=$?
		sed 's/^/# /' "$MPI_TMP/out"
		mpi_point $status "$mpi, $n ranks: $CYCLES cycles"
		grep -qxF "$want" "$MPI_TMP/out"
		mpi_point $? "$mpi, $n ranks: the same sum"
	done
done
mpi_done
