#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# python3 with numpy and threads.
#
# test: all as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need /usr/bin/python3
cat >prog <<'PROG'
#!/usr/bin/python3
import hashlib, queue, sys, threading
import numpy as np
out = [None] * 4
q = queue.Queue()
def work(k):
    rng = np.random.default_rng(k)
    a = rng.random((120, 120))
    h = hashlib.sha256()
    for i in range(120):
        a = a @ a.T
        a /= np.abs(a).max()
        a += np.eye(120) * (i % 3)
        h.update(np.round(a, 6).tobytes())
        q.put(k)
    out[k] = h.hexdigest()
ts = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in ts:
    t.start()
n = 0
for _ in range(480):
    n += q.get()
for t in ts:
    t.join()
with open(sys.argv[1] + "/answer", "w") as f:
    print(n, *out, file=f)
sys.exit(21)
PROG
three_moments
