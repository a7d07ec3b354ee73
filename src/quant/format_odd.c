/* format_odd.c - levels -(2^k - 1), ..., -3, -1, 1, 3, ..., 2^k - 1: all 2^k codes of equal distance, as many below 0 as above
 * (a mid-rise quantizer). There is no 0, so it is for weights; 7 bits are all that fit -127..127. */
#include <nibble/extend/quant.h>

static int32_t odd_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    const int32_t n = 1 << bits;
    for (int32_t i = 0; i < n; i++)
        level[i] = (int8_t)(2 * i - n + 1);
    return n;
}

const nb_format nb_format_odd = {.name = "odd",
                                 .help =
                                     "weights of 2 to 7 bits at equal distance without a 0: odd integers, any scale",
                                 .max_bits = 7,
                                 .weights_only = true,
                                 .levels = odd_levels};
