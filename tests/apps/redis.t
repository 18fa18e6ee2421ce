#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# redis-server with a client, both in the tree.
#
# test: all as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
need redis-server redis-cli
cat >prog <<'PROG'
#!/bin/bash
cd "$1" || exit 1
redis-server --port 0 --unixsocket "$1/sock" --save '' --daemonize no \
	--dir "$1" >redis.log 2>&1 &
server=$!
until redis-cli -s "$1/sock" ping >/dev/null 2>&1; do sleep 0.05; done
for i in $(seq 1 40); do
	seq 1 200 | awk -v i="$i" '{print "INCRBY k" $1 % 50 " " $1 * i;
		print "RPUSH list " $1 + i}'
done | redis-cli -s "$1/sock" >/dev/null
for i in $(seq 0 49); do echo "GET k$i"; done |
	redis-cli -s "$1/sock" >out
echo "LLEN list" | redis-cli -s "$1/sock" >>out
redis-cli -s "$1/sock" shutdown nosave
wait $server
mv out answer
exit 16
PROG
three_moments
