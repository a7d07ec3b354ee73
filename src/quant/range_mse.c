/* range_mse.c - the range with the smallest mean squared quantization error (Nagel et al. 2021, eq. 3.2: argmin over
 * ranges of ||x - Q(x)||^2). With few bits a range that cuts off the tails is better than one that holds them.
 *
 * The range is the tensor's own, [min, max] (weights: +-max|w|), times one ratio. The first observation tries the whole
 * grid of ratios, later ones the neighbours of the last best: weights and activations drift, so the best ratio moves
 * one notch at a time. It looks at a sample (range_ends.h). For activations the ends are averaged like ema's; for weights
 * they are the current tensor's.
 *
 * Against a dense search (200 ratios, all pairs of ends; tests/unit/test_range_mse.c) a notched ratio's error is within 1 % up
 * to 5 bits, 5 % at 7 and 8, where either error is small, but up to 30 % more where an asymmetric grid of few levels holds
 * values on both sides of 0, since how 0 falls on the grid then matters. A calibration has the time to do better: it
 * searches between notches, and in that last case each end for itself: within 3 % on average. That is the error of a batch;
 * the ends are averaged over batches, and with 6 bits or more and heavy tails the average loses what each gained. */
#include "quant/range_ends.h"

#include "kernels/sweeps/sweep.h"

#include <math.h>
#include <string.h>

enum {
    NOTCHES = 32 /* ratios 1/32 .. 32/32 */,
    FINE = 8 * NOTCHES,
    EACH_END_BITS = 5,
    MOST_ENDS = 1 + NOTCHES,
    MOST_TRIES = 40
};
enum { NOTCH = NB_ENDS, STATES };

static const nb_key mse_keys[] = {NB_KEY_MOMENTUM, {0}};

typedef struct {
    const nb_observation *o;
    float lo, hi; /* at ratio 1 */
    bool symmetric;
} search;

/* What is tried, in batches of as many as a sweep looks at. */
typedef struct {
    nb_ktries of[MOST_TRIES / NB_TRIES];
    int32_t n;
} tries;

/* Codes first..last times scale. */
static void add_try(tries *t, float scale, float first, float last)
{
    nb_ktries *batch = &t->of[t->n / NB_TRIES];
    for (int32_t k = t->n % NB_TRIES; k < NB_TRIES; k++) { /* the rest of a batch: any grid */
        batch->scale[k] = scale;
        batch->first[k] = first;
        batch->last[k] = last;
    }
    batch->n = t->n++ % NB_TRIES + 1;
}

/* On a grid of levels; what nb_k_grid_errors does on equal steps. */
static double error_of_levels(const nb_grid *g, float scale, const float *x, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const double e = (double)x[i] - (double)(nb_grid_round(g, x[i] / scale) * scale);
        sum += e * e;
    }
    return sum;
}

typedef struct {
    const search *s;
    const tries *t;
    double error[NB_SAMPLE_BLOCKS][MOST_TRIES];
} trial;

static void try_block(void *arg, int32_t block, const float *x, int32_t n)
{
    trial *r = arg;
    const nb_grid *g = r->s->o->grid;
    double *error = r->error[block];
    memset(error, 0, sizeof r->error[block]);
    for (int32_t k = 0; k < r->t->n; k++) {
        const nb_ktries *batch = &r->t->of[k / NB_TRIES];
        if (g->n_levels)
            error[k] = error_of_levels(g, batch->scale[k % NB_TRIES], x, n);
        else if (k % NB_TRIES == 0)
            nb_k_grid_errors(error + k, x, n, batch);
    }
}

/* The try with the least sum of squared errors over the usual sample; of equal ones the first. */
static int32_t best_try(const search *s, const tries *t)
{
    trial r;
    r.s = s;
    r.t = t;
    double error[MOST_TRIES] = {0};
    const int32_t blocks = nb_sample_each(s->o, try_block, &r);
    for (int32_t b = 0; b < blocks; b++) /* in order, whoever was first */
        for (int32_t k = 0; k < t->n; k++)
            error[k] += r.error[b][k];
    int32_t best = 0;
    for (int32_t k = 1; k < t->n; k++)
        best = error[k] < error[best] ? k : best;
    return best;
}

/* One ratio. */
static void add_notch(const search *s, int32_t notch, tries *t)
{
    const nb_grid *g = s->o->grid;
    const float ratio = (float)notch / NOTCHES;
    const float levels = (float)(s->symmetric ? 2 * g->hi : g->hi - g->lo);
    const float wanted = ratio * (s->hi - s->lo) / levels;
    const float scale = g->format && g->format->scale ? g->format->scale(g->format_attr, wanted) : wanted;
    const bool full = g->scheme == NB_SCHEME_FULL;
    const float first = full ? (float)g->lo : s->symmetric ? -0.5f * levels : rintf(ratio * s->lo / scale);
    add_try(t, scale, first, full ? (float)g->hi : first + levels);
}

/* Of equal ones the wider. */
static int32_t best_notch(const search *s, int32_t from, int32_t to)
{
    tries t = {.n = 0};
    for (int32_t k = to; k >= from; k--)
        add_notch(s, k, &t);
    return to - best_try(s, &t);
}

/* ---- in a calibration: finer, and each end for itself ---- */

typedef struct {
    int32_t low, high; /* in 1/FINE of the tensor's own ends */
} ends;

/* The one of n with the least error over a sample; of equal ones the first. */
static ends best_ends(const search *s, const ends *of, int32_t n)
{
    tries t = {.n = 0};
    for (int32_t k = 0; k < n; k++) {
        const nb_grid *g = s->o->grid;
        float scale;
        int32_t zero;
        nb_params_cover(g, s->lo * (float)of[k].low / FINE, s->hi * (float)of[k].high / FINE, &scale, &zero);
        add_try(&t, scale, (float)(g->lo - zero), (float)(g->hi - zero));
    }
    return of[best_try(s, &t)];
}

/* One end at every notch. */
static ends along(const search *s, ends start, bool low)
{
    ends of[MOST_ENDS] = {start};
    for (int32_t k = 1; k <= NOTCHES; k++)
        of[k] = low ? (ends){(k - 1) * (FINE / NOTCHES), start.high} : (ends){start.low, k * (FINE / NOTCHES)};
    return best_ends(s, of, MOST_ENDS);
}

/* The neighbourhood of start, up to one notch, along the ends that move. */
static ends nearby(const search *s, ends start, bool low, bool high)
{
    ends of[2 * (FINE / NOTCHES) + 1] = {start};
    int32_t n = 1;
    for (int32_t d = -(FINE / NOTCHES); d <= FINE / NOTCHES; d++) {
        const ends e = {start.low + (low ? d : 0), start.high + (high ? d : 0)};
        if (d && e.low >= 0 && e.low <= FINE && e.high > 0 && e.high <= FINE)
            of[n++] = e;
    }
    return best_ends(s, of, n);
}

/* Where the average of the batches before lies in this one. */
static int32_t place(float end, float of)
{
    const float at = rintf(end / of * FINE);
    return at >= 1 ? (at < FINE ? (int32_t)at : FINE) : 1; /* also what is not a number */
}

/* Later batches stay near the first one's choice: ends that are far apart are no good on average. */
static ends refined(const search *s, int32_t notch, const float *state)
{
    ends e = {notch * (FINE / NOTCHES), notch * (FINE / NOTCHES)};
    if (s->symmetric || !(s->lo < 0 && s->hi > 0) || s->o->grid->bits > EACH_END_BITS)
        return nearby(s, e, true, true);
    if (!s->o->first)
        e = (ends){place(state[NB_LOW], s->lo), place(state[NB_HIGH], s->hi)};
    for (int32_t round = 0; s->o->first && round < 2; round++)
        e = along(s, along(s, e, true), false);
    e = nearby(s, e, true, true);
    return nearby(s, nearby(s, e, true, false), false, true);
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
    state[NOTCH] = (float)notch;
    if (o->calibration && s.hi - s.lo >= 1e-30f) {
        const ends e = refined(&s, notch, state);
        nb_ends_follow(state, o, ((const nb_range_average *)attr)->momentum, s.lo * (float)e.low / FINE,
                       s.hi * (float)e.high / FINE);
        return;
    }
    const float ratio = (float)notch / NOTCHES, m = nb_ends_share(o, ((const nb_range_average *)attr)->momentum);
    state[NB_LOW] = (1.0f - m) * state[NB_LOW] + m * ratio * s.lo; /* in this order since ever: runs stay the same */
    state[NB_HIGH] = (1.0f - m) * state[NB_HIGH] + m * ratio * s.hi;
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
