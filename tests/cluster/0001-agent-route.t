#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=240
#
# Proof: on each node of a multi-node step runs an agent, from the step's
# start, as the job's owner, in the job's cgroup, without a step of its own,
# and it is gone with the step.
. "$(dirname "$0")/lib.sh"
plan 7

cl_start 3 || exit $?
cat >"$CL/shared/home/job.sh" <<'EOF'
#!/bin/bash
srun -N3 -n6 sleep 40
srun -N1 -n1 true
echo steps over
sleep 60
EOF
id=$(cl_batch -N3 -n6 --checkpoint=60 -o out job.sh)

agent_of() {
	local init
	init=$(cat "$CL/run/$1.init") || return 1
	nsenter -t "$init" -p -m pgrep -x stasis-agent
}

agents_up() {
	[ -n "$(agent_of n1)" ] && [ -n "$(agent_of n2)" ] &&
		[ -n "$(agent_of n3)" ]
}

agent_user() {
	cl_at "$1" ps -o user:32= -p "$(agent_of "$1")" | tr -d ' '
}

agent_cgroup() {
	cl_at "$1" grep -c ":freezer:.*/job_$id" \
		"/proc/$(agent_of "$1")/cgroup"
}

ok "an agent on each node" cl_wait 15 agents_up
ok "as the owner, n2" same "$(agent_user n2)" "$CL_USER"
ok "as the owner, n3" same "$(agent_user n3)" "$CL_USER"
ok "in the job's cgroup, n2" same "$(agent_cgroup n2)" 1
ok "in the job's cgroup, n3" same "$(agent_cgroup n3)" 1
ok "the next step has number 1" cl_wait 20 \
	grep -q "Launching.*StepId=$id.1\|launch task StepId=$id.1" \
	"$CL/log/slurmd.n1.log"
no_agents() {
	grep -q "steps over" "$CL/shared/home/out" &&
		[ -z "$(agent_of n1)$(agent_of n2)$(agent_of n3)" ]
}
ok "agents end with their steps" cl_wait 10 no_agents
cl_done
