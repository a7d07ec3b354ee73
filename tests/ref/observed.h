/* observed.h - a range method shown plain arrays, for its test. */
#ifndef NB_TESTS_OBSERVED_H
#define NB_TESTS_OBSERVED_H

#include <nibble/extend/quant.h>

#include <math.h>

static inline float observed_at(const void *x, int64_t i)
{
    return ((const float *)x)[i];
}

/* n values on a grid, as the first thing that is seen, in training. */
static inline nb_observation observed(const float *x, int64_t n, const nb_grid *g)
{
    nb_observation o = {.values = {observed_at, x}, .n = n, .min = x[0], .max = x[0], .grid = g, .first = true};
    for (int64_t i = 1; i < n; i++) {
        o.min = fminf(o.min, x[i]);
        o.max = fmaxf(o.max, x[i]);
    }
    return o;
}

/* Sum of squared errors on the grid that fake-quant makes of a scale and a zero point: the contract's own. */
static inline double observed_error(const float *x, int64_t n, const nb_grid *g, float scale, int32_t zero)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float code = fminf(fmaxf(rintf(x[i] / scale) + (float)zero, (float)g->lo), (float)g->hi);
        sum += pow((double)x[i] - (double)scale * ((double)code - zero), 2);
    }
    return sum;
}

/* A number in (0, 1) that depends on both. */
double observed_uniform(uint64_t seed, uint64_t i);
/* Standard values of a kind: 0 Gaussian, 1 Laplace, 2 Student's with 3 degrees of freedom, 3 relu of a Gaussian. */
void observed_fill(float *x, int64_t n, int32_t kind, uint64_t seed);

#endif
