/* range_mean.c - the plain mean of the batches' extremes, every batch counting the same ("min-max" of many lectures).
 *
 * Weights: the current tensor. The mean is kept as it runs, mean += (batch - mean) / t, so that no sum grows; t is exact
 * up to 2^24 batches. */
#include "quant/range_ends.h"

enum { BATCHES = NB_ENDS, STATES };

static void mean_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    state[BATCHES] = o->grid->weights ? 1.0f : state[BATCHES] + 1.0f;
    const double t = (double)state[BATCHES], low = (double)state[NB_LOW], high = (double)state[NB_HIGH];
    state[NB_LOW] = t > 1 ? (float)(low + ((double)o->min - low) / t) : o->min;
    state[NB_HIGH] = t > 1 ? (float)(high + ((double)o->max - high) / t) : o->max;
}

static bool mean_sound(const float *state)
{
    return nb_ends_sound(state) && state[BATCHES] >= 1;
}

const nb_range nb_range_mean = {.name = "mean",
                                .help = "mean of all batches' minimum and maximum",
                                .n_state = STATES,
                                .ends = true,
                                .observe = mean_observe,
                                .params = nb_ends_params,
                                .sound = mean_sound};
