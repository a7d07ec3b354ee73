/* range_bn.c - the range that the batch norm before a value promises, without looking at values (Nagel et al. 2021,
 * section 3.1): its outputs have mean beta and standard deviation |gamma| per channel, so the range is
 * min(beta - a |gamma|) .. max(beta + a |gamma|), cut where relu and its cap cut, and what another activation makes of that;
 * of a join what its inputs' batch norms give together (moments.h). It moves with gamma and beta. */
#include "quant/moments.h"
#include "quant/range_ends.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    float a;
} bn_attr;

static const nb_key bn_keys[] = {
    NB_KEY_FLOAT(bn_attr, a, "6", 0.1, 100, "standard deviations on either side of a channel's mean"), {0}};

static bool known(const nb_node *n)
{
    double low, high;
    for (int32_t c = 0; c < nb_channels(&n->out); c++)
        if (!nb_value_interval(n, c, 1, &low, &high))
            return false;
    return true;
}

static bool bn_refuse(const void *attr, const nb_range_use *use, char *why, size_t size)
{
    (void)attr;
    const nb_node *n = use->of;
    if (use->weights)
        snprintf(why, size, "is for activations: weights are there to be looked at, with minmax or mse");
    else if (!known(n))
        snprintf(
            why, size,
            "the output of %s is no batch norm's, nor an activation's or a join's of such, which say a range "
            "(batchnorm: fold takes them out): give it another one, e.g. quant.layers.%s.activations.range: ema, or "
            "without images {range: fixed, lo: L, hi: H}",
            n->name, n->name);
    else
        return false;
    return true;
}

static void bn_observe(const void *attr, float *state, const nb_observation *o)
{
    const double a = (double)((const bn_attr *)attr)->a;
    double least = INFINITY, most = -INFINITY;
    for (int32_t c = 0; c < nb_channels(&o->of->out); c++) {
        double low, high;
        nb_value_interval(o->of, c, a, &low, &high);
        least = fmin(least, low);
        most = fmax(most, high);
    }
    state[NB_LOW] = (float)least;
    state[NB_HIGH] = (float)most;
}

const nb_range nb_range_bn = {
    .name = "bn",
    .help = "from the batch norms before: the outermost channels' mean +- a standard deviations, no data",
    .keys = bn_keys,
    .attr_size = sizeof(bn_attr),
    .n_state = NB_ENDS,
    .data_free = true,
    .refuse = bn_refuse,
    .observe = bn_observe,
    .params = nb_ends_params,
    .sound = nb_ends_sound};
