/* range_xent.c - for the logits: the range after which the softmax is nearest to what it was (Nagel et al. 2021, section
 * 3.1): the smallest cross entropy H(softmax(v), softmax(Q(v))) over the rows of the batch. A squared error weighs all
 * logits alike; an answer depends on the largest.
 *
 * The range is the batch's own times a ratio, searched as mse does: all ratios at first and in a calibration, later the
 * neighbours of the last best. */
#include "quant/range_ends.h"

#include <math.h>
#include <stdio.h>

enum { NOTCHES = 64 /* ratios 1/64 .. 64/64 */, NEAR = 2, ROWS = 2048, TRAINING_ROWS = 64 };
enum { NOTCH = NB_ENDS, STATES };

static const nb_key xent_keys[] = {NB_KEY_MOMENTUM, {0}};

static bool xent_refuse(const void *attr, const nb_range_use *use, char *why, size_t size)
{
    (void)attr;
    if (use->logits)
        return false;
    snprintf(why, size,
             "is for the network's output, which is compared as probabilities: set quant.output_bits, and range: xent "
             "under quant.layers.NAME.activations of the last layer; values inside a network have mse");
    return true;
}

/* Cross entropy of one row: log(sum exp(q)) - sum p q, with p the softmax of v. */
static double row_entropy(const nb_observation *o, int64_t first, int64_t classes, float scale, int32_t zero)
{
    const nb_grid *g = o->grid;
    const float lowest = (float)(g->lo - zero), highest = (float)(g->hi - zero);
    double top_v = -INFINITY, top_q = -INFINITY, sum_v = 0, sum_q = 0, sum_pq = 0;
    for (int32_t pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < classes; i++) {
            const float x = o->values.at(o->values.arg, first + i);
            const double v = (double)x;
            const double q = (double)scale * (double)fminf(fmaxf(rintf(x / scale), lowest), highest);
            if (pass == 0) {
                top_v = fmax(top_v, v);
                top_q = fmax(top_q, q);
                continue;
            }
            const double p = exp(v - top_v);
            sum_v += p;
            sum_pq += p * (q - top_q);
            sum_q += exp(q - top_q);
        }
    return log(sum_q) - sum_pq / sum_v;
}

static double entropy(const nb_observation *o, float low, float high)
{
    const int64_t classes = nb_channels(&o->of->out), rows = o->n / classes;
    const int64_t most = o->calibration ? ROWS : TRAINING_ROWS, every = (rows + most - 1) / most;
    float scale;
    int32_t zero;
    double sum = 0;
    nb_params_cover(o->grid, low, high, &scale, &zero);
    for (int64_t r = 0; r < rows; r += every)
        sum += row_entropy(o, r * classes, classes, scale, zero);
    return sum;
}

static void xent_observe(const void *attr, float *state, const nb_observation *o)
{
    const int32_t last = (int32_t)state[NOTCH];
    const bool all = o->first || o->calibration;
    const int32_t from = all || last <= NEAR ? 1 : last - NEAR,
                  to = all || last + NEAR > NOTCHES ? NOTCHES : last + NEAR;
    int32_t best = to;
    double least = INFINITY;
    for (int32_t k = to; k >= from; k--) { /* ties keep the wider range */
        const float ratio = (float)k / NOTCHES;
        const double e = entropy(o, ratio * o->min, ratio * o->max);
        if (e < least) {
            least = e;
            best = k;
        }
    }
    const float ratio = (float)best / NOTCHES;
    nb_ends_follow(state, o, ((const nb_range_average *)attr)->momentum, ratio * o->min, ratio * o->max);
    state[NOTCH] = (float)best;
}

static bool xent_sound(const float *state)
{
    return nb_ends_sound(state) && state[NOTCH] >= 1 && state[NOTCH] <= NOTCHES && state[NOTCH] == floorf(state[NOTCH]);
}

const nb_range nb_range_xent = {.name = "xent",
                                .help = "for the logits: the smallest cross entropy between softmax before and after",
                                .keys = xent_keys,
                                .attr_size = sizeof(nb_range_average),
                                .n_state = STATES,
                                .refuse = xent_refuse,
                                .reads_all = true,
                                .observe = xent_observe,
                                .params = nb_ends_params,
                                .sound = xent_sound};
