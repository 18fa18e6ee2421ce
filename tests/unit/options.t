#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The option tables against help, man pages and completion, and what all tools
# have in common.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
tools=${STASIS_BUILD:-$top/build}/tools
n=0
bad=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}

# longs TOOL: its options' words, as the table has them.
longs() {
	"$tools/$1" --completion | sed -n 's/.*local words="\(.*\)"/\1/p' |
		tr ' ' '\n' | sed -n 's/^--//; s/=$//; /^[a-z][a-z-]/p' | sort -u
}

# manual TOOL: the options that the page describes.
manual() {
	sed 's/\\&//g' "$top/man/$1.1" | grep -o 'Fl -[a-z][a-z-]*' |
		sed 's/Fl -//' | sort -u
}

for tool in cr_run cr_checkpoint cr_restart cr_info; do
	[ -x "$tools/$tool" ] || {
		echo "Bail out! $tools/$tool is missing"
		exit 1
	}
	longs $tool >"$work/table"
	manual $tool >"$work/page"
	[ "$(wc -l <"$work/table")" -ge 3 ]
	ok $? "$tool has a table"
	diff "$work/table" "$work/page" >"$work/diff"
	ok $? "$tool: table and man page name the same options"
	sed 's/^/# /' "$work/diff"
	for o in --help -h '-?'; do
		"$tools/$tool" "$o" >"$work/out" 2>"$work/err"
		r=$?
		[ $r = 0 ] && [ ! -s "$work/err" ] &&
			grep -q "^Usage: $tool " "$work/out"
		ok $? "$tool $o is help on stdout, status 0"
	done
	missing=
	while read -r o; do
		grep -qe "--$o\b" "$work/out" || missing="$missing $o"
	done <"$work/table"
	# Other words for the same option need not be repeated.
	missing=$(echo "$missing" | sed -E \
		's/ (process|group|session|freeze)\b//g; s/ *$//')
	[ -z "$missing" ]
	ok $? "$tool --help shows every option $missing"
	"$tools/$tool" --version >"$work/out" 2>"$work/err"
	r=$?
	[ $r = 0 ] && [ ! -s "$work/err" ] && grep -q "$tool" "$work/out"
	ok $? "$tool --version"
	"$tools/$tool" --no-such-option >"$work/out" 2>"$work/err"
	r=$?
	[ $r = 255 ] && [ ! -s "$work/out" ] && grep -q "^Usage" "$work/err"
	ok $? "$tool: wrong usage is 255, usage on stderr"
	"$tools/$tool" --completion >"$work/comp" && bash -n "$work/comp" &&
		bash -c ". $work/comp; COMP_WORDS=($tool --h); COMP_CWORD=1
			_stasis_$tool 2>/dev/null; [[ \${COMPREPLY[*]} == --help ]]"
	ok $? "$tool: completion works in bash"
	"$tools/$tool" --help >/dev/full 2>/dev/null
	[ "$tool" = cr_run ] && continue
	"$tools/$tool" -q --no-such-option >"$work/out" 2>&1
	r=$?
	[ $r = 255 ] && [ ! -s "$work/out" ]
	ok $? "$tool -q: not even usage"
	"$tools/$tool" --no-such-option -q >"$work/out" 2>&1
	[ ! -s "$work/out" ]
	ok $? "$tool: -q behind the wrong option counts too"
done

c=$tools/cr_checkpoint
for args in "" "1 2" "x" "--signal=0 $$" "--signal=65 $$" "--time=-1 $$" \
	"--time=5x $$" "--engine=none $$" "-F x $$" "--stop=1 $$" "0"; do
	# shellcheck disable=SC2086 # words are wanted
	$c $args >"$work/out" 2>"$work/err"
	r=$?
	[ $r = 255 ] && [ -s "$work/err" ]
	ok $? "cr_checkpoint $args: status 255"
done
"$c" -f a -d b $$ 2>"$work/err"
[ $? = 22 ] && [ -s "$work/err" ]
ok $? "cr_checkpoint: two destinations are EINVAL"

r=$tools/cr_restart
for args in "" "a b" "-f a b" "--relocate=x=y a" "--relocate=/x a"; do
	# shellcheck disable=SC2086 # words are wanted
	$r $args >"$work/out" 2>"$work/err"
	s=$?
	[ $s = 255 ] && [ -s "$work/err" ]
	ok $? "cr_restart $args: status 255"
done
"$r" "$work/none" 2>"$work/err"
[ $? = 255 ] && grep -q "No such file" "$work/err"
ok $? "cr_restart of a file that is not there: 255"
"$r" --run-on-fail-args='exit 42' --bad 2>"$work/err"
[ $? = 42 ] && [ ! -s "$work/err" ]
ok $? "the hook for wrong usage gives the status and takes the message"
"$r" --run-on-failure='exit 43' "$work/none" 2>"$work/err"
[ $? = 43 ] && [ ! -s "$work/err" ]
ok $? "run-on-failure serves a missing file too"
"$r" --run-on-fail-perm='exit 44' /dev/null 2>"$work/err"
[ $? = 44 ]
ok $? "/dev/null as image is a permanent failure"
"$r" --run-on-fail-temp='exit 45' --run-on-fail-env='exit 46' /dev/null \
	2>"$work/err"
[ $? = 61 ] && grep -q '^cr_restart: Restart failed: .*offset 0' "$work/err"
ok $? "hooks of other kinds do not run; status and message are ours"
"$r" --run-on-fail-perm=true /dev/null 2>"$work/err"
[ $? = 61 ] && [ -s "$work/err" ]
ok $? "a hook that ends with 0 leaves status and message"
mkdir "$work/d"
"$r" -d "$work/d" 2>"$work/err"
[ $? = 255 ] && grep -q 'No such file' "$work/err"
ok $? "cr_restart --dir without an image"
touch "$work/d/context.1" "$work/d/context.2"
"$r" -d "$work/d" 2>"$work/err"
[ $? = 255 ] && grep -q 'more than one' "$work/err"
ok $? "cr_restart --dir with two images"
echo "1..$n"
exit $bad
