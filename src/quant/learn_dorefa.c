/* learn_dorefa.c - DoReFa-Net (Zhou et al. 2016, arXiv:1606.06160): nothing is learned; weights are bounded by a function
 * before they are quantized, and both scales are constants.
 *
 * Weights: y = tanh(w) / max |tanh(w)| over the layer, to 2^k equally distant values of -1..1, the ends included: odd
 * integers times 1 / (2^k - 1) (`format: odd`; the paper writes 2 * round((2^k - 1) * (y / 2 + 1 / 2)) / (2^k - 1) - 1).
 * The gradient is that of y, its maximum included. Activations are clipped to 0..1, on 2^k - 1 steps. Values without a
 * relu before them have no such clip: their scales follow the range (a general rule) or are refused (that of a layer). */
#include <nibble/extend/quant.h>

#include <math.h>

static const char *dorefa_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (g->weights)
        return g->level && g->n_levels == 1 << g->bits && g->hi == (1 << g->bits) - 1
                   ? NULL
                   : "has weights of 2^bits values without 0: set format: odd, and bits to at most 7";
    if (g->lo < 0)
        return "clips activations to 0..1, and these have a sign: set scheme: asymmetric or unsigned";
    return site->nonnegative
               ? NULL
               : "clips activations to 0..1, and these can be negative, as there is no relu: learn: lsqplus is "
                 "for such values";
}

static float dorefa_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    (void)param;
    return 1.0f / (float)g->hi;
}

static int32_t dorefa_zero(const void *attr, const float *param, const nb_grid *g, float scale)
{
    (void)attr;
    (void)param;
    (void)scale;
    return g->weights ? 0 : g->lo;
}

static void dorefa_warp(const nb_warping *p, float *y)
{
    float most = 0;
    for (int64_t i = 0; i < p->n; i++) {
        y[i] = tanhf(p->w[i]);
        most = fmaxf(most, fabsf(y[i]));
    }
    for (int64_t i = 0; most > 0 && i < p->n; i++)
        y[i] /= most;
}

static void dorefa_unwarp(const nb_warping *p, const float *dy, float *dw, float *dparam)
{
    (void)dparam;
    int64_t at = 0; /* of the largest */
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        at = fabsf(p->w[i]) > fabsf(p->w[at]) ? i : at;
        sum += (double)dy[i] * tanh((double)p->w[i]);
    }
    const double top = tanh((double)p->w[at]), most = fabs(top);
    for (int64_t i = 0; most > 0 && i < p->n; i++) {
        const double t = tanh((double)p->w[i]), by_most = i == at ? sum / (most * top) : 0;
        dw[i] += (float)(((double)dy[i] / most - by_most) * (1 - t * t));
    }
}

const nb_learning nb_learning_dorefa = {
    .name = "dorefa",
    .help = "weights through tanh to 2^bits values of -1..1 (format: odd), activations behind a relu clipped to 0..1",
    .refuses = dorefa_refuses,
    .scale = dorefa_scale,
    .zero = dorefa_zero,
    .warp = dorefa_warp,
    .unwarp = dorefa_unwarp};
