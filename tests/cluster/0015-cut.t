#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# A node loses its network but still reaches the shared directory and goes on
# writing: the job restarts elsewhere and the old copy ends itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/job.sh"
plan 7

cl_start 2 || exit $?
job_write job "$CL_STEADY 700 100 4"
id=$(cl_batch --checkpoint=0:03 -o out job)
ok "runs" cl_wait 15 job_has_ticks out 5
ok "is saved" cl_wait 15 job_logged "$id" "periodic.*images"
node=$(cl_field "$id" NodeList)
other=n1
[ "$node" = n1 ] && other=n2
cl_cut "$node"
old_runs() {
	nsenter -t "$(cat "$CL/run/$node.init")" -p -m pgrep -x steady \
		>/dev/null
}
ok "the old copy computes on" old_runs
ok "goes on elsewhere" cl_wait 80 job_logged "$id" \
	"$other epoch 1: restart from"
ok "the old copy has ended itself" sh -c '! "$@"' - \
	nsenter -t "$(cat "$CL/run/$node.init")" -p -m pgrep -x steady
ok "ends" cl_wait 90 cl_in_state "$id" COMPLETED
ok "output is that of an uninterrupted run" job_same out "$CL_STEADY" 700 0 4
[ "$tap_bad" = 0 ] || job_show "$id"
cl_done
