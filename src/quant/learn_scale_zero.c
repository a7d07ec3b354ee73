/* learn_scale_zero.c - scale s and zero point z are trained (Nagel et al. 2021, arXiv:2106.08295, section 4.1).
 *
 * d(real)/d(s) as LSQ has it, with its factor; d(real)/d(z) is 0 inside the grid and -s where x is clipped. z is trained as
 * a real number and rounded to a code of the grid wherever it is used; the rounding passes the gradient straight through.
 * Beyond the ends of the grid it takes only steps back to it. */
#include <nibble/extend/quant.h>

static const nb_key scale_zero_keys[] = {NB_LEARNING_KEYS("1", "0"), {0}};

static const char *scale_zero_refuses(const nb_learn_site *site)
{
    const nb_grid *g = site->grid;
    if (nb_grid_has_zero(g))
        return NULL;
    return g->weights
               ? "learns a zero point, and these weights have none: set learn: lsq"
               : "learns a zero point, and these activations have none: set scheme: asymmetric and format: uniform, or "
                 "learn: lsq";
}

static void scale_zero_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    param[0] = s->scale;
    param[1] = (float)s->zero;
}

static float scale_zero_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    (void)g;
    return param[0];
}

static int32_t scale_zero_zero(const void *attr, const float *param, const nb_grid *g, float scale)
{
    (void)attr;
    (void)scale;
    return nb_grid_zero(g, param[1]);
}

static void scale_zero_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param,
                                float *dparam)
{
    (void)attr;
    const double by_zero = -(double)s->scale * (s->above + s->below);
    const bool away = (param[1] > (float)g->hi && by_zero < 0) || (param[1] < (float)g->lo && by_zero > 0);
    dparam[0] += (float)(s->by_scale / nb_learn_divisor(g, s));
    dparam[1] += away ? 0.0f : (float)by_zero;
}

const nb_learning nb_learning_scale_zero = {.name = "scale_zero",
                                            .help = "the loss trains scale and zero point of asymmetric activations",
                                            .keys = scale_zero_keys,
                                            .attr_size = sizeof(nb_learning_keys),
                                            .n_state = 2,
                                            .n_positive = 1,
                                            .ends = true,
                                            .refuses = scale_zero_refuses,
                                            .init = scale_zero_init,
                                            .scale = scale_zero_scale,
                                            .zero = scale_zero_zero,
                                            .backward = scale_zero_backward};
