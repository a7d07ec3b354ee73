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
    const int32_t first = level[0];
    nb_k_levels_at(t, level, NULL, n);
    for (int32_t negative = 0; negative < 2; negative++)
        for (int32_t k = 0; k < NB_HALF_STEPS; k++) {
            const int32_t twice = negative ? -k : k; /* 2 * v */
            int32_t best = first;
            for (int32_t i = 1; i < n; i++) {
                const int32_t far = abs(twice - 2 * best), near = abs(twice - 2 * level[i]);
                if (near < far || (near == far && abs(level[i]) <= abs(best)))
                    best = level[i];
            }
            t->near[negative][k] = (int8_t)best;
        }
}

void nb_k_levels_at(nb_klevels *t, const int8_t *level, const float *edge, int32_t n)
{
    const int32_t first = level[0], last = level[n - 1];
    t->most = (float)(last > -first ? last : -first);
    t->passes = 0;
    t->level = level;
    t->edge = edge;
    t->n = n;
}

/* Which half step v, no NaN, is in. */
static int32_t half_step(float v)
{
    const float size = ceilf(2.0f * fabsf(v));
    return size < (float)NB_HALF_STEPS ? (int32_t)size : NB_HALF_STEPS - 1;
}

/* An edge itself is of the side that is nearer to 0. */
static int32_t between_edges(const nb_klevels *t, float v)
{
    int32_t i = 0, end = t->n - 1; /* the level is one of i..end */
    while (i < end) {
        const int32_t middle = (i + end) / 2;
        if (t->edge[middle] > 0 ? v <= t->edge[middle] : v < t->edge[middle])
            end = middle;
        else
            i = middle + 1;
    }
    return t->level[i];
}

static int32_t level_of(const nb_klevels *t, float v)
{
    return t->edge ? between_edges(t, v) : t->near[v < 0.0f][half_step(v)];
}

static float reach_of(const nb_klevels *t, float scale)
{
    return t->passes > 0 ? t->passes / scale : t->most + 0.5f;
}

void nb_k_quantize_levels(uint8_t *codes, uint8_t *mask, const float *x, int64_t n, float scale, const nb_klevels *t)
{
    const float reach = reach_of(t, scale);
    if (mask)
        memset(mask, 0, (size_t)((n + 7) / 8));
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v) {
            codes[i] = (uint8_t)level_of(t, 0);
            continue;
        }
        codes[i] = (uint8_t)level_of(t, v);
        if (mask && fabsf(v) <= reach)
            mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
    }
}

void nb_k_scale_grad_levels(double *lane, const float *dy, const float *x, float scale, const nb_klevels *t, int64_t n)
{
    const float reach = reach_of(t, scale);
    for (int64_t i = 0; i < n; i++) {
        const float v = x[i] / scale;
        if (v != v)
            continue;
        const float code = (float)level_of(t, v);
        lane[i % NB_SCALE_LANES] += (double)(dy[i] * (fabsf(v) <= reach ? code - v : code));
    }
}
