#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# Options: in --help, wrong ones refused at submission, the old variables,
# jobs without --checkpoint untouched, a wrong stasis.conf refuses only ours.
. "$(dirname "$0")/lib.sh"
plan 12

cl_start 1 || exit $?
echo '#!/bin/bash
env | grep STASIS_ | grep -v _TEST= | grep -v _CONF=
ps -o args= -p $PPID' >"$CL/shared/home/job.sh"
refused() {
	! cl_batch "$@" job.sh >"$CL/run/err" 2>&1
}
under_parent() {
	local j
	j=$(cl_batch -o "out.$1" "${@:2}" job.sh) || return 1
	cl_wait 10 cl_in_state "$j" COMPLETED
	grep -q stasis-parent "$CL/shared/home/out.$1"
}
helps() {
	cl_as "$1" --help | grep -q -e "--checkpoint-keep=N"
}
for c in sbatch srun salloc; do
	ok "$c --help" helps "$c"
done
ok "a wrong time" refused --checkpoint=soon
ok "it is named" grep -q "soon" "$CL/run/err"
ok "a relative directory" refused --checkpoint=1 --checkpoint-dir=here
ok "no copies" refused --checkpoint=1 --checkpoint-keep=0
ok "with --checkpoint" under_parent a --checkpoint=1:30
ok "the interval in seconds" grep -q "STASIS_INTERVAL=90" \
	"$CL/shared/home/out.a"
old_variable() {
	local j
	j=$(cl_as env SBATCH_CHECKPOINT=2 sbatch --parsable -o out.b job.sh)
	cl_wait 10 cl_in_state "$j" COMPLETED &&
		grep -q "STASIS_INTERVAL=120" "$CL/shared/home/out.b"
}
ok "by the old variable" old_variable
plain() {
	! under_parent c --checkpoint=no && ! grep -q STASIS "$CL/shared/home/out.c"
}
ok "without" plain
echo "Kepe=3" >>"$CL/etc/stasis.conf"
wrong_conf() {
	refused --checkpoint=1 && grep -q Kepe "$CL/run/err" &&
		! under_parent d
}
ok "a wrong key refuses only --checkpoint" wrong_conf
cl_done
