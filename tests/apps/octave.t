#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# octave: matrices and a growing file.
#
# test: all as=both timeout=600
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need octave-cli
cat >prog.m <<'M'
d = argv(){1};
a = reshape(mod((1:10000) * 7, 101), 100, 100) / 101;
f = fopen([d "/grow"], "w");
for i = 1:60
  a = a * a';
  a = a / max(abs(a(:))) + eye(100) * mod(i, 3);
  fprintf(f, "%d %.6f\n", i, sum(a(:)));
  fflush(f);
end
fclose(f);
rename([d "/grow"], [d "/answer"]);
exit(20);
M
cat >prog <<'PROG'
#!/bin/sh
exec octave-cli --no-init-file --norc "$PWD/prog.m" "$1"
PROG
three_moments
