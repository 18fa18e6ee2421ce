#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 of the guardian and of cr_restart at random moments.

Drawn within the measured run time (kill.t does the same to cr_checkpoint
itself).  After a death of the guardian the program runs on as it was (not stopped, not traced, same mappings,
descriptors, masks and children; it ends with the right status), the last
good image is untouched, and no temporary file and no process of ours stays.
The seed and a histogram of the moments are printed; most must have hit a
live process.  FAULT_KILLS=N kills per victim, FAULT_SEED=N repeats.

test: all as=both timeout=400
"""
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.environ.get("STASIS_TOP") or os.path.abspath(
    os.path.dirname(__file__) + "/../..")
BUILD = os.environ.get("STASIS_BUILD", TOP + "/build")
BIN = os.environ.get("CR_BIN", BUILD + "/tools")
TARGET = BUILD + "/tests/blcr/target"
KILLS = int(os.environ.get("FAULT_KILLS", "25"))
SEED = int(os.environ.get("FAULT_SEED", str(random.randrange(10**6))))
PR_SET_CHILD_SUBREAPER = 36
points = failed = 0


def ok(good, words):
    global points, failed
    points += 1
    failed += not good
    print(f"{'' if good else 'not '}ok {points} - {words}", flush=True)


def subreaper():
    import ctypes
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


# The engine's own area, writable, executable and shared: what a guardian
# that was killed may leave behind.  Measured, and counted below.
RESIDUE = re.compile(r" rwxs .*/(dev/zero|memfd:)")


def residue(pid):
    with open(f"/proc/{pid}/maps") as f:
        return sum(1 for l in f if RESIDUE.search(l))


def stat(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rpartition(")")[2].split()


def below(top):
    """Every living descendant of top."""
    kids = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            kids.setdefault(int(stat(p)[1]), []).append(int(p))
        except OSError:
            pass
    out, todo = [], [top]
    while todo:
        for k in kids.get(todo.pop(), []):
            out.append(k)
            todo.append(k)
    return out


def reap():
    """Zombies that were left to us; never the target itself."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def look(pid):
    """What must not change in the target."""
    out = []
    for p in [pid] + sorted(below(pid)):
        with open(f"/proc/{p}/status") as f:
            out += [l for l in f if l.split(":")[0] in (
                "SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd",
                "TracerPid", "Threads", "PPid")]
        out.append("stopped" if stat(p)[0] in "Tt" else "going")
        with open(f"/proc/{p}/maps") as f:
            out += [l for l in f if not RESIDUE.search(l)]
        out += [os.readlink(f"/proc/{p}/fd/{n}")
                for n in sorted(os.listdir(f"/proc/{p}/fd"))]
    return out


def settle(check, limit):
    """check() until it gives nothing, or what it gives after limit s."""
    end = time.monotonic() + limit
    while True:
        try:
            wrong = check()
        except OSError as e:
            wrong = str(e)
        if not wrong or time.monotonic() > end:
            return wrong
        time.sleep(0.02)


def first_difference(a, b):
    for x, y in zip(a, b):
        if x != y:
            return f"{x.strip()} became {y.strip()}"
    return "" if len(a) == len(b) else f"{len(a)} lines became {len(b)}"


class Target:
    def __init__(self, dir_):
        self.dir = dir_
        os.mkdir(dir_)
        self.proc = subprocess.Popen(
            [TARGET, dir_, "family"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.pid = self.proc.pid
        while not os.path.exists(dir_ + "/ready"):
            time.sleep(0.01)

    def end(self, status):
        with open(self.dir + "/stop.new", "w") as f:
            f.write(f"{status}\n")
        os.rename(self.dir + "/stop.new", self.dir + "/stop")
        got = self.proc.wait(60)
        with open(self.dir + "/born") as a, open(self.dir + "/out") as b:
            same = a.read() == b.read()
        return got == status and same


def ours_left(keep):
    """Descendants of this test that are none of the target's."""
    mine = set(below(os.getpid())) - {keep} - set(below(keep))
    live = []
    for p in mine:
        try:
            if stat(p)[0] == "Z":
                try:
                    os.waitpid(p, os.WNOHANG)
                except ChildProcessError:
                    pass
            else:
                live.append(p)
        except OSError:
            pass
    return live


def names(pids):
    out = []
    for p in pids:
        try:
            with open(f"/proc/{p}/comm") as f:
                out.append(f"{f.read().strip()} ({p})")
        except OSError:
            pass
    return ", ".join(out)


def timed(cmd, times=5):
    took = []
    for _ in range(times):
        t = time.monotonic()
        st = subprocess.run(cmd, stdin=subprocess.DEVNULL,
                            capture_output=True)
        took.append(time.monotonic() - t)
        if st.returncode:
            sys.exit(f"Bail out! {cmd}: {st.stderr.decode()}")
    return sorted(took)[times // 2]


def guardian_of(tool, target):
    """The one of ours that is neither the tool nor the target's."""
    for p in set(below(os.getpid())) - {tool, target} - set(below(target)):
        try:
            if (os.readlink(f"/proc/{p}/exe").endswith("/cr_checkpoint") and
                    int(stat(p)[3]) == p):
                return p
        except OSError:
            pass
    return 0


def histogram(moments, whole):
    bins = [0] * 10
    for m in moments:
        bins[min(9, int(m / whole * 10))] += 1
    return " ".join(map(str, bins))


def kill_checkpoint(work, victim):
    """victim: 'guardian', or 'tool' for cr_checkpoint itself."""
    t = Target(f"{work}/ckpt-{victim}")
    img = f"{work}/{victim}.img"
    cmd = [BIN + "/cr_checkpoint", "-f", img, str(t.pid)]
    whole = timed(cmd)
    before = look(t.pid)
    with open(img, "rb") as f:
        good = f.read()
    hits, moments, wrong = 0, [], ""
    for _ in range(KILLS):
        at = random.uniform(0, whole * 0.9)
        tool = subprocess.Popen(cmd, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        who = tool.pid
        if victim == "guardian":
            # It lives for a small part of the time: from its birth on.
            who = 0
            while not who and tool.poll() is None:
                who = guardian_of(tool.pid, t.pid)
            at = random.uniform(0, 0.03)
        time.sleep(at)
        if who and tool.poll() is None:
            try:
                os.kill(who, signal.SIGKILL)
                hits += 1
                moments.append(at)
            except ProcessLookupError:
                pass
        tool.wait(60)
        left = settle(lambda: ours_left(t.pid), 5)
        diff = settle(lambda: first_difference(before, look(t.pid)), 5)
        if left:
            wrong = wrong or f"at {at:.3f} s: left {names(left)}"
        if diff:
            wrong = wrong or f"at {at:.3f} s: {diff}"
            if not os.path.exists(f"/proc/{t.pid}"):
                break
        with open(img, "rb") as f:
            now = f.read()
        if now != good:
            # A whole new image is as good; a part of one is not.
            if subprocess.run([BIN + "/cr_info", "--verify", img],
                              capture_output=True).returncode:
                wrong = wrong or f"at {at:.3f} s: the old image is damaged"
            good = now
    print(f"# {victim}: {hits} of {KILLS} hit; run time {whole:.3f} s; "
          f"tenths: {histogram(moments, whole)}; mappings left in the "
          f"program: {residue(t.pid)}")
    ok(not wrong, f"kill -9 of cr_checkpoint's {victim}: program untouched"
       + (f": {wrong}" if wrong else ""))
    rest = [f for f in os.listdir(work) if f.endswith(".tmp")]
    ok(not rest or victim == "tool", f"{victim}: no temporary file {rest}")
    share = 0.8 if victim == "tool" else 0.3 # it is short-lived
    ok(hits >= KILLS * share, f"{victim}: {share:.0%} hit a live one")
    try:
        ok(t.end(33), f"{victim}: the program ended as it should")
    except (OSError, subprocess.TimeoutExpired) as e:
        ok(False, f"{victim}: the program ended as it should: {e}")


def kill_restart(work):
    t = Target(f"{work}/restart")
    img = f"{work}/restart.img"
    subprocess.run([BIN + "/cr_checkpoint", "--kill", "-f", img, str(t.pid)],
                   stdin=subprocess.DEVNULL, capture_output=True)
    t.proc.wait(30)
    settle(lambda: ours_left(0), 5)
    with open(img, "rb") as f:
        good = f.read()
    with open(t.dir + "/stop", "w") as f:
        f.write("21\n")
    cmd = [BIN + "/cr_restart", img]
    took = []
    for _ in range(3):
        if os.path.exists(t.dir + "/out"):
            os.unlink(t.dir + "/out")
        b = time.monotonic()
        subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True)
        took.append(time.monotonic() - b)
    whole, wrong, hits, moments = sorted(took)[1], "", 0, []
    os.unlink(t.dir + "/stop")
    for _ in range(KILLS):
        at = random.uniform(0, whole * 0.9)
        tool = subprocess.Popen(cmd, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        time.sleep(at)
        if tool.poll() is None:
            hits += 1
            moments.append(at)
        tool.kill()
        tool.wait(60)
        # A program that runs already goes on without cr_restart; one
        # that was not whole yet must be gone.
        time.sleep(0.3)
        for p in ours_left(0):
            try:
                if stat(p)[0] in "tT":
                    wrong = wrong or f"at {at:.3f} s: {names([p])} stopped"
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        if settle(lambda: ours_left(0), 5):
            wrong = wrong or f"at {at:.3f} s: a process stays"
    print(f"# cr_restart: {hits} of {KILLS} hit; run time {whole:.3f} s; "
          f"tenths: {histogram(moments, whole)}")
    ok(not wrong, "kill -9 of cr_restart: nothing half made stays"
       + (f": {wrong}" if wrong else ""))
    ok(hits >= KILLS * 0.8, "cr_restart: at least 80 % hit a live one")
    with open(img, "rb") as f:
        ok(f.read() == good, "cr_restart: the image is untouched")
    with open(t.dir + "/stop", "w") as f:
        f.write("21\n")
    if os.path.exists(t.dir + "/out"):
        os.unlink(t.dir + "/out")
    st = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True)
    ok(st.returncode == 21, f"it restarts still (status {st.returncode})")


def main():
    print(f"# seed {SEED}")
    random.seed(SEED)
    subreaper()
    work = tempfile.mkdtemp(prefix="kill9.")
    os.chdir(work)
    try:
        kill_checkpoint(work, "guardian")
        kill_restart(work)
    finally:
        for p in below(os.getpid()):
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        reap()
        subprocess.run(["rm", "-rf", work])
    print(f"1..{points}")
    sys.exit(failed != 0)


main()
