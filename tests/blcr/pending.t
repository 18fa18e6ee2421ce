#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What cr_checkpoint does not do yet as BLCR did: a thread's id as operand,
# and status 57 for a target that traces another process.  Left to --all
# until it does; then each part moves to scope.t.
#
# test: all wait as=both timeout=120
# shellcheck source=tests/blcr/lib.sh
. "$(dirname "$0")/lib.sh"

birth one family
# shellcheck disable=SC2010 # names are numbers
tid=$(ls "/proc/$pid/task" | grep -vx "$pid" | head -n 1)
ckpt -p -f tid.img "$tid"
is "$st" 0 "--pid takes a thread's id"
strace -o /dev/null -p "$pid" 2>/dev/null &
tracer=$!
started+=("$tracer")
traced() { ! grep -q '^TracerPid:.0$' "/proc/$pid/status"; }
await 10 traced
ckpt -p -f tracer.img "$tracer"
is "$st" 57 "a tracing target"
done_testing
