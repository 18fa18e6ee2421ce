#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# cr_checkpoint's scopes, traced targets, and a script that checkpoints
# itself.
#
# test: wait as=both timeout=240
# shellcheck source=tests/blcr/lib.sh
. "$(dirname "$0")/lib.sh"

# How many processes an image holds.
procs() {
	"$bin/cr_info" --json "$1" 2>/dev/null | python3 -c '
import json, sys
print(len(json.load(sys.stdin)["records"]["task"]))'
}

birth tree family
ckpt -f tree.img "$pid"
is "$st" 0 "--tree"
is "$(procs tree.img)" 2 "--tree: two processes"
ckpt -p -f proc.img "$pid"
is "$st" 0 "--pid"
is "$(procs proc.img)" 1 "--pid: one process"
restarts tree.img "--tree"

dir=$work/grp
mkdir "$dir"
setsid "$target" "$dir" family >/dev/null 2>&1 </dev/null &
pid=$!
started+=("$pid")
await 20 test -s "$dir/ready"
pid=$(cut -d' ' -f2 "$dir/born")
started+=("$pid")
ckpt -g -f grp.img "$pid"
is "$st" 0 "--pgid"
is "$(procs grp.img)" 2 "--pgid: two processes"
ckpt -s -f ses.img "$pid"
is "$st" 0 "--sid"
is "$(procs ses.img)" 2 "--sid: two processes"
for p in $(pgrep -g "$pid"); do kill -9 "$p"; done
await 10 gone "$pid"
wait 2>/dev/null
echo 23 >"$dir/stop"
restart --restore-sid ses.img
is "$st" 23 "--restore-sid: status"
same_life "$dir"
ok $? "--restore-sid: the old one"

# --- traced ---
if command -v strace >/dev/null; then
	birth traced
	strace -o /dev/null -p "$pid" 2>/dev/null &
	tracer=$!
	started+=("$tracer")
	traced() { ! grep -q '^TracerPid:.0$' "/proc/$pid/status"; }
	await 10 traced
	ckpt -f traced.img "$pid"
	is "$st" 56 "a traced target"
	[ ! -e traced.img ]
	ok $? "a traced target: no image"
	ckpt --ptraced-skip -f traced.img "$pid"
	is "$st" 3 "--ptraced-skip: nothing remains"
	kill "$tracer"
	wait "$tracer" 2>/dev/null
	alive_and_right "after the tracer has left"
fi

# --- a script that checkpoints its own tree ---
cat >self.sh <<EOT
#!/bin/bash
secret=\$RANDOM\$RANDOM
echo "\$secret" >$work/self.secret
"$bin/cr_checkpoint" --tree -f $work/self.img \$\$ >$work/self.log 2>&1
st=\$?
echo "\$st \$secret" >>$work/self.out
exit 31
EOT
chmod 755 self.sh
timeout 60 ./self.sh >self.log 2>&1 </dev/null
is $? 31 "a script checkpoints itself: it goes on"
is "$(cat self.out)" "0 $(cat self.secret)" "cr_checkpoint said 0"
restart self.img
is "$st" 31 "a script that checkpointed itself: restarted"
is "$(tail -n 1 self.out)" "0 $(cat self.secret)" \
	"the restarted script goes on behind cr_checkpoint"
is "$(wc -l <self.out)" 2 "both did"
# A family's child outlives a parent that was killed: only those of this test.
pkill -9 -f "^$target $work" || :
done_testing
