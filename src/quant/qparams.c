/* qparams.c - grids and scales: from a real range to scale and zero point. */
#include <nibble/extend/quant.h>

#include "base/check.h"

#include <math.h>
#include <stdlib.h>

/* A range below this was never used (a dead layer, pruned weights): any scale represents its zeros, and a huge one
 * keeps the units of accumulators, and with them int32 biases, in proportion. What is used may be small as long as its
 * scale can: where biases would not fit, fakequant.c takes coarser weights. */
static const float RANGE_MIN = 0x1p-32f;
/* A scale outside these would make products of scales leave the range of normal floats: 2^-40 * 2^-40 * 2^-40 is still
 * normal. */
static const float SCALE_MIN = 0x1p-40f, SCALE_MAX = 0x1p40f;

nb_grid nb_grid_make(int32_t bits, nb_scheme scheme, bool weights)
{
    NB_ASSERT(bits >= 1 && bits <= 8);
    const bool sign = scheme == NB_SCHEME_SYMMETRIC || scheme == NB_SCHEME_FULL;
    nb_grid g = {.bits = bits, .scheme = scheme, .weights = weights, .dtype = sign || weights ? NB_S8 : NB_U8};
    g.hi = sign ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    g.lo = !sign ? 0 : weights && scheme == NB_SCHEME_SYMMETRIC ? -g.hi : -g.hi - 1;
    return g;
}

nb_grid nb_grid_of(const nb_format *f, const void *attr, int32_t bits, nb_scheme scheme, bool weights, int8_t *level)
{
    nb_grid g = nb_grid_make(bits, scheme, weights);
    g.format = f;
    g.format_attr = attr;
    if (f->book) {
        g.n_levels = 1 << bits;
        g.hi = 127;
        g.lo = -127;
    }
    if (weights && f->blocks) {
        g.block = f->blocks(attr, bits);
        g.block.n = g.block.depth > 0 ? g.block.n : 0;
        g.hi <<= g.block.n > 0 ? g.block.depth : 0;
        g.lo = -g.hi;
    }
    const int32_t n = weights && f->levels ? f->levels(attr, bits, level) : 0;
    if (n == 0)
        return g;
    g.level = level;
    g.n_levels = n;
    NB_ASSERT(n >= 2 && n <= 1 << bits);
    g.hi = level[g.n_levels - 1] > -level[0] ? level[g.n_levels - 1] : -level[0];
    g.lo = -g.hi;
    return g;
}

void nb_grid_take_reals(nb_grid *g, float *real)
{
    const nb_format *f = g->format;
    const int32_t n = !g->level && f && f->reals ? f->reals(g->format_attr, g->bits, real) : 0;
    if (n == 0)
        return;
    NB_ASSERT(n >= 2 && n <= 1 << g->bits && real[0] == -real[n - 1]);
    g->real = real;
    g->n_levels = n;
    g->hi = (int32_t)real[n - 1];
    g->lo = -g->hi;
    g->scheme = NB_SCHEME_SYMMETRIC;
    g->dtype = NB_F32;
}

static float sound_scale(const nb_grid *g, float s)
{
    s = s >= SCALE_MIN ? (s <= SCALE_MAX ? s : SCALE_MAX) : SCALE_MIN; /* NaN becomes SCALE_MIN */
    return g->format && g->format->scale ? g->format->scale(g->format_attr, s) : s;
}

float nb_grid_scale(const nb_grid *g, float wanted)
{
    return sound_scale(g, fmaxf(wanted, RANGE_MIN / (float)(g->hi - g->lo)));
}

float nb_power_of_two(float v)
{
    int exponent;
    const float fraction = frexpf(v, &exponent); /* v = fraction * 2^exponent, fraction in [0.5, 1) */
    return ldexpf(1.0f, fraction > 0.5f ? exponent : exponent - 1);
}

bool nb_grid_has_zero(const nb_grid *g)
{
    return g->scheme == NB_SCHEME_ASYMMETRIC && !g->level && !g->real;
}

int32_t nb_grid_zero(const nb_grid *g, float z)
{
    z = nearbyintf(z);
    return !(z > (float)g->lo) ? g->lo : z > (float)g->hi ? g->hi : (int32_t)z;
}

void nb_params_cover(const nb_grid *g, float lo, float hi, float *scale, int32_t *zero)
{
    lo = fminf(lo, 0.0f); /* real 0 is always a code; fminf and fmaxf drop a NaN */
    hi = fmaxf(hi, 0.0f);
    if (hi - lo < RANGE_MIN)
        hi = 1.0f;
    if (g->lo == 0 && g->scheme == NB_SCHEME_ASYMMETRIC) {
        const float wanted = (hi - lo) / (float)g->hi, s = sound_scale(g, wanted);
        *scale = s;
        /* A format may give a scale that is too small (fixed, with an exponent): then both ends lose the same share. */
        *zero = nb_grid_zero(g, s < wanted ? -lo * (float)g->hi / (hi - lo) : -lo / s);
        return;
    }
    /* Both ends of a full grid reach the range's; the symmetric one of activations counts as if it were narrow. */
    const float above = hi / (float)g->hi;
    const float below = g->lo == 0 ? 0 : -lo / (float)(g->scheme == NB_SCHEME_FULL ? -g->lo : g->hi);
    *scale = sound_scale(g, fmaxf(above, below));
    *zero = 0;
}

float nb_grid_round(const nb_grid *g, float v)
{
    if (!g->real)
        return (float)nb_grid_nearest(g, v);
    int32_t zero = 0, i = 0;
    while (g->real[zero] < 0.0f)
        zero++;
    while (i + 1 < g->n_levels && g->real[i + 1] <= v)
        i++;
    if (i + 1 == g->n_levels)
        return g->real[i];
    const float below = v - g->real[i], above = g->real[i + 1] - v;
    return below < above || (below == above && (i - zero) % 2 == 0) ? g->real[i] : g->real[i + 1];
}

int32_t nb_grid_nearest(const nb_grid *g, float v)
{
    if (!g->level) {
        const float r = nearbyintf(v);
        return !(r > (float)g->lo) ? g->lo : r > (float)g->hi ? g->hi : (int32_t)r;
    }
    if (g->edge) {
        int32_t i = 0;
        while (i < g->n_levels - 1 && !(g->edge[i] > 0 ? v <= g->edge[i] : v < g->edge[i]))
            i++;
        return g->level[i];
    }
    int32_t i = 0, end = g->n_levels - 1; /* level[i] <= v < level[end], or one of them is the last that is left */
    while (end - i > 1) {
        const int32_t middle = (i + end) / 2;
        if ((float)g->level[middle] <= v)
            i = middle;
        else
            end = middle;
    }
    const int32_t a = g->level[i], b = g->level[end];
    const float below = fabsf(v - (float)a), above = fabsf(v - (float)b);
    return below < above || (!(above < below) && abs(a) < abs(b)) ? a : b;
}

void nb_grid_book(nb_grid *g, const float *state, int8_t *level, float *edge)
{
    const nb_format *f = g->format;
    if (f->book) {
        f->book(g->format_attr, state, g->bits, level);
        g->level = level;
    }
    for (int32_t i = 0; i < g->n_levels - 1; i++)
        edge[i] = 0.5f * (float)(g->level[i] + g->level[i + 1]);
    if (f->edges)
        f->edges(g->format_attr, state, g->n_levels, edge);
    g->edge = edge;
}
