/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli), the checksum of everything in an image: fast on the
 * user's side by the SSE4.2 instruction, and the kernel has it as crc32c().
 */
#ifndef CRI_IMAGE_CRC32C_H
#define CRI_IMAGE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * Go on from crc (0 to begin) over len bytes; thread-safe.  The usual form:
 * the value of "123456789" is 0xe3069283.
 */
uint32_t cri_crc32c(uint32_t crc, const void *p, size_t len);
/* The same without the instruction, for the test that compares both. */
uint32_t cri_crc32c_table(uint32_t crc, const void *p, size_t len);

#endif
