# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# A real Slurm on one machine, for tests: slurmctld, slurmd and munged of the
# distribution, each node in its own net, UTS, mount, PID and IPC namespace
# that one init holds.  Killing that init is the crash of the node; teardown
# kills the inits of this cluster and nothing else.  Sourced by the tests;
# everything of a cluster is below $CL.

CL_TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CL_TOP=$(cd "$CL_TESTS/../.." && pwd)
CL_BUILD=${STASIS_BUILD:-$CL_TOP/build}
# shellcheck source=tests/cluster/config.sh
. "$CL_TESTS/config.sh"

cl_fail() {
	echo "# $*" >&2
	return 1
}

# cl_user: make the ordinary user of the tests if it is not there.
cl_user() {
	getent passwd "$CL_USER" >/dev/null && return 0
	useradd -u "$CL_UID" -M -d /nonexistent -s /bin/bash "$CL_USER" ||
		getent passwd "$CL_USER" >/dev/null
}

cl_conf_slurm() {
	local n
	cat <<-EOF
	ClusterName=$CL_NAME
	SlurmctldHost=ctl(10.77.0.1)
	SlurmUser=root
	SlurmdUser=root
	AuthType=auth/munge
	AuthInfo=socket=$CL/munge.socket,cred_expire=${CL_CRED_EXPIRE:-5}
	CryptoType=crypto/munge
	ProctrackType=${CL_PROCTRACK:-proctrack/cgroup}
	TaskPlugin=task/none
	SelectType=select/cons_tres
	SelectTypeParameters=CR_CPU
	SlurmdParameters=config_overrides
	MpiDefault=none
	ReturnToService=2
	SlurmctldTimeout=60
	SlurmdTimeout=${CL_SLURMD_TIMEOUT:-10}
	KillWait=${CL_KILLWAIT:-6}
	MinJobAge=3600
	InactiveLimit=0
	TCPTimeout=2
	MessageTimeout=10
	SchedulerParameters=sched_interval=3,bf_interval=3,bf_resolution=1
	PreemptType=preempt/partition_prio
	PreemptMode=REQUEUE
	SlurmctldParameters=preempt_send_user_signal
	PrologFlags=Contain
	PlugStackConfig=$CL/etc/plugstack.conf
	StateSaveLocation=$CL/state
	SlurmdSpoolDir=$CL/spool/%n
	SlurmdPidFile=$CL/run/slurmd.%n.pid
	SlurmctldPidFile=$CL/run/slurmctld.pid
	SlurmctldLogFile=$CL/log/slurmctld.log
	SlurmdLogFile=$CL/log/slurmd.%n.log
	SlurmctldDebug=verbose
	SlurmdDebug=${CL_SLURMD_DEBUG:-verbose}
	AccountingStorageType=accounting_storage/none
	JobCompType=jobcomp/none
	EOF
	for ((n = 1; n <= CL_NODES; n++)); do
		echo "NodeName=n$n NodeAddr=10.77.0.1$n CPUs=${CL_CPUS:-4}" \
			"RealMemory=4000 State=UNKNOWN"
	done
	cat <<-EOF
	PartitionName=main Nodes=n[1-$CL_NODES] Default=YES MaxTime=INFINITE \
	PriorityTier=1 GraceTime=${CL_GRACE:-12} State=UP
	PartitionName=high Nodes=n[1-$CL_NODES] MaxTime=INFINITE \
	PriorityTier=10 PreemptMode=OFF State=UP
	${CL_SLURM_CONF_EXTRA:-}
	EOF
}

cl_conf() {
	local n
	mkdir -p "$CL"/{etc,log,run,state,spool,shared} || return 1
	chmod 755 "$CL"
	mkdir -p "$CL/shared/home"
	chmod 1777 "$CL/shared"
	chown "$CL_UID:$CL_UID" "$CL/shared/home"
	cl_conf_slurm >"$CL/etc/slurm.conf"
	cat >"$CL/etc/cgroup.conf" <<-EOF
	CgroupPlugin=cgroup/v1
	CgroupMountpoint=/sys/fs/cgroup
	ConstrainCores=no
	ConstrainRAMSpace=no
	EOF
	echo "optional $CL_BUILD/.libs/stasis.so conf=$CL/etc/stasis.conf" \
		>"$CL/etc/plugstack.conf"
	mkdir -p "$CL/shared/ckpt"
	chmod 1777 "$CL/shared/ckpt"
	cat >"$CL/etc/stasis.conf" <<-EOF
	Directory=$CL/shared/ckpt/%u
	BinDir=$CL_BUILD/tools
	LibexecDir=$CL_BUILD
	MungeSocket=$CL/munge.socket
	Lease=${CL_LEASE:-5}
	LimitMargin=${CL_MARGIN:-20}
	CommitWait=${CL_COMMIT_WAIT:-60}
	${CL_STASIS_EXTRA:-}
	EOF
	{
		echo "127.0.0.1 localhost"
		echo "10.77.0.1 ctl"
		for ((n = 1; n <= CL_NODES; n++)); do
			echo "10.77.0.1$n n$n"
		done
	} >"$CL/etc/hosts"
	dd if=/dev/urandom of="$CL/etc/munge.key" bs=1024 count=1 status=none
	chmod 400 "$CL/etc/munge.key"
}

# cl_ns NAME: start the init of a namespace set; its pid goes to run/NAME.init.
cl_ns() {
	local i
	unshare --fork --kill-child --pid --mount --net --uts --ipc \
		"$CL_TESTS/node-init" "$CL" "$1" \
		</dev/null >"$CL/log/$1.init.log" 2>&1 &
	echo $! >"$CL/run/$1.holder"
	for ((i = 0; i < 100; i++)); do
		[ -e "$CL/run/$1.ready" ] && break
		sleep 0.02
	done
	pgrep -P "$(cat "$CL/run/$1.holder")" >"$CL/run/$1.init"
}

# cl_at NODE COMMAND...: run as root on a node (ctl, n1...).
cl_at() {
	local node=$1 pid
	shift
	pid=$(cat "$CL/run/$node.init") || return 1
	PATH=$CL_PATH SLURM_CONF=$CL/etc/slurm.conf \
		STASIS_CONF=$CL/etc/stasis.conf nsenter -t "$pid" -n -u -m -p -i -- "$@"
}

# cl_as COMMAND...: run as the test user on the login node, in its home.
cl_as() {
	local pid
	pid=$(cat "$CL/run/ctl.init") || return 1
	env -i PATH="$CL_PATH" SLURM_CONF="$CL/etc/slurm.conf" \
		STASIS_CONF="$CL/etc/stasis.conf" STASIS_TEST="${STASIS_TEST:-}" \
		HOME="$CL/shared/home" USER="$CL_USER" \
		nsenter -t "$pid" -n -u -m -p -i -S "$CL_UID" -G "$CL_UID" \
		-w"$CL/shared/home" -- "$@"
}

cl_link() {
	local pid
	pid=$(cat "$CL/run/$1.init") || return 1
	nsenter -t "$(cat "$CL/run/ctl.init")" -n \
		ip link add "$1" type veth peer name eth0 netns "$pid" &&
		cl_at ctl ip link set "$1" master br0 up &&
		cl_at "$1" ip addr add "10.77.0.1${1#n}/24" dev eth0 &&
		cl_at "$1" ip link set eth0 up &&
		cl_at "$1" ip link set lo up
}

# cl_slurmd NODE, cl_slurmctld: start a daemon in its namespace.
cl_slurmd() {
	mkdir -p "$CL/spool/$1"
	cl_at "$1" slurmd -D -N "$1" -f "$CL/etc/slurm.conf" \
		</dev/null >"$CL/log/slurmd.$1.out" 2>&1 &
}

cl_slurmctld() {
	cl_at ctl slurmctld -D "$@" -f "$CL/etc/slurm.conf" \
		</dev/null >>"$CL/log/slurmctld.out" 2>&1 &
}

# cl_node NODE: bring up a node that is down: namespaces, link, slurmd.
cl_node() {
	rm -f "$CL/run/$1".{ready,init,holder}
	cl_ns "$1" && cl_link "$1" && cl_slurmd "$1"
}

# cl_start [NODES]: a cluster below a new $CL; all nodes idle at the end.
cl_start() {
	local n
	[ "$(id -u)" = 0 ] || { cl_fail "needs root"; return 77; }
	CL_NODES=${1:-2}
	cl_user || { cl_fail "no user $CL_USER"; return 1; }
	CL=$(mktemp -d /var/tmp/stasis-cl.XXXXXX) || return 1
	CL_NAME=$(basename "$CL" | tr '[:upper:].' '[:lower:]_')
	CL_PATH=$CL_BUILD/plugin/wrap:$CL_BUILD:/usr/bin:/bin:/usr/sbin:/sbin
	export CL CL_NAME CL_NODES CL_PATH
	cl_conf || return 1
	cl_ns ctl || return 1
	cl_at ctl sh -c 'ip link set lo up; ip link add br0 type bridge;
		ip addr add 10.77.0.1/24 dev br0; ip link set br0 up' ||
		return 1
	cl_at ctl munged --force --key-file="$CL/etc/munge.key" \
		--socket="$CL/munge.socket" --pid-file="$CL/run/munged.pid" \
		--log-file="$CL/log/munged.log" \
		--seed-file="$CL/run/munged.seed" >"$CL/log/munged.out" 2>&1 ||
		return 1
	cl_slurmctld
	for ((n = 1; n <= CL_NODES; n++)); do
		cl_node "n$n" || return 1
	done
	cl_wait 20 cl_idle "$CL_NODES"
}

cl_idle() {
	[ "$(cl_at ctl sinfo -h -p main -o %D -t idle 2>/dev/null |
		awk '{ n += $1 } END { print n + 0 }')" = "$1" ]
}

# cl_wait SECONDS COMMAND...: until the command succeeds.  The seconds are
# those of an idle machine; a busy one gets three times as many.
cl_wait() {
	local end=$((${EPOCHREALTIME/./} + $1 * 3000000))
	shift
	until "$@"; do
		if [ "${EPOCHREALTIME/./}" -gt "$end" ]; then
			cl_fail "waited in vain: $*"
			return 1
		fi
		sleep 0.1
	done
}

# cl_kill NODE: the crash of a node: all its processes are gone at once.
cl_kill() {
	kill -9 "$(cat "$CL/run/$1.init")"
	rm -f "$CL/run/$1.init"
}

# cl_cut NODE, cl_heal NODE: take the network away, give it back.
cl_cut() {
	cl_at ctl ip link set "$1" down
}

cl_heal() {
	cl_at ctl ip link set "$1" up
}

cl_stop() {
	local f
	[ -n "${CL:-}" ] || return 0
	for f in "$CL"/run/*.init; do
		[ -s "$f" ] && kill -9 "$(cat "$f")" 2>/dev/null
	done
	for f in "$CL"/run/*.holder; do
		[ -s "$f" ] && wait "$(cat "$f")" 2>/dev/null
	done
	for f in /sys/fs/cgroup/*/"$CL_NAME"-*; do
		[ -d "$f" ] && find "$f" -depth -type d -exec rmdir {} \; \
			2>/dev/null
	done
	if [ -n "${CL_KEEP:-}" ]; then
		echo "# kept $CL" >&2
	else
		rm -rf "$CL"
	fi
	CL=
}

# cl_state JOB; cl_in_state JOB STATE...; cl_batch ARGS...: prints the job id.
cl_state() {
	cl_at ctl scontrol -o show job "$1" 2>/dev/null |
		sed -n 's/.* JobState=\([A-Z_]*\) .*/\1/p'
}

cl_in_state() {
	local s=" ${*:2} "
	case $s in *" $(cl_state "$1") "*) return 0 ;; esac
	return 1
}

cl_field() {
	cl_at ctl scontrol -o show job "$1" 2>/dev/null | tr ' ' '\n' |
		sed -n "s/^$2=//p"
}

cl_batch() {
	cl_as sbatch --parsable "$@"
}

# TAP: plan N; ok WHAT COMMAND...; a failure shows the command.
tap_n=0
tap_bad=0
plan() {
	echo "1..$1"
	tap_plan=$1
}

ok() {
	local what=$1
	shift
	tap_n=$((tap_n + 1))
	if "$@"; then
		echo "ok $tap_n - $what"
	else
		echo "not ok $tap_n - $what"
		echo "# failed: $*"
		tap_bad=$((tap_bad + 1))
	fi
}

same() {
	[ "$1" = "$2" ] || cl_fail "have '$1', want '$2'"
}

cl_done() {
	[ "$tap_bad" = 0 ] || CL_KEEP=${CL_KEEP_BAD:-}
	cl_stop
	[ "$tap_bad" = 0 ] && [ "$tap_n" = "$tap_plan" ]
	exit $?
}
trap cl_stop EXIT
