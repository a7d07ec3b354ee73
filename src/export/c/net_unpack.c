/* net_unpack.c - exported programs: weights from their packed form (lower/pack.h) to one byte each. */
#include "net_macros.h"

/* ==== cgen_text_unpack4 ==== */
/* n weight codes from the first-th on: 4 bits each, two's complement, first code in the lowest bits. */
net_HELPER void net_unpack4(int8_t *to, const uint8_t *from, int32_t first, int32_t n)
{
    int32_t i;
    for (i = first; i < first + n; i++)
        *to++ = (int8_t)((((from[i / 2] >> (i % 2 * 4)) & 15) ^ 8) - 8);
}
/* ==== */

/* ==== cgen_text_unpack2 ==== */
/* n weight codes from the first-th on: 2 bits each, two's complement, first code in the lowest bits. */
net_HELPER void net_unpack2(int8_t *to, const uint8_t *from, int32_t first, int32_t n)
{
    int32_t i;
    for (i = first; i < first + n; i++)
        *to++ = (int8_t)((((from[i / 4] >> (i % 4 * 2)) & 3) ^ 2) - 2);
}
/* ==== */

/* ==== cgen_text_levels ==== */
/* n weights from indices of `bits` bits each, a little-endian stream, through their table of levels. */
net_HELPER void net_levels(int8_t *to, const uint8_t *from, const int8_t *level, int32_t bits, int32_t n)
{
    uint32_t stream = 0;
    int32_t have = 0;
    for (; n > 0; n--) {
        if (have < bits) {
            stream |= (uint32_t)*from++ << have;
            have += 8;
        }
        *to++ = level[stream & (((uint32_t)1 << bits) - 1)];
        stream >>= bits;
        have -= bits;
    }
}
/* ==== */

/* ==== cgen_text_offsets ==== */
/* n weights from their distances to `low`, `bits` bits each, a little-endian stream. */
net_HELPER void net_offsets(int8_t *to, const uint8_t *from, int32_t low, int32_t bits, int32_t n)
{
    uint32_t stream = 0;
    int32_t have = 0;
    for (; n > 0; n--) {
        if (have < bits) {
            stream |= (uint32_t)*from++ << have;
            have += 8;
        }
        *to++ = (int8_t)(low + (int32_t)(stream & (((uint32_t)1 << bits) - 1)));
        stream >>= bits;
        have -= bits;
    }
}
/* ==== */
