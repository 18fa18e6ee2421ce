# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Real programs: each test writes an executable ./prog that is called with a
# directory, leaves its answer in DIR/answer and ends with a status of its
# own.  It is run once undisturbed (the control); then it is checkpointed at
# random moments of that time, killed and restarted, and must give the same
# answer and status.  APP_SEED=N repeats the moments.  Kills only processes of
# the session that was made for the run.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
bin=${CR_BIN:-${STASIS_BUILD:-$top/build}/tools}
work=$(mktemp -d "${TMPDIR:-/tmp}/app.XXXXXX") || exit 1
points=0
failed=0
seed=${APP_SEED:-$RANDOM}
RANDOM=$seed
app=$(basename "$0" .t)
session=
# Nothing may run between the image and the end, else it changes its files.
how=--kill

# The session's processes and all below them.
family() {
	local all
	all=$(pgrep -s "$1" 2>/dev/null)
	local list=$all next
	while [ -n "$list" ]; do
		next=
		for p in $list; do next+=" $(pgrep -P "$p" 2>/dev/null)"; done
		list=$(echo $next)
		all+=" $list"
	done
	echo $all
}

kill_family() {
	local p
	for _ in 1 2 3 4 5; do
		p=$(family "$1")
		[ -n "$p" ] || return 0
		# shellcheck disable=SC2086 # a list of pids
		kill -9 $p 2>/dev/null
		sleep 0.1
	done
}

cleanup() {
	[ -n "$session" ] && kill_family "$session"
	[ -n "${rst:-}" ] && kill -9 "$rst" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1

need() {
	local c
	for c; do
		command -v "$c" >/dev/null || {
			echo "1..0 # skip $c is not installed"
			exit 77
		}
	done
}

ok() {
	points=$((points + 1))
	[ "$1" = 0 ] && echo "ok $points - $2" && return
	failed=$((failed + 1))
	echo "not ok $points - $2"
	for f in "$work"/*.log "$dir"/log; do
		[ -s "$f" ] && sed "s|^|# $(basename "$f"): |" "$f" | tail -n 6
	done
}

# start DIR: ./prog in a session of its own; its pid in $pid
start() {
	dir=$work/$1
	mkdir -p "$dir"
	setsid sh -c 'echo $$ >"$1/pid.new"; mv "$1/pid.new" "$1/pid"
		exec ./prog "$1"' sh "$dir" >"$dir/log" 2>&1 </dev/null &
	child=$!
	until [ -s "$dir/pid" ]; do sleep 0.01; done
	pid=$(cat "$dir/pid")
	session=$pid
}

# The control: its answer and status, and how long it takes, in ms.
control() {
	local from
	chmod 755 prog
	from=$(date +%s%3N)
	start control
	wait "$child"
	control_status=$?
	took=$(($(date +%s%3N) - from))
	kill_family "$session"
	session=
	[ -s "$dir/answer" ]
	ok $? "$app: control has an answer (status $control_status, $took ms)"
	mv "$dir/answer" answer.control
}

# once N: checkpoint at a random moment, kill, restart, compare
once() {
	local at st
	at=$((took / 10 + RANDOM % (took * 6 / 10 + 1)))
	start "run$1"
	sleep "$(printf '%d.%03d' $((at / 1000)) $((at % 1000)))"
	timeout 120 "$bin/cr_checkpoint" "$how" -f "$work/img" "$pid" \
		>checkpoint.log 2>&1
	st=$?
	if [ -e "$dir/answer" ] && ! kill -0 "$pid" 2>/dev/null; then
		echo "# run $1 was over before $at ms: once more"
		took=$((took * 2 / 3))
		return 1
	fi
	ok $st "$app: run $1: checkpoint at $at of $took ms"
	kill_family "$session"
	wait "$child" 2>/dev/null
	session=
	[ $st = 0 ] || return 0
	timeout 300 "$bin/cr_restart" "$work/img" >restart.log 2>&1 </dev/null
	st=$?
	[ $st = "$control_status" ]
	ok $? "$app: run $1: status $st, control $control_status"
	cmp answer.control "$dir/answer" >cmp.log 2>&1
	ok $? "$app: run $1: the answer is the control's"
	rm -f img ./*.log
}

# main: the control and three moments
three_moments() {
	local n=0 tries=0
	echo "# seed $seed"
	control
	while [ $n -lt "${APP_RUNS:-3}" ] && [ $tries -lt 8 ]; do
		tries=$((tries + 1))
		once $tries && n=$((n + 1))
	done
	[ $n -ge "${APP_RUNS:-3}" ]
	ok $? "$app: $n moments were tried"
	echo "1..$points"
	[ $failed = 0 ]
	exit
}
