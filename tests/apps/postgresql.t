#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# postgresql: open transactions and clients in the tree.
#
# test: all as=both timeout=600
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :)
export PATH
need initdb postgres psql
[ "$(id -u)" != 0 ] || {
	# The server refuses to run as root.
	echo "1..0 # skip postgresql does not run as root"
	exit 77
}
initdb -D "$work/base" -A trust -U me >initdb.out 2>&1 || {
	cat initdb.out
	exit 1
}
cat >prog <<'PROG'
#!/bin/bash
cp -a base "$1/base"
cd "$1" || exit 1
postgres -D "$1/base" -k "$1" -c listen_addresses= -c fsync=off \
	-c shared_buffers=8MB >server.log 2>&1 &
server=$!
sql="psql -X -q -t -A -h $1 -U me postgres"
until $sql -c 'select 1' >/dev/null 2>&1; do sleep 0.1; done
$sql -c 'create table t (a int, b int)'
client() {
	{
		echo 'begin;'
		for i in $(seq 1 60); do
			echo "insert into t values ($1, $i * $1);"
			sleep 0.01
		done
		echo 'commit;'
	} | $sql
}
client 1 & c1=$!
client 2 & c2=$!
wait $c1 $c2
$sql -c 'select a, count(*), sum(b) from t group by a order by a' >out
kill -INT $server
wait $server
mv out answer
exit 25
PROG
three_moments
