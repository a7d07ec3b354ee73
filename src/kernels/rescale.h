/* rescale.h - the arithmetic contract: the only rounding integers ever see. Shared by training, engine, generated C and
 * tests.
 *
 *   real -> code   q = clamp(round_half_even(x / s) + z, lo, hi)     on the float side: kernels/sweeps/sweep.h
 *   code -> real   s * (q - z)
 *   rescale        clamp(((acc * mult + half) >> shift) + z, lo, hi) 64 bits, half = 2^(shift-1), one rounding, ties up;
 *                                                                    mult in [2^30, 2^31), shift in [1, 62]
 *
 * |acc| < 2^31 and mult < 2^31, so the product stays below 2^62 and + half (<= 2^61) fits. Clamping comes before
 * narrowing. */
#ifndef NB_KERNELS_RESCALE_H
#define NB_KERNELS_RESCALE_H

#include <stdint.h>

_Static_assert((-1 >> 1) == -1, "arithmetic right shift required");

static inline int64_t nb_rescale_wide(int64_t product, int32_t shift)
{
    return (product + ((int64_t)1 << (shift - 1))) >> shift;
}

static inline int32_t nb_clamp_code(int64_t v, int32_t lo, int32_t hi)
{
    return (int32_t)(v < lo ? lo : v > hi ? hi : v);
}

/* lo and hi are the output grid's limits; zero is added between rounding and clamping. */
static inline int32_t nb_rescale(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    return nb_clamp_code(nb_rescale_wide((int64_t)acc * mult, shift) + zero, lo, hi);
}

#endif
