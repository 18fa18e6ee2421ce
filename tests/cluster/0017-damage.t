#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# The newest image is damaged, the next one's disk was full: the job restarts
# from the last good one; a failed checkpoint leaves job and images alone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 9

cl_start 1 || exit $?
job_write job "$CL_STEADY 200 100 4"
dir=$CL/shared/small
mkdir "$dir"
chmod 1777 "$dir"
id=$(cl_batch --checkpoint=60 --checkpoint-dir="$dir" --checkpoint-keep=5 \
	-o out job)
ok "runs" cl_wait 15 job_has_ticks out 10
ok "first checkpoint" cl_as stasis checkpoint "$id"
ok "second checkpoint" cl_as stasis checkpoint "$id"
set -- "$dir"/*-"$id"-*
images=$1
chmod 500 "$images"
refused() {
	! cl_as stasis checkpoint "$id" >"$CL/run/said" 2>&1
}
ok "no place for a third: refused" refused
n=$(job_ticks out)
ok "the job goes on" cl_wait 5 job_has_ticks out $((n + 5))
chmod 700 "$images"
printf 'X' | dd of="$images/0.2/batch.img" bs=1 seek=9000 conv=notrunc \
	status=none
cl_as scontrol requeue "$id"
log_has() {
	grep -q "$1" "$images/log"
}
ok "the damaged one is passed over" cl_wait 40 log_has "0.2 passed over"
ok "the good one is taken" cl_wait 10 log_has "restart from 0.1"
ok "ends" cl_wait 45 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out "$CL_STEADY" 200 0 4
[ "$tap_bad" = 0 ] || sed 's/^/# /' "$images/log"
cl_done
