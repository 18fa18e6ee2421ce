/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * steady TICKS MS MIB [NAME]: a program whose output is the same whenever it
 * runs, and shows any lost, doubled or altered state.  Each tick changes a
 * block of memory by a chain that starts from NAME, writes a line with the
 * chain, and sleeps.  A pid that is not the first one is said.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	return x * 0xc4ceb9fe1a85ec53ull + 1;
}

int main(int argc, char **argv)
{
	const char *name = argc > 4 ? argv[4] : "steady";
	const char *rank = getenv("SLURM_PROCID");
	struct timespec ts;
	uint64_t chain = 1;
	uint64_t *block;
	size_t words;
	size_t i;
	pid_t pid = getpid();
	long ms;
	int ticks;
	int t;

	if (argc < 4)
		return 64;
	ticks = atoi(argv[1]);
	ms = atol(argv[2]);
	words = (size_t)atol(argv[3]) << 17;
	block = calloc(words + 1, sizeof(*block));
	if (!block)
		return 71;
	for (; *name; name++)
		chain = mix(chain ^ (unsigned char)*name);
	if (rank && strcmp(rank, "0") != 0)
		chain = mix(chain ^ strtoull(rank, NULL, 10));
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("begin\n");
	for (t = 0; t < ticks; t++) {
		for (i = 0; i < words; i += 512) {
			block[i] = mix(block[i] ^ chain);
			chain ^= block[i];
		}
		chain = mix(chain + t);
		printf("tick %d %016" PRIx64 "%s\n", t, chain,
		       getpid() == pid ? "" : " pid changed");
		ts.tv_sec = ms / 1000;
		ts.tv_nsec = ms % 1000 * 1000000;
		/* A cut sleep would only show as a faster run. */
		while (nanosleep(&ts, &ts))
			;
	}
	printf("end %016" PRIx64 "\n", chain);
	return 0;
}
