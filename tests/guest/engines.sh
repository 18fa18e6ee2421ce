# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# In the guest: both engines behind one interface.  One sleeping program taken
# by each gives the same image; then the conformance kinds named as $1...
# under both, as root and (Yama 1) as a user.
build=$GUEST_BUILD
export STASIS_TOP=$GUEST_TREE STASIS_BUILD=$build CR_BIN=$build/tools
n=0
bad=0
point() { # STATUS NAME
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}
insmod "$GUEST_MODULES/stasis.ko"
point $? "the module loads"

same() { # THREADS
	local pid
	"$build/tests/guest/same" target "$1" &
	pid=$!
	for _ in $(seq 100); do
		set -- "$1" /proc/$pid/task/*
		[ $# = $(($1 + 1)) ] && break
		sleep 0.1
	done
	sleep 1
	timeout 60 "$CR_BIN/cr_checkpoint" --engine=user -f /tmp/user.img $pid &&
	timeout 60 "$CR_BIN/cr_checkpoint" --engine=kmod -f /tmp/kmod.img $pid &&
	kill -0 $pid &&
	timeout 60 "$build/tests/guest/same" /tmp/user.img /tmp/kmod.img
	point $? "both engines write the same image of $1 threads"
	kill -KILL $pid
	wait $pid 2>/dev/null
	rm -f /tmp/user.img /tmp/kmod.img
}
same 1
same 21

kind() { # ENGINE KIND WORD...
	timeout 150 "$build/tests/conform/$2" --engine="$1" "${@:3}" \
		> /tmp/log 2>&1
	local status=$?
	sed 's/^/# /' /tmp/log | tail -n 25
	[ $status = 77 ] && status=0
	point $status "$2 by the engine $1 ${*:3}"
}
for name; do
	kind kmod "$name" --root
done
rmmod stasis
point $? "the module goes"
echo "1..$n"
exit $bad
