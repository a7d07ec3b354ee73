/* range_bn.c - the range that the batch norm before a value promises, without looking at values (Nagel et al. 2021,
 * section 3.1): its outputs have mean beta and standard deviation |gamma| per channel, so the range is
 * min(beta - a |gamma|) .. max(beta + a |gamma|), cut where relu and its cap cut; of a join what its inputs' batch norms
 * give together (moments.h). It moves with gamma and beta. */
#include "quant/moments.h"
#include "quant/range_ends.h"

#include <math.h>
#include <stdio.h>

typedef struct {
    float a;
} bn_attr;

static const nb_key bn_keys[] = {
    NB_KEY_FLOAT(bn_attr, a, "6", 0.1, 100, "standard deviations on either side of a channel's mean"), {0}};

/* What stands before the relus at the end of the chain that ends in n; *low and *high: what these leave. */
static const nb_node *before_relus(const nb_node *n, float *low, float *high)
{
    for (; n->op->role == NB_ROLE_CLAMP; n = n->in[0])
        n->op->bounds(n, low, high);
    return n;
}

static bool known(const nb_node *n)
{
    float low = -INFINITY, high = INFINITY;
    double mean, deviation;
    n = before_relus(n, &low, &high);
    for (int32_t c = 0; c < nb_channels(&n->out); c++)
        if (!nb_value_moments(n, c, &mean, &deviation))
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
        snprintf(why, size,
                 "the output of %s is no batch norm's, nor a relu's or a join's of such, which say a range "
                 "(batchnorm: fold takes them out): give it another one, e.g. quant.layers.%s.activations.range: ema",
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
    const nb_node *n = before_relus(o->of, &low, &high);
    for (int32_t c = 0; c < nb_channels(&n->out); c++) {
        double mean, deviation;
        nb_value_moments(n, c, &mean, &deviation);
        least = fmin(least, mean - a * deviation);
        most = fmax(most, mean + a * deviation);
    }
    state[NB_LOW] = fminf(fmaxf((float)least, low), high);
    state[NB_HIGH] = fminf(fmaxf((float)most, low), high);
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
