#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# Periodic checkpoints without an RPC, then the node dies: the job goes on
# from the last one on another node, also when slurmctld was away during it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 7

cl_start 2 || exit $?
job_write job "$CL_STEADY 250 100 4"
id=$(cl_batch --checkpoint=0:03 -o out job)
ok "runs" cl_wait 15 job_has_ticks out 5
cl_at ctl pkill -x slurmctld
n=$(job_log "$id" 2>/dev/null | grep -c "periodic.*images")
more() {
	[ "$(job_log "$id" 2>/dev/null | grep -c 'periodic.*images')" -gt \
		$((n + 1)) ]
}
ok "periodic checkpoints without slurmctld" cl_wait 20 more
cl_slurmctld
sleep 1
ok "still on its node" same "$(cl_field "$id" NodeList)" n1
cl_kill n1
ok "goes on elsewhere" cl_wait 70 job_logged "$id" "n2 epoch 1: restart from"
ok "ends" cl_wait 45 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out \
	"$CL_STEADY" 250 0 4
ok "two are kept at most, none after the end" same \
	"$(find "$CL/shared/ckpt" -name '*.img' | wc -l)" 0
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
