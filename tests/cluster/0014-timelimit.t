#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# A job that needs longer than its time limit is saved ahead of it, requeued,
# and goes on, twice.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 5

CL_MARGIN=15
cl_start 1 || exit $?
job_write job "$CL_STEADY 115 1000 4"
id=$(cl_batch --checkpoint=60 -t 1 -o out job)
ok "saved ahead of the limit" cl_wait 60 job_logged "$id" "timelimit 0.1: "
ok "again" cl_wait 75 job_logged "$id" "timelimit 1.1: "
ok "ends" cl_wait 70 cl_in_state "$id" COMPLETED
ok "in its third run" same "$(job_restarts "$id")" 2
ok "output is that of an uninterrupted run" job_same out "$CL_STEADY" 115 0 4
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
