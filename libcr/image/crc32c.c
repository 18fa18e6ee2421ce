/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C.  The instruction takes 8 bytes with a latency of three cycles and
 * can start once a cycle, so three neighbouring blocks are summed side by
 * side and then joined: appending N zero bytes is a linear map of the 32 bits
 * of state, kept as four tables of 256 words.  Tables are made once.
 */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "image/crc32c.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLY 0x82f63b78u /* bits reversed */
#define BLOCK 4096u /* one of the three, in bytes */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t byte_table[256];
static uint32_t skip_table[4][256]; /* BLOCK zero bytes further */
static int has_instruction;

static void make_byte_table(void)
{
	uint32_t i, c;
	int bit;

	for (i = 0; i < 256; i++) {
		c = i;
		for (bit = 0; bit < 8; bit++)
			c = c & 1 ? (c >> 1) ^ POLY : c >> 1;
		byte_table[i] = c;
	}
}

static uint32_t by_table(uint32_t state, const unsigned char *p, size_t len)
{
	while (len--)
		state = (state >> 8) ^ byte_table[(state ^ *p++) & 0xff];
	return state;
}

#if defined(__x86_64__)
/* What each of the 32 bits becomes decides what every byte becomes. */
__attribute__((target("sse4.2"))) static void make_skip_table(void)
{
	uint32_t value, byte, low;
	uint64_t state;
	unsigned int bit, i;

	for (bit = 0; bit < 32; bit++) {
		state = 1u << bit;
		for (i = 0; i < BLOCK / 8; i++)
			state = _mm_crc32_u64(state, 0);
		skip_table[bit / 8][1u << (bit % 8)] = (uint32_t)state;
	}
	for (i = 0; i < 4; i++) {
		for (byte = 1; byte < 256; byte++) {
			low = byte & -byte;
			value = skip_table[i][low];
			if (byte != low)
				value ^= skip_table[i][byte ^ low];
			skip_table[i][byte] = value;
		}
	}
}

static uint32_t skip(uint32_t state)
{
	return skip_table[0][state & 0xff] ^
	       skip_table[1][(state >> 8) & 0xff] ^
	       skip_table[2][(state >> 16) & 0xff] ^ skip_table[3][state >> 24];
}

static uint64_t load(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t state, const unsigned char *p, size_t len)
{
	uint64_t a = state, b, c;
	size_t i;

	for (; len >= 3 * BLOCK; p += 3 * BLOCK, len -= 3 * BLOCK) {
		b = 0;
		c = 0;
		for (i = 0; i < BLOCK; i += 8) {
			a = _mm_crc32_u64(a, load(p + i));
			b = _mm_crc32_u64(b, load(p + BLOCK + i));
			c = _mm_crc32_u64(c, load(p + 2 * BLOCK + i));
		}
		a = skip((uint32_t)a) ^ b;
		a = skip((uint32_t)a) ^ c;
	}
	for (; len >= 8; p += 8, len -= 8)
		a = _mm_crc32_u64(a, load(p));
	for (; len; p++, len--)
		a = _mm_crc32_u8((uint32_t)a, *p);
	return (uint32_t)a;
}
#endif

static void prepare(void)
{
	make_byte_table();
#if defined(__x86_64__)
	has_instruction = __builtin_cpu_supports("sse4.2");
	if (has_instruction)
		make_skip_table();
#endif
}

uint32_t cri_crc32c_table(uint32_t crc, const void *p, size_t len)
{
	pthread_once(&once, prepare);
	return ~by_table(~crc, p, len);
}

uint32_t cri_crc32c(uint32_t crc, const void *p, size_t len)
{
	pthread_once(&once, prepare);
#if defined(__x86_64__)
	if (has_instruction)
		return ~by_instruction(~crc, p, len);
#endif
	return ~by_table(~crc, p, len);
}
