#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# An OpenMP program: spinning and sleeping worker threads.
#
# test: all as=both timeout=300
# shellcheck source=tests/apps/lib.sh
. "$(dirname "$0")/lib.sh"
need gcc
cat >omp.c <<'SRC'
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	static uint64_t v[200000];
	uint64_t sum = argc;
	for (int round = 0; round < 900; round++) {
#pragma omp parallel for schedule(dynamic, 500)
		for (int i = 0; i < 200000; i++)
			for (int k = 0; k < 12; k++)
				v[i] = v[i] * 6364136223846793005u + i + round;
		uint64_t s = 0;
#pragma omp parallel for reduction(+ : s)
		for (int i = 0; i < 200000; i++)
			s += v[i] >> 33;
		sum ^= s * (round + 1);
	}
	char path[4096];
	snprintf(path, sizeof(path), "%s/answer", argv[1]);
	FILE *f = fopen(path, "w");
	fprintf(f, "%lx\n", (unsigned long)sum);
	return fclose(f) ? 1 : 33;
}
SRC
gcc -O2 -fopenmp -o prog omp.c || exit 1
export OMP_NUM_THREADS=4
three_moments
