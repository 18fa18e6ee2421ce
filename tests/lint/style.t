#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=60
"""The house rules that no compiler knows, over all of the project's files."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
os.chdir(TOP)
LGPL = ("libcr/", "mpi/")
# What may include what: (files, allowed first path parts of "project" headers).
PUBLIC = {"libcr.h", "libcr_ext.h", "config.h"}
LAYERS = [
    ("libcr/image/", {"image", "util"}),
    ("libcr/util/", {"util"}),
    ("libcr/capture/", {"api", "capture", "image", "util", "kind", "check", "blob",
                        "priv", "kmod"}),
    ("libcr/restore/", {"restore", "image", "util", "kind", "check", "blob",
                        "priv"}),
]
MAX_FUNCTION, MAX_FILE = 100, 900


def files():
    cmd = ["bash", "-c", ". tests/lint/files.sh; own_files '*'"]
    out = subprocess.run(cmd, capture_output=True, text=True, check=True)
    for f in out.stdout.splitlines():
        with open(f, "rb") as h:
            data = h.read()
        if b"\0" not in data[:4096]:
            yield f, data.decode(errors="replace")


def code_only(text):
    """C without comments, strings and character constants; lines kept."""
    def blank(m):
        s = m.group(0)
        if s.startswith("/"):
            return " " + "\n" * s.count("\n")
        return '""' if s[0] == '"' else "'x'"
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'
                  r"'(?:\\.|[^'\\\n])+'", blank, text, flags=re.S)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def spdx(f, text):
    script = text.startswith("#!")
    if not (script or re.search(r"\.(c|h|S|sh|t|py|am|ac|m4|def|lds|[1-8])$",
                                f)):
        return
    head = "\n".join(text.splitlines()[:3])
    m = re.search(r"SPDX-License-Identifier: (\S+)", head)
    if not m:
        yield f"{f}: no SPDX line in its first three lines"
    elif re.search(r"\.[chS]$", f):
        want = "LGPL-2.1-or-later" if f.startswith(LGPL) else \
            "GPL-2.0-or-later"
        if want not in (m.group(1), m.group(1).split("-only")[0]):
            if not f.startswith("kmod/"):
                yield f"{f}: {m.group(1)}, this folder has {want}"


def purpose(f, text):
    """SPDX line, then a paragraph that says what the file is for."""
    if not re.search(r"\.[ch]$", f):
        return
    rest = "\n".join(text.splitlines()[1:3])
    if not re.match(r"\s*/\*", rest):
        yield f"{f}: no paragraph after its SPDX line"


def size(f, text):
    if not re.search(r"\.[ch]$|\.sh$|\.t$|\.py$|\.def$", f):
        return
    lines = text.splitlines()
    if len(lines) > MAX_FILE:
        yield f"{f}: {len(lines)} lines, {MAX_FILE} allowed"
    if not f.endswith(".c"):
        return
    start = None
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n
        elif line == "}" and start:
            if n - start > MAX_FUNCTION:
                yield (f"{f}:{start}: function of {n - start} lines, "
                       f"{MAX_FUNCTION} allowed")
            start = None


def condition_end(text, at):
    """Index after the ) that closes the ( at text[at]."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i + 1
    return len(text)


def code_is_set(text, at):
    """The last thing given to ret before this place is an error code."""
    body = text[text.rfind("\n{\n", 0, at):at]
    last = re.findall(r"\b(?:ret|err|rc)\s*=\s*([^;,]*)[;,]", body)
    return bool(last and re.match(r"-E[A-Z0-9]+$|ERR_PTR", last[-1].strip()))


def jumps(f, text):
    """if (f()) goto out; leaves the code of f behind."""
    if not f.endswith(".c"):
        return
    text = code_only(text)
    for m in re.finditer(r"\bif \(", text):
        end = condition_end(text, m.end() - 1)
        if not re.match(r"\s*\{?\s*goto\b", text[end:]):
            continue
        cond = text[m.end() - 1:end]
        calls = re.findall(r"\b[a-z_][a-z0-9_]*(?=\()", cond)
        calls = [c for c in calls if c not in ("sizeof", "likely",
                                               "unlikely", "defined")]
        if calls and not re.search(r"[^=!<>]=[^=]", cond) and not \
                code_is_set(text, m.start()) and not re.match(
                    r"\s*\{?\s*goto\s+(?!out|err|fail)", text[end:]):
            yield (f"{f}:{line_of(text, m.start())}: a jump on the result of "
                   f"{calls[0]}() that keeps no code")


def words(f, text):
    if f.startswith("tests/lint/") or not re.search(
            r"\.([chS]|sh|t|py|am|ac|[1-8])$", f):
        return
    for m in re.finditer(r"\b(TODO|FIXME|XXX|HACK)\b|^#if 0\b", text, re.M):
        near = text[max(0, m.start() - 20):m.start()]
        if re.search(r"mk(d?temp|ostemp)?|\.$|X$", near) and \
                m.group(0) == "XXX":
            continue
        yield f"{f}:{line_of(text, m.start())}: {m.group(0)}"


def layout(f, text):
    if not re.search(r"\.[chS]$", f):
        return
    for n, line in enumerate(text.splitlines(), 1):
        if line.rstrip() != line:
            yield f"{f}:{n}: blanks at the end of the line"
        wide = len(line.expandtabs(8))
        if wide > 80 and '"' not in line:
            yield f"{f}:{n}: {wide} columns, 80 allowed (strings exempt)"
        if re.match(r" {8,}[^ \\]", line) and not f.endswith(".S"):
            yield f"{f}:{n}: indented by blanks"


def layers(f, text):
    if not re.search(r"\.[ch]$", f):
        return
    incs = [(m.group(1), line_of(text, m.start())) for m in
            re.finditer(r'^\s*#\s*include "([^"]+)"', text, re.M)]
    for where, allowed in LAYERS:
        if not f.startswith(where):
            continue
        for inc, n in incs:
            part = inc.split("/")[0]
            if inc.endswith("kmod/uapi/stasis.h") and "/kmod/" in f:
                continue  # the one kernel ABI, at its one user
            if inc in PUBLIC or "/" not in inc or part in allowed:
                continue
            yield f"{f}:{n}: {where} may not include {inc}"
    outside = ("tools/", "plugin/", "mpi/")
    if f.startswith(outside):
        for inc, n in incs:
            if re.match(r"(util|image|kind|capture|check|restore|blob|priv|"
                        r"api)/", inc) and not inner(f, inc):
                yield f"{f}:{n}: outside libcr only libcr.h and libcr_ext.h"


def inner(f, inc):
    """A folder of the same name within the includer's own part."""
    top = f.split("/")[0]
    return any(os.path.exists(os.path.join(d, inc)) for d in
               (top, os.path.dirname(f), os.path.dirname(os.path.dirname(f))))


def quiet(f, text):
    """Library code never prints and never ends the process."""
    if not re.match(r"libcr/.*\.c$", f) or f.startswith(
            ("libcr/priv/", "libcr/blob/", "libcr/image/info")):
        return  # an image is shown on the stream that the caller names
    code = code_only(text)
    for m in re.finditer(r"\b(printf|puts|perror|fprintf|exit|abort|assert)"
                         r" ?\(", code):
        yield (f"{f}:{line_of(code, m.start())}: {m.group(1)}() in library "
               "code")


def faults(all_files):
    tests = "\n".join(t for f, t in all_files if f.startswith("tests/"))
    for f, text in all_files:
        if f.startswith("tests/"):
            continue
        for m in re.finditer(r'\b(?:cri|sj|sm)_fault\("([^"]+)"', text):
            if not re.search(r"\b" + re.escape(m.group(1)) + r"\b", tests):
                yield (f"{f}:{line_of(text, m.start())}: no test forces the "
                       f"fault point {m.group(1)}")


def report(n, name, found):
    found = list(found)
    print(f"{'not ' if found else ''}ok {n} - {name}")
    for line in found[:40]:
        print(f"# {line}")
    return not found


def main():
    everything = list(files())
    checks = [spdx, purpose, size, jumps, words, layout, layers, quiet]
    print(f"1..{len(checks) + 1}")
    good = True
    for n, check in enumerate(checks, 1):
        name = (check.__doc__ or check.__name__).strip().split("\n")[0]
        good &= report(n, name, (line for f, t in everything
                                 for line in check(f, t)))
    good &= report(len(checks) + 1, "every fault point is forced by a test",
                   faults(everything))
    sys.exit(0 if good else 1)


main()
