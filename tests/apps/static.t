#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A static program: no loader, no libcr, a heap that grows.
#
# test: as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need gcc
cat >static.c <<'SRC'
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv)
{
	uint64_t h = 1469598103934665603u, n = 0;
	char *p[400], path[4096];
	(void)argc;
	for (int r = 0; r < 400; r++) {
		p[r] = malloc(20000);
		memset(p[r], r, 20000);
		for (int k = 0; k < 200; k++)
			for (int i = 0; i < 20000; i += 3)
				h = (h ^ (uint8_t)(p[(r * k) % (r + 1)][i] + k))
				    * 1099511628211u, n++;
	}
	snprintf(path, sizeof(path), "%s/answer", argv[1]);
	FILE *f = fopen(path, "w");
	fprintf(f, "%lx %lu\n", (unsigned long)h, (unsigned long)n);
	return fclose(f) ? 1 : 34;
}
SRC
gcc -O1 -static -o prog static.c || exit 1
three_moments
