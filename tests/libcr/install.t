#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=300
# make install into a DESTDIR: everything is where it belongs, a program links
# with what was installed (C and C++, by pkg-config), the libraries have
# BLCR's sonames and export the symbol map's names and no others.
set -u
dest=${TMPDIR:?}/dest
n=0
bad=0
ok() {
	n=$((n + 1))
	[ "$1" = 0 ] && echo "ok $n - $2" || echo "not ok $n - $2"
	[ "$1" = 0 ] || bad=1
}
make -C "${STASIS_BUILD:?}" install prefix=/usr/local DESTDIR="$dest" \
	>install.log 2>&1
ok $? "make install"
[ $bad = 0 ] || tail -n 20 install.log | sed 's/^/# /'
p=$dest/usr/local
for f in bin/cr_run bin/cr_checkpoint bin/cr_restart bin/cr_info \
	include/libcr_ext.h lib/pkgconfig/libcr.pc \
	share/man/man1/cr_restart.1 share/man/man7/stasis.7 \
	share/bash-completion/completions/cr_checkpoint; do
	[ -s "$p/$f" ]
	ok $? "$f is there"
done
for l in libcr libcr_run libcr_omit; do
	readelf -d "$p/lib/$l.so.0" | grep -q "SONAME.*\[$l\.so\.0\]"
	ok $? "$l.so.0 has its soname"
	! readelf -d "$p/lib/$l.so.0" | grep -Eq 'RPATH|RUNPATH|TEXTREL'
	ok $? "$l.so.0 has no path of the build in it"
done
exported() {
	nm -D --defined-only "$1" | awk '$2 ~ /[TDBRW]/ { print $3 }' |
		sed 's/@.*//' | grep -v '^LIBCR_' | sort
}
declared() {
	cat "$p/include/libcr.h" "$p/include/libcr_ext.h" |
		grep -v '^#' | sed -n 's/.*\b\(cri\?_[a-z_]*\)(.*/\1/p' |
		grep -v '^cr_initialize_' | sort -u
}
declared >declared
exported "$p/lib/libcr.so.0" >exported
grep -v '^cr_link_me$' exported | diff declared - >differ
ok $? "libcr.so.0 exports what its headers declare and nothing else"
sed "s/^/# /" differ
cat >use.c <<'EOT'
#include <libcr_ext.h>
#include <stdio.h>
int main(void)
{
	struct cr_ext_args a = { sizeof(a) };
	struct cr_ext_capture *c = 0;
	int ret;

	a.target = 1 << 30;
	ret = cr_ext_open(&a, &c);
	if (!ret)
		ret = cr_ext_check(c);
	printf("%d\n", ret);
	cr_ext_close(c);
	return ret == 0;
}
EOT
cp use.c use.cc
export PKG_CONFIG_PATH=$p/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
flags=$(pkg-config --cflags --libs libcr)
ok $? "pkg-config knows libcr"
export LD_LIBRARY_PATH=$p/lib
# shellcheck disable=SC2086 # words wanted
gcc -Wall -Wno-missing-field-initializers -Werror use.c -o use $flags &&
	./use >out
ok $? "a C program links and runs: $(cat out)"
# shellcheck disable=SC2086
g++ -Wall -Werror use.cc -o use++ $flags && ./use++ >out
ok $? "a C++ program links and runs"
"$p/bin/cr_run" true
ok $? "the installed cr_run runs a command"
"$p/bin/cr_info" --version | grep -q "$(pkg-config --modversion libcr)"
ok $? "one version everywhere"
make -C "$STASIS_BUILD" uninstall prefix=/usr/local DESTDIR="$dest" \
	>uninstall.log 2>&1
left=$(find "$dest" -type f)
[ -z "$left" ]
ok $? "make uninstall leaves nothing $left"
echo "1..$n"
exit $bad
