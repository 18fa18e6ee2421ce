#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=240 alone
#
# A job under mpiexec is checkpointed while it runs and goes on; it is killed
# and started again from the images under a new mpiexec: the sum is that of an
# uninterrupted run.
. "$(dirname "$0")/lib.sh"

STASIS_FRONT_DIR=$MPI_TMP/fronts
export STASIS_FRONT_DIR
mkdir -p "$STASIS_FRONT_DIR"/{mpich,openmpi}
ln -sf "$(mpi_front mpich)" "$STASIS_FRONT_DIR/mpich/"
ln -sf "$(mpi_front openmpi)" "$STASIS_FRONT_DIR/openmpi/"
CR_MPI=$MPI_BUILD/tools/cr_mpi

one() { # MPI RANKS
	local mpi=$1 n=$2 dir=$MPI_TMP/ck.$1 prog want job ranks
	prog=$(mpi_program "$mpi" traffic) || exit 1
	want=$(mpi_plain "$mpi" "$n" "$prog" 40 | grep ^traffic)
	timeout -k 5 100 "$CR_MPI" run "mpiexec.$mpi" -n "$n" \
		"$prog" 40 25 >"$MPI_TMP/first" 2>&1 &
	job=$!
	sleep 5
	# the coordinator is the child of timeout
	timeout 60 "$CR_MPI" checkpoint "$(pgrep -P $job)" "$dir"
	mpi_point $? "$mpi: a checkpoint of $n ranks under mpiexec"
	sleep 1
	ranks=$(pgrep -f "^$prog 40 25")
	[ "$(wc -w <<<"$ranks")" = "$n" ]
	mpi_point $? "$mpi: the job goes on"
	# shellcheck disable=SC2086 # words wanted
	kill -KILL $ranks
	wait $job
	timeout -k 5 90 "$CR_MPI" restart "$dir" >"$MPI_TMP/second" 2>&1
	mpi_point $? "$mpi: restarted under a new mpiexec"
	sed 's/^/# /' "$MPI_TMP/second"
	grep -qxF "$want" "$MPI_TMP/second"
	mpi_point $? "$mpi: the same sum as an uninterrupted run"
}

one mpich 2
one openmpi 2
mpi_done
