/* density.h - the distribution that explains values best, and what rounding costs values that are drawn from it.
 *
 * Of Gaussian, Laplace and uniform, and, where no value is negative (behind a relu), their one-sided forms: half-normal,
 * exponential, uniform from 0. Each with its parameters from the moments; the one with the best Bayesian information
 * criterion, per value log likelihood - parameters * log(n) / 2n, is taken. Zeros are a share of their own, since relu and
 * pruning make them and a grid that has 0 keeps them: what is fitted are the other values. */
#ifndef NB_ANALYSIS_DENSITY_H
#define NB_ANALYSIS_DENSITY_H

#include "analysis/value_stats.h"
#include "quant/aciq.h"

typedef struct {
    nb_fit fit;
    bool one_sided;
    double zeros;          /* share of values that are 0 */
    double center, spread; /* spread as in aciq.h; one-sided: center is 0. spread 0: all are center */
    double low, high;      /* no value is outside; infinite: any can be */
    double criterion;      /* of the fit; INFINITY where spread is 0 */
} nb_density;

nb_density nb_density_fit(const nb_stats *s);
/* "gaussian", "laplace", "uniform", "half-normal", "exponential", "uniform from 0", "constant". */
const char *nb_density_name(const nb_density *d);

/* Mean squared error of values that go to level i between edge[i - 1] and edge[i]: level [n] and edge [n - 1] ascend. Exact:
 * integrals over the density between low and high (few values do not reach where a tail would be), rounding and clipping
 * alike. */
double nb_density_noise(const nb_density *d, const double *level, const double *edge, int32_t n);
/* The ends at which a grid of so many intervals costs such values least (aciq.h). */
void nb_density_clip(const nb_density *d, double intervals, double *low, double *high);

#endif
