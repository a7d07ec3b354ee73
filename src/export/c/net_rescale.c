/* net_rescale.c - exported programs: the one rounding of the project (kernels/rescale.h) and its short form. */
#include "net_macros.h"

/* ==== cgen_text_close ==== */
/* (product + half) >> shift in 64 bits: one rounding, ties up; then zero point and clamp. */
static int32_t net_close(int64_t product, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    const int64_t v = ((product + ((int64_t)1 << (shift - 1))) >> shift) + zero;
    return (int32_t)(v < lo ? lo : v > hi ? hi : v);
}
/* ==== */

/* ==== cgen_text_close_high ==== */
/* A rescale by shift > 32: half has no bits below 32, so the upper half of the product says it all. */
net_HELPER int32_t net_close_high(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    const int32_t high = (int32_t)(((int64_t)acc * mult) >> 32);
    const int32_t v = ((high + ((int32_t)1 << (shift - 33))) >> (shift - 32)) + zero;
    return v < lo ? lo : v > hi ? hi : v;
}
/* ==== */
