/* reals.c - rounding to a table of levels that are no integers, for networks that are simulated: plain C, a search of
 * eight steps without a branch. */
#include "kernels/sweeps/sweep.h"

#include <math.h>
#include <string.h>

/* The smallest float that goes to the upper of two levels. Their middle belongs to the one that is an even number of
 * levels from 0: of floats that is the one whose last bit is 0. */
static float boundary(float below, float above, int32_t above_zero)
{
    const double middle = 0.5 * ((double)below + (double)above);
    const float f = (float)middle;
    const int to_above = above_zero % 2 == 0;
    return (double)f < middle || ((double)f == middle && !to_above) ? nextafterf(f, INFINITY) : f;
}

void nb_k_reals(nb_kreals *t, const float *level, int32_t n)
{
    t->zero = 0;
    while (level[t->zero] < 0.0f)
        t->zero++;
    for (int32_t i = 0; i < NB_REALS; i++) {
        t->level[i] = level[i < n ? i : n - 1];
        t->from[i] = i >= n ? INFINITY : i > 0 ? boundary(level[i - 1], level[i], i - t->zero) : -INFINITY;
    }
    t->first = level[0] - 0.5f * (level[1] - level[0]);
    t->last = level[n - 1] + 0.5f * (level[n - 1] - level[n - 2]);
}

/* Past the end `from` is infinite and `level` the last one: infinity finds it all the same. */
static float nearest(const nb_kreals *t, float v)
{
    int32_t i = 0;
    for (int32_t step = NB_REALS / 2; step > 0; step /= 2)
        i += v >= t->from[i + step] ? step : 0;
    return t->level[i];
}

void nb_k_quantize_reals(float *y, uint8_t *mask, const float *x, int64_t n, float scale, const nb_kreals *t)
{
    if (mask)
        memset(mask, 0, (size_t)((n + 7) / 8));
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        y[i] = v == v ? scale * nearest(t, v) : 0.0f;
        if (mask && v >= t->first && v <= t->last)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
    }
}

void nb_k_scale_grad_reals(double *lane, const float *dy, const float *x, float scale, const nb_kreals *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v)
            continue;
        const float level = nearest(t, v);
        lane[i % NB_SCALE_LANES] += (double)(dy[i] * (v >= t->first && v <= t->last ? level - v : level));
    }
}
