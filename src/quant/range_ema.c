/* range_ema.c - exponential moving average of each batch's minimum and maximum.
 *
 * r <- (1 - momentum) * r + momentum * batch, where momentum is the share of the NEW batch (TensorFlow's decay is 1 -
 * momentum). The first observation initialises, so no zero-debiasing is needed in training, where it is soon forgotten;
 * a calibration is short and corrects (nb_observation_share). */
#include "quant/range_ends.h"

static const nb_key ema_keys[] = {
    NB_KEY_FLOAT(nb_range_average, momentum, "0.05", 1e-6, 1, "share of the new batch in the moving average"), {0}};

static void ema_observe(const void *attr, float *state, const nb_observation *o)
{
    float m = o->first ? 1.0f : nb_observation_share(o, ((const nb_range_average *)attr)->momentum);
    state[NB_LOW] = (1.0f - m) * state[NB_LOW] + m * o->min;
    state[NB_HIGH] = (1.0f - m) * state[NB_HIGH] + m * o->max;
}

const nb_range nb_range_ema = {.name = "ema",
                               .help = "moving average of each batch's minimum and maximum",
                               .keys = ema_keys,
                               .attr_size = sizeof(nb_range_average),
                               .n_state = NB_ENDS,
                               .ends = true,
                               .observe = ema_observe,
                               .params = nb_ends_params,
                               .sound = nb_ends_sound};
