# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The project's own text files, for the lint tests: those that git has, or in
# an unpacked release all that are not built.

: "${STASIS_TOP:=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}"
: "${STASIS_BUILD:=$STASIS_TOP/build}"
cd "$STASIS_TOP" || exit 1

# own_files PATTERN...: paths whose name matches one of the shell patterns.
own_files() {
	if [ -e .git ]; then
		git -c safe.directory='*' ls-files -co --exclude-standard
	else
		find . -path ./build -prune -o -type f -printf '%P\n'
	fi | LC_ALL=C sort | while read -r f; do
		for p; do
			# shellcheck disable=SC2254 # a pattern is wanted
			case ${f##*/} in
			$p) [ -f "$f" ] && echo "$f" && break ;;
			esac
		done
	done
}

# shell_files: scripts for sh and bash, by name or by first line.
shell_files() {
	own_files '*.sh' '*.t' '*[!.]*' | while read -r f; do
		case $f in
		*.sh | *.bash) echo "$f" ;;
		*) head -n 1 "$f" | grep -aqE '^#!.*\b(ba)?sh\b' && echo "$f" ;;
		esac
	done | sort -u
}
