/* density.c - fits by moments and exact rounding noise; see density.h.
 *
 * The noise is a sum over levels of the integral of (x - level)^2 f(x) over the level's cell, from the density's partial
 * moments of order 0 to 2, which all have closed forms as tails: integrals from a >= 0 to infinity. */
#include "analysis/density.h"

static const double SQRT_HALF = 0.70710678118654752440, INV_SQRT_2PI = 0.39894228040143267794;

typedef struct {
    double m[3]; /* integrals of t^k f(t) */
} partial;

/* From a >= 0 to infinity, of the two-sided density with center 0 and spread 1. */
static partial tail(nb_fit fit, double a)
{
    partial p = {{0}};
    if (isinf(a) || (fit == NB_FIT_UNIFORM && a >= 1))
        return p;
    if (fit == NB_FIT_GAUSSIAN) {
        const double f = INV_SQRT_2PI * exp(-a * a / 2);
        p.m[0] = erfc(a * SQRT_HALF) / 2;
        p.m[1] = f;
        p.m[2] = p.m[0] + a * f;
    } else if (fit == NB_FIT_LAPLACE) {
        const double f = exp(-a) / 2;
        p.m[0] = f;
        p.m[1] = (a + 1) * f;
        p.m[2] = (a * a + 2 * a + 2) * f;
    } else {
        p.m[0] = (1 - a) / 2;
        p.m[1] = (1 - a * a) / 4;
        p.m[2] = (1 - a * a * a) / 6;
    }
    return p;
}

static partial less(partial a, partial b)
{
    for (int i = 0; i < 3; i++)
        a.m[i] -= b.m[i];
    return a;
}

/* From a to b. */
static partial between(const nb_density *d, double a, double b)
{
    partial above = {{0}}, below = {{0}};
    if (b > 0)
        above = less(tail(d->fit, fmax(a, 0)), tail(d->fit, b));
    if (a < 0 && !d->one_sided)
        below = less(tail(d->fit, fmax(-b, 0)), tail(d->fit, -a));
    below.m[1] = -below.m[1];
    for (int i = 0; i < 3; i++)
        above.m[i] = (d->one_sided ? 2 : 1) * (above.m[i] + below.m[i]);
    return above;
}

/* Squared distance of one value to the level whose cell it is in. */
static double error_of(double x, const double *level, const double *edge, int32_t n)
{
    int32_t i = 0;
    while (i < n - 1 && x > edge[i])
        i++;
    return (x - level[i]) * (x - level[i]);
}

double nb_density_noise(const nb_density *d, const double *level, const double *edge, int32_t n)
{
    const double zero = error_of(0, level, edge, n);
    if (!(d->spread > 0))
        return d->zeros * zero + (1 - d->zeros) * error_of(d->center, level, edge, n);
    const double first = (d->low - d->center) / d->spread, last = (d->high - d->center) / d->spread;
    double sum = 0, mass = 0, from = first;
    for (int32_t i = 0; i < n; i++) {
        const double end = i < n - 1 ? (edge[i] - d->center) / d->spread : INFINITY, to = fmin(fmax(end, first), last);
        const double at = (level[i] - d->center) / d->spread;
        const partial p = between(d, from, to);
        sum += p.m[2] - 2 * at * p.m[1] + at * at * p.m[0];
        mass += p.m[0];
        from = to;
    }
    return d->zeros * zero + (1 - d->zeros) * fmax(sum, 0) / mass * d->spread * d->spread;
}

void nb_density_clip(const nb_density *d, double intervals, double *low, double *high)
{
    const nb_clip_case c = {d->fit, d->one_sided, intervals};
    const double reach = nb_clip_factor(&c) * d->spread;
    *low = d->one_sided ? 0 : d->center - reach;
    *high = d->center + reach;
}

/* Takes this fit if it explains the n values better; two-sided ones have chosen two parameters for it. */
static void consider(nb_density *d, nb_fit fit, bool one_sided, double center, double spread, double n)
{
    const double width = nb_fit_width(fit, spread) / (one_sided ? 2 : 1);
    const double criterion = -log(width) - (one_sided ? 1 : 2) * log(n) / (2 * n);
    if (!(criterion > d->criterion))
        return;
    d->fit = fit;
    d->one_sided = one_sided;
    d->center = center;
    d->spread = spread;
    d->criterion = criterion;
}

nb_density nb_density_fit(const nb_stats *s)
{
    const nb_extent *e = &s->extent;
    const double n = (double)(e->n - e->zeros);
    nb_density d = {.fit = NB_FIT_UNIFORM, .low = e->min, .high = e->max, .criterion = INFINITY};
    d.zeros = e->n > 0 ? (double)e->zeros / (double)e->n : 1;
    if (!(n > 0))
        return d;
    const double mean = e->sum / n, rms = sqrt(e->squares / n), deviation = sqrt(fmax(e->squares / n - mean * mean, 0));
    d.center = mean;
    if (e->min == e->max || !(deviation > 1e-12 * rms)) /* rounding errors of the sums are all there is */
        return d;
    d.criterion = -INFINITY;
    if (e->min >= 0) { /* first: of equal ones the simpler */
        consider(&d, NB_FIT_GAUSSIAN, true, 0, rms, n);
        consider(&d, NB_FIT_LAPLACE, true, 0, mean, n);
        consider(&d, NB_FIT_UNIFORM, true, 0, e->max, n);
    }
    consider(&d, NB_FIT_GAUSSIAN, false, mean, deviation, n);
    consider(&d, NB_FIT_LAPLACE, false, mean, s->moments.size / n, n);
    consider(&d, NB_FIT_UNIFORM, false, (e->min + e->max) / 2, (e->max - e->min) / 2, n);
    return d;
}

const char *nb_density_name(const nb_density *d)
{
    static const char *const names[2][3] = {{"gaussian", "laplace", "uniform"},
                                            {"half-normal", "exponential", "uniform from 0"}};
    return d->spread > 0 ? names[d->one_sided][d->fit] : "constant";
}
