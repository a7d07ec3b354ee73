/* learn_lsq.c - learned step size (Esser et al. 2020, arXiv:1902.08153): the scale is trained by the loss.
 *
 * d(real)/d(scale) is round(v) - v for v = x / scale inside the grid and the end of the grid outside, times LSQ's factor.
 * It begins with the range's scale; the zero point of asymmetric activations stays what the range said then. */
#include <nibble/extend/quant.h>

static const nb_key lsq_keys[] = {NB_LEARNING_KEYS("1", "0"), {0}};

static void lsq_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    param[0] = s->scale;
}

static float lsq_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    (void)g;
    return param[0];
}

static void lsq_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param, float *dparam)
{
    (void)attr;
    (void)param;
    dparam[0] += (float)(s->by_scale / nb_learn_divisor(g, s));
}

const nb_learning nb_learning_lsq = {.name = "lsq",
                                     .help = "learned step size: the loss trains scales, from the range's on",
                                     .keys = lsq_keys,
                                     .attr_size = sizeof(nb_learning_keys),
                                     .leaf = "learned", /* as files have it since before there were others */
                                     .n_state = 1,
                                     .n_positive = 1,
                                     .init = lsq_init,
                                     .scale = lsq_scale,
                                     .backward = lsq_backward};
