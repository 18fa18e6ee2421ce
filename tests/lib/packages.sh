# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2034
#
# The Debian packages that each area of ./selftest and each scene of
# ./quickstart needs, beyond a bare Debian 12.  One variable an area: add a
# package where it is needed first.  Sourced by tests/lib/install.sh.

# Every area builds first.
PKG_build="autoconf automake libtool pkg-config gcc g++ libc6-dev make
	binutils liburing-dev libcmocka-dev python3-minimal procps util-linux
	file xz-utils"

PKG_unit=""
PKG_engine="iproute2 gdb strace"
PKG_apps="bash python3 perl gcc make libgomp1"
# With --all too.
PKG_apps_all="python3-numpy redis-server sqlite3 nodejs
	default-jdk-headless octave vim tmux postgresql"
PKG_libcr=""
PKG_guest="qemu-system-x86 busybox-static cpio kmod e2fsprogs xz-utils
	linux-headers-amd64 linux-headers-6.12-amd64"
PKG_cluster="slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge
	libmunge-dev libslurm-dev libjansson-dev iproute2 perl-base procps"
PKG_mpi="mpich libmpich-dev openmpi-bin libopenmpi-dev"
PKG_fuzz=""
PKG_lint="clang-format clang cppcheck shellcheck mandoc codespell sparse"
PKG_bench=""
