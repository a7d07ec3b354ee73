/* value_stats.c - the three looks; see value_stats.h. */
#include "analysis/value_stats.h"

static double mean_of(const nb_extent *e)
{
    return e->n > 0 ? e->sum / (double)e->n : 0;
}

/* Of the values that are not 0. */
static double core_mean(const nb_extent *e)
{
    return e->n > e->zeros ? e->sum / (double)(e->n - e->zeros) : 0;
}

void nb_extent_add(nb_extent *e, const float *x, int64_t n, int64_t stride)
{
    nb_extent k = *e;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)x[i * stride];
        k.min = v < k.min ? v : k.min;
        k.max = v > k.max ? v : k.max;
        k.sum += v;
        k.squares += v * v;
        k.zeros += v == 0;
    }
    k.n += n;
    *e = k;
}

void nb_extent_merge(nb_extent *to, const nb_extent *from)
{
    to->n += from->n;
    to->zeros += from->zeros;
    to->min = fmin(to->min, from->min);
    to->max = fmax(to->max, from->max);
    to->sum += from->sum;
    to->squares += from->squares;
}

void nb_moments_add(nb_moments *m, const nb_extent *of, const float *x, int64_t n, int64_t stride)
{
    const double mean = mean_of(of), core = core_mean(of);
    nb_moments k = *m;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)x[i * stride], square = (v - mean) * (v - mean);
        k.second += square;
        k.fourth += square * square;
        k.size += v != 0 ? fabs(v - core) : 0;
    }
    *m = k;
}

void nb_moments_merge(nb_moments *to, const nb_moments *from)
{
    to->second += from->second;
    to->fourth += from->fourth;
    to->size += from->size;
}

void nb_outliers_add(nb_outliers *o, const nb_stats *of, const float *x, int64_t n, int64_t stride)
{
    const double mean = nb_stats_mean(of), std = nb_stats_std(of);
    nb_outliers k = *o;
    for (int64_t i = 0; i < n; i++) {
        const double far = fabs((double)x[i * stride] - mean);
        k.beyond4 += far > 4 * std;
        k.beyond6 += far > 6 * std;
    }
    *o = k;
}

void nb_outliers_merge(nb_outliers *to, const nb_outliers *from)
{
    to->beyond4 += from->beyond4;
    to->beyond6 += from->beyond6;
}

nb_stats nb_stats_of(const float *x, int64_t n, int64_t stride)
{
    nb_stats s = {.extent = NB_EXTENT_NONE};
    nb_extent_add(&s.extent, x, n, stride);
    nb_moments_add(&s.moments, &s.extent, x, n, stride);
    nb_outliers_add(&s.outliers, &s, x, n, stride);
    return s;
}

double nb_stats_mean(const nb_stats *s)
{
    return mean_of(&s->extent);
}

double nb_stats_std(const nb_stats *s)
{
    return s->extent.n > 0 ? sqrt(s->moments.second / (double)s->extent.n) : 0;
}

double nb_stats_kurtosis(const nb_stats *s)
{
    const double n = (double)s->extent.n, variance = s->moments.second / n;
    return s->moments.fourth / n / (variance * variance);
}
