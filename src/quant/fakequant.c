/* fakequant.c - the fake-quant node: floats in, codes out.
 *
 * forward   (training, observers active) observe the range, set scale and zero point (fq_params.c); then
 *           q = clamp(round_half_even(x/s) + z, lo, hi). The output holds codes; nothing is expanded to floats again.
 * backward  straight-through estimator with clipping: the gradient passes where the unclamped code was inside the grid
 *           (Nagel et al. 2021, eq. 17); forward leaves one bit per value for that.
 *
 * A learned scale (learned.c) takes the range's place once it has begun. Evaluation never observes, so it never changes
 * a result. Work is cut into fixed chunks: per channel (or group of them that share a scale) for weights, CHUNK values
 * for activations; minimum and maximum do not depend on order, so neither do ranges. Codes of weights are stored less
 * their zero point, so that everything behind sees plain integers times a scale. In a network that is simulated
 * simulate.c does all this, and floats come out. */
#include "quant/fakequant.h"

#include <nibble/extend/lowering.h>

#include "base/check.h"
#include "base/parallel.h"
#include "core/cut_gather.h"
#include "quant/learned.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = NB_FQ_CHUNK, FEW_VALUES = 65536 };

typedef struct {
    nb_node *n;
    nb_fq_priv *p;
    int64_t count, per;  /* values in all, per channel (of scales) */
    int64_t mask_stride; /* bytes per channel */
    bool observe, add;
    int32_t calibration;
    nb_fq_draw draw;
    float *dx; /* of what is quantized */
} fq_job;

/* What a node has beside its leaves. */
static nb_status make_priv(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
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
    return nb_fq_blocks_prepare(g, n);
}

static nb_status fq_build(nb_graph *g, nb_node *n)
{
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    NB_TRY(make_priv(g, n));
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
    nb_grid_take_reals(&p->grid, p->real);
    if (p->grid.real)
        nb_k_reals(&p->reals, p->grid.real, p->grid.n_levels);
    nb_fq_learned_book(n, q, 0);
    const nb_grid *g = &p->grid;
    q->bits = g->bits;
    q->lo = g->lo;
    q->hi = g->hi;
    q->dtype = g->dtype;
    /* with edges of their own all integers of a grid are levels here, but nothing else need know */
    const bool every = a->format->edges && g->level && g->n_levels == g->hi - g->lo + 1;
    q->level = every ? NULL : a->format->book ? p->book : g->level;
    q->n_levels = every ? 0 : g->n_levels;
    q->block = g->block.n;
    q->n_tables = !q->level ? 0 : a->format->book ? q->n : 1;
}

static nb_status fq_prepare(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    int32_t channels = nb_fakequant_channels(n);
    int64_t count = nb_count(&n->out), per = count / channels;
    const int64_t rows = nb_fq_rows(n), in_row = nb_fq_slice_of(n, 0).count; /* the last may have fewer */
    nb_fq_priv *p = n->priv;
    p->n_chunks_max = (int32_t)(a->simulated ? rows * nb_chunks(in_row, CHUNK) : nb_chunks(count, CHUNK));
    p->q.n = channels;
    p->q.scale = nb_graph_alloc(g, (size_t)channels * sizeof(float));
    p->q.zero = nb_graph_alloc(g, (size_t)channels * sizeof(int32_t));
    p->lo = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    p->hi = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    if (!p->q.scale || !p->q.zero || !p->lo || !p->hi)
        return NB_E_NOMEM;
    set_grid(n, &p->q);
    p->lost = p->grid.real ? nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof *p->lost) : NULL;
    if (p->grid.real && !p->lost)
        return NB_E_NOMEM;
    n->out.dtype = a->simulated ? NB_F32 : p->q.dtype;
    n->out.q = &p->q;
    n->saved_bytes = (size_t)(a->simulated ? rows * nb_chunks(in_row, 8) : channels * nb_chunks(per, 8));
    const nb_cut *cut = a->range->reads_all ? nb_fq_cut(n) : NULL;
    p->every = cut ? nb_graph_alloc(g, (size_t)(count / n->out.shape.d[0] * cut->batch) * sizeof *p->every) : NULL;
    if (cut && !p->every)
        return NB_E_NOMEM;
    return nb_fq_learned_prepare(g, n);
}

float nb_observation_share(const nb_observation *o, float momentum)
{
    if (o->calibration == 0)
        return momentum;
    return (float)((double)momentum / (1 - pow(1 - (double)momentum, o->calibration)));
}

/* Who looks at any of the values finds all ranks' here. */
static void bring_all(const nb_node *n, nb_observation *o)
{
    const nb_fq_priv *p = n->priv;
    const nb_cut *cut = o->cut;
    const int64_t per_image = o->n / cut->batch;
    for (int64_t i = 0; i < per_image * cut->images; i++)
        p->every[per_image * cut->first + i] = o->values.at(o->values.arg, i);
    nb_gather_images(cut, p->every, (size_t)per_image * sizeof *p->every);
    o->values = (nb_values){nb_fq_stored, p->every};
    o->cut = NULL;
}

void nb_fq_observe(const nb_node *n, int32_t r, const nb_observation *seen)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    float *state = nb_fq_state(n, r);
    nb_observation o = *seen;
    o.cut = nb_fq_cut(n);
    o.n = o.cut ? o.n / o.cut->images * o.cut->batch : o.n;
    if (p->every)
        bring_all(n, &o);
    o.grid = &p->grid;
    o.of = n->in[0];
    o.first = !nb_fq_seen(n, r);
    if (a->flat && a->range->ends && isfinite(o.min) && isfinite(o.max)) {
        o.min = fminf(fmaxf(o.min, a->flat_from), a->flat_to);
        o.max = fminf(fmaxf(o.max, a->flat_from), a->flat_to);
    }
    if (nb_fq_held(n, r) && o.calibration > 0)
        return;
    if (isfinite(o.min) && isfinite(o.max) && !nb_fq_held(n, r)) {
        a->range->observe(a->range_attr, state, &o);
        state[nb_fq_range_floats(a)] = NB_FQ_SEEN;
    }
    nb_fq_learned_begin(n, r, &o);
}

void nb_fakequant_hold(nb_node *fq)
{
    for (int32_t r = 0; r < nb_fq_rows(fq); r++)
        if (nb_fq_seen(fq, r))
            nb_fq_state(fq, r)[nb_fq_range_floats(fq->attr)] = NB_FQ_HELD;
}

/* channel_scale counts codes as they round to nearest: others must fit whatever they are. */
nb_status nb_fakequant_read_by(nb_graph *g, const nb_node *fq, const nb_node *mac)
{
    const nb_fakequant_attr *a = fq->attr;
    const nb_qparams *x = mac->in[0]->out.q;
    nb_fq_priv *p = fq->priv;
    p->reader = mac;
    const int64_t per = nb_count(&fq->out) / fq->out.shape.d[0],
                  reach = (x->hi > -x->lo ? x->hi : -x->lo) + x->hi - x->lo;
    const int64_t largest = p->grid.lo < 0 && p->grid.hi > -p->grid.lo ? p->grid.hi
                            : p->grid.lo < 0                           ? -p->grid.lo
                                                                       : p->grid.hi;
    const int64_t most = NB_SUM_LIMIT / 2 / (largest * reach);
    if (nb_fakequant_nearest(a) || per <= most)
        return NB_OK;
    return nb_node_fail(
        g, mac, NB_E_CONFIG,
        "rounding: %s: a sum of %lld products could leave 32 bits, at most %lld cannot: nearest would do",
        a->rounding->name, (long long)per, (long long)most);
}

static nb_weight_use use_of(const nb_fq_priv *p)
{
    const nb_node *mac = p->reader;
    if (!mac)
        return (nb_weight_use){0};
    return (nb_weight_use){.x = mac->in[0]->out.q, .bias = mac->n_in > 2 ? mac->in[2]->out.data : NULL};
}

bool nb_fakequant_state_sound(const nb_node *n, const float *state)
{
    const nb_fakequant_attr *a = n->attr;
    const float seen = state[nb_fq_range_floats(a)];
    const bool history = !a->weights && a->range->history_sound;
    return seen == NB_FQ_UNSEEN ||
           ((seen == NB_FQ_SEEN || seen == NB_FQ_HELD) && (!a->range->sound || a->range->sound(state)) &&
            (!history || a->range->history_sound(state + nb_fq_range_floats(a) - a->range->n_history)));
}

nb_status nb_fakequant_set_range(nb_graph *g, nb_node *n, const nb_range *range)
{
    nb_fakequant_attr *a = n->attr;
    nb_tensor *state = &n->in[1]->out;
    a->range = range;
    state->shape.d[1] = nb_fq_range_floats(a) + 1;
    state->data = nb_graph_alloc(g, (size_t)nb_count(state) * sizeof(float));
    return state->data ? NB_OK : NB_E_NOMEM;
}

nb_status nb_fakequant_understudy(nb_graph *g, const nb_node *fq, const nb_fakequant_attr *attr, nb_node **out)
{
    NB_ASSERT(g->frozen && ((const nb_fakequant_attr *)fq->attr)->simulated && !attr->format->one_scale);
    nb_node *n = nb_graph_alloc(g, sizeof *n), *state = nb_graph_alloc(g, sizeof *state);
    nb_fakequant_attr *a = nb_graph_alloc(g, sizeof *a);
    if (!n || !state || !a)
        return NB_E_NOMEM;
    *a = *attr;
    a->simulated = true;
    if (a->learning->n_state) {
        a->learning = nb_registry_find(nb_learnings, "none");
        a->learning_attr = NULL;
    }
    *n = *fq;
    n->attr = a;
    n->n_in = 2;
    n->in[1] = state;
    *state = *fq->in[1];
    state->out.shape = nb_shape_of(2, nb_fq_rows(n), nb_fq_range_floats(a) + 1, 0, 0);
    state->out.data = nb_graph_alloc(g, (size_t)nb_count(&state->out) * sizeof(float));
    if (!state->out.data)
        return NB_E_NOMEM;
    NB_TRY(make_priv(g, n));
    NB_TRY(fq_prepare(g, n));
    n->saved = nb_graph_alloc(g, n->saved_bytes);
    *out = n;
    return n->saved ? NB_OK : NB_E_NOMEM;
}

nb_status nb_fakequant_take_earlier_default(nb_graph *g, nb_node *n, int32_t floats)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_range *earlier = nb_registry_find(nb_ranges, a->weights ? "minmax" : "ema");
    if (!a->auto_range || a->range == earlier || floats != earlier->n_state + 1)
        return NB_OK;
    return nb_fakequant_set_range(g, n, earlier);
}

bool nb_fakequant_fusible(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return !a->per_channel && !a->weights && !a->simulated && nb_fakequant_nearest(a);
}

bool nb_fakequant_seen(const nb_node *n)
{
    int32_t r = 0;
    while (r < nb_fq_rows(n) && nb_fq_seen(n, r))
        r++;
    return r == nb_fq_rows(n);
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
        nb_fq_observe(n, 0, &o);
    nb_fq_set_one_scale(n);
    nb_fq_set_params(n, &p->q, 0, NULL);
}

static void to_nearest(const nb_node *node, uint8_t *codes, uint8_t *mask, const float *x, int64_t n,
                       const nb_qparams *q, int64_t c)
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

enum { BLOCK = 2048 };

static void to_blocks(const nb_node *node, uint8_t *codes, uint8_t *mask, const nb_fq_span *v, float scale)
{
    float buf[BLOCK];
    for (int64_t at = 0; at < v->n; at += BLOCK) {
        const nb_fq_span some = {v->x + at, v->n - at < BLOCK ? v->n - at : BLOCK, v->first + at, v->draw};
        nb_fq_round_blocks(node, buf, mask ? mask + at / 8 : NULL, &some, some.first, scale, 1);
        for (int64_t i = 0; i < some.n; i++)
            codes[at + i] = (uint8_t)(int8_t)buf[i];
    }
}

static void quantize(const nb_node *node, uint8_t *codes, uint8_t *mask, const nb_fq_span *v, const nb_qparams *q,
                     int64_t c)
{
    if (((const nb_fq_priv *)node->priv)->exponent) {
        to_blocks(node, codes, mask, v, q->scale[c]);
        return;
    }
    if (!v->draw.choose) {
        to_nearest(node, codes, mask, v->x, v->n, q, c);
        return;
    }
    const nb_grid g = nb_fq_grid(node, (int32_t)c / nb_fq_group(node));
    float buf[BLOCK];
    for (int64_t at = 0; at < v->n; at += BLOCK) {
        const int64_t n = v->n - at < BLOCK ? v->n - at : BLOCK;
        nb_fq_round(buf, v->x + at, n, q->scale[c], &g, &v->draw, v->first + at);
        to_nearest(node, codes + at, mask ? mask + at / 8 : NULL, buf, n, q, c);
    }
}

static void row_observe(void *arg, int64_t row, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    const int32_t r = (int32_t)row, first = r * nb_fq_group(j->n), end = nb_fq_row_end(j->n, r);
    const float *x = nb_fq_values(j->n) + first * j->per;
    if (!j->observe)
        return;
    nb_observation o = {.values = {nb_fq_stored, x}, .n = (end - first) * j->per, .calibration = j->calibration};
    nb_k_minmax(&o.min, &o.max, x, o.n);
    nb_fq_observe(j->n, r, &o);
}

static void row_quantize(void *arg, int64_t row, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    const int32_t r = (int32_t)row, first = r * nb_fq_group(j->n), end = nb_fq_row_end(j->n, r);
    const float *x = nb_fq_values(j->n);
    const nb_weight_use use = use_of(j->p);
    nb_fq_set_params(j->n, &j->p->q, r, &use);
    for (int64_t c = first; c < end; c++) {
        const nb_fq_span v = {x + c * j->per, j->per, c * j->per, j->draw};
        quantize(j->n, (uint8_t *)j->n->out.data + c * j->per, (uint8_t *)j->n->saved + c * j->mask_stride, &v,
                 &j->p->q, c);
    }
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
    nb_k_minmax(&j->p->lo[i], &j->p->hi[i], nb_fq_values(j->n) + at, end - at);
}

static void chunk_quantize(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    const nb_fq_span v = {nb_fq_values(j->n) + at, end - at, at, j->draw};
    quantize(j->n, (uint8_t *)j->n->out.data + at, (uint8_t *)j->n->saved + at / 8, &v, &j->p->q, 0);
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
        if (nb_fq_cut(j->n))
            nb_gather_extremes(j->n->cut, &lo, &hi);
        const nb_observation o = {.values = {nb_fq_stored, nb_fq_values(j->n)},
                                  .n = j->count,
                                  .min = lo,
                                  .max = hi,
                                  .calibration = j->calibration};
        nb_fq_observe(j->n, 0, &o);
    }
    const nb_weight_use use = use_of(j->p);
    nb_fq_set_one_scale(j->n);
    nb_fq_set_params(j->n, &j->p->q, 0, &use);
    nb_parallel_for(chunks, chunk_quantize, j);
}

static void fq_forward(nb_node *n, const nb_run *r)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_warp(n);
    if (a->simulated) {
        nb_fq_simulate(n, r);
        return;
    }
    fq_job j = {.n = n,
                .p = n->priv,
                .count = nb_count(&n->out),
                .observe = nb_fakequant_observes(n, r),
                .calibration = r->calibration,
                .draw = nb_fq_draw_of(n, r)};
    j.per = j.count / j.p->q.n;
    j.mask_stride = nb_chunks(j.per, 8);
    if (!a->per_channel) {
        tensor_forward(&j);
    } else if (a->format->one_scale) { /* that of all rows is known when all are observed */
        nb_parallel_for(nb_fq_rows(n), row_observe, &j);
        nb_fq_set_one_scale(n);
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
    nb_k_ste_backward(j->dx + c * j->per, j->n->out.grad + c * j->per,
                      (const uint8_t *)j->n->saved + c * j->mask_stride, j->per, j->add);
}

static void chunk_backward(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    nb_k_ste_backward(j->dx + at, j->n->out.grad + at, (const uint8_t *)j->n->saved + at / 8, end - at, j->add);
}

/* To dx, the gradient of what is quantized. */
static void pass_through(nb_node *n, float *dx, bool add)
{
    const nb_fakequant_attr *a = n->attr;
    if (a->simulated) {
        nb_fq_simulate_backward(n, dx, add);
        return;
    }
    fq_job j = {.n = n, .p = n->priv, .count = nb_count(&n->out), .add = add, .dx = dx};
    j.per = j.count / j.p->q.n;
    j.mask_stride = nb_chunks(j.per, 8);
    if (a->per_channel)
        nb_parallel_for(j.p->q.n, channel_backward, &j);
    else
        nb_parallel_for(nb_chunks(j.count, CHUNK), chunk_backward, &j);
}

static void fq_backward(nb_node *n, const nb_run *r)
{
    const nb_fakequant_attr *a = n->attr;
    const bool learns = nb_fakequant_learns(n, r);
    if (learns && a->learning->backward)
        nb_fq_learned_backward(n);
    if (!n->in[0]->out.grad)
        return;
    const nb_fq_priv *p = n->priv;
    const bool fresh = n->fresh & 1;
    float *const dx = n->in[0]->out.grad;
    if (!p->warped) {
        pass_through(n, dx, !fresh);
        return;
    }
    pass_through(n, p->warped, false); /* whose values are not needed any more */
    if (fresh)
        memset(dx, 0, (size_t)nb_count(&n->out) * sizeof *dx);
    nb_fq_unwarp(n, p->warped, learns);
}

int32_t nb_fakequant_channels(const nb_node *fq)
{
    const nb_fakequant_attr *a = fq->attr;
    return (a->per_channel ? fq->out.shape.d[0] : 1) * (a->per_last ? nb_channels(&fq->out) : 1);
}

bool nb_fakequant_of_weights(const nb_node *fq)
{
    return ((const nb_fakequant_attr *)fq->attr)->weights;
}

static void channel_codes(const nb_node *fq, const nb_qparams *q, int8_t *codes, int32_t c)
{
    const int64_t per = nb_count(&fq->out) / q->n;
    const nb_fq_span v = {nb_fq_values(fq) + c * per, per, c * per, nb_fq_draw_of(fq, &(nb_run){0})};
    quantize(fq, (uint8_t *)codes + c * per, NULL, &v, q, c);
}

void nb_fakequant_codes(const nb_node *fq, int8_t *codes, int32_t first, int32_t end)
{
    for (int32_t c = first; c < end; c++)
        channel_codes(fq, fq->out.q, codes, c);
}

static nb_status snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q, int8_t *codes)
{
    q->n = nb_fakequant_channels(fq);
    set_grid(fq, q);
    nb_fq_set_one_scale(fq);
    nb_fq_warp(fq);
    for (int32_t r = 0; r < nb_fq_rows(fq); r++) {
        if (!nb_fq_seen(fq, r))
            return nb_fail(ctx, NB_E_UNSUPPORTED,
                           "%s has no range yet: train at least one step with quant: on before lowering", fq->name);
        nb_fq_set_params(fq, q, r, use);
    }
    for (int32_t c = 0; codes && c < q->n; c++)
        channel_codes(fq, q, codes, c);
    return NB_OK;
}

/* Weights that one node makes of leaves (a folded batch norm's) stand in memory only during a step: they are made here,
 * and the same is asked of a copy of fq that reads them. */
nb_status nb_fakequant_snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q, int8_t *codes)
{
    if (!nb_fakequant_of_weights(fq) || (fq->in[0]->flags & NB_NODE_LEAF))
        return snapshot(ctx, fq, use, q, codes);
    nb_node weights = *fq->in[0], copy = *fq;
    weights.saved = NULL;
    weights.out.data = nb_alloc(ctx, (size_t)nb_count(&weights.out) * sizeof(float));
    if (!weights.out.data)
        return NB_E_NOMEM;
    weights.op->forward(&weights, &(nb_run){0});
    copy.in[0] = &weights;
    nb_status st = snapshot(ctx, &copy, use, q, codes);
    nb_free(ctx, weights.out.data);
    return st;
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
