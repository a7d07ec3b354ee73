/* range_minmax.c - the range is what was seen (white paper 3.1, "min-max").
 *
 * Weights: the current tensor. Activations: the extremes since the first observation, so the range only grows. */
#include <nibble/extend/quant.h>

#include <math.h>

static void minmax_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    const bool fresh = o->first || o->grid->weights;
    state[0] = fresh ? o->min : fminf(state[0], o->min);
    state[1] = fresh ? o->max : fmaxf(state[1], o->max);
}

static void minmax_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    nb_params_cover(g, state[0], state[1], scale, zero);
}

static bool minmax_sound(const float *state)
{
    return state[0] <= state[1];
}

const nb_range nb_range_minmax = {.name = "minmax",
                                  .help = "smallest and largest value (weights: now; activations: so far)",
                                  .n_state = 2,
                                  .observe = minmax_observe,
                                  .params = minmax_params,
                                  .sound = minmax_sound};
