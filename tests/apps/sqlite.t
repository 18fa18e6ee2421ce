#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# sqlite with a transaction open.
#
# test: all as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need sqlite3
cat >prog <<'PROG'
#!/bin/bash
cd "$1" || exit 1
{
	echo 'create table t (a integer primary key, b text);'
	echo 'begin;'
	for i in $(seq 1 300); do
		echo "insert into t (b) select hex($i * 7919) || b from t
			where a % 97 = $((i % 97)) limit 40;"
		echo "insert into t (b) values ('row $i');"
		[ $((i % 100)) = 0 ] && echo 'commit; begin;'
		sleep 0.005
	done
	echo 'commit;'
	echo 'select count(*), sum(length(b)), max(a) from t;'
} | sqlite3 base.db >out || exit 1
echo 'pragma integrity_check;' | sqlite3 base.db >>out
mv out answer
exit 17
PROG
three_moments
