/* moments.c - see moments.h. The clipped normal is Nagel et al. 2019 (arXiv:1906.04721), appendix C. */
#include "quant/moments.h"

#include <nibble/extend/quant.h>

#include <math.h>

static double density(double x)
{
    return isinf(x) ? 0 : 0.39894228040143267794 * exp(-0.5 * x * x);
}

static double distribution(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

/* value * weight where a weight of 0 stands for an end that is not there. */
static double share(double value, double weight)
{
    return weight > 0 ? value * weight : 0;
}

void nb_clip_moments(double low, double high, double *mean, double *deviation)
{
    const double m = *mean, s = *deviation;
    if (!(s > 0)) {
        *mean = fmin(fmax(m, low), high);
        return;
    }
    const double a = (low - m) / s, b = (high - m) / s;
    const double below = distribution(a), above = distribution(-b), inside = distribution(b) - below;
    const double first = share(low, below) + share(high, above) + m * inside + s * (density(a) - density(b));
    const double second = share(low * low, below) + share(high * high, above) + (m * m + s * s) * inside +
                          s * (share(m + low, density(a)) - share(m + high, density(b)));
    *mean = first;
    *deviation = sqrt(fmax(second - first * first, 0));
}

/* A concat has the channels of all inputs, one after the other. */
static bool is_concat(const nb_node *n)
{
    int64_t channels = 0;
    for (int32_t k = 0; k < n->n_in; k++)
        channels += nb_channels(&n->in[k]->out);
    return channels == nb_channels(&n->out);
}

static bool join_moments(const nb_node *n, int32_t c, double *mean, double *deviation)
{
    const bool add = !is_concat(n);
    double sum = 0, var = 0;
    for (int32_t k = 0; k < n->n_in; k++) {
        double m, s;
        const int32_t channels = nb_channels(&n->in[k]->out);
        if (!add && c < channels)
            return nb_value_moments(n->in[k], c, mean, deviation);
        c -= add ? 0 : channels;
        if (!add)
            continue;
        if (!nb_value_moments(n->in[k], c % channels, &m, &s))
            return false;
        sum += k && n->op->flags & NB_OP_SUBTRACTS ? -m : m;
        var += s * s;
    }
    *mean = sum;
    *deviation = sqrt(var);
    return add;
}

/* ---- tables ---- */

/* One function, or one for each channel (as of a PReLU)? */
static bool is_one_function(const nb_node *n)
{
    return n->n_in == 1 || n->in[1]->out.shape.d[0] == 1;
}

/* Of f(x) with x normal, by its values at points across FAR deviations on either side. */
static void table_moments(const nb_node *n, double *mean, double *deviation)
{
    enum { POINTS = 129, FAR = 5 };
    float x[POINTS], y[POINTS];
    double weight = 0, first = 0, second = 0;
    for (int32_t i = 0; i < POINTS; i++)
        x[i] = (float)(*mean + *deviation * FAR * (2.0 * i / (POINTS - 1) - 1));
    n->op->each(n, y, x, POINTS);
    for (int32_t i = 0; i < POINTS; i++) {
        const double w = density(FAR * (2.0 * i / (POINTS - 1) - 1));
        weight += w;
        first += w * (double)y[i];
        second += w * (double)y[i] * (double)y[i];
    }
    *mean = first / weight;
    *deviation = sqrt(fmax(second / weight - *mean * *mean, 0));
}

static bool table_interval(const nb_node *n, int32_t c, double a, double *low, double *high)
{
    enum { POINTS = 129 };
    float x[POINTS], y[POINTS];
    double from, to;
    if (!is_one_function(n) || !nb_value_interval(n->in[0], c, a, &from, &to))
        return false;
    for (int32_t i = 0; i < POINTS; i++)
        x[i] = (float)(from + (to - from) * i / (POINTS - 1));
    n->op->each(n, y, x, POINTS);
    *low = INFINITY;
    *high = -INFINITY;
    for (int32_t i = 0; i < POINTS; i++) {
        *low = fmin(*low, (double)y[i]);
        *high = fmax(*high, (double)y[i]);
    }
    return true;
}

bool nb_value_interval(const nb_node *n, int32_t c, double a, double *low, double *high)
{
    float least = -INFINITY, most = INFINITY;
    double mean, deviation;
    if (n->op->role == NB_ROLE_QUANTIZER || n->op == &nb_op_dequantize)
        return nb_value_interval(n->in[0], c, a, low, high);
    if (n->op->role == NB_ROLE_TABLE)
        return table_interval(n, c, a, low, high);
    if (n->op->role == NB_ROLE_CLAMP) {
        if (!nb_value_interval(n->in[0], c, a, low, high))
            return false;
        n->op->bounds(n, &least, &most);
        *low = fmin(fmax(*low, (double)least), (double)most);
        *high = fmin(fmax(*high, (double)least), (double)most);
        return true;
    }
    if (!nb_value_moments(n, c, &mean, &deviation))
        return false;
    *low = mean - a * deviation;
    *high = mean + a * deviation;
    return true;
}

bool nb_value_moments(const nb_node *n, int32_t c, double *mean, double *deviation)
{
    const bool view = n->op->flags & NB_OP_KEEPS_MEAN;
    float low = -INFINITY, high = INFINITY;
    if (view || n->op->role == NB_ROLE_QUANTIZER || n->op == &nb_op_dequantize)
        return nb_value_moments(n->in[0], c % nb_channels(&n->in[0]->out), mean, deviation);
    switch (n->op->role) {
    case NB_ROLE_AFFINE:
        if (!n->op->moments)
            return false;
        n->op->moments(n, c, mean, deviation);
        return true;
    case NB_ROLE_CLAMP:
        if (!nb_value_moments(n->in[0], c, mean, deviation))
            return false;
        n->op->bounds(n, &low, &high);
        nb_clip_moments((double)low, (double)high, mean, deviation);
        return true;
    case NB_ROLE_TABLE:
        if (!is_one_function(n) || !nb_value_moments(n->in[0], c, mean, deviation))
            return false;
        table_moments(n, mean, deviation);
        return true;
    case NB_ROLE_JOIN:
        return join_moments(n, c, mean, deviation);
    default:
        return false;
    }
}
