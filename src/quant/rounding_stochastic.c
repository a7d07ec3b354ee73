/* rounding_stochastic.c - up or down by chance, so that the mean of what comes out is what went in (Gupta et al. 2015,
 * arXiv:1502.02551): up with the share of the way that the value has gone from the code below to the one above. */
#include <nibble/extend/quant.h>

static float stochastic(float v, float below, float above, float u)
{
    return v - below > u * (above - below) ? above : below;
}

const nb_rounding nb_rounding_stochastic = {
    .name = "stochastic",
    .help = "in training up or down by chance, right on average; evaluation and integers take the nearest code",
    .random = true,
    .choose = stochastic};
