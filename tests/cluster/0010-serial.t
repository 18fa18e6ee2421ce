#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# A serial batch job: checkpoint and go on, requeue through "scontrol
# checkpoint", vacate and restart; same id, same output as uninterrupted.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 14

cl_start 2 || exit $?
job_write job "echo start" "$CL_STEADY 100 100 4" "echo over"
want() {
	echo start
	"$CL_STEADY" 100 0 4
	echo over
}
id=$(cl_batch --checkpoint=60 -o out job)
ok "runs" cl_wait 15 job_has_ticks out 10
ok "checkpoint" cl_as stasis checkpoint "$id"
n=$(job_ticks out)
ok "goes on" cl_wait 5 job_has_ticks out $((n + 5))
ok "requeue by scontrol" cl_as scontrol checkpoint requeue "$id"
ok "is pending or runs again" cl_wait 10 cl_in_state "$id" PENDING RUNNING
ok "runs again" cl_wait 30 job_logged "$id" "restart from"
ok "is the second run" same "$(job_restarts "$id")" 1
n=$(job_ticks out)
ok "goes on where it was" cl_wait 10 job_has_ticks out $((n + 5))
ok "vacate" cl_as stasis vacate "$id"
held() {
	cl_in_state "$id" PENDING && [ "$(cl_field "$id" Priority)" = 0 ]
}
ok "is held" cl_wait 15 held
ok "restart" cl_as scontrol checkpoint restart "$id"
ok "ends" cl_wait 40 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out want
ok "in one piece three times" same "$(job_restarts "$id")" 2
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
