#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Bad places and bad images: a full disk, a read-only and a vanished
# directory, images that are cut, damaged, foreign, of a newer version or
# written by others; targets that exit, exec or bear children meanwhile.
#
# test: wait as=both timeout=240
# shellcheck source=tests/blcr/lib.sh
. "$(dirname "$0")/../blcr/lib.sh"

# --- places ---
birth one
ckpt -f /dev/full "$pid"
[ "$st" != 0 ]
ok $? "a full device fails (status $st)"
mkdir ro
cp /dev/null ro/old
chmod 555 ro
if [ "$(id -u)" != 0 ]; then
	ckpt -f ro/img "$pid"
	is "$st" 13 "a read-only directory: EACCES"
fi
if [ "$(id -u)" = 0 ]; then
	mkdir small
	mount -t tmpfs -o size=64k none small
	echo old >small/img
	ckpt -f small/img "$pid"
	is "$st" 28 "a full file system: ENOSPC"
	is "$(cat small/img)" old "a full file system: the old image stays"
	is "$(ls -A small)" img "a full file system: no temporary file"
	ckpt --clobber -f small/img2 "$pid"
	is "$st" 28 "a full file system, --clobber: ENOSPC"
	[ ! -e small/img2 ]
	ok $? "a full file system, --clobber: no part of an image"
	umount small
fi
(ulimit -f 8; trap '' XFSZ
	timeout 60 "$bin/cr_checkpoint" -f limited "$pid") >"$log" 2>&1
[ $? != 0 ] && [ ! -e limited ]
ok $? "a file size limit: refused, nothing left"
mkdir gone
(cd gone && rmdir ../gone && timeout 60 "$bin/cr_checkpoint" "$pid") \
	>"$log" 2>&1
[ $? != 0 ]
ok $? "a vanished directory fails"
timeout 60 "$bin/cr_checkpoint" -F 1 "$pid" 2>"$log" | head -c 5000 >/dev/null
[ "${PIPESTATUS[0]}" != 0 ]
ok $? "a pipe whose reader leaves fails"
ckpt -f good "$pid"
is "$st" 0 "and then a good one"
death
echo 23 >"$dir/stop"

# --- images ---
size=$(stat -c %s good)
refused() {
	rm -f "$dir/out"
	restart "$1"
	[ "$st" != 0 ] && [ "$st" != 23 ] && [ "$st" -lt 124 ] &&
		[ ! -e "$dir/out" ] && [ -s "$log" ]
	ok $? "$2 is refused (status $st)"
	"$bin/cr_info" --verify "$1" >"$log" 2>&1
	st=$?
	[ $st != 0 ] && [ $st -lt 124 ]
	ok $? "cr_info --verify: $2 (status $st)"
}
for n in 0 1 100 4095 4096 9000 $((size / 2)) $((size - 4096)) $((size - 1)); do
	head -c "$n" good >"cut"
	refused cut "an image cut at $n"
done
(cat good; echo more) >longer
rm -f "$dir/out"
restart longer
[ "$st" -lt 124 ]
ok $? "bytes behind the end do no harm (status $st)"
RANDOM=${FAULT_SEED:-$$}
bad=0
for _ in $(seq 12); do
	at=$((RANDOM * 32768 + RANDOM))
	at=$((at % size))
	rm -f flip
	cp good flip
	chmod 600 flip
	byte=$(od -An -tu1 -j "$at" -N 1 good)
	printf "\\$(printf %o $((byte ^ 0x55)))" |
		dd of=flip bs=1 seek=$at conv=notrunc 2>/dev/null
	"$bin/cr_info" --verify flip >"$log" 2>&1
	st=$?
	[ $st = 0 ] && zero=$((zero + 1)) && echo "# byte $at is not covered"
	[ $st -lt 124 ] || bad=$((bad + 1))
done
[ "${zero:-0}" -le 2 ] && [ $bad = 0 ]
ok $? "changed bytes are found (${zero:-0} of 12 not, $bad crashed)"
tr 'a-z' 'b-za' <good >foreign
refused foreign "a file of another kind"
head -c 200000 /dev/urandom >noise
refused noise "noise"
if [ "$(id -u)" = 0 ]; then
	cp good theirs
	chown 58311 theirs
	rm -f "$dir/out"
	restart theirs
	[ "$st" != 23 ] && [ ! -e "$dir/out" ]
	ok $? "root refuses another user's image (status $st)"
fi
rm -f "$dir/out"
restart good
is "$st" 23 "the good one still restarts"

# --- targets that do not hold still ---
for kind in exit exec forks; do
	case $kind in
	exit) body='while :; do (exit 3); done' ;;
	exec) body='i=0; while [ $i -lt 100000 ]; do /bin/true; i=$((i+1)); done' ;;
	forks) body='while :; do sleep 0.01 & sleep 0.02 & wait; done' ;;
	esac
	sh -c "$body" >/dev/null 2>&1 </dev/null &
	pid=$!
	started+=("$pid")
	sleep 0.2
	fine=0
	for _ in 1 2 3 4 5; do
		ckpt -f busy "$pid"
		[ "$st" = 0 ] && fine=$((fine + 1))
		[ -e .busy.tmp ] && fine=-100
	done
	[ $fine -ge 4 ]
	ok $? "a tree that $kind all the time: $fine of 5 were taken"
	kill -0 "$pid" && is_state "$pid" T
	[ $? != 0 ]
	ok $? "a tree that $kind: it goes on"
	for p in $(pgrep -P "$pid") $pid; do kill -9 "$p" 2>/dev/null; done
	wait 2>/dev/null
done
sleep 0.3 &
pid=$!
sleep 0.27
ckpt -f dying "$pid"
[ "$st" = 0 ] || [ "$st" = 3 ]
ok $? "a target that ends meanwhile: status $st"
done_testing
