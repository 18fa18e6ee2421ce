#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# test: timeout=400
# The image's decoders under libFuzzer with address and undefined-behaviour
# sanitizers, for CR_FUZZ_SECONDS a target (0: until it is interrupted), then
# the share of their lines that the corpus reaches.  Findings stay in
# CR_FUZZ_DIR.  `make fuzz` runs without end.
set -u
top=${STASIS_TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${STASIS_BUILD:-$top/build}
seconds=${CR_FUZZ_SECONDS:-15}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
keep=${CR_FUZZ_DIR:-$work}
mkdir -p "$keep" || exit 1
n=0
bad=0
ok() {
	n=$((n + 1))
	if [ "$1" = 0 ]; then
		echo "ok $n - $2"
	else
		echo "not ok $n - $2"
		bad=1
	fi
}
clang=$(command -v clang || command -v clang-14) || {
	echo "1..0 # SKIP no clang"
	exit 77
}
cov=$(command -v llvm-cov || command -v llvm-cov-14)
merge=$(command -v llvm-profdata || command -v llvm-profdata-14)
cd "$top" || exit 1
inc=(-DHAVE_CONFIG_H -DGOLDEN_TOP="\"$top\"" -I"$build" -Ilibcr -Itests/unit)
src=(libcr/image/*.c libcr/util/cursor.c libcr/util/err.c)
decoders=(libcr/image/record.c libcr/image/reader.c libcr/image/rindex.c
	libcr/util/cursor.c)

$clang -O1 -g -w "${inc[@]}" tests/golden/make.c tests/unit/fill.c "${src[@]}" \
	-lpthread -o "$work/make" && mkdir "$work/images" &&
	"$work/make" "$work/images"
ok $? "seed images"

# Seeds: the image after a control byte; a record's payload after its type.
mkdir -p "$keep/image" "$keep/record"
python3 - "$work/images" "$keep" <<'EOF'
import glob, os, struct, sys
for path in sorted(glob.glob(sys.argv[1] + "/*.cr")):
    data = open(path, "rb").read()
    name = os.path.basename(path)
    for fix in (0, 1, 2):
        with open(f"{sys.argv[2]}/image/{name}.{fix}", "wb") as f:
            f.write(bytes([fix]) + data)
    n, at, recs = struct.unpack_from("<I", data, 60)[0], 4096, []
    for i in range(n):
        recs.append(at)
        typ, ver = struct.unpack_from("<HH", data, at + 4)
        size = struct.unpack_from("<I", data, at + 12)[0]
        body = data[at + 24:at + 24 + size]
        for k, x in enumerate((body, body[:size // 2], body[:-1], body + b"x",
                               body[:3], bytes(4) + body[4:],
                               body[:4] + b"\xff" * (size - 4),
                               body.replace(b" ", b"\0"))):
            with open(f"{sys.argv[2]}/record/{name}.{i}.{k}", "wb") as f:
                f.write(bytes([typ, ver]) + x)
        for k, x in ((0, 0), (ver + 1, 1), (ver, 2)):
            with open(f"{sys.argv[2]}/record/{name}.{i}.v{x}", "wb") as f:
                f.write(bytes([typ if x < 2 else 99, k]) + body)
        at += (24 + size + 7) & ~7
    if name == "all.cr":  # damage of each kind, for the messages
        for cut in list(range(0, len(data), 509)):
            with open(f"{sys.argv[2]}/image/cut.{cut}", "wb") as f:
                f.write(b"\0" + data[:cut])
        # One wrong word at each place, with right and with wrong checksums.
        words = list(range(0, 96, 2)) + list(range(4096, 4200, 2)) + \
            [o for o in range(0, len(data) - 4) if data[o:o + 4] == b"RCRD"]
        end = len(data)
        index = struct.unpack_from("<Q", data, end - 40)[0]
        words += list(range(index, index + 100, 2))
        words += list(range(end - 64, end, 2))
        words += [index - 1, end - 80, 4095 - 8, 2000]
        words += [o + k for o in range(4096, end, 4096)
                  if data[o:o + 4] == b"EXTN" for k in range(0, 80, 4)]
        def special(label, *patches):
            x = bytearray(data)
            for off, fmt, val in patches:
                struct.pack_into(fmt, x, off, val)
            with open(f"{sys.argv[2]}/image/special.{label}", "wb") as f:
                f.write(b"\1" + x)
        special("fewer", (60, "<I", n - 1))
        special("other-origin", (4096 + 4, "<H", 24))
        special("unknown", (recs[3] + 4, "<H", 99))
        special("skipped", (recs[3] + 4, "<H", 99), (recs[3] + 8, "<H", 0))
        special("order", (recs[3] + 16, "<I", 9))
        special("short", (recs[3] + 12, "<I", 7))
        special("pad", (recs[4] - 1, "<B", 1))
        twins = [(a, b) for a in recs for b in recs if a < b and
                 data[a + 4:a + 6] == data[b + 4:b + 6]]
        if twins:
            a, b = twins[0]
            special("twin", (b + 24, "<I",
                             struct.unpack_from("<I", data, a + 24)[0]))
        special("end-of-records", (64, "<Q", len(data) - 4096))
        special("gap", (at, "<I", 7))
        special("parent", *[(a + 24, "<I", 77) for a in recs[:12]
                            if data[a + 4:a + 6] == b"\4\0"])
        for w in words:
            for fix in (0, 1):
                x = bytearray(data)
                x[w] ^= 0x5a
                with open(f"{sys.argv[2]}/image/word.{w}.{fix}", "wb") as f:
                    f.write(bytes([fix]) + x)
EOF
ok $? "seeds"

for target in record image; do
	$clang -O1 -g -w -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=undefined "${inc[@]}" \
		"tests/fuzz/$target.c" "${src[@]}" -lpthread -o "$work/$target.fuzz"
	ok $? "$target builds"
	limit=(-max_total_time="$seconds")
	[ "$seconds" = 0 ] && limit=()
	(cd "$keep" && "$work/$target.fuzz" -print_final_stats=1 -max_len=200000 \
		-rss_limit_mb=1500 -timeout=20 -artifact_prefix="$keep/" \
		"${limit[@]}" "$target" >"$work/log" 2>&1)
	r=$?
	grep -E 'number_of_executed|average_exec' "$work/log" | sed 's/^/# /'
	[ $r = 0 ] || tail -n 25 "$work/log" | sed 's/^/# /'
	ok $r "$target: nothing found in $seconds s"

	$clang -O0 -g -w -fprofile-instr-generate -fcoverage-mapping \
		"${inc[@]}" "tests/fuzz/$target.c" tests/fuzz/replay.c \
		"${src[@]}" -lpthread -o "$work/$target.cov" &&
		find "$keep/$target" -type f -print0 |
		LLVM_PROFILE_FILE="$work/$target.%p.raw" \
			xargs -0 -n 500 "$work/$target.cov"
	ok $? "$target: corpus replayed"
done
$merge merge -o "$work/all.prof" "$work"/*.raw &&
	$cov report "$work/image.cov" -object "$work/record.cov" \
		-instr-profile="$work/all.prof" "${decoders[@]}" \
		>"$work/report" 2>&1
ok $? "coverage"
# Columns: file, regions missed cover, functions missed executed, lines ...
share=$(awk '/^TOTAL/ {print int(100 * ($8 - $9) / $8)}' "$work/report")
awk 'NF > 9 {print "# " $1, $10}' "$work/report"
$cov show "$work/image.cov" -object "$work/record.cov" \
	-instr-profile="$work/all.prof" "${decoders[@]}" >"$keep/lines" 2>&1
[ "${share:-0}" -ge 90 ]
ok $? "at least 90 % of the decoders' lines reached (${share:-?} %)"
echo "1..$n"
exit $bad
