#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmark of the engine: pause, checkpoint, restart and image size.

Runs the target program in several shapes, checkpoints and restarts it several
times with the built tools, and prints for each figure the minimum, median and
maximum beside the machine's own floor (fork, copy, write, read of the same)
and beside CRIU, all taken in the same run.

usage: engine.py [--runs N] [--quick] [--dir DIR]...   (CR_BIN: the tools)
"""
import argparse
import mmap
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("CR_BENCH_BUILD", ".")
TARGET = os.path.join(BUILD, "tests/bench/target")
LIMITS = os.path.join(BUILD, "tests/bench/limits")
BIN = os.environ.get("CR_BIN", os.path.join(BUILD, "tools"))

SHAPES = [
    # name, MiB, threads, processes, kind of memory
    ("small", 0, 1, 1, "small"),
    ("64 threads", 0, 64, 1, "small"),
    ("256 threads", 0, 256, 1, "small"),
    ("1024 threads", 0, 1024, 1, "small"),
    ("10 processes", 0, 1, 10, "small"),
    ("100 processes", 0, 1, 100, "small"),
    ("1000 processes", 0, 1, 1000, "small"),
    ("0.25 GiB 4K", 256, 1, 1, "small"),
    ("1 GiB 4K", 1024, 1, 1, "small"),
    ("1 GiB huge", 1024, 1, 1, "huge"),
    ("1 GiB shared", 1024, 1, 1, "shared"),
    ("4 GiB 4K", 4096, 1, 1, "small"),
    ("4 GiB huge", 4096, 1, 1, "huge"),
    ("12 GiB 4K", 12288, 1, 1, "small"),
]
QUICK = ("small", "64 threads", "10 processes", "0.25 GiB 4K")


class Status:
    """The target's shared status page."""

    def __init__(self, path):
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)

    def get(self, i):
        return struct.unpack_from("<Q", self.map, 8 * i)[0]

    def reset_gap(self):
        struct.pack_into("<Q", self.map, 0, 0)

    def gap_ms(self):
        return self.get(0) / 1e6


def wait_for(what, limit=60.0):
    end = time.monotonic() + limit
    while not what():
        if time.monotonic() > end:
            raise RuntimeError("the target does not come up")
        time.sleep(0.0005)


def start(work, shape):
    _, mib, threads, procs, kind = shape
    path = os.path.join(work, "status")
    with open(path, "wb") as f:
        f.truncate(4096)
    proc = subprocess.Popen(
        [TARGET, path, str(mib), str(threads), str(procs), kind],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True)
    st = Status(path)
    wait_for(lambda: st.get(2))
    return proc, st


def kill_session(pid):
    """The target leads its own session: end all of it."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.getsid(int(entry)) == pid:
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass


def timed(argv):
    t = time.monotonic()
    r = subprocess.run(argv, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
    if r.returncode:
        raise RuntimeError("%s: %s" % (" ".join(argv),
                                       r.stdout.decode(errors="replace")))
    return (time.monotonic() - t) * 1e3


def limit(*argv):
    r = subprocess.run([LIMITS] + [str(a) for a in argv],
                       stdout=subprocess.PIPE, check=True)
    return float(r.stdout)


class Table:
    def __init__(self):
        self.rows = {}

    def add(self, shape, metric, value, unit="ms"):
        self.rows.setdefault((shape, metric, unit), []).append(value)

    def median(self, shape, metric, unit="ms"):
        v = self.rows.get((shape, metric, unit))
        return statistics.median(v) if v else None

    def show(self, shape, floors):
        for (s, metric, unit), v in self.rows.items():
            if s != shape:
                continue
            line = "%-16s %-34s %9.2f %9.2f %9.2f %s" % (
                shape, metric, min(v), statistics.median(v), max(v), unit)
            floor = self.median(shape, floors.get(metric, ""), unit)
            if floor:
                line += "  %.2fx %s" % (statistics.median(v) / floor,
                                        floors[metric])
            print(line, flush=True)


FLOORS = {"pause": "floor: fork of the memory",
          "checkpoint": "floor: write of the image",
          "restart to first instruction": "floor: read of the image",
          "criu pause": "pause", "criu checkpoint": "checkpoint",
          "criu restart": "restart to first instruction"}


def restart(argv, st, table, name, metric):
    rounds = st.get(1)
    t = time.monotonic()
    proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)

    def up():
        if proc.poll() not in (None, 0):
            raise RuntimeError(proc.stderr.read().decode(errors="replace"))
        return st.get(1) != rounds

    wait_for(up)
    table.add(name, metric, (time.monotonic() - t) * 1e3)
    return proc


def one_run(work, where, shape, table):
    name, mib, _, procs, kind = shape
    image = os.path.join(where, "context.bench")
    proc, st = start(work, shape)
    try:
        st.reset_gap()
        time.sleep(0.3)
        table.add(name, "noise (largest gap, nothing done)", st.gap_ms())
        st.reset_gap()
        ms = timed([os.path.join(BIN, "cr_checkpoint"), "--file", image,
                    str(proc.pid)])
        table.add(name, "checkpoint", ms)
        table.add(name, "pause", st.gap_ms())
        table.add(name, "image size", os.path.getsize(image) / 2**20, "MiB")
    finally:
        kill_session(proc.pid)
        proc.wait()
    r = restart([os.path.join(BIN, "cr_restart"), image], st, table, name,
                "restart to first instruction")
    kill_session(proc.pid)
    try:
        os.kill(proc.pid, signal.SIGKILL)
    except OSError:
        pass
    r.terminate()
    r.wait()
    size = os.path.getsize(image)
    table.add(name, "floor: fsync", limit("fsync", image + ".f"))
    if mib:
        args = ["huge"] if kind == "huge" else []
        table.add(name, "floor: fork of the memory", limit("fork", mib, *args))
        table.add(name, "floor: copy of the memory",
                  limit("copy", min(mib, 4096)))
        table.add(name, "floor: write of the image",
                  limit("write", image + ".w", size >> 20))
        table.add(name, "floor: read of the image", limit("read", image))
    if procs > 1:
        table.add(name, "floor: fork, map, open, fill", limit("procs", procs))
    for f in (image, image + ".w", image + ".f"):
        if os.path.exists(f):
            os.unlink(f)


def criu_run(work, where, shape, table):
    """CRIU on the same target; raises when it cannot."""
    name = shape[0]
    d = os.path.join(where, "criu")
    os.mkdir(d)
    proc, st = start(work, shape)
    try:
        st.reset_gap()
        ms = timed(["criu", "dump", "-t", str(proc.pid), "-D", d,
                    "--leave-running", "-v0"])
        table.add(name, "criu checkpoint", ms)
        table.add(name, "criu pause", st.gap_ms())
        size = sum(os.path.getsize(os.path.join(d, f)) for f in os.listdir(d))
        table.add(name, "criu image size", size / 2**20, "MiB")
        kill_session(proc.pid)
        proc.wait()
        r = restart(["criu", "restore", "-D", d, "-d", "-v0"], st, table,
                    name, "criu restart")
        r.wait()
    finally:
        kill_session(proc.pid)
        proc.wait()
        shutil.rmtree(d, ignore_errors=True)


def bench(where, shapes, runs):
    table = Table()
    criu = shutil.which("criu") is not None
    print("# on %s; columns: minimum, median, maximum of %d runs" %
          (where, runs))
    if not criu:
        print("# CRIU is not installed: no comparison")
    for shape in shapes:
        for _ in range(runs):
            work = tempfile.mkdtemp(prefix="bench.", dir=where)
            try:
                one_run(work, work, shape, table)
                if criu:
                    criu_run(work, work, shape, table)
            except RuntimeError as e:
                if "criu" not in str(e):
                    print("%-16s FAILED: %s" % (shape[0], e))
                    break
                print("# CRIU does not run here: %s" %
                      str(e).strip().splitlines()[-1][:120])
                criu = False
            finally:
                shutil.rmtree(work, ignore_errors=True)
        table.show(shape[0], FLOORS)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--runs", type=int, default=5)
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--shape", action="append")
    ap.add_argument("--dir", action="append")
    args = ap.parse_args()
    for where in args.dir or ["/dev/shm", "/var/tmp"]:
        shapes = [s for s in SHAPES
                  if (not args.quick or s[0] in QUICK)
                  and (not args.shape or s[0] in args.shape)
                  and not (s[1] > 8192 and where.startswith("/dev/shm"))]
        bench(where, shapes, args.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
