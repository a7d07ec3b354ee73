/* range_ema.c - exponential moving average of each batch's minimum and maximum.
 *
 * r <- (1 - momentum) * r + momentum * batch, where momentum is the share of the NEW batch (TensorFlow's decay is 1 -
 * momentum). The first observation initialises, so no zero-debiasing is needed in training, where it is soon forgotten;
 * a calibration is short and corrects (nb_observation_share). */
#include <nibble/extend/quant.h>

typedef struct {
    float momentum;
} ema_attr;

static const nb_key ema_keys[] = {
    NB_KEY_FLOAT(ema_attr, momentum, "0.05", 1e-6, 1, "share of the new batch in the moving average"), {0}};

static void ema_observe(const void *attr, float *state, const nb_observation *o)
{
    float m = o->first ? 1.0f : nb_observation_share(o, ((const ema_attr *)attr)->momentum);
    state[0] = (1.0f - m) * state[0] + m * o->min;
    state[1] = (1.0f - m) * state[1] + m * o->max;
}

static void ema_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    nb_params_cover(g, state[0], state[1], scale, zero);
}

static bool ema_sound(const float *state)
{
    return state[0] <= state[1];
}

const nb_range nb_range_ema = {.name = "ema",
                               .help = "moving average of each batch's minimum and maximum",
                               .keys = ema_keys,
                               .attr_size = sizeof(ema_attr),
                               .n_state = 2,
                               .observe = ema_observe,
                               .params = ema_params,
                               .sound = ema_sound};
