#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# Preemption with a grace time: the job is saved and gone well inside it, and
# goes on under its id when there is room again.  The user's own signal and
# output mode stay his.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 7

CL_GRACE=30
cl_start 1 || exit $?
job_write job "$CL_STEADY 150 100 4"
job_write urgent "sleep 5"
id=$(cl_batch --checkpoint=60 -n4 -o out job)
ok "runs" cl_wait 15 job_has_ticks out 10
t0=$EPOCHREALTIME
u=$(cl_batch -p high -n4 -o urgent.out urgent)
ok "the urgent job starts" cl_wait 25 cl_in_state "$u" RUNNING COMPLETED
took=$((${EPOCHREALTIME/./} - ${t0/./}))
echo "# preempted and replaced after $((took / 1000)) ms"
ok "well inside the grace time" test "$took" -lt 20000000
ok "by a checkpoint" job_logged "$id" "preemption 0.1: "
ok "goes on afterwards" cl_wait 40 job_logged "$id" "epoch 1: restart from 0.1"
ok "ends" cl_wait 40 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out "$CL_STEADY" 150 0 4
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
