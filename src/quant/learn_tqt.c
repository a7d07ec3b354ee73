/* learn_tqt.c - trained quantization thresholds (Jain et al. 2020, arXiv:1903.08066): t = log2 of the scale is trained.
 *
 * d(real)/d(t) is s * ln 2 times what LSQ has as d(real)/d(s), for the scale s that the codes have, without LSQ's factor: a
 * step changes s in proportion. The paper's scales are powers of two, 2^ceil(t), with the same gradient (ceil passes it
 * straight through): that is `format: pow2`. Its threshold is the range s * 2^(bits - 1): its logarithm is t and a constant. */
#include <nibble/extend/quant.h>

#include <math.h>

static const nb_key tqt_keys[] = {NB_LEARNING_KEYS("1", "0"), {0}};

/* Scale 1 has logarithm 0, which says that nothing has begun. */
static const float NEARLY_0 = 0x1p-40f;

static void tqt_init(const void *attr, const nb_learn_start *s, float *param)
{
    (void)attr;
    const float t = (float)log2((double)s->scale);
    param[0] = t == 0.0f ? -NEARLY_0 : t;
}

static float tqt_scale(const void *attr, const float *param, const nb_grid *g)
{
    (void)attr;
    (void)g;
    return (float)exp2((double)param[0]);
}

static void tqt_backward(const void *attr, const nb_grid *g, const nb_learn_sums *s, const float *param, float *dparam)
{
    (void)attr;
    (void)g;
    (void)param;
    dparam[0] += (float)(s->by_scale * (double)s->scale * log(2));
}

const nb_learning nb_learning_tqt = {
    .name = "tqt",
    .help = "trained thresholds: the loss trains the logarithm of the scale; with format: pow2 as in the paper",
    .keys = tqt_keys,
    .attr_size = sizeof(nb_learning_keys),
    .n_state = 1,
    .init = tqt_init,
    .scale = tqt_scale,
    .backward = tqt_backward};
