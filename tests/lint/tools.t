#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=300
# The checkers that others wrote: cppcheck, shellcheck, mandoc, codespell and
# the python compiler.
. "$(dirname "$0")/files.sh"
n=0
bad=0
check() {
	local what=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		echo "$out" | head -n 40 | sed 's/^/# /'
		bad=1
	fi
}

run_cppcheck() {
	own_files '*.c' | grep -v '^kmod/' | cppcheck -q --file-list=- \
		--enable=warning,portability --inline-suppr \
		--suppressions-list=tests/lint/cppcheck.suppress \
		--error-exitcode=1 --std=c11 -D__x86_64__ -D__linux__ -j2 \
		-Ilibcr -I"$STASIS_BUILD/libcr" --max-configs=2
}
run_shellcheck() {
	shell_files | xargs -r shellcheck -x -P SCRIPTDIR:. \
		-S warning -e SC2120,SC2187
}
run_mandoc() {
	own_files '*.[1-8]' | xargs -r mandoc -Tlint -W warning,stop
}
run_codespell() {
	own_files '*' | grep -vE '^(COPYING|tests/golden/|tests/lint/words)' |
		xargs codespell -q 3 -I tests/lint/words
}
run_python() {
	{
		own_files '*.py'
		own_files '*[!.]*' | while read -r f; do
			head -n 1 "$f" | grep -aq '^#!.*python3' && echo "$f"
		done
	} | sort -u | while read -r f; do
		python3 -c 'import ast, sys
ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f" || echo "bad $f"
	done | awk '{ print } END { exit NR > 0 }'
}
echo 1..5
check cppcheck run_cppcheck
check shellcheck run_shellcheck
check "mandoc -Tlint" run_mandoc
check codespell run_codespell
check python run_python
exit $bad
