#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=90
# The runner itself: what it must call failed, skipped, left behind.
set -u
top=${STASIS_TOP:?}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tests/unit" "$work/tests/cluster" "$work/build"
cp -r "$top/tests/lib" "$work/tests/"
cp "$top/tests/cluster/config.sh" "$work/tests/cluster/"
printf 'list-tests:\n' >"$work/build/Makefile"
printf 'unit/known.t no such hardware\n' >"$work/tests/lib/expected-skips"
t() {
	printf '#!/bin/sh\n%s\n' "$2" >"$work/tests/unit/$1.t"
	chmod +x "$work/tests/unit/$1.t"
}
t good 'echo 1..1; echo "ok 1 - fine"'
t notok 'echo 1..2; echo ok 1; echo "not ok 2 - bad"'
t short 'echo 1..3; echo ok 1'
t dies 'echo 1..1; echo ok 1; kill -9 $$'
t exits 'echo 1..1; echo ok 1; exit 3'
t known 'echo "no such hardware here"; exit 77'
t unknown 'echo "felt tired"; exit 77'
t point 'echo 1..1; echo "ok 1 - half # SKIP felt tired"'
t hangs '# test: timeout=1
sleep 60'
t leaves 'setsid sleep 60 & echo 1..1; echo ok 1'
t later '# test: all
echo 1..1; echo ok 1'
"$work/tests/lib/run" -v --build "$work/build" unit >"$work/out" 2>&1
status=$?
logs=$(sed -n 's/.*whole output: \(.*\)\/[^/]*$/\1/p' "$work/out" | head -n 1)
n=0
has() {
	n=$((n + 1))
	if grep -qE "$1" "$work/out"; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' "$work/out"
	fi
}
echo 1..13
has '^  pass: unit/good.t'
has '^  fail: unit/notok.t .*: not ok: bad$'
has '^  fail: unit/short.t .*: 1 points, planned 3$'
has '^  fail: unit/dies.t .*: killed by signal 9$'
has '^  fail: unit/exits.t .*: exit status 3$'
has '^  skip: unit/known.t .*: no such hardware here$'
has '^  fail: unit/unknown.t .*: unexpected skip'
has '^  fail: unit/point.t .*: unexpected skip: unit/point.t: half'
has '^  fail: unit/hangs.t .*: still running after 1 s$'
has '^  fail: unit/leaves.t .*: left behind: sleep'
has '^left out \(1, run by --all\): unit/later.t$'
has '^1 passed, 8 failed, 1 skipped$'
n=$((n + 1))
[ $status = 1 ] && echo "ok $n - exit status" || echo "not ok $n - $status"
case $logs in /var/tmp/stasis-logs.*) rm -rf "$logs" ;; esac
