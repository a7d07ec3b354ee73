/* format_ternary.c - ternary weight networks (Li et al. 2016, arXiv:1605.04711): -1, 0 or 1 times a scale.
 *
 * A weight is 0 up to the threshold 0.7 E|w|, and the scale is the mean size of those beyond it: nearly the least squared error
 * where weights are normal. Per channel, group or tensor. The gradient passes everywhere, as in the paper. */
#include <nibble/extend/quant.h>

#include <math.h>

static const double SHARE = 0.7;
enum { SCALE, THRESHOLD, STATES };

static int32_t ternary_levels(const void *attr, int32_t bits, int8_t *level)
{
    (void)attr;
    (void)bits;
    for (int32_t i = 0; i < 3; i++)
        level[i] = (int8_t)(i - 1);
    return 3;
}

static void ternary_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    double sum = 0, above = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < o->n; i++)
        sum += fabs((double)o->values.at(o->values.arg, i));
    const double threshold = SHARE * sum / (double)o->n;
    for (int64_t i = 0; i < o->n; i++) {
        const double size = fabs((double)o->values.at(o->values.arg, i));
        above += size > threshold ? size : 0;
        n += size > threshold;
    }
    state[SCALE] = n ? (float)(above / (double)n) : 0;
    state[THRESHOLD] = (float)threshold;
}

static void ternary_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    *scale = nb_grid_scale(g, state[SCALE]);
    *zero = 0;
}

static bool ternary_sound(const float *state)
{
    return state[SCALE] >= state[THRESHOLD] && state[THRESHOLD] >= 0;
}

static void ternary_edges(const void *attr, const float *state, int32_t n_levels, float *edge)
{
    (void)attr;
    (void)n_levels;
    edge[1] = state[SCALE] > 0 ? state[THRESHOLD] / state[SCALE] : 0.5f;
    edge[0] = -edge[1];
}

static const nb_range ternary_range = {.name = "ternary",
                                       .help = "mean size of the weights beyond 0.7 of the mean size",
                                       .n_state = STATES,
                                       .reads_all = true,
                                       .observe = ternary_observe,
                                       .params = ternary_params,
                                       .sound = ternary_sound};

const nb_format nb_format_ternary = {.name = "ternary",
                                     .help =
                                         "weights of 2 bits that are -1, 0 or 1, by threshold (TWN); finds its scales",
                                     .min_bits = 2,
                                     .max_bits = 2,
                                     .weights_only = true,
                                     .levels = ternary_levels,
                                     .range = &ternary_range,
                                     .edges = ternary_edges,
                                     .passes = INFINITY};
