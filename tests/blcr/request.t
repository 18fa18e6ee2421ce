#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=120 wait
# A self-checkpoint through libcr: arguments judged as BLCR judged them, no
# child that the program could see, the restarted copy knows what it is, and
# goes on with its memory and its pid.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${STASIS_BUILD:-$top/build}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export CR_CHECKPOINT=$build/tools/cr_checkpoint
export LD_LIBRARY_PATH=$build/libcr/.libs
bin=$build/tests/blcr/.libs/request
[ -x "$bin" ] || bin=$build/tests/blcr/request
nonce=$((RANDOM * 7 + 1))
bad=0
ok() {
	if [ "$1" = 0 ]; then
		echo "ok $2"
	else
		echo "not ok $2"
		bad=1
	fi
}
timeout 60 setsid --wait "$bin" "$work/image" "$work/out" $nonce \
	</dev/null >"$work/log" 2>&1
r=$?
sed 's/^/# /' "$work/log"
ok $r "1 - the program asked for a checkpoint of itself and went on"
[ "$(cut -d' ' -f1,2 "$work/out" 2>/dev/null)" = "continued $nonce" ]
ok $? "2 - it knows that it is the one that continued"
timeout 60 "$build/tools/cr_restart" "$work/image" </dev/null >"$work/log" 2>&1
r=$?
sed 's/^/# /' "$work/log"
[ $r = 17 ]
ok $? "3 - the restarted copy ends with its own status ($r)"
[ "$(tail -n 1 "$work/out" | cut -d' ' -f1,2)" = "restarted $nonce" ]
ok $? "4 - it knows that it was restarted, and has its memory"
[ "$(cut -d' ' -f3 "$work/out" | sort -u | wc -l)" = 1 ]
ok $? "5 - with the same pid"
echo 1..5
exit $bad
