/* range_aciq.c - the clip that costs least if the values are Gaussian or Laplacian (aciq.h; Banner et al. 2019).
 *
 * The spread is that of a sample of the values: about 0 on a symmetric grid, else about their mean. Where no value is
 * negative, as after a relu, the positive ones are taken as one side of the distribution; zeros are exact anyway. The
 * range is never wider than the values are. */
#include "quant/aciq.h"
#include "quant/range_ends.h"

#include <math.h>

enum { FIT_AUTO }; /* then nb_fit + 1 */

typedef struct {
    nb_range_average average; /* first */
    int32_t fit;
} aciq_attr;

static const nb_key aciq_keys[] = {
    NB_KEY_MOMENTUM,
    NB_KEY_ENUM(aciq_attr, fit, "auto", "auto|gaussian|laplace", "distribution of the values; auto: the likelier one"),
    {0}};

typedef struct {
    double n, sum, size, square; /* of x - center; size: |x - center| */
} moments;

/* positive: of values above 0 only. */
static moments moments_of(const nb_observation *o, double center, bool positive)
{
    moments m = {0};
    float x[NB_SAMPLE_BLOCK];
    nb_sample some = nb_sample_usual(o);
    for (int32_t n; (n = nb_sample_next(&some, x)) > 0;)
        for (int32_t i = 0; i < n; i++) {
            const double v = (double)x[i] - center;
            const double counts = !positive || x[i] > 0 ? 1 : 0;
            m.n += counts;
            m.sum += counts * v;
            m.size += counts * fabs(v);
            m.square += counts * v * v;
        }
    return m;
}

static void aciq_observe(const void *attr, float *state, const nb_observation *o)
{
    const aciq_attr *a = attr;
    const nb_grid *g = o->grid;
    const bool symmetric = nb_grid_symmetric(g), one_sided = !g->weights && o->min >= 0;
    double center = 0;
    if (!symmetric && !one_sided) {
        const moments all = moments_of(o, 0, false);
        center = all.n > 0 ? all.sum / all.n : 0;
    }
    const moments m = moments_of(o, center, one_sided);
    float low = fminf(o->min, 0.0f), high = fmaxf(o->max, 0.0f);
    if (m.n > 0 && m.square > 0) {
        const double size = m.size / m.n, rms = sqrt(m.square / m.n);
        const double intervals = g->lo == 0 || one_sided ? g->hi : 2 * g->hi;
        const nb_clip_case c = {a->fit == FIT_AUTO ? nb_fit_choose(size, rms) : (nb_fit)(a->fit - 1), one_sided,
                                intervals};
        const double clip = nb_clip_factor(&c) * (c.fit == NB_FIT_LAPLACE ? size : rms);
        low = one_sided ? 0 : fmaxf(low, fminf((float)(center - clip), 0.0f));
        high = fminf(high, fmaxf((float)(center + clip), 0.0f));
    }
    nb_ends_follow(state, o, a->average.momentum, low, high);
}

const nb_range nb_range_aciq = {.name = "aciq",
                                .help = "the clip of least error if values are Gaussian or Laplacian, in closed form",
                                .keys = aciq_keys,
                                .attr_size = sizeof(aciq_attr),
                                .n_state = NB_ENDS,
                                .observe = aciq_observe,
                                .params = nb_ends_params,
                                .sound = nb_ends_sound};
