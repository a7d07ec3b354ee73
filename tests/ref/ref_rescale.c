/* ref_rescale.c - the rescale of the arithmetic contract in 128-bit integers. */
#include "ref/ref_rescale.h"

__extension__ typedef __int128 wide;

static wide rounded(wide product, int32_t shift)
{
    const wide unit = (wide)1 << shift, sum = product + unit / 2;
    return sum >= 0 ? sum / unit : -((unit - 1 - sum) / unit);
}

int32_t ref_rescale(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    const wide y = rounded((wide)acc * mult, shift) + zero;
    return (int32_t)(y < lo ? lo : y > hi ? hi : y);
}

int64_t ref_rescale_wide(int64_t product, int32_t shift)
{
    return (int64_t)rounded(product, shift);
}
