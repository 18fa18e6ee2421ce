#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# Worker and agents are killed, at rest and while a checkpoint is under way:
# the job goes on, the last good checkpoint stays, the next one works.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 9

cl_start 2 || exit $?
job_write job "srun -l $CL_STEADY 400 100 32"
id=$(cl_batch --checkpoint=60 -N2 -n2 -o out job)
ok "runs" cl_wait 30 job_has_ticks out 10
ok "checkpoint" cl_as stasis checkpoint "$id"
at() {
	nsenter -t "$(cat "$CL/run/$1.init")" -p -m "${@:2}"
}
node=$(cl_field "$id" BatchHost)
at "$node" pkill -9 -x stasis-worker
sleep 1
ok "after the worker's death" cl_wait 10 cl_as stasis checkpoint "$id"
cl_as stasis checkpoint "$id" >"$CL/run/said" 2>&1 &
said=$!
sleep 0.2
at "$node" pkill -9 -x stasis-worker
wait "$said"
sleep 1
ok "after its death in a checkpoint" cl_wait 20 cl_as stasis checkpoint "$id"
other=n1
[ "$node" = n1 ] && other=n2
at "$other" pkill -9 -x stasis-agent
n=$(job_ticks out)
ok "goes on without an agent" cl_wait 10 job_has_ticks out $((n + 10))
refused() {
	! cl_as stasis checkpoint "$id" >"$CL/run/said" 2>&1
}
ok "but is not saved" refused
good() {
	[ "$(find "$CL/shared/ckpt" -name manifest.json | wc -l)" -ge 1 ]
}
ok "the last good one stays" good
ok "ends" cl_wait 60 cl_in_state "$id" COMPLETED
want() {
	for r in 0 1; do
		SLURM_PROCID=$r "$CL_STEADY" 400 0 32 | sed "s/^/$r: /"
	done | sort
}
sort "$CL/shared/home/out" >"$CL/shared/home/sorted"
ok "output is that of an uninterrupted run" job_same sorted want
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
