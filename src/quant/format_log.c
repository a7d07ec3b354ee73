/* format_log.c - levels 0 and +-1, 2, 4, ..., 2^k: as many powers of two as 2^bits - 1 levels hold, for weights.
 *
 * 2 bits are ternary, 3 bits -4..4, 4 bits -64..64; a fifth bit would leave -127..127. A product with such a weight is
 * a shift. Values go to the nearest level, of two the smaller in size. */
#include <nibble/extend/quant.h>

static int32_t log_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
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
                                 .help = "weights of 2 to 4 bits that are 0 or a power of two, any scale",
                                 .max_bits = 4,
                                 .weights_only = true,
                                 .levels = log_levels};
