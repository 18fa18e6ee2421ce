#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# cr_checkpoint's command line: statuses, destinations, replacement of older
# images, signals afterwards.
#
# test: wait as=both timeout=240
# shellcheck source=tests/blcr/lib.sh
. "$(dirname "$0")/lib.sh"

# --- usage ---
ckpt
is "$st" 255 "no operand: usage error"
grep -qi usage "$log"
ok $? "no operand: usage on stderr"
ckpt -q
is "$st" 255 "-q, no operand: usage error"
[ ! -s "$log" ]
ok $? "-q: nothing is printed"
"$bin/cr_checkpoint" --help >"$log" 2>"$log.err"
is $? 0 "--help"
[ -s "$log" ] && [ ! -s "$log.err" ]
ok $? "--help: on stdout"
ckpt --version
is "$st" 0 "--version"
ckpt --no-such-option 1
is "$st" 255 "unknown option"
ckpt abc
is "$st" 255 "operand that is no number"
ckpt 1 2
is "$st" 255 "two operands"

# --- no target ---
sleep 0 &
dead=$!
wait $dead
ckpt $dead
is "$st" 3 "no such process: ESRCH"
[ ! -e "context.$dead" ] && [ ! -e ".context.$dead.tmp" ]
ok $? "no such process: no file"
ckpt -g 4194301
is "$st" 3 "no such group: ESRCH"

# --- destinations ---
birth one
ckpt "$pid"
is "$st" 0 "default destination"
[ -f "context.$pid" ]
ok $? "context.PID is in the working directory"
is "$(stat -c %a "context.$pid" 2>/dev/null)" 400 "its mode"
[ ! -e ".context.$pid.tmp" ]
ok $? "no temporary file"
ckpt -f a.img -c "$pid"
is "$st" 22 "two destinations: EINVAL"
mkdir sub
ckpt -d sub "$pid"
is "$st" 0 "--dir"
[ -f "sub/context.$pid" ]
ok $? "--dir: context.PID is there"
ckpt -f sub "$pid"
is "$st" 21 "a directory as file: EISDIR"
ckpt -f nowhere/x "$pid"
is "$st" 2 "directory does not exist: ENOENT"
ckpt -f /dev/null "$pid"
is "$st" 0 "to /dev/null"
[ -c /dev/null ]
ok $? "/dev/null is still a device"
ckpt -F 99 "$pid"
is "$st" 9 "a closed descriptor: EBADF"
timeout 60 "$bin/cr_checkpoint" -F 5 "$pid" 5>fd.img
is $? 0 "--fd to a file"
timeout 60 "$bin/cr_checkpoint" -F 1 "$pid" | cat >pipe.img
is "${PIPESTATUS[0]}" 0 "--fd to a pipe"
mkfifo fifo
cat fifo >fifo.img &
started+=($!)
ckpt -f fifo "$pid"
is "$st" 0 "to a FIFO"
[ -p fifo ]
ok $? "the FIFO is still one"
alive_and_right "after ten checkpoints"
for img in fd.img pipe.img fifo.img; do
	rm -f "$dir/out"
	restarts $img "image $img"
done

# --- older images ---
birth two
ckpt -f img "$pid"
cp img first
ckpt -f img "$pid"
is "$st" 0 "--atomic replaces"
! cmp -s img first
ok $? "--atomic: a new image"
ckpt --backup -f img "$pid"
is "$st" 0 "--backup"
[ -f "img.~1~" ]
ok $? "--backup: img.~1~"
ckpt --backup -f img "$pid"
[ -f "img.~2~" ] && [ -f "img.~1~" ]
ok $? "--backup: img.~2~"
ckpt --backup=old -f img "$pid"
is "$st" 0 "--backup=NAME"
[ -f old ]
ok $? "--backup=NAME: it is there"
cp -f img before
ckpt --noclobber -f img "$pid"
is "$st" 17 "--noclobber: EEXIST"
cmp -s img before
ok $? "--noclobber: the old image is untouched"
ckpt --noclobber -f fresh "$pid"
is "$st" 0 "--noclobber without an old image"
ckpt --clobber -f img "$pid"
is "$st" 0 "--clobber over mode 0400"
ckpt --noclobber --atomic -f img "$pid"
is "$st" 0 "the last one of them wins"
ln img img2
ckpt --clobber -f img "$pid"
is "$st" 31 "more than one link: EMLINK"
rm -f img2
restarts img "after all replacements"

# --- signals afterwards ---
birth three
ckpt -f img3 --stop "$pid"
is "$st" 0 "--stop"
await 5 is_state "$pid" T
ok $? "--stop: it is stopped"
ckpt -f img3 --cont "$pid"
is "$st" 0 "--cont"
await 5 is_state "$pid" S
ok $? "--cont: it runs"
ckpt -f img3 -S 10 "$pid"
is "$st" 0 "--signal"
await 5 test -s "$dir/signals"
is "$(cat "$dir/signals" 2>/dev/null)" usr1 "--signal: came once"
ckpt -f img3 -S 77 "$pid"
is "$st" 255 "--signal out of range: usage error"
ckpt -f img3 --kill --run "$pid"
is "$st" 0 "--kill --run: the last one wins"
kill -0 "$pid"
ok $? "it lives"
ckpt -f img3 --term "$pid"
await 5 gone "$pid"
ok $? "--term: it is gone"
rm -f "$dir/signals"
restarts img3 "after --term"

# The recipe of the seed: stop, kill -9, restart: a running process.
birth four
ckpt --stop "$pid"
is "$st" 0 "recipe: cr_checkpoint --stop"
restarts "context.$pid" "recipe"
birth five
ckpt --kill -f img5 "$pid"
is "$st" 0 "--kill"
await 5 gone "$pid"
ok $? "--kill: it is gone"
restarts img5 "after --kill"

# Found stopped: stays so, and comes back so.
birth six
kill -STOP "$pid"
await 5 is_state "$pid" T
ckpt -f img6 "$pid"
is "$st" 0 "a stopped target"
is_state "$pid" T
ok $? "it is still stopped"
death
"$bin/cr_restart" img6 >"$log" 2>&1 &
rst=$!
started+=("$rst")
six() { pgrep -P $rst >/dev/null; }
await 10 six
deep() { # the restarted target, below cr_restart or its namespace's init
	local p
	for p in $(pgrep -f "$target $dir"); do
		is_state "$p" T && echo "$p"
	done
}
has_deep() { [ -n "$(deep)" ]; }
await 10 has_deep
ok $? "the restarted one is stopped"
echo 9 >"$dir/stop"
for p in $(deep); do kill -CONT "$p"; done
wait $rst
is $? 9 "and goes on when continued"

ckpt --time=abc 1
is "$st" 255 "--time with a bad value"
done_testing
