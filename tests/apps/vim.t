#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vim in a pseudo terminal that a python program holds.
#
# test: all as=both timeout=400
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need vim /usr/bin/python3
cat >prog <<'PROG'
#!/usr/bin/python3
import os, pty, select, sys, time
d = sys.argv[1]
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.chdir(d)
    os.execvp("vim", ["vim", "-u", "NONE", "-N", "-n", "text"])
def drain(s):
    end = time.monotonic() + s
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.02)[0]:
            try:
                os.read(fd, 65536)
            except OSError:
                return
drain(0.5)
for i in range(40):
    os.write(fd, b"oline %d\x1b" % (i * i))
    drain(0.03)
os.write(fd, b":%s/line 1/LINE one/\r")
drain(0.2)
os.write(fd, b":wq\r")
drain(0.3)
st = os.waitpid(pid, 0)[1]
os.rename(d + "/text", d + "/answer")
sys.exit(22 if st == 0 else 1)
PROG
three_moments
