#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# cr_run: environment, statuses, the same pid; the preloads.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${STASIS_BUILD:-$top/build}
run=$build/tools/cr_run
export LD_LIBRARY_PATH=$build/libcr/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
unset LD_PRELOAD GLIBC_TUNABLES CR_CHANNEL
n=0
bad=0
is() {
	n=$((n + 1))
	if [ "$1" = "$2" ]; then
		echo "ok $n - $3"
	else
		echo "not ok $n - $3"
		echo "# got '$1', want '$2'"
		bad=1
	fi
}
# shellcheck disable=SC2016 # the inner shell expands
preload='echo "$LD_PRELOAD"'
is "$("$run" sh -c "$preload")" libcr_run.so.0 "run is the default"
is "$("$run" --omit sh -c "$preload")" libcr_omit.so.0 "omit"
is "$("$run" --omit --run sh -c "$preload")" libcr_run.so.0 "the last counts"
is "$("$run" -- sh -c "$preload")" libcr_run.so.0 "-- ends the options"
old=/x/libcr_omit.so.0::libm.so.6:libcr_run.so
is "$(LD_PRELOAD=$old "$run" sh -c "$preload" 2>/dev/null)" \
	libcr_run.so.0:libm.so.6 "ours and empty entries go, others stay"
is "$(LD_PRELOAD=libm.so.6 "$run" sh -c "$preload")" \
	libcr_run.so.0:libm.so.6 "ours comes first"
"$run"
is $? 0 "without a command nothing is done"
"$run" sh -c 'exit 7' --help
is $? 7 "status of the command, whose options are its own"
"$run" /no/such/command 2>/dev/null
is $? 127 "no such command"
"$run" /etc/passwd 2>/dev/null
is $? 126 "a command that cannot be run"
"$run" --cpu=z80 true 2>/dev/null
is $? 255 "no such processor level"
# shellcheck disable=SC2016
is "$(sh -c 'echo $$; exec "$0" sh -c "echo \$\$"' "$run" | uniq | wc -l)" 1 \
	"the same pid"
# shellcheck disable=SC2016
tasks='echo /proc/$$/task/*'
is "$("$run" sh -c "$tasks" | wc -w)" \
	"$([ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null)" = 1 ] &&
		echo 2 || echo 1)" "a thread of ours only under Yama"
is "$(CR_CHANNEL=1 "$run" sh -c "$tasks" | wc -w)" 2 "CR_CHANNEL=1: a thread"
is "$(CR_CHANNEL=0 "$run" sh -c "$tasks" | wc -w)" 1 "CR_CHANNEL=0: none"
# shellcheck disable=SC2016
is "$(CR_CHANNEL=1 "$run" bash -c '(echo /proc/$BASHPID/task/*; :)' | wc -w)" \
	2 "the thread is there again after fork"
# shellcheck disable=SC2016
is "$(CR_CHANNEL=1 "$run" bash -c 'trap "echo got" RTMAX; kill -64 $$; sleep 0.1
	:')" got "the program's own use of the signal goes on"
level() {
	"$@" /lib64/ld-linux-x86-64.so.2 --list-diagnostics |
		sed -n 's/^dl_hwcaps_subdirs_active=0x\(.*\)/\1/p'
}
have=$(level env)
v2=$(level "$run" --cpu=x86-64-v2)
v1=$(level "$run" --cpu=x86-64)
is "$v1" 0 "--cpu=x86-64: no newer libraries"
[ $((0x$v2)) -le 4 ] && [ $((0x$v2)) -le $((0x$have)) ]
is $? 0 "--cpu=x86-64-v2: at most its own"
echo "1..$n"
exit $bad
