#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=300
#
# Proof: below parent and stub a job sees exit codes, signals, stdin, labels
# and output patterns as without --checkpoint.
. "$(dirname "$0")/lib.sh"
plan 6

cl_start 2 || exit $?
cat >"$CL/shared/home/job.sh" <<'EOF'
#!/bin/bash
d=$1
echo "args $*"
trap 'echo got USR1' USR1
echo from stdin | srun -N1 -n1 cat
srun -N2 -n2 -l sh -c 'echo rank $SLURM_PROCID' | sort
srun -N1 -n1 sh -c 'exit 6' 2>/dev/null
echo "exit $?"
srun -N1 -n1 sh -c 'kill -SEGV $$' 2>/dev/null
echo "segv $?"
srun -N1 -n1 sh -c 'kill -KILL $$' 2>/dev/null
echo "kill $?"
srun -N2 -n2 -o "$d/t.%t" sh -c 'echo file $SLURM_PROCID'
cat "$d"/t.*
srun -N1 -n1 nonexistent-program 2>/dev/null
echo "absent $?"
srun -N1 -n1 sleep 30 2>/dev/null &
sleep 2
kill -INT $!
kill -INT $!
wait $!
echo "interrupted $?"
touch "$d/ready"
while [ ! -e "$d/go" ]; do sleep 0.2; done
exit 7
EOF
cd "$CL/shared/home" || exit 1
run() {
	mkdir -p "$1"
	chown "$CL_UID" "$1"
	cl_batch -N2 -n2 -o "$1/out" "${@:2}" job.sh "$1"
}
a=$(run plain)
b=$(run ours --checkpoint=60)
reached() {
	[ -e plain/ready ] && [ -e ours/ready ]
}
ok "both jobs run to the end of their steps" cl_wait 90 reached
for j in "$a" "$b"; do
	cl_as scancel -b -s USR1 "$j"
done
sleep 1
touch plain/go ours/go
ok "plain job fails by its own status" \
	cl_wait 10 cl_in_state "$a" FAILED
ok "so does ours" cl_wait 10 cl_in_state "$b" FAILED
ok "with the same code" same "$(cl_field "$b" ExitCode)" 7:0
ok "same output" same "$(sed s/plain/X/ plain/out)" \
	"$(sed s/ours/X/ ours/out)"
ok "signals reach the script once" same "$(grep -c USR1 ours/out)" 1
cl_done
