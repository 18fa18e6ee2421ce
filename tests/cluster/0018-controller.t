#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# slurmctld is away when a job is to be requeued: it stays frozen for
# CommitWait, then goes on and says so; when slurmctld is back in time, the
# requeue works.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 8

CL_COMMIT_WAIT=8
cl_start 1 || exit $?
job_write job "$CL_STEADY 250 100 4"
id=$(cl_batch --checkpoint=60 -o out job)
ok "runs" cl_wait 15 job_has_ticks out 10
cl_at ctl pkill -x slurmctld
sleep 1
refused() {
	! cl_as stasis requeue "$id" >"$CL/run/said" 2>&1
}
ok "requeue without slurmctld fails" refused
ok "it says why" grep -q "slurmctld" "$CL/run/said"
n=$(job_ticks out)
ok "the job goes on" cl_wait 10 job_has_ticks out $((n + 5))
cl_as stasis requeue "$id" >"$CL/run/said" 2>&1 &
said=$!
sleep 2
cl_slurmctld
ok "requeue with slurmctld back in time" wait "$said"
ok "goes on" cl_wait 40 job_logged "$id" "epoch 1: restart from"
ok "ends" cl_wait 45 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out "$CL_STEADY" 250 0 4
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
