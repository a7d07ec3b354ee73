/* q_ema.c - exponential moving average of each batch's minimum and maximum.
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
    float m = state[2] == 0.0f ? 1.0f : nb_observation_share(o, ((const ema_attr *)attr)->momentum);
    state[0] = (1.0f - m) * state[0] + m * o->min;
    state[1] = (1.0f - m) * state[1] + m * o->max;
    state[2] = 1.0f;
}

static void ema_range(const void *attr, const float *state, float *lo, float *hi)
{
    (void)attr;
    *lo = state[0];
    *hi = state[1];
}

const nb_quantizer nb_quantizer_ema = {.name = "ema",
                                       .help = "moving average of each batch's minimum and maximum",
                                       .keys = ema_keys,
                                       .attr_size = sizeof(ema_attr),
                                       .n_state = 3,
                                       .observe = ema_observe,
                                       .range = ema_range};
