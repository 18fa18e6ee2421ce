# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the tests of the MPI layer: compiles a program for one MPI and runs it
# under its mpiexec, with the front and under the coordinator of drive, or
# without either.  Each check prints one TAP point.

MPI_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
MPI_BUILD=${STASIS_BUILD:-$MPI_TESTS/../../build}
MPI_BUILD=$(cd "$MPI_BUILD" && pwd)
MPI_TMP=${TMPDIR:-/tmp}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1
# No vendor's transport is to be looked for on a test machine.
export OMPI_MCA_btl=self,vader OMPI_MCA_pml=ob1
MPI_POINTS=0
MPI_BAD=0

mpi_front() { # MPI
	case $1 in
	mpich) echo "$MPI_BUILD/mpi/mpich/.libs/libmpich.so.12" ;;
	openmpi) echo "$MPI_BUILD/mpi/openmpi/.libs/libmpi.so.40" ;;
	esac
}

mpi_program() { # MPI NAME: compiles it if need be, prints its path
	local out=$MPI_TMP/$2.$1
	[ -x "$out" ] || "mpicc.$1" -std=gnu11 -O1 -g -w -o "$out" \
		"$MPI_TESTS/$2.c" >&2 || return 1
	echo "$out"
}

mpi_point() { # STATUS WORDS
	MPI_POINTS=$((MPI_POINTS + 1))
	if [ "$1" = 0 ]; then
		echo "ok $MPI_POINTS - $2"
	else
		echo "not ok $MPI_POINTS - $2"
		MPI_BAD=1
	fi
}

mpi_plain() { # MPI RANKS PROGRAM ARGS...
	local mpi=$1 n=$2
	shift 2
	timeout -k 5 120 "mpiexec.$mpi" -n "$n" "$@"
}

# mpi_drive "DRIVE OPTIONS" MPI RANKS PROGRAM ARGS...
mpi_drive() {
	local opts=$1 mpi=$2 n=$3
	shift 3
	# shellcheck disable=SC2086 # words wanted
	"$MPI_BUILD/tests/mpi/drive" $opts "mpiexec.$mpi" -n "$n" \
		env LD_PRELOAD="$(mpi_front "$mpi")" "$@"
}

mpi_done() {
	echo "1..$MPI_POINTS"
	exit "$MPI_BAD"
}
