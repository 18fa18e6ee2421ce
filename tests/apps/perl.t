#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# perl: a big hash, sorting, a growing output file.
#
# test: all as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need perl
cat >prog <<'PROG'
#!/usr/bin/perl
use strict;
use Digest::MD5 qw(md5_hex);
my $d = shift;
open(my $log, '>>', "$d/grow") or die;
my (%h, $x);
$x = 42;
for my $round (1 .. 30) {
	for (1 .. 6000) {
		$x = ($x * 1103515245 + 12345) % 2147483648;
		$h{$x % 50021} .= chr(97 + $x % 26);
	}
	my $s = md5_hex(join ',', map { "$_=$h{$_}" } sort keys %h);
	print $log "$round $s\n";
	$log->flush();
}
close $log;
rename("$d/grow", "$d/answer");
exit 9;
PROG
three_moments
