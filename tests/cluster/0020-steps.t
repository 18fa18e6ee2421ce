#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# Three multi-node steps one after the other, with labels and per-task files:
# the job moves in the second; the first does not run again, no line is lost
# or doubled.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 7

cl_start 3 || exit $?
job_write job 'echo one; srun -N2 -n2 -o first.%t '"$CL_STEADY"' 5 50 1 first' \
	'echo two; srun -N2 -n2 -l '"$CL_STEADY"' 80 100 4 second' \
	'echo three; srun -N2 -n2 -o third.%t '"$CL_STEADY"' 5 50 1 third' \
	'echo over'
id=$(cl_batch -N2 -n2 --checkpoint=60 -o out job)
ok "the second step runs" cl_wait 20 job_has_ticks out 20
ok "checkpoint" cl_as stasis checkpoint "$id"
ok "requeue" cl_as stasis requeue "$id"
ok "goes on" cl_wait 30 job_logged "$id" "epoch 1: restart from 0.2"
ok "ends" cl_wait 40 cl_in_state "$id" COMPLETED
by_rank() {
	echo one
	echo two
	for r in 0 1; do
		SLURM_PROCID=$r "$CL_STEADY" 80 0 4 second | sed "s/^/$r: /"
	done
	echo three
	echo over
}
by_rank_sorted() {
	by_rank | sort
}
sort "$CL/shared/home/out" >"$CL/shared/home/out.sorted"
ok "no line lost or doubled" job_same out.sorted by_rank_sorted
files() {
	local r
	for r in 0 1; do
		SLURM_PROCID=$r job_same first.$r "$CL_STEADY" 5 0 1 first &&
			SLURM_PROCID=$r job_same third.$r "$CL_STEADY" 5 0 1 \
				third || return 1
	done
}
ok "files of the other steps" files
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
