#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tmux with two shells, its server in the tree.
#
# test: all as=both timeout=400
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need tmux
cat >prog <<'PROG'
#!/bin/bash
cd "$1" || exit 1
tm="tmux -S $1/sock -f /dev/null"
export TERM=xterm
$tm -D >/dev/null 2>&1 &
server=$!
until $tm new-session -d -s a "sh $PWD/../count.sh $1 one" 2>/dev/null; do
	sleep 0.1
done
$tm split-window -t a "sh $PWD/../count.sh $1 two"
until [ -e one.done ] && [ -e two.done ]; do sleep 0.05; done
$tm kill-server
wait $server
cat one.done two.done >answer
exit 24
PROG
cat >count.sh <<'SH'
s=0
for i in $(seq 1 60); do
	s=$((s * 3 % 10007 + i))
	echo "$2 $i $s"
	sleep 0.02
done
echo "$2 $s" >"$1/$2.new"
mv "$1/$2.new" "$1/$2.done"
SH
three_moments
