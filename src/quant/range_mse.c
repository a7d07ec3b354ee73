/* range_mse.c - the range with the smallest mean squared quantization error (Nagel et al. 2021, eq. 3.2: argmin over
 * ranges of ||x - Q(x)||^2). With few bits a range that cuts off the tails is better than one that holds them.
 *
 * The range is the tensor's own, [min, max] (weights: +-max|w|), times one ratio. The first observation tries the whole
 * grid of ratios, later ones the neighbours of the last best: weights and activations drift, so the best ratio moves
 * one notch at a time. At most SAMPLES values are looked at; a calibration has few batches, so each shows more: the
 * tails are rare, and what misses them cuts them off. One value is taken from each of as many stretches of equal
 * length, at a place that a hash of the stretch's number says: every n-th value would be of a few channels, rows or
 * columns only wherever n shares a factor with theirs. For activations the ends are averaged like ema's; for weights
 * they are the current tensor's. */
#include <nibble/extend/quant.h>

#include "base/rng.h"

#include <math.h>

enum { NOTCHES = 32 /* ratios 1/32 .. 32/32 */, SAMPLES = 2048, CALIBRATION_SAMPLES = 65536, BLOCK = 2048 };
enum { LO, HI, NOTCH, STATES };

typedef struct {
    float momentum;
} mse_attr;

static const nb_key mse_keys[] = {
    NB_KEY_FLOAT(mse_attr, momentum, "0.05", 1e-6, 1, "activations: share of the new batch in the moving average"),
    {0}};

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
    const bool full = g->scheme == NB_SCHEME_FULL;
    const float levels = (float)(s->symmetric ? 2 * g->hi : g->hi - g->lo);
    const float wanted = ratio * (s->hi - s->lo) / levels;
    const float scale = g->format && g->format->scale ? g->format->scale(g->format_attr, wanted) : wanted;
    const float first = full ? (float)g->lo : s->symmetric ? -0.5f * levels : rintf(ratio * s->lo / scale);
    const float last = full ? (float)g->hi : first + levels;
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        float q;
        if (g->n_levels) {
            q = nb_grid_round(g, x[i] / scale);
        } else {
            q = rintf(x[i] / scale);
            q = q < first ? first : q > last ? last : q;
        }
        double e = (double)x[i] - (double)(q * scale);
        sum += e * e;
    }
    return sum;
}

/* Which value stands for those from `from` on, `stretch` of them at most. */
static int64_t sampled(const nb_observation *o, int64_t from, int64_t stretch)
{
    const int64_t left = o->n - from, width = left < stretch ? left : stretch;
    return from + (int64_t)((nb_mix((uint64_t)o->n, (uint64_t)from) >> 32) * (uint64_t)width >> 32);
}

/* The ratio with the least error over the sample, which is taken block by block: it may be large. */
static int32_t best_notch(const search *s, int32_t from, int32_t to)
{
    const nb_observation *o = s->o;
    const int64_t samples = o->calibration ? CALIBRATION_SAMPLES : SAMPLES, stretch = (o->n + samples - 1) / samples;
    double error[NOTCHES + 1] = {0};
    float x[BLOCK];
    for (int64_t at = 0; at < o->n;) {
        int32_t n = 0;
        for (; n < BLOCK && at < o->n; n++, at += stretch)
            x[n] = o->values.at(o->values.arg, sampled(o, at, stretch));
        for (int32_t k = from; k <= to; k++)
            error[k] += error_of(s, k, x, n);
    }
    int32_t best = to;
    for (int32_t k = to - 1; k >= from; k--) /* ties keep the wider range */
        best = error[k] < error[best] ? k : best;
    return best;
}

static void mse_observe(const void *attr, float *state, const nb_observation *o)
{
    search s = {o, fminf(o->min, 0.0f), fmaxf(o->max, 0.0f),
                o->grid->scheme == NB_SCHEME_SYMMETRIC || o->grid->scheme == NB_SCHEME_FULL};
    if (s.symmetric) {
        s.hi = fmaxf(-s.lo, s.hi);
        s.lo = -s.hi;
    }
    int32_t notch = o->first ? NOTCHES : (int32_t)state[NOTCH];
    if (s.hi - s.lo >= 1e-30f) /* nothing to choose in a tensor of zeros */
        notch = o->first ? best_notch(&s, 1, NOTCHES)
                         : best_notch(&s, notch > 1 ? notch - 1 : 1, notch < NOTCHES ? notch + 1 : NOTCHES);
    const float ratio = (float)notch / NOTCHES, share = nb_observation_share(o, ((const mse_attr *)attr)->momentum);
    const float m = o->first || o->grid->weights ? 1.0f : share;
    state[LO] = (1.0f - m) * state[LO] + m * ratio * s.lo;
    state[HI] = (1.0f - m) * state[HI] + m * ratio * s.hi;
    state[NOTCH] = (float)notch;
}

static void mse_params(const void *attr, const float *state, const nb_grid *g, float *scale, int32_t *zero)
{
    (void)attr;
    nb_params_cover(g, state[LO], state[HI], scale, zero);
}

static bool mse_sound(const float *state)
{
    return state[LO] <= state[HI] && state[NOTCH] >= 1 && state[NOTCH] <= NOTCHES &&
           state[NOTCH] == floorf(state[NOTCH]);
}

const nb_range nb_range_mse = {.name = "mse",
                               .help = "the range with the smallest mean squared quantization error",
                               .keys = mse_keys,
                               .attr_size = sizeof(mse_attr),
                               .n_state = STATES,
                               .observe = mse_observe,
                               .params = mse_params,
                               .sound = mse_sound};
