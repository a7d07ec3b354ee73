/* pack.h - weight codes of b bits as bytes in a file. "4 bits stay 4 bits": nothing wider than the next power of two is
 * stored.
 *
 *   bits 5..8  "i8"  one code per byte, two's complement
 *   bits 3, 4  "s4"  two per byte, 4-bit two's complement, first code in the low nibble
 *   bit  2     "s2"  four per byte, 2-bit two's complement, first code in the lowest bits
 *
 * Codes stand in OHWI order without gaps between channels (a row need not start on a byte: that is the simplest thing
 * to read from any language). Unused high bits of the last byte are 0. The name "b1" (eight per byte, 0 = -1, 1 = +1)
 * is reserved for 1 bit.
 *
 * Weights with a table of levels are stored as "bits": indices into the table, bits 1..8 wide each, in a little-endian
 * stream: index i is in bits i * bits .. (i + 1) * bits - 1 of its channel, where bit k is bit k % 8 of byte k / 8.
 * Every output channel begins on a byte; unused high bits of its last byte are 0. */
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

/* Weights with levels: `rows` output channels of `row` weights each. */
typedef struct {
    int64_t rows, row;
    int32_t bits; /* 1..8 */
    const int8_t *level;
    int32_t n_levels; /* 1..2^bits, ascending */
} nb_level_packing;

#define NB_PACK_LEVELS "bits"
size_t nb_level_row_bytes(const nb_level_packing *p);
static inline size_t nb_level_bytes(const nb_level_packing *p)
{
    return (size_t)p->rows * nb_level_row_bytes(p);
}
/* Every weight is a level. */
void nb_level_pack(uint8_t *out, const int8_t *weights, const nb_level_packing *p);
typedef enum { NB_LEVELS_FINE, NB_LEVELS_BAD_INDEX, NB_LEVELS_SPARE_BITS } nb_level_fault;
/* *at: the weight whose index is out of the table, or the row whose spare bits are set. */
nb_level_fault nb_level_unpack(int8_t *weights, const uint8_t *in, const nb_level_packing *p, int64_t *at);

#endif
