/* range_minmax.c - the range is what was seen (white paper 3.1, "min-max").
 *
 * Weights: the current tensor. Activations: the extremes since the first observation, so the range only grows. */
#include "quant/range_ends.h"

#include <math.h>

static void minmax_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    const bool fresh = o->first || o->grid->weights;
    state[0] = fresh ? o->min : fminf(state[0], o->min);
    state[1] = fresh ? o->max : fmaxf(state[1], o->max);
}

const nb_range nb_range_minmax = {.name = "minmax",
                                  .help = "smallest and largest value (weights: now; activations: so far)",
                                  .n_state = NB_ENDS,
                                  .ends = true,
                                  .observe = minmax_observe,
                                  .params = nb_ends_params,
                                  .sound = nb_ends_sound};
