#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: all timeout=400 as=both
# Real programs of Debian, unchanged.  Each is run once without interruption;
# then again, saved and killed at a random moment, restarted, saved and killed
# once more, restarted, and its answer compared.  APPS=name runs some of them,
# SEED=n repeats the moments of an earlier run.
set -u
tools=${STASIS_BUILD:?}/tools
export LD_LIBRARY_PATH=$STASIS_BUILD/libcr/.libs LC_ALL=C
cd "${TMPDIR:?}" || exit 1
SEED=${SEED:-$RANDOM}
RANDOM=$SEED
n=0
bad=0
started=
trap '[ -z "$started" ] || kill -9 -- -"$started" 2>/dev/null' EXIT
ok() {
	n=$((n + 1))
	[ "$1" = 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
	[ "$1" = 0 ] || bad=1
}

sources() {
	cat >omp.c <<'EOT'
#include <stdio.h>
int main(void)
{
	static unsigned long v[1 << 16];
	unsigned long sum = 0;
	int round, i;

	for (round = 0; round < 4000; round++) {
#pragma omp parallel for reduction(+ : sum)
		for (i = 0; i < 1 << 16; i++) {
			v[i] = v[i] * 6364136223846793005ul + i + round;
			sum += v[i] >> 33;
		}
	}
	printf("%lu\n", sum);
	return 0;
}
EOT
	cat >chain.py <<'EOT'
import hashlib, threading
out = {}
def chain(k):
    h = b"%d" % k
    for i in range(250000):
        h = hashlib.sha256(h + b"%d" % i).digest()
    out[k] = h.hex()
ts = [threading.Thread(target=chain, args=(k,)) for k in range(4)]
[t.start() for t in ts]
[t.join() for t in ts]
print(sorted(out.items()))
EOT
	cat >rows.py <<'EOT'
import os, sqlite3
if os.path.exists("rows.db"):
    os.unlink("rows.db")
db = sqlite3.connect("rows.db")
db.execute("create table t (a integer primary key, b integer, c text)")
db.execute("create index i on t (b)")
for k in range(300000):
    db.execute("insert into t values (?, ?, ?)",
               (k, k * 7919 % 100003, "row %d" % (k * k)))
    if k % 100000 == 70000:
        db.commit()
db.commit()
print(db.execute("select count(*), sum(b), max(c) from t").fetchall())
print(db.execute("pragma integrity_check").fetchall())
EOT
	cat >words.pl <<'EOT'
my (%seen, $x);
$x = 1;
for my $i (1 .. 2500000) {
	$x = ($x * 16807) % 2147483647;
	$seen{$x % 5003} .= chr(97 + $x % 26) if $i % 3;
}
my $s = 0;
$s = ($s * 31 + length($seen{$_}) + ord($seen{$_})) % 1000000007
	for sort { $a <=> $b } keys %seen;
print "$s\n";
EOT
	mkdir -p make
	local i
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		cat >make/f$i.c <<-EOT
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		int f$i(int a);
		int f$i(int a) { return a * $i + (int)strlen("f$i"); }
		EOT
	done
	{
		printf 'int main(void){int s=0;'
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
			printf 'extern int f%d(int);s+=f%d(3);' $i $i
		done
		printf '__builtin_printf("%%d\\n",s);return 0;}\n'
	} >make/main.c
	printf 'prog: %s\n\tcc -o $@ $^\n%%.o: %%.c\n\tcc -O2 -c $< -o $@\n' \
		"$(cd make && echo *.c | sed 's/\.c/.o/g')" >make/Makefile
	gcc -O1 -fopenmp omp.c -o omp && gcc -O1 -static omp.c -o static
}

declare -A app=(
	[pipeline]='seq 1 1500000 | awk "{ print \$1 * 7919 % 1000003 }" |
		sort -n -S 200M | tee copy | md5sum; md5sum <copy'
	[openmp]='OMP_NUM_THREADS=4 ./omp'
	[static]='./static'
	[python]='python3 chain.py'
	[sqlite]='python3 rows.py'
	[perl]='perl words.pl'
	[make]='rm -f make/*.o make/prog; make -s -j3 -C make prog && make/prog'
)

now() {
	date +%s%N
}
# Sleep for a random part, 10 to 60 %, of so many ns.
part() {
	sleep "$(awk -v t="$1" -v r=$RANDOM \
		'BEGIN { printf "%.3f", t / 1e9 * (0.1 + 0.5 * r / 32768) }')"
}

play() {
	local name=$1 took=$2 pid
	rm -f out image*
	setsid "$tools/cr_run" bash -c "${app[$name]}" >out 2>err </dev/null &
	pid=$!
	started=$pid
	part "$took"
	"$tools/cr_checkpoint" --nosync --kill -f image $pid >log 2>&1 ||
		{ echo "# $name: first checkpoint: $(cat log)"; return 1; }
	wait $pid 2>/dev/null
	"$tools/cr_restart" --detach image >new 2>log </dev/null ||
		{ echo "# $name: first restart: $(cat log)"; return 1; }
	pid=$(head -n 1 new)
	started=$pid
	part "$took"
	if kill -0 "$pid" 2>/dev/null && "$tools/cr_checkpoint" --nosync \
			--kill -f image2 "$pid" >log 2>&1; then
		again=$((again + 1))
		timeout 60 "$tools/cr_restart" image2 >log 2>&1 </dev/null ||
			{ echo "# $name: second restart ($?): $(cat log)"
			return 1; }
	else
		local i
		for ((i = 0; i < 600; i++)); do
			kill -0 "$pid" 2>/dev/null || break
			sleep 0.1
		done
	fi
	started=
	[ ! -s err ] || { sed 's/^/# /' err; return 1; }
	cmp out "control.$name" | sed 's/^/# /'
	cmp -s out "control.$name"
}

sources || { echo "1..0 # SKIP no compiler"; exit 77; }
again=0
echo "# SEED=$SEED"
for name in ${APPS:-pipeline openmp static python sqlite perl make}; do
	began=$(now)
	bash -c "${app[$name]}" >"control.$name" 2>err </dev/null
	took=$(($(now) - began))
	[ -s "control.$name" ]
	ok $? "$name runs ($((took / 1000000)) ms)"
	play "$name" $took
	ok $? "$name has the same answer after kills and restarts"
done
[ $again -gt 0 ] || [ -n "${APPS:-}" ]
ok $? "$again of them were saved a second time"
echo "1..$n"
exit $bad
