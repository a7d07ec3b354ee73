/* format_log.c - levels 0 and +-1, 2, 4, ..., 2^k: as many powers of two as 2^bits - 1 levels hold, for weights.
 *
 * 2 bits are ternary, 3 bits -4..4, 4 bits -64..64. A product with such a weight is a shift. A fifth bit would leave
 * -127..127: with 5 to 8 bits levels go on below 1, down to 2^-120, and the network is simulated. Values go to the
 * nearest level. */
#include <nibble/extend/quant.h>

#include <math.h>

enum { INTEGER_BITS = 4, LARGEST = 64 };

static int32_t log_reals(const void *attr, int32_t bits, float *level)
{
    (void)attr;
    if (bits <= INTEGER_BITS)
        return 0;
    const int32_t powers = (1 << (bits - 1)) - 1;
    for (int32_t i = 0; i < powers; i++) {
        level[2 * powers - i] = ldexpf(LARGEST, -i);
        level[i] = -level[2 * powers - i];
    }
    level[powers] = 0.0f;
    return 2 * powers + 1;
}

static int32_t log_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    if (bits > INTEGER_BITS)
        return 0;
    const int32_t powers = (1 << (bits - 1)) - 1;
    for (int32_t i = 0; i < powers; i++) {
        const int32_t size = 1 << i;
        level[powers + 1 + i] = (int8_t)size;
        level[powers - 1 - i] = (int8_t)-size;
    }
    level[powers] = 0;
    return 2 * powers + 1;
}

const nb_format nb_format_log = {.name = "log",
                                 .help =
                                     "weights that are 0 or a power of two, any scale; with more than 4 bits simulated",
                                 .max_bits = INTEGER_BITS,
                                 .weights_only = true,
                                 .levels = log_levels,
                                 .reals = log_reals};
