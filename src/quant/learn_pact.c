/* learn_pact.c - parameterized clipping activation (Choi et al. 2018, arXiv:1805.06085): activations are clipped to
 * [0, alpha], and alpha is trained.
 *
 * scale = alpha / last code, zero point 0. d(real)/d(alpha) is 1 where x is clipped at alpha and 0 elsewhere, what rounding
 * does to values inside included: every value's gradient goes to x or to alpha, to x up to half a step above alpha, where
 * the code is still alpha's. L2 on alpha (`decay`) brings it down where the loss does not hold it. Values without a relu
 * before them have no such clip: their scales follow the range (a general rule) or are refused (that of a layer). */
#include <nibble/extend/quant.h>

static const nb_key pact_keys[] = {NB_LEARNING_KEYS("1", "1e-4"), {0}};

static const char *pact_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (g->weights)
        return "clips activations at a learned value: for weights set learn: lsq or dorefa";
    if (g->lo < 0)
        return "clips activations to 0..alpha, and these have a sign: set scheme: asymmetric or unsigned";
    return site->nonnegative ? NULL
                             : "clips activations to 0..alpha, and these can be negative, as there is no relu: "
                               "learn: lsqplus is for such values";
}

static void pact_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    param[0] = s->scale * (float)s->grid->hi;
}

static float pact_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    return param[0] / (float)g->hi;
}

static int32_t pact_zero(const void *attr, const float *param, const nb_grid *g, float scale)
{
    (void)attr;
    (void)param;
    (void)scale;
    return g->lo;
}

static void pact_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param, float *dparam)
{
    (void)attr;
    (void)g;
    (void)param;
    dparam[0] += (float)s->above;
}

const nb_learning nb_learning_pact = {
    .name = "pact",
    .help = "the loss trains at which value activations behind a relu are clipped; others, and weights, cannot have it",
    .keys = pact_keys,
    .attr_size = sizeof(nb_learning_keys),
    .n_state = 1,
    .n_positive = 1,
    .ends = true,
    .refuses = pact_refuses,
    .init = pact_init,
    .scale = pact_scale,
    .zero = pact_zero,
    .backward = pact_backward};
