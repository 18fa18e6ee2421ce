#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# cr_restart's command line: statuses, sources, hooks, relocation, signals.
#
# test: wait as=both timeout=240
# shellcheck source=tests/blcr/lib.sh
. "$(dirname "$0")/lib.sh"

# --- usage and hooks of failures ---
restart
is "$st" 255 "no file: usage error"
restart --bad
is "$st" 255 "unknown option"
restart nowhere.img
is "$st" 255 "a file that is not there"
restart --run-on-fail-args='exit 42' --bad
is "$st" 42 "--run-on-fail-args"
restart --run-on-fail-args='exit 42' nowhere.img
is "$st" 42 "--run-on-fail-args: file not openable"
restart --run-on-fail-perm='exit 43' --run-on-fail-env='exit 44' /dev/null
is "$st" 43 "--run-on-fail-perm: /dev/null is no image"
restart --run-on-failure='exit 45' /dev/null
is "$st" 45 "--run-on-failure"
"$bin/cr_restart" --help >"$log" 2>"$log.err"
is $? 0 "--help"
[ -s "$log" ] && [ ! -s "$log.err" ]
ok $? "--help: on stdout"
restart -v
is "$st" 0 "-v is --version"

# --- sources ---
birth one
ckpt -f img "$pid"
is "$st" 0 "an image"
restarts img "operand"
rm -f "$dir/out"
restarts -f img "--file"
rm -f "$dir/out"
restart -F 7 7<img
is "$st" 23 "--fd of a file"
same_life "$dir"
ok $? "--fd of a file: the old one"
rm -f "$dir/out"
timeout 60 sh -c "cat img | '$bin/cr_restart' -F 0" >"$log" 2>&1
is $? 23 "--fd of a pipe"
same_life "$dir"
ok $? "--fd of a pipe: the old one"
rm -f "$dir/out"
restart --no-restore-pid img
is "$st" 23 "--no-restore-pid"
is "$(cut -d' ' -f1 "$dir/out")" "$(cut -d' ' -f1 "$dir/born")" \
	"--no-restore-pid: the old one"

# --- how it ends ---
birth two
ckpt -f img2 "$pid"
death
echo "sig 15" >"$dir/stop"
restart img2
is "$st" 143 "a death by SIGTERM is handed on"
echo "0" >"$dir/stop"
restart img2
is "$st" 0 "a status of 0 is handed on"

# --- hooks of success ---
restart --run-on-success='touch hooked' img2
is "$st" 0 "--run-on-success"
[ -e hooked ]
ok $? "--run-on-success has run"
restart --run-on-success='exit 46' img2
is "$st" 46 "--run-on-success that fails"

# --- signals go through ---
birth three
ckpt -f img3 "$pid"
death
"$bin/cr_restart" img3 >"$log" 2>&1 </dev/null &
rst=$!
started+=("$rst")
runs() { pgrep -f "$target $dir" | grep -vqx "$rst"; }
await 15 runs
sleep 0.5
kill -USR1 $rst
await 10 test -s "$dir/signals"
is "$(cat "$dir/signals" 2>/dev/null)" usr1 "SIGUSR1 is forwarded"
echo 5 >"$dir/stop"
wait $rst
is $? 5 "and its status comes back"
rm -f "$dir/signals" "$dir/stop" "$dir/out"
"$bin/cr_restart" -S 10 img3 >"$log" 2>&1 </dev/null &
rst=$!
started+=("$rst")
await 15 test -s "$dir/signals"
is "$(cat "$dir/signals" 2>/dev/null)" usr1 "--signal after the restart"
echo 6 >"$dir/stop"
wait $rst
is $? 6 "--signal: status"

# --- detached ---
rm -f "$dir/signals" "$dir/stop" "$dir/out"
run "$bin/cr_restart" --detach img3
is "$st" 0 "--detach"
new=$(grep -Eo '^[0-9]+$' "$log" | head -n 1)
kill -0 "$new"
ok $? "--detach prints a pid that lives"
started+=("$new")
echo 0 >"$dir/stop"
await 15 test -s "$dir/out"
same_life "$dir"
ok $? "--detach: the old one"

# --- check and relocate ---
birth four
death
rm -f "$dir/born" "$dir/ready"
"$target" "$dir" 8>>"$dir/kept" >"$dir/log" 2>&1 </dev/null &
pid=$!
started+=("$pid")
await 20 test -s "$dir/ready"
ckpt -f img4 "$pid"
is "$st" 0 "image of a program with an open file"
death
restart --check img4
is "$st" 0 "--check: nothing stands in the way"
mv "$dir/kept" "$dir/elsewhere"
restart --check img4
[ "$st" != 0 ] && grep -q kept "$log"
ok $? "--check names the missing file"
restart --run-on-fail-env='exit 47' img4
is "$st" 47 "--run-on-fail-env: a missing file"
mkdir moved
mv "$dir/elsewhere" moved/kept
mv "$dir/log" moved/log
echo 3 >"$dir/stop"
restart --relocate "$dir=$work/moved" img4
is "$st" 3 "--relocate"
same_life "$dir"
ok $? "--relocate: the old one"
restart --relocate relative=/x img4
is "$st" 255 "--relocate of a relative path"

# --- damaged ---
size=$(stat -c %s img)
head -c $((size / 2)) img >cut.img
restart cut.img
[ "$st" != 0 ] && [ "$st" != 23 ]
ok $? "a truncated image is refused"
cp img bad.img
chmod 600 bad.img
printf '\377\377\377' | dd of=bad.img bs=1 seek=5000 conv=notrunc 2>/dev/null
restart bad.img
[ "$st" != 0 ] && [ "$st" != 23 ]
ok $? "a damaged image is refused"
grep -Eq '[0-9]' "$log"
ok $? "with the offset"
restart --run-on-fail-perm='exit 48' cut.img
is "$st" 48 "--run-on-fail-perm: truncated"
done_testing
