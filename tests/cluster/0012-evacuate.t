#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# stasis evacuate by the administrator: the node drains, its jobs move, one
# that cannot is named and stays; migrate to a named node.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 11

cl_start 3 || exit $?
cl_at ctl scontrol update NodeName=n[2-3] State=DRAIN Reason=later
job_write job "$CL_STEADY 300 100 4 \$1"
a=$(cl_batch --checkpoint=60 -o a job a)
b=$(cl_batch --checkpoint=60 -o b job b)
c=$(cl_batch -o c job c)
run() {
	job_has_ticks a 5 && job_has_ticks b 5 && job_has_ticks c 5
}
ok "three jobs on n1" cl_wait 15 run
cl_at ctl scontrol update NodeName=n[2-3] State=RESUME
cl_at ctl stasis evacuate --dry-run n1 >"$CL/run/dry"
ok "dry run names them" same "$(grep -c 'would move' "$CL/run/dry")" 3
evacuate_fails() {
	! cl_at ctl stasis evacuate --reason=test n1 >"$CL/run/said" 2>&1
}
ok "its status says that one stays" evacuate_fails
ok "names the one that stays" grep -q "job $c stays" "$CL/run/said"
ok "node drains" cl_wait 5 sh -c "grep -q draining '$CL/run/said'"
moved() {
	job_logged "$a" "n[23] epoch 1: restart" &&
		job_logged "$b" "n[23] epoch 1: restart"
}
ok "both go on elsewhere" cl_wait 30 moved
ok "the other is untouched" cl_in_state "$c" RUNNING
to=n2
[ "$(cl_field "$a" NodeList)" = n2 ] && to=n3
ok "migrate to $to" cl_as stasis migrate --nodes="$to" "$a"
ok "goes on there" cl_wait 20 job_logged "$a" "$to epoch 2: restart"
ended() {
	cl_in_state "$a" COMPLETED && cl_in_state "$b" COMPLETED
}
ok "both end" cl_wait 60 ended
both() {
	job_same a "$CL_STEADY" 300 0 4 a && job_same b "$CL_STEADY" 300 0 4 b
}
ok "outputs are those of uninterrupted runs" both
[ "$tap_bad" = 0 ] || { job_show "$a" a; cat "$CL/run/said"; }
cl_done
