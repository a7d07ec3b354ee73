/* format_binary.c - binary weight networks (Rastegari et al. 2016, arXiv:1603.05279): the sign of a weight, of 0 too, times the
 * mean size of the channel's (group's, tensor's) weights, which is the scale of least squared error.
 *
 * The gradient passes where |w| <= 1, the weight as it is, not in units of the scale: the paper's derivative of the sign. (It has
 * the scale as a factor besides and a share of 1/n for the mean; a quantizer's gradient here is that of real values, so it is
 * 1.) 0 is no level: padding multiplies by codes whose real value is 0, which are levels of every activation. */
#include <nibble/extend/quant.h>

#include <math.h>

static int32_t binary_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    (void)bits;
    level[0] = -1;
    level[1] = 1;
    return 2;
}

static void binary_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    double sum = 0;
    for (int64_t i = 0; i < o->n; i++)
        sum += fabs((double)o->values.at(o->values.arg, i));
    state[0] = (float)(sum / (double)o->n);
}

static void binary_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    *scale = nb_grid_scale(g, state[0]);
    *zero = 0;
}

static bool binary_sound(const float *state)
{
    return state[0] >= 0;
}

static const nb_range binary_range = {.name = "binary",
                                      .help = "mean size of the weights",
                                      .n_state = 1,
                                      .reads_all = true,
                                      .observe = binary_observe,
                                      .params = binary_params,
                                      .sound = binary_sound};

const nb_format nb_format_binary = {.name = "binary",
                                    .help = "weights of 1 bit: -1 or 1, by sign (BWN); finds its scales",
                                    .min_bits = 1,
                                    .max_bits = 1,
                                    .weights_only = true,
                                    .levels = binary_levels,
                                    .range = &binary_range,
                                    .passes = 1.0f};
