#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A JVM with 16 threads computing a hash chain (zgc).
#
# test: all as=both timeout=600
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need java javac
cat >Chain.java <<'JAVA'
import java.nio.file.*;
import java.security.MessageDigest;
public class Chain {
	public static void main(String[] args) throws Exception {
		byte[][] out = new byte[16][];
		Thread[] ts = new Thread[16];
		for (int k = 0; k < 16; k++) {
			final int id = k;
			ts[k] = new Thread(() -> {
				try {
					MessageDigest d =
						MessageDigest.getInstance("SHA-256");
					byte[] h = { (byte) id };
					for (int i = 0; i < 40000; i++) {
						byte[] g = new byte[400];
						System.arraycopy(h, 0, g, 0, h.length);
						h = d.digest(g);
					}
					out[id] = h;
				} catch (Exception e) {
					System.exit(3);
				}
			});
			ts[k].start();
		}
		StringBuilder s = new StringBuilder();
		for (int k = 0; k < 16; k++) {
			ts[k].join();
			for (byte b : out[k])
				s.append(String.format("%02x", b));
		}
		Files.writeString(Path.of(args[0], "answer"), s.toString());
		System.exit(19);
	}
}
JAVA
javac Chain.java || exit 1
cat >prog <<'PROG'
#!/bin/sh
exec java -XX:+UseZGC -Xmx256m -XX:-UsePerfData -cp "$PWD" Chain "$1"
PROG
three_moments
