/* range_mse.c - the range with the smallest mean squared quantization error (Nagel et al. 2021, eq. 3.2: argmin over
 * ranges of ||x - Q(x)||^2). With few bits a range that cuts off the tails is better than one that holds them.
 *
 * The range is the tensor's own, [min, max] (weights: +-max|w|), times one ratio. The first observation tries the whole
 * grid of ratios, later ones the neighbours of the last best: weights and activations drift, so the best ratio moves
 * one notch at a time. It looks at a sample (range_ends.h). For activations the ends are averaged like ema's; for weights
 * they are the current tensor's. */
#include "quant/range_ends.h"

#include <math.h>

enum { NOTCHES = 32 /* ratios 1/32 .. 32/32 */ };
enum { NOTCH = NB_ENDS, STATES };

static const nb_key mse_keys[] = {NB_KEY_MOMENTUM, {0}};

typedef struct {
    const nb_observation *o;
    float lo, hi; /* at ratio 1 */
    bool symmetric;
} search;

/* Sum of squared errors of some values at one ratio. Every value x lands on a multiple of the scale within lo..hi. */
static double error_of(const search *s, int32_t notch, const float *x, int32_t n)
{
    const nb_grid *g = s->o->grid;
    const float ratio = (float)notch / NOTCHES;
    const float levels = (float)(s->symmetric ? 2 * g->hi : g->hi - g->lo);
    const float wanted = ratio * (s->hi - s->lo) / levels;
    const float scale = g->format && g->format->scale ? g->format->scale(g->format_attr, wanted) : wanted;
    const float first = s->symmetric ? -0.5f * levels : rintf(ratio * s->lo / scale), last = first + levels;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        float q;
        if (g->level) {
            q = (float)nb_grid_nearest(g, x[i] / scale);
        } else {
            q = rintf(x[i] / scale);
            q = q < first ? first : q > last ? last : q;
        }
        double e = (double)x[i] - (double)(q * scale);
        sum += e * e;
    }
    return sum;
}

/* The ratio with the least error over the sample, which is taken block by block: it may be large. */
static int32_t best_notch(const search *s, int32_t from, int32_t to)
{
    double error[NOTCHES + 1] = {0};
    float x[NB_SAMPLE_BLOCK];
    nb_sample some = nb_sample_usual(s->o);
    for (int32_t n; (n = nb_sample_next(&some, x)) > 0;)
        for (int32_t k = from; k <= to; k++)
            error[k] += error_of(s, k, x, n);
    int32_t best = to;
    for (int32_t k = to - 1; k >= from; k--) /* ties keep the wider range */
        best = error[k] < error[best] ? k : best;
    return best;
}

static void mse_observe(const void *attr, float *state, const nb_observation *o)
{
    search s = {o, fminf(o->min, 0.0f), fmaxf(o->max, 0.0f), nb_grid_symmetric(o->grid)};
    if (s.symmetric) {
        s.hi = fmaxf(-s.lo, s.hi);
        s.lo = -s.hi;
    }
    int32_t notch = o->first ? NOTCHES : (int32_t)state[NOTCH];
    if (s.hi - s.lo >= 1e-30f) /* nothing to choose in a tensor of zeros */
        notch = o->first ? best_notch(&s, 1, NOTCHES)
                         : best_notch(&s, notch > 1 ? notch - 1 : 1, notch < NOTCHES ? notch + 1 : NOTCHES);
    const float ratio = (float)notch / NOTCHES, m = nb_ends_share(o, ((const nb_range_average *)attr)->momentum);
    state[NB_LOW] = (1.0f - m) * state[NB_LOW] + m * ratio * s.lo; /* in this order since ever: runs stay the same */
    state[NB_HIGH] = (1.0f - m) * state[NB_HIGH] + m * ratio * s.hi;
    state[NOTCH] = (float)notch;
}

static bool mse_sound(const float *state)
{
    return nb_ends_sound(state) && state[NOTCH] >= 1 && state[NOTCH] <= NOTCHES && state[NOTCH] == floorf(state[NOTCH]);
}

const nb_range nb_range_mse = {.name = "mse",
                               .help = "the range with the smallest mean squared quantization error",
                               .keys = mse_keys,
                               .attr_size = sizeof(nb_range_average),
                               .n_state = STATES,
                               .observe = mse_observe,
                               .params = nb_ends_params,
                               .sound = mse_sound};
