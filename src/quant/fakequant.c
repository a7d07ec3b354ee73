/* fakequant.c - the fake-quant node: floats in, codes out.
 *
 * forward   (training, observers active) observe the range, set scale and zero point; then q =
 * clamp(round_half_even(x/s) + z, lo, hi). The output holds codes; nothing is expanded to floats again. backward
 * straight-through estimator with clipping: the gradient passes where the unclamped code was inside the grid (Nagel et
 * al. 2021, eq. 17); forward leaves one bit per value for that. A learned scale (learned.c) takes the range's place once
 * it has begun. Evaluation never observes, so it never changes a result. A weight's scale has a floor: where the codes of a channel could make a sum of its layer leave 32 bits, or
 * the layer's bias would in units of such a sum, the scale is the smallest at which neither can. Training and lowering
 * ask the same function, so they have the same codes. Work is cut into fixed chunks: per channel (or group of them that
 * share a scale) for weights, CHUNK values for activations; minimum and maximum do not depend on order, so neither do
 * ranges. Codes of weights are stored less their zero point, so that everything behind sees plain integers times a scale. */
#include "quant/fakequant.h"

#include <nibble/extend/lowering.h>

#include "base/check.h"
#include "base/parallel.h"
#include "quant/learned.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16384 /* a multiple of 8: mask bytes are not shared between chunks */, FEW_VALUES = 65536 };

typedef struct {
    nb_node *n;
    nb_fq_priv *p;
    int64_t count, per;  /* values in all, per channel (of scales) */
    int64_t mask_stride; /* bytes per channel */
    bool observe, add;
    int32_t calibration;
} fq_job;

static nb_status fq_build(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    n->priv = nb_graph_alloc(g, sizeof(nb_fq_priv));
    if (!n->priv)
        return NB_E_NOMEM;
    nb_fq_priv *p = n->priv;
    p->graph = g;
    if (a->format && (a->format->book || a->format->edges)) {
        const size_t tables = a->per_channel ? (size_t)n->out.shape.d[0] : 1, most = (size_t)1 << a->bits;
        p->book = nb_graph_alloc(g, tables * most);
        p->edge = nb_graph_alloc(g, tables * most * sizeof *p->edge);
        if (!p->book || !p->edge)
            return NB_E_NOMEM;
    }
    return nb_fq_learned_leaf(g, n);
}

/* The policy may widen a node after it was built, so its grid is made when it is wanted. */
static void set_grid(const nb_node *n, nb_qparams *q)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    p->grid = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, a->weights, p->level);
    if (p->grid.level)
        nb_k_levels(&p->levels, p->grid.level, p->grid.n_levels);
    p->levels.passes = a->format->passes;
    const nb_grid *g = &p->grid;
    q->bits = g->bits;
    q->lo = g->lo;
    q->hi = g->hi;
    q->dtype = g->dtype;
    /* with edges of their own all integers of a grid are levels here, but nothing else need know */
    const bool every = a->format->edges && g->level && g->n_levels == g->hi - g->lo + 1;
    q->level = every ? NULL : a->format->book ? p->book : g->level;
    q->n_levels = every ? 0 : g->n_levels;
    q->n_tables = !q->level ? 0 : a->format->book ? q->n : 1;
}

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

static nb_status fq_prepare(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    int32_t channels = a->per_channel ? n->out.shape.d[0] : 1;
    int64_t count = nb_count(&n->out), per = count / channels;
    nb_fq_priv *p = n->priv;
    p->n_chunks_max = (int32_t)nb_chunks(count, CHUNK);
    p->q.n = channels;
    p->q.scale = nb_graph_alloc(g, (size_t)channels * sizeof(float));
    p->q.zero = nb_graph_alloc(g, (size_t)channels * sizeof(int32_t));
    p->lo = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    p->hi = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    if (!p->q.scale || !p->q.zero || !p->lo || !p->hi)
        return NB_E_NOMEM;
    set_grid(n, &p->q);
    n->out.dtype = p->q.dtype;
    n->out.q = &p->q;
    n->saved_bytes = (size_t)channels * (size_t)nb_chunks(per, 8);
    return nb_fq_learned_prepare(g, n);
}

float nb_observation_share(const nb_observation *o, float momentum)
{
    if (o->calibration == 0)
        return momentum;
    return (float)((double)momentum / (1 - pow(1 - (double)momentum, o->calibration)));
}

static float stored(const void *x, int64_t i)
{
    return ((const float *)x)[i];
}

/* Finds the scale of all nodes that share n's format, if they have one: the largest that a row of theirs wants by now. Not while
 * rows are being observed. */
static void set_one_scale(const nb_node *n)
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

/* The state of row r from what there is to see; skips a tensor with NaN or infinity (the trainer stops on the loss
 * it makes). */
static void observe(const nb_node *n, int32_t r, const nb_observation *seen)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    float *state = nb_fq_state(n, r);
    nb_observation o = *seen;
    o.grid = &p->grid;
    o.first = !nb_fq_seen(n, r);
    if (isfinite(o.min) && isfinite(o.max)) {
        a->range->observe(a->range_attr, state, &o);
        state[nb_fq_states(a)] = 1.0f;
    }
    nb_fq_learned_begin(n, r, o.calibration > 0);
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
    const double each = total_size(w, per) / (double)s, most_size = q->level ? 2 * each : each + 0.5 * (double)per;
    if (zero_is_nearest(q) &&
        most_size * (double)reach * (1 + 0x1p-20) + fabs(bias) / (double)s + 1 < (double)NB_SUM_LIMIT &&
        fabs(bias) < most * (double)s)
        return s;
    int64_t size = 0, sum = 0;
    double total = 0;
    for (int64_t i = 0; i < per; i++) {
        const int64_t held = nb_grid_nearest(q, w[i] / s);
        size += llabs(held);
        sum += held;
        total += fabs((double)w[i]);
    }
    if (!isfinite(total) || !isfinite(bias))
        return s; /* the trainer stops on the loss it makes */
    if (fabs(bias) < most * (double)s &&
        nb_sum_bound(x->lo, x->hi, x->zero[0], size, sum, llrint(bias / (double)s)) < NB_SUM_LIMIT)
        return s;
    /* a level may be twice what it stands for; where what is nearly 0 has a level far from it, all may be the largest */
    const int64_t rounded = q->level ? INT64_MAX : per;
    if (!zero_is_nearest(q))
        total = fmax(total, (double)per * largest * (double)s);
    return fmaxf(s, (float)nb_scale_floor(x->lo, x->hi, x->zero[0], total, rounded, bias));
}

/* The scale that all channels of row r can have in place of this one. */
static float keep_sums(const nb_node *n, int32_t r, float scale, int32_t zero, const nb_weight_use *use)
{
    const int64_t per = nb_count(&n->out) / n->out.shape.d[0];
    const float *w = n->in[0]->out.data;
    nb_grid g = nb_fq_grid(n, r);
    float s = scale;
    g.lo -= zero;
    g.hi -= zero;
    for (int32_t c = r * nb_fq_group(n); c < nb_fq_row_end(n, r); c++)
        s = fmaxf(s, channel_scale(use, &g, w + c * per, per, c, scale));
    return s > scale ? nb_grid_scale(&((const nb_fq_priv *)n->priv)->grid, s) : scale;
}

/* Of row r: all its channels'. */
static void set_params(const nb_node *n, nb_qparams *q, int32_t r, const nb_weight_use *use)
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
    if (a->weights && use && use->x)
        scale = keep_sums(n, r, scale, zero, use);
    const int32_t first = q->n > 1 ? r * nb_fq_group(n) : 0, end = q->n > 1 ? nb_fq_row_end(n, r) : 1;
    for (int32_t c = first; c < end; c++) {
        q->scale[c] = scale;
        q->zero[c] = zero;
    }
}

void nb_fakequant_read_by(const nb_node *fq, const nb_node *mac)
{
    nb_fq_priv *p = fq->priv;
    p->reader = mac;
}

static nb_weight_use use_of(const nb_fq_priv *p)
{
    const nb_node *mac = p->reader;
    return mac ? (nb_weight_use){mac->in[0]->out.q, mac->n_in > 2 ? mac->in[2]->out.data : NULL} : (nb_weight_use){0};
}

bool nb_fakequant_state_sound(const nb_node *n, const float *state)
{
    const nb_fakequant_attr *a = n->attr;
    const float seen = state[nb_fq_states(a)];
    return seen == 0.0f || (seen == 1.0f && (!a->range->sound || a->range->sound(state)));
}

bool nb_fakequant_fusible(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return !a->per_channel && !a->weights;
}

bool nb_fakequant_observes(const nb_node *n, const nb_run *r)
{
    return r->train && !r->freeze_ranges && (r->calibration > 0 || !nb_fq_learning(n));
}

void nb_fakequant_settle(nb_node *n, const nb_run *r, float min, float max, const nb_values *values)
{
    nb_fq_priv *p = n->priv;
    const nb_observation o = {
        .values = *values, .n = nb_count(&n->out), .min = min, .max = max, .calibration = r->calibration};
    if (nb_fakequant_observes(n, r))
        observe(n, 0, &o);
    set_one_scale(n);
    set_params(n, &p->q, 0, NULL);
}

static void quantize(const nb_node *node, uint8_t *codes, uint8_t *mask, const float *x, int64_t n, const nb_qparams *q,
                     int64_t c)
{
    const nb_fakequant_attr *a = node->attr;
    const nb_fq_priv *p = node->priv;
    nb_klevels own;
    if (p->grid.n_levels)
        nb_k_quantize_levels(codes, mask, x, n, q->scale[c], nb_fq_levels(node, (int32_t)c / nb_fq_group(node), &own));
    else if (a->weights)
        nb_k_quantize(codes, mask, x, n, q->scale[c], 0, q->lo - q->zero[c], q->hi - q->zero[c]);
    else
        nb_k_quantize(codes, mask, x, n, q->scale[c], q->zero[c], q->lo, q->hi);
}

static void row_observe(void *arg, int64_t row, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    const int32_t r = (int32_t)row, first = r * nb_fq_group(j->n), end = nb_fq_row_end(j->n, r);
    const float *x = (const float *)j->n->in[0]->out.data + first * j->per;
    if (!j->observe)
        return;
    nb_observation o = {.values = {stored, x}, .n = (end - first) * j->per, .calibration = j->calibration};
    nb_k_minmax(&o.min, &o.max, x, o.n);
    observe(j->n, r, &o);
}

static void row_quantize(void *arg, int64_t row, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    const int32_t r = (int32_t)row, first = r * nb_fq_group(j->n), end = nb_fq_row_end(j->n, r);
    const float *x = j->n->in[0]->out.data;
    const nb_weight_use use = use_of(j->p);
    set_params(j->n, &j->p->q, r, &use);
    for (int64_t c = first; c < end; c++)
        quantize(j->n, (uint8_t *)j->n->out.data + c * j->per, (uint8_t *)j->n->saved + c * j->mask_stride,
                 x + c * j->per, j->per, &j->p->q, c);
}

/* One channel, or a group of them. */
static void row_forward(void *arg, int64_t row, int32_t thread)
{
    row_observe(arg, row, thread);
    row_quantize(arg, row, thread);
}

static void chunk_minmax(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    nb_k_minmax(&j->p->lo[i], &j->p->hi[i], (const float *)j->n->in[0]->out.data + at, end - at);
}

static void chunk_quantize(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    quantize(j->n, (uint8_t *)j->n->out.data + at, (uint8_t *)j->n->saved + at / 8,
             (const float *)j->n->in[0]->out.data + at, end - at, &j->p->q, 0);
}

static void tensor_forward(fq_job *j)
{
    int64_t chunks = nb_chunks(j->count, CHUNK);
    if (j->observe) {
        nb_parallel_for(chunks, chunk_minmax, j);
        float lo = j->p->lo[0], hi = j->p->hi[0];
        for (int64_t i = 1; i < chunks; i++) { /* comparisons written so that a NaN sticks */
            lo = !(j->p->lo[i] >= lo) ? j->p->lo[i] : lo;
            hi = !(j->p->hi[i] <= hi) ? j->p->hi[i] : hi;
            if (isnan(lo))
                break;
        }
        const nb_observation o = {.values = {stored, j->n->in[0]->out.data},
                                  .n = j->count,
                                  .min = lo,
                                  .max = hi,
                                  .calibration = j->calibration};
        observe(j->n, 0, &o);
    }
    const nb_weight_use use = use_of(j->p);
    set_one_scale(j->n);
    set_params(j->n, &j->p->q, 0, &use);
    nb_parallel_for(chunks, chunk_quantize, j);
}

static void fq_forward(nb_node *n, const nb_run *r)
{
    const nb_fakequant_attr *a = n->attr;
    fq_job j = {.n = n,
                .p = n->priv,
                .count = nb_count(&n->out),
                .observe = nb_fakequant_observes(n, r),
                .calibration = r->calibration};
    j.per = j.count / j.p->q.n;
    j.mask_stride = nb_chunks(j.per, 8);
    if (!a->per_channel) {
        tensor_forward(&j);
    } else if (a->format->one_scale) { /* that of all rows is known when all are observed */
        nb_parallel_for(nb_fq_rows(n), row_observe, &j);
        set_one_scale(n);
        nb_parallel_for(nb_fq_rows(n), row_quantize, &j);
    } else if (j.count < FEW_VALUES) { /* not worth waking a thread */
        for (int32_t row = 0; row < nb_fq_rows(n); row++)
            row_forward(&j, row, 0);
    } else {
        nb_parallel_for(nb_fq_rows(n), row_forward, &j);
    }
}

static void channel_backward(void *arg, int64_t c, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    nb_k_ste_backward(j->n->in[0]->out.grad + c * j->per, j->n->out.grad + c * j->per,
                      (const uint8_t *)j->n->saved + c * j->mask_stride, j->per, j->add);
}

static void chunk_backward(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    nb_k_ste_backward(j->n->in[0]->out.grad + at, j->n->out.grad + at, (const uint8_t *)j->n->saved + at / 8, end - at,
                      j->add);
}

static void fq_backward(nb_node *n, const nb_run *r)
{
    if (nb_fakequant_learns(n, r))
        nb_fq_learned_backward(n);
    if (!n->in[0]->out.grad)
        return;
    const nb_fakequant_attr *a = n->attr;
    fq_job j = {.n = n, .p = n->priv, .count = nb_count(&n->out), .add = !(n->fresh & 1)};
    j.per = j.count / j.p->q.n;
    j.mask_stride = nb_chunks(j.per, 8);
    if (a->per_channel)
        nb_parallel_for(j.p->q.n, channel_backward, &j);
    else
        nb_parallel_for(nb_chunks(j.count, CHUNK), chunk_backward, &j);
}

int32_t nb_fakequant_channels(const nb_node *fq)
{
    const nb_fakequant_attr *a = fq->attr;
    return a->per_channel ? fq->out.shape.d[0] : 1;
}

nb_status nb_fakequant_snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q, int8_t *codes)
{
    q->n = nb_fakequant_channels(fq);
    set_grid(fq, q);
    set_one_scale(fq);
    int64_t per = nb_count(&fq->out) / q->n;
    for (int32_t r = 0; r < nb_fq_rows(fq); r++) {
        if (!nb_fq_seen(fq, r))
            return nb_fail(ctx, NB_E_UNSUPPORTED,
                           "%s has no range yet: train at least one step with quant: on before lowering", fq->name);
        set_params(fq, q, r, use);
    }
    for (int32_t c = 0; codes && c < q->n; c++)
        quantize(fq, (uint8_t *)codes + c * per, NULL, (const float *)fq->in[0]->out.data + c * per, per, q, c);
    return NB_OK;
}

static nb_status fq_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_close(lo, n);
}

const nb_op nb_op_fakequant = {.name = "fakequant",
                               .help = "quantize to codes; straight-through estimator",
                               .attr_size = sizeof(nb_fakequant_attr),
                               .min_in = 1,
                               .max_in = 1,
                               .flags = NB_OP_INTERNAL | NB_OP_BWD_SETS,
                               .role = NB_ROLE_QUANTIZER,
                               .build = fq_build,
                               .prepare = fq_prepare,
                               .forward = fq_forward,
                               .backward = fq_backward,
                               .lower = fq_lower};
