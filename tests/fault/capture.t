#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=120 as=both
# A capture that fails at any of its steps: the error is reported, no file is
# left, the program runs on untraced with its mask and its mappings.
set -u
bin=${CR_BIN:-${STASIS_BUILD:-${STASIS_TOP:?}/build}/tools}
work=$(mktemp -d) || exit 1
sleep 300 &
subject=$!
trap 'kill -9 $subject 2>/dev/null; rm -rf "$work"' EXIT
points="capture-freeze capture-state capture-files capture-snapshot
capture-thaw capture-write"

look() {
	grep -E '^(TracerPid|SigBlk|SigIgn|Threads)' "/proc/$subject/status"
	wc -l <"/proc/$subject/maps"
	ls "/proc/$subject/fd" | wc -l
	cat "/proc/$subject/task/$subject/children" 2>/dev/null
}

n=0
point() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

sleep 0.3
before=$(look)
for p in $points; do
	CR_FAULT=$p:EIO timeout 30 "$bin/cr_checkpoint" -f "$work/img" \
		$subject >"$work/log" 2>&1
	point $((! $?)) "$p fails the checkpoint"
	[ -z "$(find "$work" ! -name log -type f)" ]
	point $? "$p leaves no file"
	[ "$(look)" = "$before" ]
	point $? "$p leaves the program as it was"
done
timeout 30 "$bin/cr_checkpoint" -f "$work/img" $subject >"$work/log" 2>&1
point $? "without a fault it succeeds"
[ "$(look)" = "$before" ]
point $? "and leaves the program as it was"
echo "1..$n"
