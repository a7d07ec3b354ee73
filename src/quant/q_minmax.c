/* q_minmax.c - the range is what was seen (white paper 3.1, "min-max").
 *
 * Weights: the current tensor. Activations: the extremes since the first observation, so the range only grows. */
#include <nibble/extend/quant.h>

#include <math.h>

static void minmax_observe(const void *attr, float *state, const nb_observation *o)
{
    (void)attr;
    bool first = state[2] == 0.0f || o->weights;
    state[0] = first ? o->min : fminf(state[0], o->min);
    state[1] = first ? o->max : fmaxf(state[1], o->max);
    state[2] = 1.0f;
}

static void minmax_range(const void *attr, const float *state, float *lo, float *hi)
{
    (void)attr;
    *lo = state[0];
    *hi = state[1];
}

const nb_quantizer nb_quantizer_minmax = {.name = "minmax",
                                          .help = "smallest and largest value (weights: now; activations: so far)",
                                          .n_state = 3,
                                          .observe = minmax_observe,
                                          .range = minmax_range};
