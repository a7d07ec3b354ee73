/* value_stats.h - what a tensor's values are like, and how far rounded ones are from them: for who looks at networks.
 *
 * Values are looked at up to three times, since each look needs what the one before found: the extent, then moments about
 * the mean, then what lies far from it. All sums are in double; a tensor that comes in parts (images) is summed part by
 * part and merged in order, which gives the same bits for any number of threads. Who has all values at once calls
 * nb_stats_of. stride: distance of one value to the next, so that a channel of NHWC values can be looked at alone. */
#ifndef NB_ANALYSIS_VALUE_STATS_H
#define NB_ANALYSIS_VALUE_STATS_H

#include <math.h>
#include <stdint.h>

/* First look. sum is finite exactly when all values are. */
typedef struct {
    int64_t n, zeros;
    double min, max, sum, squares; /* min > max: nothing seen */
} nb_extent;

/* Second look. */
typedef struct {
    double second, fourth; /* sums of (x - mean)^2 and ^4 */
    double size;           /* sum of |x - mean of those that are not 0|, over those */
} nb_moments;

/* Third look: farther from the mean than so many standard deviations. */
typedef struct {
    int64_t beyond4, beyond6;
} nb_outliers;

typedef struct {
    nb_extent extent;
    nb_moments moments;
    nb_outliers outliers;
} nb_stats;

#define NB_EXTENT_NONE ((nb_extent){.min = INFINITY, .max = -INFINITY})

void nb_extent_add(nb_extent *e, const float *x, int64_t n, int64_t stride);
void nb_extent_merge(nb_extent *to, const nb_extent *from);
/* of: the extent of all the values, of which x may be a part. */
void nb_moments_add(nb_moments *m, const nb_extent *of, const float *x, int64_t n, int64_t stride);
void nb_moments_merge(nb_moments *to, const nb_moments *from);
/* of: extent and moments of all the values. */
void nb_outliers_add(nb_outliers *o, const nb_stats *of, const float *x, int64_t n, int64_t stride);
void nb_outliers_merge(nb_outliers *to, const nb_outliers *from);
nb_stats nb_stats_of(const float *x, int64_t n, int64_t stride);

double nb_stats_mean(const nb_stats *s);
double nb_stats_std(const nb_stats *s); /* of the population: divided by n */
double nb_stats_kurtosis(
    const nb_stats *s); /* fourth moment / variance^2: 3 of a Gaussian, 6 of a Laplace, 1.8 of a uniform;
                                                NAN of values that are all the same */

/* 10 log10(signal / noise): sums, or means, of squares. INFINITY without noise, NAN without signal. */
static inline double nb_decibel(double signal, double noise)
{
    return signal > 0 ? 10 * log10(signal / noise) : (double)NAN;
}

#endif
