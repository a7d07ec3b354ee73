/* rounding.c - rounding that is not to nearest: values are moved to the code that was chosen, and the kernels, which round
 * to nearest, find it. So codes, masks and levels are everywhere those of the plain path. */
#include "quant/learned.h"

#include "base/rng.h"

#include <math.h>

/* Codes are within 256 steps of 0: what is further away is cut off by whoever rounds it. */
static const float FAR = 1024;

static float level_at(const nb_grid *g, int32_t i)
{
    return g->real ? g->real[i] : (float)g->level[i];
}

/* The codes around v, in units of the scale; false where v is beyond them. */
static bool neighbours(const nb_grid *g, float v, float *below, float *above)
{
    if (!g->level && !g->real) {
        *below = floorf(v);
        *above = *below + 1;
        return fabsf(v) < FAR;
    }
    int32_t i = 0, end = g->n_levels - 1;
    if (!(v >= level_at(g, i) && v < level_at(g, end)))
        return false;
    while (end - i > 1) {
        const int32_t middle = (i + end) / 2;
        if (level_at(g, middle) <= v)
            i = middle;
        else
            end = middle;
    }
    *below = level_at(g, i);
    *above = level_at(g, end);
    return true;
}

nb_fq_draw nb_fq_draw_of(const nb_node *n, const nb_run *r)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_rounding *how = a->rounding;
    if (nb_fakequant_nearest(a) || (how->random && (!r->train || r->calibration > 0)))
        return (nb_fq_draw){0};
    const nb_cut *cut = nb_fq_cut(n);
    return (nb_fq_draw){.choose = how->choose,
                        .key = nb_mix(nb_mix(r->seed, r->step), nb_hash_text(n->name)),
                        .from = cut ? nb_fq_slice_of(n, 0).count / cut->images * cut->first : 0};
}

void nb_fq_round(float *out, const float *x, int64_t n, float scale, const nb_grid *g, const nb_fq_draw *d,
                 int64_t first)
{
    uint32_t word[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = d->from + first + i;
        const float v = x[i] / scale;
        float below, above;
        if (i == 0 || at % 4 == 0)
            nb_philox(word, d->key, (uint64_t)at / 4, 0);
        out[i] = neighbours(g, v, &below, &above)
                     ? scale * d->choose(v, below, above, (float)(word[at % 4] >> 8) * 0x1p-24f)
                     : x[i];
    }
}
