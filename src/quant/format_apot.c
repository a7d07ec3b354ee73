/* format_apot.c - additive powers of two (Li et al. 2020, arXiv:1909.13144): sizes that are sums of a power of two, or 0, from
 * each of some sets; with b - 1 bits for the size the paper's sets, in units of the smallest power, are
 *
 *   2 bits  {0, 1}
 *   3 bits  {0, 4, 2, 1}
 *   4 bits  {0, 8, 4, 1} + {0, 2}
 *   5 bits  {0, 32, 8, 2} + {0, 16, 4, 1}
 *
 * dense near 0 and less wasteful far from it than powers alone (log). A product is two shifts and an addition. */
#include <nibble/extend/quant.h>

static const int8_t sets[4][2][4] = {
    {{0, 1}, {0}}, {{0, 4, 2, 1}, {0}}, {{0, 8, 4, 1}, {0, 2}}, {{0, 32, 8, 2}, {0, 16, 4, 1}}};
static const int8_t count[4][2] = {{2, 1}, {4, 1}, {4, 2}, {4, 4}};

static int32_t apot_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    bool size[128] = {false};
    int32_t n = 0;
    for (int32_t i = 0; i < count[bits - 2][0]; i++)
        for (int32_t k = 0; k < count[bits - 2][1]; k++)
            size[sets[bits - 2][0][i] + sets[bits - 2][1][k]] = true;
    for (int32_t v = -127; v <= 127; v++)
        if (size[v < 0 ? -v : v])
            level[n++] = (int8_t)v;
    return n;
}

const nb_format nb_format_apot = {.name = "apot",
                                  .help = "weights of 2 to 5 bits that are sums of powers of two, any scale",
                                  .max_bits = 5,
                                  .weights_only = true,
                                  .levels = apot_levels};
