/* levels.c - rounding to a table of levels, for weights: they are few, so plain C is all there is.
 *
 * Levels are integers, so the middle between two is a multiple of one half, and all values of ((k - 1) / 2, k / 2] in
 * size have one nearest level: a table over k answers. */
#include "kernels/sweeps/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void nb_k_levels(nb_klevels *t, const int8_t *level, int32_t n)
{
    const int32_t first = level[0], last = level[n - 1];
    t->most = (float)(last > -first ? last : -first);
    for (int32_t negative = 0; negative < 2; negative++)
        for (int32_t k = 0; k < NB_HALF_STEPS; k++) {
            const int32_t twice = negative ? -k : k; /* 2 * v */
            int32_t best = first;
            for (int32_t i = 1; i < n; i++) {
                const int32_t far = abs(twice - 2 * best), near = abs(twice - 2 * level[i]);
                if (near < far || (near == far && abs(level[i]) < abs(best)))
                    best = level[i];
            }
            t->near[negative][k] = (int8_t)best;
        }
}

/* Which half step v, no NaN, is in. */
static int32_t half_step(float v)
{
    const float size = ceilf(2.0f * fabsf(v));
    return size < (float)NB_HALF_STEPS ? (int32_t)size : NB_HALF_STEPS - 1;
}

void nb_k_quantize_levels(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, const nb_klevels *t)
{
    if (mask)
        memset(mask, 0, (size_t)((n + 7) / 8));
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v) {
            codes[i] = 0;
            continue;
        }
        codes[i] = (uint8_t)t->near[v < 0.0f][half_step(v)];
        if (mask && fabsf(v) <= t->most + 0.5f)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
    }
}

void nb_k_scale_grad_levels(double *lane, const float *dy, const float *x, float scale, const nb_klevels *t, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v)
            continue;
        const float code = (float)t->near[v < 0.0f][half_step(v)];
        lane[i % NB_SCALE_LANES] += (double)(dy[i] * (fabsf(v) <= t->most + 0.5f ? code - v : code));
    }
}
