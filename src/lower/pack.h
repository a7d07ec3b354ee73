/* pack.h - weight codes of b bits as bytes in a file. "4 bits stay 4 bits": nothing wider than the next power of two is
 * stored.
 *
 *   bits 5..8  "i8"  one code per byte, two's complement
 *   bits 3, 4  "s4"  two per byte, 4-bit two's complement, first code in the low nibble
 *   bit  2     "s2"  four per byte, 2-bit two's complement, first code in the lowest bits
 *
 * Codes stand in OHWI order without gaps between channels (a row need not start on a byte: that is the simplest thing
 * to read from any language). Unused high bits of the last byte are 0. The name "b1" (eight per byte, 0 = -1, 1 = +1)
 * is reserved for 1 bit. */
#ifndef NB_LOWER_PACK_H
#define NB_LOWER_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NB_PACK_MIN_BITS = 2, NB_PACK_MAX_BITS = 8 };

/* All take bits within NB_PACK_MIN_BITS..NB_PACK_MAX_BITS and n >= 0. */
const char *nb_pack_name(int32_t bits);
int32_t nb_pack_per_byte(int32_t bits);
size_t nb_pack_bytes(int64_t n, int32_t bits);
/* out: nb_pack_bytes(n, bits). Codes must fit in their bits. */
void nb_pack(uint8_t *out, const int8_t *codes, int64_t n, int32_t bits);
/* False when unused bits of the last byte are set. Codes are sign-extended, not checked against the grid of `bits`. */
bool nb_unpack(int8_t *codes, const uint8_t *in, int64_t n, int32_t bits);

#endif
