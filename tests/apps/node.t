#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# node: timers, promises, a hash chain.
#
# test: all as=both timeout=400
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need node
cat >prog <<'PROG'
#!/bin/sh
exec node "$PWD/prog.js" "$1"
PROG
cat >prog.js <<'JS'
const crypto = require('crypto');
const fs = require('fs');
let h = Buffer.from('start'), ticks = 0;
const t = setInterval(() => ticks++, 5);
async function main() {
	for (let i = 0; i < 150; i++) {
		for (let k = 0; k < 700; k++)
			h = crypto.createHash('sha256').update(h).digest();
		await new Promise((r) => setTimeout(r, 5));
		h = await new Promise((r, e) => crypto.pbkdf2(h, 'salt', 50, 32,
			'sha256', (x, d) => x ? e(x) : r(d)));
	}
	clearInterval(t);
	fs.writeFileSync(process.argv[2] + '/answer', h.toString('hex'));
	process.exit(ticks > 10 ? 18 : 1);
}
main();
JS
three_moments
