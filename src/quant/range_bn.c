/* range_bn.c - the range that the batch norm before a value promises, without looking at values (Nagel et al. 2021,
 * section 3.1): its outputs have mean beta and standard deviation |gamma| per channel, so the range is
 * min(beta - a |gamma|) .. max(beta + a |gamma|), cut where relu and its cap cut. It moves with gamma and beta. */
#include "quant/range_ends.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    float a;
} bn_attr;

static const nb_key bn_keys[] = {
    NB_KEY_FLOAT(bn_attr, a, "6", 0.1, 100, "standard deviations on either side of a channel's mean"), {0}};

/* The batch norm of the chain that ends in n; *low and *high: what relus behind it leave. */
static const nb_node *norm_before(const nb_node *n, float *low, float *high)
{
    for (; n->op->role == NB_ROLE_CLAMP; n = n->in[0])
        n->op->bounds(n, low, high);
    return n->op->role == NB_ROLE_AFFINE && n->op->moments ? n : NULL;
}

static bool bn_refuse(const void *attr, const nb_range_use *use, char *why, size_t size)
{
    (void)attr;
    const nb_node *n = use->of;
    float low = -INFINITY, high = INFINITY;
    if (use->weights)
        snprintf(why, size, "is for activations: weights are there to be looked at, with minmax or mse");
    else if (!norm_before(n, &low, &high))
        snprintf(why, size,
                 "there is no batch norm right before the output of %s to say its range (batchnorm: fold takes them "
                 "out): give it another one, e.g. quant.layers.%s.activations.range: ema",
                 n->name, n->name);
    else
        return false;
    return true;
}

static void bn_observe(const void *attr, float *state, const nb_observation *o)
{
    const double a = (double)((const bn_attr *)attr)->a;
    float low = -INFINITY, high = INFINITY;
    double least = INFINITY, most = -INFINITY;
    const nb_node *norm = norm_before(o->of, &low, &high);
    for (int32_t c = 0; c < nb_channels(&norm->out); c++) {
        double mean, deviation;
        norm->op->moments(norm, c, &mean, &deviation);
        least = fmin(least, mean - a * deviation);
        most = fmax(most, mean + a * deviation);
    }
    state[NB_LOW] = fminf(fmaxf((float)least, low), high);
    state[NB_HIGH] = fminf(fmaxf((float)most, low), high);
}

const nb_range nb_range_bn = {
    .name = "bn",
    .help = "from the batch norm before: the outermost channels' mean +- a standard deviations, no data",
    .keys = bn_keys,
    .attr_size = sizeof(bn_attr),
    .n_state = NB_ENDS,
    .data_free = true,
    .refuse = bn_refuse,
    .observe = bn_observe,
    .params = nb_ends_params,
    .sound = nb_ends_sound};
