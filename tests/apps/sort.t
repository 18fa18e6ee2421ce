#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# sort: the seed's own case, from and to a file.
#
# test: as=both timeout=600
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need sort
# cr_checkpoint --stop PID; kill -9 PID; cr_restart
how=--stop
cat >prog <<'PROG'
#!/bin/bash
mkdir "$1/tmp"
LC_ALL=C sort -S 8M --parallel=2 -T "$1/tmp" -o "$1/sorted" input || exit 1
md5sum <"$1/sorted" >"$1/answer"
exit 15
PROG
awk 'BEGIN { srand(7); for (i = 0; i < 900000; i++)
	printf "%d %d some text\n", rand() * 1e9, i }' >input
three_moments
