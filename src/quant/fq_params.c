/* fq_params.c - scale, zero point and levels of a fake-quant node, from what its state says now.
 *
 * A weight's scale has a floor: where the codes of a channel could make a sum of its layer leave 32 bits, or the layer's
 * bias would in units of such a sum, the scale is the smallest at which neither can. Training and lowering ask the same
 * function, so they have the same codes. */
#include <nibble/extend/lowering.h>

#include "base/check.h"
#include "quant/learned.h"
#include "quant/range_ends.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

nb_grid nb_fq_grid(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    nb_grid g = p->grid;
    const int64_t c = a->per_channel ? (int64_t)r * nb_fq_group(n) : 0;
    if (a->format->book)
        g.level = p->book + c * g.n_levels;
    if (p->edge)
        g.edge = p->edge + c * (g.n_levels - 1);
    return g;
}

const nb_klevels *nb_fq_levels(const nb_node *n, int32_t r, nb_klevels *own)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    if (!p->edge)
        return &p->levels;
    const nb_grid g = nb_fq_grid(n, r);
    nb_k_levels_at(own, g.level, g.edge, g.n_levels);
    own->passes = a->format->passes;
    return own;
}

/* Row r's levels and edges, from its state, for all its channels. */
static void set_book(const nb_node *n, int32_t r)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    if (!p->edge)
        return;
    nb_grid g = p->grid;
    const int64_t levels = g.n_levels, first = a->per_channel ? (int64_t)r * nb_fq_group(n) : 0;
    nb_grid_book(&g, nb_fq_state(n, r), p->book + first * levels, p->edge + first * (levels - 1));
    for (int64_t c = first + 1; a->per_channel && c < nb_fq_row_end(n, r); c++) {
        memcpy(p->book + c * levels, p->book + first * levels, (size_t)levels);
        memcpy(p->edge + c * (levels - 1), p->edge + first * (levels - 1), (size_t)(levels - 1) * sizeof *p->edge);
    }
}

void nb_fq_set_one_scale(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    if (!a->format->one_scale)
        return;
    p->one_scale = 0;
    for (int32_t i = 0; i < p->graph->n; i++) {
        const nb_node *other = p->graph->node[i];
        const nb_fakequant_attr *b = other->attr;
        if (!nb_is_quantizer(other) || b->format_attr != a->format_attr)
            continue;
        const nb_grid g = nb_grid_of(b->format, b->format_attr, b->bits, b->scheme, b->weights, NULL);
        for (int32_t r = 0; r < nb_fq_rows(other); r++) {
            float scale;
            int32_t zero;
            if (!nb_fq_seen(other, r))
                continue;
            b->range->params(b->range_attr, nb_fq_state(other, r), &g, &scale, &zero);
            p->one_scale = fmaxf(p->one_scale, scale);
        }
    }
}

/* Sum of |w| in lanes, which compilers turn into vectors. */
static double total_size(const float *w, int64_t n)
{
    enum { LANES = 8 };
    double lane[LANES] = {0}, sum = 0;
    for (; n >= LANES; n -= LANES, w += LANES)
        for (int32_t k = 0; k < LANES; k++)
            lane[k] += fabs((double)w[k]);
    for (int32_t k = 0; k < LANES; k++)
        sum += lane[k] + (k < n ? fabs((double)w[k]) : 0);
    return sum;
}

/* Is a level at most twice the value that it stands for, in size? Then it is 0 for the smallest. */
static bool zero_is_nearest(const nb_grid *q)
{
    return !q->edge && (!q->level || nb_grid_nearest(q, 0) == 0);
}

/* What the codes of w at scale s add up to, and their sizes. */
static void count_codes(const nb_grid *q, const float *w, int64_t per, float s, int64_t *size, int64_t *sum)
{
    const nb_grid one = nb_grid_mantissas(q);
    const int64_t block = q->block.n > 0 ? q->block.n : per;
    *size = *sum = 0;
    for (int64_t at = 0; at < per; at += block) {
        const int64_t end = at + block < per ? at + block : per;
        const int32_t e = q->block.n > 0 ? nb_grid_exponent(q, s, w + at, end - at) : 0;
        const float step = ldexpf(s, e);
        for (int64_t i = at; i < end; i++) {
            const int64_t held = nb_grid_nearest(&one, w[i] / step) * ((int64_t)1 << e);
            *size += llabs(held);
            *sum += held;
        }
    }
}

/* The scale of w (`per` weights of channel c) at which the layer's sums fit: s, unless they could leave 32 bits. */
static float channel_scale(const nb_weight_use *use, const nb_grid *q, const float *w, int64_t per, int32_t c, float s)
{
    const nb_qparams *x = use->x;
    const int64_t raw = x->hi > -x->lo ? x->hi : -x->lo, reach = raw + abs(x->zero[0]);
    const double bias = use->bias ? (double)use->bias[c] / (double)x->scale[0] : 0;
    const double most = 0.5 * (double)NB_SUM_LIMIT;
    const int32_t largest = q->hi > -q->lo ? q->hi : -q->lo;
    if ((double)per * (double)(largest * reach) <= most && fabs(bias) <= most * (double)s)
        return s; /* whatever the weights are */
    /* Nor need the codes be counted, in a wide layer, where their total is small however they round. */
    const bool apart = q->level || q->block.n > 0; /* codes lie apart: one may be twice what it stands for */
    const double each = total_size(w, per) / (double)s, most_size = apart ? 2 * each : each + 0.5 * (double)per;
    if (zero_is_nearest(q) &&
        most_size * (double)reach * (1 + 0x1p-20) + fabs(bias) / (double)s + 1 < (double)NB_SUM_LIMIT &&
        fabs(bias) < most * (double)s)
        return s;
    int64_t size, sum;
    double total = 0;
    count_codes(q, w, per, s, &size, &sum);
    for (int64_t i = 0; i < per; i++)
        total += fabs((double)w[i]);
    if (!isfinite(total) || !isfinite(bias))
        return s; /* the trainer stops on the loss it makes */
    if (fabs(bias) < most * (double)s &&
        nb_sum_bound(x->lo, x->hi, x->zero[0], size, sum, llrint(bias / (double)s)) < NB_SUM_LIMIT)
        return s;
    /* where what is nearly 0 has a level far from it, all may be the largest */
    const int64_t rounded = apart ? INT64_MAX : per;
    if (!zero_is_nearest(q))
        total = fmax(total, (double)per * largest * (double)s);
    return fmaxf(s, (float)nb_scale_floor(x->lo, x->hi, x->zero[0], total, rounded, bias));
}

/* The scale that all channels of row r can have in place of this one. */
static float keep_sums(const nb_node *n, int32_t r, float scale, int32_t zero, const nb_weight_use *use)
{
    const int64_t per = nb_count(&n->out) / n->out.shape.d[0];
    const nb_fq_priv *p = n->priv;
    const float *w = nb_fq_values(n);
    nb_grid g = nb_fq_grid(n, r);
    float s = scale;
    g.lo -= zero;
    g.hi -= zero;
    for (int32_t c = r * nb_fq_group(n); c < nb_fq_row_end(n, r); c++)
        s = fmaxf(s, channel_scale(use, &g, w + c * per, per, c, scale));
    return s > scale ? nb_grid_scale(&p->grid, s) : scale;
}

void nb_fq_set_params(const nb_node *n, nb_qparams *q, int32_t r, const nb_weight_use *use)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    float scale;
    int32_t zero;
    set_book(n, r);
    a->range->params(a->range_attr, nb_fq_state(n, r), &p->grid, &scale, &zero);
    if (a->format->one_scale && scale < p->one_scale) {
        zero = (int32_t)nearbyint((double)zero * (double)scale / (double)p->one_scale);
        scale = p->one_scale;
    }
    nb_fq_learned_params(n, r, &scale, &zero);
    nb_fq_learned_book(n, q, scale);
    if (a->weights && use && use->x) {
        scale = keep_sums(n, r, scale, zero, use);
        nb_fq_learned_book(n, q, scale);
    }
    const int32_t first = q->n > 1 ? r * nb_fq_group(n) : 0, end = q->n > 1 ? nb_fq_row_end(n, r) : 1;
    for (int32_t c = first; c < end; c++) {
        q->scale[c] = scale;
        q->zero[c] = zero;
    }
    nb_fq_set_exponents(n, r, scale);
}

bool nb_fakequant_scalable(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    const bool every = !p->grid.level && !p->grid.real && p->grid.block.n == 0;
    const bool own = !a->format->one_scale && !a->format->scale; /* any scale, and one that is not others', too */
    return !a->weights && !a->per_last && every && own && a->range->params == nb_ends_params && nb_fq_seen(n, 0) &&
           (a->learning == nb_registry_find(nb_learnings, "none") ||
            a->learning == nb_registry_find(nb_learnings, "lsq"));
}

void nb_fakequant_take_scale(nb_node *n, float scale)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_grid *g = &((const nb_fq_priv *)n->priv)->grid;
    float *state = nb_fq_state(n, 0), was;
    int32_t zero;
    NB_ASSERT(nb_fakequant_scalable(n));
    const float s = nb_grid_scale(g, scale);
    a->range->params(a->range_attr, state, g, &was, &zero);
    state[NB_LOW] = g->lo < 0 ? -s * (float)g->hi : s * (float)(g->lo - zero);
    state[NB_HIGH] = s * (float)(g->hi - zero);
    if (a->learning->n_state)
        ((float *)n->in[2]->out.data)[0] = s;
}
