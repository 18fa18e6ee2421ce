# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the tests of the tools' command line: TAP, a target program, and a
# clean end.  Kills only what was started here, by its pid.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
bin=${CR_BIN:-${STASIS_BUILD:-$top/build}/tools}
target=${STASIS_BUILD:-$top/build}/tests/blcr/target
work=$(mktemp -d "${TMPDIR:-/tmp}/cli.XXXXXX") || exit 1
points=0
failed=0
started=()
log=$work/log

cleanup() {
	local p
	for p in "${started[@]}"; do
		kill -9 "$p" 2>/dev/null
	done
	wait 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1

# ok CONDITION-STATUS WORDS: one point; the log of the last tool if it fails.
ok() {
	points=$((points + 1))
	if [ "$1" = 0 ]; then
		echo "ok $points - $2"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $points - $2"
	[ -s "$log" ] && sed 's/^/# /' "$log" | head -n 5
}

# is GOT WANT WORDS
is() {
	[ "$1" = "$2" ]
	ok $? "$3$([ "$1" = "$2" ] || echo ": got '$1', not '$2'")"
}

done_testing() {
	echo "1..$points"
	[ "$failed" = 0 ]
	exit
}

# run COMMAND...: its status in $st, all output in $log
run() {
	timeout -k 5 60 "$@" >"$log" 2>&1 </dev/null
	st=$?
}

ckpt() { run "$bin/cr_checkpoint" "$@"; }
restart() { run "$bin/cr_restart" "$@"; }

# await SECONDS COMMAND...: until it succeeds
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@" 2>/dev/null; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}

# birth NAME [family]: a target with the directory NAME, its pid in $pid.
# In the background of a subshell that is gone: nobody here waits for it.
birth() {
	mkdir -p "$work/$1"
	dir=$work/$1
	"$target" "$dir" ${2+"$2"} >"$dir/log" 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
	await 20 test -s "$dir/ready" || echo "# target did not start"
}

state() { sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
is_state() { [ "$(state "$1")" = "$2" ]; }
gone() { ! kill -0 "$1" 2>/dev/null || is_state "$1" Z; }

# death: kill -9 of the target and reap it
death() {
	kill -9 "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
}

# same_life DIR: the one that ended is the one that was born, once
same_life() {
	[ "$(wc -l <"$1/born")" = 1 ] && cmp -s "$1/born" "$1/out"
}

# alive_and_right WORDS: the target goes on and ends rightly
alive_and_right() {
	echo 17 >"$dir/stop.new"
	mv "$dir/stop.new" "$dir/stop"
	wait "$pid"
	is "$?" 17 "$1: status of the continued target"
	same_life "$dir"
	ok $? "$1: the continued target is the old one"
}

# restarts FILE [ARG...] WORDS: kill it, restart it, let it end
restarts() {
	local words=${*: -1}
	death
	echo 23 >"$dir/stop.new"
	mv "$dir/stop.new" "$dir/stop"
	restart "${@:1:$#-1}"
	is "$st" 23 "$words: status of the restarted target"
	same_life "$dir"
	ok $? "$words: the restarted target is the old one"
}
