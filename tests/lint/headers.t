#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=120
# Each header compiles alone; the installed ones without config.h, also as
# C++ and with another compiler.
. "$(dirname "$0")/files.sh"
inc=(-I. -Ilibcr "-I$STASIS_BUILD" "-I$STASIS_BUILD/libcr" -Ikmod -Ikmod/uapi)
flags=(-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wundef -Werror -fsyntax-only)
n=0
bad=0
try() {
	local what=$1 out
	shift
	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n - $what"
	else
		echo "not ok $n - $what"
		echo "$out" | head -n 12 | sed 's/^/# /'
		bad=1
	fi
}
extra() {
	case $1 in
	mpi/*) printf '%s\n' -Impi "-I$STASIS_BUILD/mpi" \
		"-I$STASIS_BUILD/mpi/mpich" ;;
	plugin/*) echo -Iplugin ;;
	tools/*) echo -Itools ;;
	tests/*) printf '%s\n' -Itests "-I$(dirname "$1")" ;;
	esac
	# Headers of one MPI need that MPI's own compiler for mpi.h.
	case $1 in
	*openmpi*) mpicc.openmpi --showme:compile | tr ' ' '\n' ;;
	mpi/*) mpicc.mpich -show -c x.c 2>/dev/null | tr ' ' '\n' | grep ^-I ;;
	esac
}
while read -r f; do
	# Lists that are included with a macro of the includer's are no headers.
	case $f in
	kmod/uapi/*) ;;
	kmod/* | libcr/kind/kinds.h) continue ;;
	esac
	mapfile -t more < <(extra "$f")
	try "$f alone" gcc "${flags[@]}" "${inc[@]}" "${more[@]}" -x c "$f"
done < <(own_files '*.h')
for f in libcr/libcr.h libcr/libcr_ext.h kmod/uapi/stasis.h; do
	[ -f "$f" ] || continue
	for std in gnu99 c11 c2x; do
		try "$f as $std" gcc -std=$std -Wall -Wextra -Wpedantic \
			-Werror -fsyntax-only -x c "$f"
	done
	for std in c++98 c++20; do
		try "$f as $std" g++ -std=$std -Wall -Wextra -Werror \
			-Wno-variadic-macros -fsyntax-only -x c++ "$f"
	done
	try "$f with clang" clang -Wall -Wextra -Werror -fsyntax-only -x c "$f"
done
echo "1..$n"
exit $bad
