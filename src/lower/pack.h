/* pack.h - weight codes of b bits as bytes in a file: b bits are b bits.
 *
 *   "i8"      8 bits  one code per byte, two's complement
 *   "s4"      4 bits  two per byte, 4-bit two's complement, first code in the low nibble
 *   "s2"      2 bits  four per byte, 2-bit two's complement, first code in the lowest bits
 *
 * hold codes of the narrow grid, -(2^(b-1) - 1) .. 2^(b-1) - 1, in OHWI order without gaps between channels (a row need not
 * start on a byte: that is the simplest thing to read from any language). Unused high bits of the last byte are 0. Older files
 * hold 5..7 bits as "i8" and 3 as "s4".
 *
 * Everything else is a stream of indices, bits 1..8 wide each, little-endian: index i is in bits i * bits .. (i + 1) * bits - 1
 * of its channel, where bit k is bit k % 8 of byte k / 8. Every output channel begins on a byte; unused high bits of its last
 * byte are 0. An index says
 *
 *   "offset"  a whole number of bits in a row: weight = low + index, one low for all channels or one each. Other widths than
 *             the three above, grids that are not narrow (full, asymmetric), and such of them as a batch norm has negated.
 *   "bits"    a level: weight = level[index], one table for all channels or one each. */
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

/* Indices: `rows` output channels of `row` weights each. */
typedef struct {
    int64_t rows, row;
    int32_t bits;        /* 1..8 */
    const int8_t *level; /* [n_tables][n_levels] each ascending; NULL: there are lows */
    int32_t n_levels;    /* 1..2^bits */
    int32_t n_tables;    /* 1 or rows */
    const int8_t *low;   /* [n_low] */
    int32_t n_low;       /* 1 or rows */
} nb_stream;

#define NB_PACK_LEVELS "bits"
#define NB_PACK_OFFSET "offset"
size_t nb_stream_row_bytes(const nb_stream *p);
static inline size_t nb_stream_bytes(const nb_stream *p)
{
    return (size_t)p->rows * nb_stream_row_bytes(p);
}
/* Every weight is a level of its channel, or within 2^bits - 1 of its low. */
void nb_stream_pack(uint8_t *out, const int8_t *weights, const nb_stream *p);
typedef enum { NB_STREAM_FINE, NB_STREAM_BAD_INDEX, NB_STREAM_SPARE_BITS } nb_stream_fault;
/* *at: the weight whose index is out of the table or past 127, or the row whose spare bits are set. */
nb_stream_fault nb_stream_unpack(int8_t *weights, const uint8_t *in, const nb_stream *p, int64_t *at);

/* Do such codes stand as plain codes: a width that has a packing, all of them on its narrow grid? Else as offsets. */
bool nb_pack_plain(const int8_t *weights, int64_t n, int32_t bits);
/* The lows of weights: the smallest of all where 2^bits integers from it on hold every weight, else that of each channel.
 * low: room for p->rows. Returns how many there are; 0 when some channel's weights lie further apart. */
int32_t nb_pack_lows(int8_t *low, const int8_t *weights, const nb_stream *p);

#endif
