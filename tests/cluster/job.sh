# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034
#
# What tests of moved jobs share: a job of the program "steady", its reference
# output, and waiting for its progress.  Sourced after lib.sh.

CL_STEADY=$CL_BUILD/tests/cluster/steady

# job_write NAME LINES...: a job script in the shared home.
job_write() {
	local name=$1
	shift
	{
		echo '#!/bin/bash'
		printf '%s\n' "$@"
	} >"$CL/shared/home/$name"
}

# job_ticks FILE: ticks that are in an output file.
job_ticks() {
	[ -e "$CL/shared/home/$1" ] || { echo 0; return; }
	grep -c "tick" "$CL/shared/home/$1" || true
}

job_has_ticks() {
	[ "$(job_ticks "$1")" -ge "$2" ]
}

# job_same FILE COMMAND...: the output is that of an uninterrupted run.
job_same() {
	local f=$CL/shared/home/$1
	shift
	"$@" >"$CL/run/want" || return 1
	cmp "$f" "$CL/run/want" && return 0
	diff "$f" "$CL/run/want" | head -20 | sed 's/^/# /'
	return 1
}

job_restarts() {
	cl_field "$1" Restarts
}

job_log() {
	cat "$CL"/shared/ckpt/"$CL_USER"/*-"$1"-*/log
}

job_logged() {
	job_log "$1" 2>/dev/null | grep -q "$2"
}

# What a failed test should show.
job_show() {
	job_log "$1" | sed 's/^/# /'
	tail -n 5 "$CL/shared/home/${2:-out}" | sed 's/^/# /'
}
