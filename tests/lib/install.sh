# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Installs the Debian packages of some areas, without starting any service:
# a policy-rc.d that forbids it stands for the time of the install, and the
# one that stood before is put back.  Sourced by ./selftest and ./quickstart.

# shellcheck source=tests/lib/packages.sh
. "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

# missing_packages AREA...: those of the areas' packages that are not there.
missing_packages() {
	local area var p
	for area; do
		var=PKG_$area
		for p in ${!var}; do
			dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null |
				grep -q '^install ok installed$' || echo "$p"
		done
	done | sort -u
}

no_services() {
	if [ -e /usr/sbin/policy-rc.d ]; then
		mv /usr/sbin/policy-rc.d /usr/sbin/policy-rc.d.stasis
	fi
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
}

services_as_before() {
	rm -f /usr/sbin/policy-rc.d
	if [ -e /usr/sbin/policy-rc.d.stasis ]; then
		mv /usr/sbin/policy-rc.d.stasis /usr/sbin/policy-rc.d
	fi
}

# install_packages LOG AREA...: 0 when all of them are there at the end.
install_packages() {
	local log=$1 missing ret=0
	shift
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	# shellcheck disable=SC2086 # words wanted
	echo "installing" $missing
	if [ "$(id -u)" != 0 ]; then
		# shellcheck disable=SC2086
		echo "as root, please: apt-get install" $missing >&2
		return 1
	fi
	export DEBIAN_FRONTEND=noninteractive
	trap services_as_before EXIT
	no_services
	# shellcheck disable=SC2086
	{
		apt-get -o DPkg::Lock::Timeout=300 -q update &&
		apt-get -o DPkg::Lock::Timeout=300 -q install -y \
			--no-install-recommends $missing
	} >"$log" 2>&1 </dev/null || ret=1
	services_as_before
	trap - EXIT
	if [ $ret != 0 ]; then
		tail -n 20 "$log" >&2
		echo "apt-get failed; its output is in $log" >&2
	fi
	return $ret
}
