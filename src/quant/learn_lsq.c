/* learn_lsq.c - learned step size (Esser et al. 2020, arXiv:1902.08153): the scale is trained by the loss.
 *
 * d(real)/d(scale) is round(v) - v for v = x / scale inside the grid and the end of the grid outside; the gradient is
 * that times 1 / sqrt(N * Q), N values that share the scale (activations: of one image) and Q the grid's last code, so
 * that a scale moves about as fast, in proportion, as the weights do. It begins with the range's scale. The zero point
 * of asymmetric activations stays what the range said then, and a step that overshoots cannot lose the network: the
 * scale is no less than the range's over MOST. */
#include <nibble/extend/quant.h>

#include <math.h>

static const float MOST = 256;

typedef struct {
    nb_learning_keys common; /* first */
} lsq_attr;

static const nb_key lsq_keys[] = {{.name = "lr",
                                   .dflt = "1",
                                   .help = "factor on the learning rate, for scales",
                                   .kind = NB_K_FLOAT,
                                   .offset = offsetof(lsq_attr, common.lr),
                                   .min = 0,
                                   .max = 1000},
                                  {0}};

static void lsq_init(const void *attr, float *param, float scale, int32_t zero)
{
    (void)attr;
    (void)zero;
    param[0] = scale;
}

static void lsq_params(const void *attr, const float *param, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    (void)g;
    (void)zero;
    *scale = fmaxf(param[0], *scale / MOST);
}

static void lsq_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, float *dparam)
{
    (void)attr;
    dparam[0] += (float)(s->by_scale / sqrt((double)s->n * (double)g->hi));
}

const nb_learning nb_learning_lsq = {.name = "lsq",
                                     .help = "learned step size: the loss trains scales, from the range's on",
                                     .keys = lsq_keys,
                                     .attr_size = sizeof(lsq_attr),
                                     .n_state = 1,
                                     .positive = true,
                                     .init = lsq_init,
                                     .params = lsq_params,
                                     .backward = lsq_backward};
