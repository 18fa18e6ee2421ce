#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=120
# clang-format with .clang-format.  Tables and long argument lists may stand
# as a person set them: a file fails when more than one line in FORMAT_SHARE
# differs.  `make format` rewrites a file as clang-format has it.
. "$(dirname "$0")/files.sh"
FORMAT_SHARE=${FORMAT_SHARE:-8}
echo 1..1
bad=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
own_files '*.c' '*.h' >"$work/list"
xargs -a "$work/list" cp --parents -t "$work"
cp .clang-format "$work/"
(cd "$work" && xargs -a list clang-format -i)
while read -r f; do
	lines=$(wc -l <"$f")
	off=$(diff "$f" "$work/$f" | grep -c '^<')
	if [ $((off * FORMAT_SHARE)) -gt "$lines" ]; then
		echo "# $f: $off of $lines lines differ; make format"
		bad=1
	fi
done <"$work/list"
[ $bad = 0 ] && echo "ok 1 - format" || echo "not ok 1 - format"
exit $bad
