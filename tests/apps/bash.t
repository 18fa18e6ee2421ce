#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# bash: pipelines, job control with background jobs and wait.
#
# test: as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need bash seq sort
cat >prog <<'PROG'
#!/bin/bash
set -m
cd "$1" || exit 1
sum=0
for i in $(seq 1 25); do
	n=$(seq 1 $((i * 400)) | sort -rn | awk '{s += $1 % 7} END {print s}')
	(sleep 0.03; echo "job $i $n") >"job.$i" &
	sum=$((sum + n))
	(exit $((i % 5))) &
	wait $!
	sum=$((sum + $?))
done
wait
cat $(seq -f 'job.%g' 1 25) | md5sum >answer
echo "sum $sum" >>answer
exit 12
PROG
three_moments
