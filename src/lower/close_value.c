/* close_value.c - closing an open value: multiplier, shift, int32 bias and zero point of one engine step. */
#include "lower/lower_value.h"

#include "base/check.h"
#include "quant/requant.h"

#include <math.h>
#include <string.h>

/* The codes of the real clamp; infinities are the grid's ends. */
static void clamp_to_grid(const nb_lval *v, const nb_lval *y, nb_estep *s)
{
    const double lo = nearbyint(v->low / y->info.scale) + y->t.zero,
                 hi = nearbyint(v->high / y->info.scale) + y->t.zero;
    s->lo = lo > y->lo ? (int32_t)fmin(lo, y->hi) : y->lo;
    s->hi = hi < y->hi ? (int32_t)fmax(hi, y->lo) : y->hi;
}

enum { IMAGE = 4 }; /* up to so many channels have a table each, which earlier versions read, too */

/* Channels beyond an image's share a table where theirs are the same. */
static bool shares_table(const uint8_t *table, int32_t c)
{
    for (int32_t k = 1; k < c; k++)
        if (memcmp(table, table + (size_t)k * 256, 256) != 0)
            return false;
    return c > IMAGE;
}

/* The contract's float division, as fake-quant does; no real is zero, as there. */
static int32_t code_of(float real, const nb_lval *y)
{
    const float q = nearbyintf(real / y->info.scale) + (float)y->t.zero;
    return isnan(q) ? y->t.zero : q < (float)y->lo ? y->lo : q > (float)y->hi ? y->hi : (int32_t)q;
}

/* Of codes the clamp is what the table holds; what nobody reads, bytes that are no codes, is the zero point. */
static nb_status close_table(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s)
{
    uint8_t *table = nb_arena_alloc(lo->arena, (size_t)v->n_real * 256);
    const nb_lval *x = v->n_in ? &lo->val[v->in[0]] : NULL;
    if (!table)
        return NB_E_NOMEM;
    if (x) {
        s->lo = y->hi;
        s->hi = y->lo;
    }
    for (int32_t i = 0; i < v->n_real * 256; i++) {
        const int32_t byte = i % 256, in = x && x->t.type == NB_EI_S8 && byte > 127 ? byte - 256 : byte;
        const bool read = !x || (in >= x->lo && in <= x->hi);
        const int32_t code = read ? code_of(nb_lval_clamp(v, v->real[i]), y) : y->t.zero;
        table[i] = (uint8_t)code;
        s->lo = code < s->lo ? code : s->lo;
        s->hi = code > s->hi ? code : s->hi;
    }
    s->kind = NB_STEP_TABLE;
    s->table = table;
    s->one_table = x ? v->n_real == 1 : shares_table(table, v->n_real);
    return NB_OK;
}

static nb_status cannot_close(nb_lowering *lo, const nb_lval *v, double out_scale, int32_t c)
{
    return nb_fail(lo->ctx, NB_E_RANGE,
                   "%s: channel %d: no integers can stand for it (bias %g, scale %g, its output's %g): these are no "
                   "sensible numbers, so training has diverged or the file is damaged",
                   v->opener->name, c, v->bias[c], v->scale[c], out_scale);
}

static bool symmetric(const int8_t *level, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (level[i] != -level[n - 1 - i])
            return false;
    return true;
}

/* The levels of the weights as they are now: channels that were negated have them of the other sign, and then, unless all
 * channels' are the same either way, a table of their own. */
static nb_status set_levels(nb_lowering *lo, const nb_lval *v, const bool *negated, nb_sinfo *info)
{
    const int32_t n = v->n_levels, oc = v->geom.oc;
    info->level = v->level;
    info->n_levels = n;
    info->n_tables = v->n_tables;
    bool same = true;
    for (int32_t c = 0; v->level && c < oc; c++)
        same = same && (!negated[c] || symmetric(v->level + (v->n_tables > 1 ? c : 0) * n, n));
    if (same)
        return NB_OK;
    int8_t *level = nb_arena_alloc(lo->arena, (size_t)oc * (size_t)n);
    if (!level)
        return NB_E_NOMEM;
    for (int32_t c = 0; c < oc; c++) {
        const int8_t *from = v->level + (v->n_tables > 1 ? c : 0) * n;
        for (int32_t i = 0; i < n; i++)
            level[c * n + i] = negated[c] ? (int8_t)-from[n - 1 - i] : from[i];
    }
    info->level = level;
    info->n_tables = oc;
    return NB_OK;
}

/* s->weights are the caller's to free, also when it fails: a network's are many, and the builder copies them. */
static nb_status close_mac(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s, nb_sinfo *info)
{
    const nb_lval *x = &lo->val[v->in[0]];
    int32_t oc = v->geom.oc;
    int64_t per = (int64_t)v->geom.kh * v->geom.kw * (v->geom.c / v->geom.groups);
    int32_t *bias = nb_arena_array(lo->arena, (size_t)oc, sizeof *bias);
    int32_t *mult = nb_arena_array(lo->arena, (size_t)oc, sizeof *mult);
    int32_t *shift = nb_arena_array(lo->arena, (size_t)oc, sizeof *shift);
    int8_t *w = nb_alloc(lo->ctx, (size_t)(oc * per));
    float *weight_scale = nb_arena_array(lo->arena, (size_t)oc, sizeof *weight_scale);
    bool *negated = nb_arena_array(lo->arena, (size_t)oc, sizeof *negated);
    bool as_trained = true;
    s->weights = w;
    if (!bias || !mult || !shift || !w || !weight_scale || !negated)
        return NB_E_NOMEM;
    memcpy(w, v->weights, (size_t)(oc * per));
    for (int32_t c = 0; c < oc; c++) {
        const nb_requant_spec spec = {.scale = v->scale[c],
                                      .bias = v->bias[c],
                                      .out_scale = y->info.scale,
                                      .x_lo = x->lo,
                                      .x_hi = x->hi,
                                      .x_zero = x->t.zero,
                                      .y_zero = y->t.zero,
                                      .y_lo = s->lo,
                                      .y_hi = s->hi,
                                      .level = v->level ? v->level + (v->n_tables > 1 ? c : 0) * v->n_levels : NULL,
                                      .n_levels = v->n_levels,
                                      .blocks = v->block > 0};
        nb_requant r;
        if (nb_requant_channel(&spec, w + c * per, per, &r) != NB_REQUANT_DONE)
            return cannot_close(lo, v, (double)y->info.scale, c);
        negated[c] = r.negated;
        weight_scale[c] = v->weight_scale[v->n_weight_scale > 1 ? c : 0] * (float)r.coarser;
        as_trained = as_trained && r.coarser == 1;
        bias[c] = r.bias;
        mult[c] = r.mult;
        shift[c] = r.shift;
    }
    s->kind = NB_STEP_CONV;
    s->geom = v->geom;
    s->bias = bias;
    s->mult = mult;
    s->shift = shift;
    info->weight_bits = v->weight_bits;
    info->block = v->block;
    info->weight_scale = as_trained ? v->weight_scale : weight_scale;
    info->n_scale = as_trained ? v->n_weight_scale : oc;
    return set_levels(lo, v, negated, info);
}

static nb_status scale_too_far(nb_lowering *lo, const nb_lval *v, const nb_lval *x, const nb_lval *y)
{
    return nb_fail(lo->ctx, NB_E_RANGE, "%s: the scales of %s (%g) and %s (%g) are too far apart to rescale",
                   v->opener->name, x->info.name, (double)x->info.scale, y->info.name, (double)y->info.scale);
}

/* Both multipliers share one shift, so that the sum is rounded once: the larger one is in [2^30, 2^31). Where it would have to be
 * larger still, an output that has been next to nothing, every sum but 0 is at an end of the grid: so it is with the
 * largest there is. */
static nb_status close_add(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s)
{
    int32_t *mult = nb_arena_array(lo->arena, 2, sizeof *mult), *shift = nb_arena_array(lo->arena, 1, sizeof *shift);
    if (!mult || !shift)
        return NB_E_NOMEM;
    const nb_lval *a = &lo->val[v->in[0]], *b = &lo->val[v->in[1]];
    const nb_lval *large = a->info.scale >= b->info.scale ? a : b;
    int32_t top;
    double unit = y->info.scale;
    if (!nb_multiplier_or_most((double)large->info.scale / unit, &top, shift))
        return scale_too_far(lo, v, large, y);
    unit = fmax(unit, (double)large->info.scale / NB_MULTIPLIER_MOST);
    for (int32_t k = 0; k < 2; k++) {
        double m = ldexp((double)lo->val[v->in[k]].info.scale / unit, *shift);
        mult[k] = &lo->val[v->in[k]] == large || m >= top ? top : (int32_t)llrint(m);
    }
    mult[1] = v->minus ? -mult[1] : mult[1];
    s->kind = NB_STEP_ADD;
    s->mult = mult;
    s->shift = shift;
    return NB_OK;
}

/* Any less is exact with this one: products of codes and sums of 2^20 of them, below 2^28, become 0 by either. One that is
 * too large, too. */
static const double LEAST = 0x1p-32;

/* A product, or a mean: one multiplier. */
static nb_status close_one(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s)
{
    int32_t *mult = nb_arena_alloc(lo->arena, sizeof *mult), *shift = nb_arena_alloc(lo->arena, sizeof *shift);
    if (!mult || !shift)
        return NB_E_NOMEM;
    const bool mean = v->kind == NB_LVAL_MEAN;
    const double other = mean ? 1.0 / v->geom.kh / v->geom.kw : (double)lo->val[v->in[1]].info.scale;
    const double scale = (double)lo->val[v->in[0]].info.scale * other;
    const bool fits = nb_multiplier_or_most(fmax(scale / (double)y->info.scale, LEAST), mult, shift);
    NB_ASSERT(fits);
    s->kind = mean ? NB_STEP_AVGPOOL : NB_STEP_MUL;
    s->geom = v->geom;
    s->mult = mult;
    s->shift = shift;
    return NB_OK;
}

static nb_status close_concat(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s)
{
    int32_t *mult = nb_arena_array(lo->arena, (size_t)v->n_in, sizeof *mult);
    int32_t *shift = nb_arena_array(lo->arena, (size_t)v->n_in, sizeof *shift);
    if (!mult || !shift)
        return NB_E_NOMEM;
    for (int32_t k = 0; k < v->n_in; k++) {
        const nb_lval *x = &lo->val[v->in[k]];
        if (!nb_multiplier_or_most((double)x->info.scale / y->info.scale, &mult[k], &shift[k]))
            return scale_too_far(lo, v, x, y);
    }
    s->kind = NB_STEP_CONCAT;
    s->mult = mult;
    s->shift = shift;
    return NB_OK;
}

static nb_status close_kind(nb_lowering *lo, const nb_lval *v, const nb_lval *y, nb_estep *s, nb_sinfo *info)
{
    switch (v->kind) {
    case NB_LVAL_TABLE:
        return close_table(lo, v, y, s);
    case NB_LVAL_MAC:
        return close_mac(lo, v, y, s, info);
    case NB_LVAL_ADD:
        return close_add(lo, v, y, s);
    case NB_LVAL_CONCAT:
        return close_concat(lo, v, y, s);
    case NB_LVAL_MUL:
    case NB_LVAL_MEAN:
        return close_one(lo, v, y, s);
    case NB_LVAL_NONE:
    case NB_LVAL_CLOSED:
        break;
    }
    NB_ASSERT(false);
    return NB_E_UNSUPPORTED;
}

nb_status nb_lval_close(nb_lowering *lo, const nb_lval *v, nb_lval *y)
{
    nb_estep s = {.n_in = v->n_in};
    nb_sinfo info = {.name = v->opener->name};
    for (int32_t k = 0; k < v->n_in; k++)
        s.in[k] = lo->val[v->in[k]].tensor;
    clamp_to_grid(v, y, &s);
    nb_status st = close_kind(lo, v, y, &s, &info);
    void *weights = (void *)(uintptr_t)s.weights;
    if (st == NB_OK)
        st = nb_intbuilder_tensor(lo->builder, &y->t, &y->info, &y->tensor);
    s.out = y->tensor;
    if (st == NB_OK)
        st = nb_intbuilder_step(lo->builder, &s, &info);
    nb_free(lo->ctx, weights);
    return st;
}
