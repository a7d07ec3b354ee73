/* learn_ttq.c - trained ternary quantization (Zhu et al. 2017, arXiv:1612.01064): weights are P, 0 or -N, and both
 * magnitudes are trained, one pair per layer.
 *
 * A weight is P above threshold * max |w|, -N below minus that, else 0. The gradient of P is the sum of dL/dy over its
 * weights and that of N minus the sum over its own, both divided by the root of the number of weights (LSQ's factor); a
 * weight's is dL/dy times P, 1 or N. As integers they are 127 for the larger one and, for the other, what is nearest to it
 * in units of the scale max(P, N) / 127; two bits are stored. They begin with the mean of the weights that they stand for. */
#include <nibble/extend/quant.h>

#include <math.h>

typedef struct {
    nb_learning_keys common; /* first */
    float threshold;
} ttq_attr;

static const nb_key ttq_keys[] = {
    NB_LEARNING_KEYS("1", "0"),
    NB_KEY_FLOAT(ttq_attr, threshold, "0.05", 0, 0.9, "weights below this share of the largest are 0"),
    {0}};

static const char *ttq_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (!g->weights)
        return "is for weights: for activations set learn: lsq, lsqplus or pact";
    if (site->per_channel)
        return "has two values per layer: set granularity: tensor";
    return g->bits == 2 && !g->level && !g->real
               ? NULL
               : "has three values in place of a grid: set bits: 2 and format: uniform";
}

static float limit_of(const void *attr, const float *w, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(w[i]));
    return ((const ttq_attr *)attr)->threshold * most;
}

static void ttq_init(const void *attr, const nb_learn_start *s, float *param)
{
    float most = 0;
    for (int64_t i = 0; i < s->n; i++)
        most = fmaxf(most, fabsf(s->values->at(s->values->arg, i)));
    const float limit = ((const ttq_attr *)attr)->threshold * most;
    for (int32_t negative = 0; negative < 2; negative++) {
        double sum = 0, count = 0;
        for (int64_t i = 0; i < s->n; i++) {
            const float w = s->values->at(s->values->arg, i), size = negative ? -w : w;
            sum += size > limit ? (double)size : 0;
            count += size > limit;
        }
        param[negative] = count > 0 && isfinite(sum) ? (float)(sum / count) : s->scale;
    }
}

static float ttq_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    return fmaxf(param[0], param[1]) / (float)g->hi;
}

static int8_t integer_of(float magnitude, float scale)
{
    const float v = nearbyintf(magnitude / scale);
    return (int8_t)(v > NB_MOST_LEVEL ? NB_MOST_LEVEL : v > 1 ? v : 1);
}

static int32_t ttq_book(const nb_grid *g, const float *param, float scale, int8_t *level)
{
    (void)g;
    level[0] = param ? (int8_t)-integer_of(param[1], scale) : -NB_MOST_LEVEL;
    level[1] = 0;
    level[2] = param ? integer_of(param[0], scale) : NB_MOST_LEVEL;
    return 3;
}

static void ttq_warp(const nb_warping *p, float *y)
{
    const float limit = limit_of(p->attr, p->w, p->n);
    for (int64_t i = 0; i < p->n; i++)
        y[i] = p->w[i] > limit ? p->param[0] : p->w[i] < -limit ? -p->param[1] : 0;
}

static void ttq_unwarp(const nb_warping *p, const float *dy, float *dw, float *dparam)
{
    const float limit = limit_of(p->attr, p->w, p->n);
    double sum[2] = {0};
    for (int64_t i = 0; i < p->n; i++) {
        const bool above = p->w[i] > limit, below = p->w[i] < -limit;
        dw[i] += dy[i] * (above ? p->param[0] : below ? p->param[1] : 1);
        sum[0] += above ? (double)dy[i] : 0;
        sum[1] -= below ? (double)dy[i] : 0;
    }
    for (int32_t k = 0; dparam && k < 2; k++)
        dparam[k] += (float)(sum[k] / sqrt((double)p->n));
}

const nb_learning nb_learning_ttq = {
    .name = "ttq",
    .help = "ternary weights: the loss trains both magnitudes of a layer (bits: 2, granularity: tensor)",
    .keys = ttq_keys,
    .attr_size = sizeof(ttq_attr),
    .n_state = 2,
    .n_positive = 2,
    .refuses = ttq_refuses,
    .init = ttq_init,
    .scale = ttq_scale,
    .warp = ttq_warp,
    .unwarp = ttq_unwarp,
    .book = ttq_book};
