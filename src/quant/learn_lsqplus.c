/* learn_lsqplus.c - LSQ+ (Bhalgat et al. 2020, arXiv:2004.09576): scale s and offset b of activations, scale of weights.
 *
 * The paper quantizes x - b and adds b again, so that real 0 need not be a code. Here it must be one (padding, dead
 * channels, a bias in integers): the zero point is z = round(-b / s) on the grid, and real values are s * (q - z), which
 * is the paper's s * q + b with b on a whole number of steps. Rounding passes gradients straight through, so they are the
 * paper's: d(real)/d(b) is 1 where x is clipped and 0 inside; d(real)/d(s) is round(v) - v inside and the code at the
 * end outside, where d(real)/d(s) at a fixed z would be that code less z. Both times LSQ's factor. An offset that has left
 * the grid takes only steps back to it.
 *
 * Activations begin with the range. Weights have no offset: that is LSQ, begun with max(|m - 3d|, |m + 3d|) / 2^(bits - 1)
 * for the mean m of the weights and their deviation d. */
#include <nibble/extend/quant.h>

#include <math.h>

static const nb_key lsqplus_keys[] = {NB_LEARNING_KEYS("1", "0"), {0}};

static const char *lsqplus_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (g->weights || nb_grid_has_zero(g))
        return NULL;
    return "learns an offset, and these activations have none: set scheme: asymmetric, or learn: lsq, which is the "
           "same "
           "without offset";
}

static float scale_of_deviation(const nb_learn_start *s)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < s->n; i++)
        sum += (double)s->values->at(s->values->arg, i);
    const double mean = sum / (double)s->n;
    for (int64_t i = 0; i < s->n; i++) {
        const double d = (double)s->values->at(s->values->arg, i) - mean;
        squares += d * d;
    }
    const double reach = fabs(mean) + 3 * sqrt(squares / (double)s->n);
    return (float)(reach / (s->grid->hi + 1)); /* 2^(bits - 1) of every integer */
}

static void lsqplus_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    param[0] = s->scale;
    param[1] = -s->scale * (float)s->zero;
    if (!s->grid->weights)
        return;
    const float scale = scale_of_deviation(s);
    param[0] = scale > 0 && isfinite(scale) ? scale : s->scale;
}

static float lsqplus_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    (void)g;
    return param[0];
}

static int32_t lsqplus_zero(const void *attr, const float *param, const nb_grid *g, float scale)
{
    (void)attr;
    return nb_grid_has_zero(g) ? nb_grid_zero(g, -param[1] / scale) : 0;
}

static void lsqplus_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param,
                             float *dparam)
{
    (void)attr;
    const double divisor = nb_learn_divisor(g, s), clipped = s->above + s->below;
    double by_scale = s->by_scale, by_offset = 0;
    if (nb_grid_has_zero(g)) {
        const double zero = -(double)param[1] / (double)s->scale;
        const bool up = zero > g->hi, down = zero < g->lo; /* a descent moves zero against -clipped */
        if (!up && !down)
            by_scale += zero * clipped;
        if (!(up && clipped > 0) && !(down && clipped < 0))
            by_offset = clipped;
    }
    dparam[0] += (float)(by_scale / divisor);
    dparam[1] += (float)(by_offset / divisor);
}

const nb_learning nb_learning_lsqplus = {
    .name = "lsqplus",
    .help =
        "LSQ+: the loss trains scale and offset of asymmetric activations; of weights the scale, begun at 3 deviations",
    .keys = lsqplus_keys,
    .attr_size = sizeof(nb_learning_keys),
    .n_state = 2,
    .n_positive = 1,
    .ends = true,
    .refuses = lsqplus_refuses,
    .init = lsqplus_init,
    .scale = lsqplus_scale,
    .zero = lsqplus_zero,
    .backward = lsqplus_backward};
