# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# In the guest: the module's tests, each a TAP point.  $1: quick or full.
how=${1:-quick}
tests=$GUEST_BUILD/tests/guest
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
run() { # SECONDS PROGRAM ARG...
	local limit=$1 status
	shift
	timeout -k 5 "$limit" "$tests/$1" "${@:2}" > /tmp/log 2>&1
	status=$?
	sed 's/^/# /' /tmp/log
	point $status "$*"
}

insmod "$GUEST_MODULES/stasis.ko"
point $? "the module loads"
[ "$(stat -c %a /dev/stasis)" = 666 ]
point $? "everybody may open the device"
# Swap on compressed memory: the module must bring pages in.
if [ -e /sys/block/zram0/disksize ] &&
		echo 300M > /sys/block/zram0/disksize &&
		mkswap /dev/zram0 > /dev/null && swapon /dev/zram0; then
	export TEST_SWAP=1
	echo +memory > /sys/fs/cgroup/cgroup.subtree_control
fi
[ "${TEST_SWAP:-0}" = 1 ]
point $? "swap is there"
[ -d /media/lost+found ] && export TEST_DISK=1
[ "${TEST_DISK:-0}" = 1 ]
point $? "a disk is there"

case $how in
quick)
	run 60 perms
	run 120 records 257
	run 120 pages
	run 120 kills 40
	run 60 abi 10
	;;
full)
	run 60 perms
	run 240 records 1025
	run 120 pages
	run 600 kills 200
	run 400 abi 300
	;;
smoke)
	run 60 perms
	run 120 records 21
	run 120 pages
	;;
esac

# In use it cannot be unloaded; afterwards nothing of it stays.
exec 9< /dev/stasis
rmmod stasis 2>/dev/null
[ $? != 0 ] && [ -e /dev/stasis ]
point $? "in use it stays"
exec 9<&-
rmmod stasis && [ ! -e /dev/stasis ]
point $? "unused it goes"
[ $(($(cat /proc/sys/kernel/tainted) & ~0x3000)) = 0 ]
point $? "the kernel is tainted by nothing else"
echo "1..$n"
exit $bad
