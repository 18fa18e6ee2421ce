#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# gcc under make -j: short-lived processes all the time.
#
# test: as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need gcc make
for i in 1 2 3 4 5 6 7 8; do
	cat >f$i.c <<SRC
#include <stdio.h>
#include <stdlib.h>
int f$i(int n) { int s = $i; for (int k = 0; k < n; k++) s = s * 31 + k; return s; }
SRC
done
cat >main.c <<'SRC'
#include <stdio.h>
int f1(int), f2(int), f3(int), f4(int), f5(int), f6(int), f7(int), f8(int);
int main(void)
{
	printf("%d\n", f1(9) ^ f2(9) ^ f3(9) ^ f4(9) ^ f5(9) ^ f6(9) ^ f7(9) ^
		f8(9));
	return 0;
}
SRC
cat >prog <<'PROG'
#!/bin/bash
src=$PWD
cd "$1" || exit 1
printf 'all: prog\n%%.o: %s/%%.c\n\tgcc -O2 -c -o $@ $<\n' "$src" >Makefile
printf 'prog: main.o %s\n\tgcc -o $@ $^\n' "$(echo f{1..8}.o)" >>Makefile
for round in 1 2 3; do
	rm -f ./*.o prog
	make -j3 >make.log 2>&1 || exit 1
	./prog >>out || exit 1
done
mv out answer
exit 14
PROG
three_moments
