#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: wait timeout=400 as=both
"""kill -9 of cr_checkpoint at 200 random moments: the program runs on
undisturbed and the last good image stays whole."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.environ.get("STASIS_TOP", ".")
BIN = os.environ.get("CR_BIN") or os.path.join(
    os.environ.get("STASIS_BUILD", os.path.join(TOP, "build")), "tools")
ROUNDS = 200
SUBJECT = """
import os, threading, time
for _ in range(3):
    threading.Thread(target=lambda: time.sleep(1000), daemon=True).start()
pid = os.fork()
if pid == 0:
    time.sleep(600)
    os._exit(0)
kept = bytearray(os.urandom(8 << 20))
os.write(1, b"ready")
end = time.time() + 600
while time.time() < end:
    kept[::4096] = bytes((b + 1) % 256 for b in kept[::4096])
    time.sleep(0.001)
"""


def text(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def tree(pid):
    pids = [pid]
    for tid in os.listdir(f"/proc/{pid}/task"):
        for kid in text(f"/proc/{pid}/task/{tid}/children").split():
            pids += tree(int(kid))
    return pids


def look(pid):
    """What a capture could leave behind in a process."""
    seen = {}
    for p in tree(pid):
        keys = ("TracerPid", "SigBlk", "SigIgn", "SigPnd", "ShdPnd", "Threads")
        fields = [line for line in text(f"/proc/{p}/status").splitlines()
                  if line.split(":")[0] in keys]
        stopped = " T " in text(f"/proc/{p}/stat").rsplit(")", 1)[-1][:4]
        shared = [line.split()[0] for line in
                  text(f"/proc/{p}/maps").splitlines()
                  if line.split()[1].endswith("s")]
        seen[p] = (fields, stopped, shared)
    return seen


def settle(pid, want):
    for _ in range(200):
        try:
            now = look(pid)
        except OSError:
            now = None
        if now == want:
            return None
        time.sleep(0.02)
    return now


def phase(tool, pid):
    """Where the capture is, as seen from outside, just before the kill."""
    kids = text(f"/proc/{tool}/task/{tool}/children").split()
    if not kids:
        return "starting or writing out"
    if "TracerPid:\t0\n" not in text(f"/proc/{pid}/status"):
        return "program stands"
    return "program runs"


def main():
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 30)
    random.seed(seed)
    print(f"# seed {seed}")
    print("1..4")
    work = tempfile.mkdtemp()
    subject = subprocess.Popen([sys.executable, "-c", SUBJECT],
                               stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    subject.stdout.read(5)
    image = os.path.join(work, "image")
    command = [os.path.join(BIN, "cr_checkpoint"), "-q", "--nosync", "-f",
               image, str(subject.pid)]
    histogram, hits, harm, good = {}, 0, [], True
    try:
        time.sleep(1)
        want = look(subject.pid)
        times = []
        for _ in range(3):
            start = time.monotonic()
            subprocess.run(command, check=True, timeout=60)
            times.append(time.monotonic() - start)
        length = sorted(times)[1]
        before = os.stat(image).st_ino
        for i in range(ROUNDS):
            tool = subprocess.Popen(command)
            time.sleep(random.random() * length)
            where = phase(tool.pid, subject.pid)
            if tool.poll() is None:
                hits += 1
                histogram[where] = histogram.get(where, 0) + 1
                tool.send_signal(signal.SIGKILL)
            tool.wait()
            left = settle(subject.pid, want)
            if left is not None or subject.poll() is not None:
                harm.append(f"round {i}: {left} instead of {want}")
                break
            good &= os.stat(image).st_size > 0
        info = subprocess.run([os.path.join(BIN, "cr_info"), "-q", "--verify",
                               image], stdout=subprocess.DEVNULL, timeout=60)
        good &= info.returncode == 0 and before > 0
    finally:
        for p in reversed(tree(subject.pid)):
            os.kill(p, signal.SIGKILL)
        subject.wait()
    print(f"# {hits} of {ROUNDS} hit a live tool: {histogram}")
    for line in harm:
        print("#", line)
    names = [n for n in os.listdir(work) if n != "image"]
    point = "{} {} - {}"
    print(point.format("not ok" if harm else "ok", 1, "the program runs on"))
    print(point.format("ok" if hits >= ROUNDS * 0.8 else "not ok", 2,
                       "at least 80 % hit a live tool"))
    print(point.format("ok" if good else "not ok", 3,
                       "the last image is whole"))
    print(f"# left beside it: {len(names)}")
    print(point.format("ok", 4, "temporary files of a killed tool are named")
          if all(n.startswith(".image") for n in names) else
          "not ok 4 - odd files are left")
    subprocess.run(["rm", "-rf", work])


main()
