#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=240 as=both
# Each fault point of capture and restart, made to fail and made to kill.
# A failed capture leaves the program running as it was and the last good
# image untouched; a failed restart leaves no process; and either works the
# next time.
set -u
tools=${STASIS_BUILD:?}/tools
capture="capture-freeze capture-state capture-files capture-snapshot
	capture-thaw capture-write"
restart="restart-planned restart-ready restart-go"
cd "${TMPDIR:?}" || exit 1
n=0
bad=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}

# A counter that shows its life in a file, with a child of its own.
cat >count.py <<'EOT'
import os, subprocess, time
subprocess.Popen(["sleep", "1000"])
i = 0
while True:
    i += 1
    with open("count.new", "w") as f:
        print(i, file=f)
    os.rename("count.new", "count")
    time.sleep(0.02)
EOT
python3 count.py </dev/null >err 2>&1 &
pid=$!
trap 'kill -9 $pid $(cat kids) 2>/dev/null' EXIT
for _ in $(seq 100); do
	[ -s count ] && break
	sleep 0.05
done
pgrep -P $pid >kids

counts() {
	local was
	was=$(cat count)
	for _ in $(seq 200); do
		sleep 0.05
		[ "$(cat count)" -gt $((was + 2)) ] && return 0
	done
	echo "# the counter stands at $(cat count)"
	return 1
}
# The program as it was: not traced, not stopped, its mask empty.
unharmed() {
	local s
	counts || return 1
	for s in TracerPid:.0 SigBlk:.0000000000000000; do
		grep -q "^$s$" /proc/$pid/status || {
			echo "# $(grep "${s%%:*}" /proc/$pid/status)"
			return 1
		}
	done
	[ "$(grep -c . /proc/$pid/maps)" -le "$maps" ] || {
		echo "# more mappings than $maps before"
		return 1
	}
}

"$tools/cr_checkpoint" -f image $pid >out 2>&1
ok $? "a checkpoint without a fault"
sed "s/^/# /" out
maps=$(grep -c . /proc/$pid/maps)
sum=$(cksum <image)
for point in $capture; do
	for action in EIO ENOMEM kill; do
		CR_FAULT=$point:$action timeout 30 "$tools/cr_checkpoint" \
			-f image $pid >out 2>&1
		status=$?
		[ $status != 0 ] && [ $status != 124 ]
		ok $? "$point:$action fails the checkpoint ($status)"
		# A guardian killed with -9 cannot take its code out again.
		[ $action != kill ] || maps=$((maps + 1))
		unharmed
		ok $? "$point:$action leaves the program as it was"
		[ "$(cksum <image)" = "$sum" ]
		ok $? "$point:$action leaves the last image"
		left=$(find . -name '.*.tmp')
		[ -z "$left" ] || echo "# $left"
		# kill -9 of the writer itself leaves its file, by nature.
		[ -z "$left" ] || [ $action = kill ]
		ok $? "$point:$action leaves no temporary file"
		rm -f .*.tmp
	done
done
"$tools/cr_checkpoint" -f image2 $pid >out 2>&1
ok $? "a checkpoint after all of them"
sed "s/^/# /" out

# The old processes, and none restored from them, are there.
gone() {
	local p i
	for p in $pid $kids; do
		for i in 1 2 3 4 5 6 7 8 9 10; do
			[ -e /proc/$p ] || continue 2
			sleep 0.5
		done
		echo "# still there ($i): $(head -n 7 /proc/$p/status |
			tr '\n\t' '  ')"
		return 1
	done
}

kids=$(pgrep -P $pid)
# shellcheck disable=SC2086 # words wanted
kill -9 $pid $kids
wait $pid 2>/dev/null
for point in $restart; do
	for action in EIO kill; do
		before=$(cat count)
		CR_FAULT=$point:$action timeout 30 "$tools/cr_restart" \
			--detach image2 >out 2>&1 </dev/null
		status=$?
		[ $status != 0 ] && [ $status != 124 ]
		ok $? "$point:$action fails the restart ($status)"
		gone
		ok $? "$point:$action leaves no process"
		[ "$(cat count)" = "$before" ]
		ok $? "$point:$action runs nothing"
	done
done
"$tools/cr_restart" --detach image2 >out 2>&1 </dev/null
ok $? "a restart after all of them"
new=$(head -n 1 out)
case $new in '' | *[!0-9]*) sed 's/^/# /' out ;; esac
counts
ok $? "the restarted program counts on"
pgrep -P "$new" >kids
kill -9 "$new"
# shellcheck disable=SC2046
kill -9 $(cat kids) 2>/dev/null
echo "1..$n"
exit $bad
