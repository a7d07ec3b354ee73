/* reals.c - a table of levels that are no integers, for networks that are simulated: where each begins, and whether they
 * are floats with few bits, which vectors round to without a search (sweeps/sweep_avx2.c).
 *
 * Those of m bits of mantissa are the multiples of 2^(e - m) among values of the exponent e, or of the least exponent there
 * is. Adding 2^(e + 23 - m) leaves the bits behind them no room in a float, which rounds half to even, and taking it away
 * again is exact. Only the levels are known here, so this is tried where each level begins and just below: rounding never
 * falls as values rise, so what is right there is right everywhere between. */
#include "kernels/sweeps/sweep.h"

#include <math.h>
#include <string.h>

enum { MANTISSA = 23, LARGEST_EXPONENT = 254 }; /* of a float, as it is stored */

static uint32_t bits_of(float v)
{
    uint32_t b;
    memcpy(&b, &v, sizeof b);
    return b;
}

static float of_bits(uint32_t b)
{
    float v;
    memcpy(&v, &b, sizeof v);
    return v;
}

/* The smallest float that goes to the upper of two levels. Their middle belongs to the one that is an even number of
 * levels from 0: of floats that is the one whose last bit is 0. */
static float boundary(float below, float above, int32_t above_zero)
{
    const double middle = 0.5 * ((double)below + (double)above);
    const float f = (float)middle;
    const int to_above = above_zero % 2 == 0;
    return (double)f < middle || ((double)f == middle && !to_above) ? nextafterf(f, INFINITY) : f;
}

static float round_bits(const nb_kreals *t, float v)
{
    const float size = fminf(fabsf(v), t->level[NB_REALS - 1]);
    const uint32_t e = bits_of(size) & UINT32_C(0x7f800000);
    const float far = of_bits((e > t->least ? e : t->least) + t->up);
    return copysignf((size + far) - far, v) + 0.0f; /* -0 becomes 0, as in the table */
}

/* Sets `least`, the smallest number that is no subnormal, and `up`, which makes 2^(e + 23 - m) of 2^e; both as bits. */
static void find_bits(nb_kreals *t, int32_t n)
{
    const float *above = t->level + t->zero;
    int32_t even = 1; /* levels of the same distance: subnormals, and as many of the first exponent */
    while (t->zero + even + 1 < n && above[even + 1] == (float)(even + 1) * above[1])
        even++;
    int32_t up = MANTISSA;
    for (int32_t k = even; k > 2; k /= 2)
        up -= k % 2 ? MANTISSA : 1;
    t->least = 0;
    t->up = 0;
    if (even < 2 || up <= 0)
        return;
    const uint32_t least = bits_of((float)(even / 2) * above[1]);
    if (least == 0 || least % (1u << MANTISSA) ||
        (bits_of(t->level[n - 1]) >> MANTISSA) + (uint32_t)up > LARGEST_EXPONENT)
        return;
    t->least = least;
    t->up = (uint32_t)up << MANTISSA;
    for (int32_t i = 1; i < n; i++)
        if (bits_of(round_bits(t, t->from[i])) != bits_of(t->level[i]) ||
            bits_of(round_bits(t, nextafterf(t->from[i], -INFINITY))) != bits_of(t->level[i - 1])) {
            t->least = 0;
            return;
        }
}

void nb_k_reals(nb_kreals *t, const float *level, int32_t n)
{
    t->zero = 0;
    while (level[t->zero] < 0.0f)
        t->zero++;
    for (int32_t i = 0; i < NB_REALS; i++) {
        t->level[i] = level[i < n ? i : n - 1];
        t->from[i] = i >= n ? INFINITY : i > 0 ? boundary(level[i - 1], level[i], i - t->zero) : -INFINITY;
    }
    t->first = level[0] - 0.5f * (level[1] - level[0]);
    t->last = level[n - 1] + 0.5f * (level[n - 1] - level[n - 2]);
    find_bits(t, n);
}
