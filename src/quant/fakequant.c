/* fakequant.c - the fake-quant node: floats in, codes out.
 *
 * forward   (training, observers active) observe the range, set scale and zero point; then q =
 * clamp(round_half_even(x/s) + z, lo, hi). The output holds codes; nothing is expanded to floats again. backward
 * straight-through estimator with clipping: the gradient passes where the unclamped code was inside the grid (Nagel et
 * al. 2021, eq. 17); forward leaves one bit per value for that. A learned scale (learned.c) takes the range's place once
 * it has begun. Evaluation never observes, so it never changes a result. A weight's scale has a floor: where the codes of a channel could make a sum of its layer leave 32 bits, or
 * the layer's bias would in units of such a sum, the scale is the smallest at which neither can. Training and lowering
 * ask the same function, so they have the same codes. Work is cut into fixed chunks: per channel for weights, CHUNK
 * values for activations; minimum and maximum do not depend on order, so neither do ranges. In a network that is
 * simulated simulate.c does all this, and floats come out. */
#include "quant/fakequant.h"

#include <nibble/extend/lowering.h>

#include "base/check.h"
#include "base/parallel.h"
#include "quant/learned.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = NB_FQ_CHUNK, FEW_VALUES = 65536 };

typedef struct {
    nb_node *n;
    nb_fq_priv *p;
    int64_t count, per;  /* values in all, per channel */
    int64_t mask_stride; /* bytes per channel */
    bool observe, add;
    int32_t calibration;
    nb_fq_draw draw;
    float *dx; /* of what is quantized */
} fq_job;

static nb_status fq_build(nb_graph *g, nb_node *n)
{
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    n->priv = nb_graph_alloc(g, sizeof(nb_fq_priv));
    if (!n->priv)
        return NB_E_NOMEM;
    return nb_fq_learned_leaf(g, n, nb_fakequant_channels(n));
}

/* The policy may widen a node after it was built, so its grid is made when it is wanted. */
static void set_grid(const nb_node *n, nb_qparams *q)
{
    const nb_fakequant_attr *a = n->attr;
    nb_fq_priv *p = n->priv;
    p->grid = nb_grid_of(a->format, a->format_attr, a->bits, a->scheme, a->weights, p->level);
    if (p->grid.level)
        nb_k_levels(&p->levels, p->grid.level, p->grid.n_levels);
    nb_grid_take_reals(&p->grid, p->real);
    if (p->grid.real)
        nb_k_reals(&p->reals, p->grid.real, p->grid.n_levels);
    nb_fq_learned_book(n, q, 0);
    const nb_grid *g = &p->grid;
    q->bits = g->bits;
    q->lo = g->lo;
    q->hi = g->hi;
    q->dtype = g->dtype;
    q->level = g->level;
    q->n_levels = g->n_levels;
}

static nb_status fq_prepare(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    int32_t channels = nb_fakequant_channels(n);
    int64_t count = nb_count(&n->out), per = count / channels;
    nb_fq_priv *p = n->priv;
    p->n_chunks_max = (int32_t)(a->simulated ? channels * nb_chunks(per, CHUNK) : nb_chunks(count, CHUNK));
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
    n->saved_bytes = (size_t)channels * (size_t)nb_chunks(per, 8);
    return nb_fq_learned_prepare(g, n);
}

float nb_observation_share(const nb_observation *o, float momentum)
{
    if (o->calibration == 0)
        return momentum;
    return (float)((double)momentum / (1 - pow(1 - (double)momentum, o->calibration)));
}

void nb_fq_observe(const nb_node *n, int32_t c, const nb_observation *seen)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    float *state = nb_fq_state(n, c);
    nb_observation o = *seen;
    o.grid = &p->grid;
    o.of = n->in[0];
    o.first = !nb_fq_seen(n, c);
    if (isfinite(o.min) && isfinite(o.max)) {
        a->range->observe(a->range_attr, state, &o);
        state[nb_fq_range_floats(a)] = 1.0f;
    }
    nb_fq_learned_begin(n, c, &o);
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

/* Else every weight, however small, may count as much as the largest level. */
static bool zero_is_nearest(const nb_grid *q)
{
    return !q->level || nb_grid_nearest(q, 0) == 0;
}

/* The scale of w (`per` weights of channel c) at which the layer's sums fit: s, unless they could leave 32 bits. */
static float channel_scale(const nb_weight_use *use, const nb_grid *q, const float *w, int64_t per, int32_t c, float s)
{
    const nb_qparams *x = use->x;
    const int64_t raw = x->hi > -x->lo ? x->hi : -x->lo, reach = raw + abs(x->zero[0]);
    const double bias = use->bias ? (double)use->bias[c] / (double)x->scale[0] : 0;
    const double most = 0.5 * (double)NB_SUM_LIMIT;
    if ((double)per * (double)(q->hi * reach) <= most && fabs(bias) <= most * (double)s)
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
    /* a level may be twice what it stands for */
    const int64_t rounded = q->level ? INT64_MAX : per;
    if (!zero_is_nearest(q))
        total = fmax(total, (double)per * (double)q->hi * (double)s);
    return fmaxf(s, (float)nb_scale_floor(x->lo, x->hi, x->zero[0], total, rounded, bias));
}

static void keep_sums(const nb_node *n, nb_qparams *q, int32_t c, const nb_weight_use *use)
{
    const int32_t channels = n->out.shape.d[0];
    const int64_t per = nb_count(&n->out) / channels;
    const nb_fq_priv *p = n->priv;
    const nb_grid *g = &p->grid;
    const float *w = nb_fq_values(n);
    float s = q->scale[c];
    if (q->n > 1)
        s = channel_scale(use, g, w + c * per, per, c, s);
    for (int32_t k = 0; q->n == 1 && k < channels; k++)
        s = fmaxf(s, channel_scale(use, g, w + k * per, per, k, q->scale[0]));
    if (s > q->scale[c])
        q->scale[c] = nb_grid_scale(g, s);
}

void nb_fq_set_params(const nb_node *n, nb_qparams *q, int32_t c, const nb_weight_use *use)
{
    const nb_fakequant_attr *a = n->attr;
    const nb_fq_priv *p = n->priv;
    a->range->params(a->range_attr, nb_fq_state(n, c), &p->grid, &q->scale[c], &q->zero[c]);
    nb_fq_learned_params(n, c, &q->scale[c], &q->zero[c]);
    nb_fq_learned_book(n, q, q->scale[c]);
    if (!a->weights || !use || !use->x)
        return;
    keep_sums(n, q, c, use);
    nb_fq_learned_book(n, q, q->scale[c]);
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
    const int64_t most = NB_SUM_LIMIT / 2 / (p->grid.hi * reach);
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
    return seen == 0.0f || (seen == 1.0f && (!a->range->sound || a->range->sound(state)) &&
                            (!history || a->range->history_sound(state + a->range->n_state)));
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
    nb_fq_set_params(n, &p->q, 0, NULL);
}

static void nearest_codes(const nb_fq_priv *p, uint8_t *codes, uint8_t *mask, const float *x, int64_t n,
                          const nb_qparams *q, int64_t c)
{
    if (p->grid.level)
        nb_k_quantize_levels(codes, mask, x, n, q->scale[c], &p->levels);
    else
        nb_k_quantize(codes, mask, x, n, q->scale[c], q->zero[c], q->lo, q->hi);
}

void nb_fq_codes(const nb_fq_priv *p, uint8_t *codes, uint8_t *mask, const nb_fq_span *v, const nb_qparams *q,
                 int64_t c)
{
    enum { BLOCK = 2048 };
    if (!v->draw.choose) {
        nearest_codes(p, codes, mask, v->x, v->n, q, c);
        return;
    }
    float buf[BLOCK];
    for (int64_t at = 0; at < v->n; at += BLOCK) {
        const int64_t n = v->n - at < BLOCK ? v->n - at : BLOCK;
        nb_fq_round(buf, v->x + at, n, q->scale[c], &p->grid, &v->draw, v->first + at);
        nearest_codes(p, codes + at, mask ? mask + at / 8 : NULL, buf, n, q, c);
    }
}

static void channel_forward(void *arg, int64_t c, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    nb_qparams *q = &j->p->q;
    const float *x = nb_fq_values(j->n) + c * j->per;
    if (j->observe) {
        nb_observation o = {.values = {nb_fq_stored, x}, .n = j->per, .calibration = j->calibration};
        nb_k_minmax(&o.min, &o.max, x, j->per);
        nb_fq_observe(j->n, (int32_t)c, &o);
    }
    const nb_weight_use use = use_of(j->p);
    nb_fq_set_params(j->n, q, (int32_t)c, &use);
    const nb_fq_span v = {x, j->per, c * j->per, j->draw};
    nb_fq_codes(j->p, (uint8_t *)j->n->out.data + c * j->per, (uint8_t *)j->n->saved + c * j->mask_stride, &v, q, c);
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
    nb_fq_codes(j->p, (uint8_t *)j->n->out.data + at, (uint8_t *)j->n->saved + at / 8, &v, &j->p->q, 0);
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
        const nb_observation o = {.values = {nb_fq_stored, nb_fq_values(j->n)},
                                  .n = j->count,
                                  .min = lo,
                                  .max = hi,
                                  .calibration = j->calibration};
        nb_fq_observe(j->n, 0, &o);
    }
    const nb_weight_use use = use_of(j->p);
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
    } else if (j.count < FEW_VALUES) { /* not worth waking a thread */
        for (int32_t c = 0; c < j.p->q.n; c++)
            channel_forward(&j, c, 0);
    } else {
        nb_parallel_for(j.p->q.n, channel_forward, &j);
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

static nb_status snapshot(nb_ctx *ctx, const nb_node *fq, const nb_weight_use *use, nb_qparams *q, int8_t *codes)
{
    const nb_fq_priv *p = fq->priv;
    q->n = nb_fakequant_channels(fq);
    set_grid(fq, q);
    int64_t per = nb_count(&fq->out) / q->n;
    nb_fq_warp(fq);
    for (int32_t c = 0; c < q->n; c++) {
        if (!nb_fq_seen(fq, c))
            return nb_fail(ctx, NB_E_UNSUPPORTED,
                           "%s has no range yet: train at least one step with quant: on before lowering", fq->name);
        nb_fq_set_params(fq, q, c, use);
        if (!codes)
            continue;
        const nb_fq_span v = {nb_fq_values(fq) + c * per, per, c * per, nb_fq_draw_of(fq, &(nb_run){0})};
        nb_fq_codes(p, (uint8_t *)codes + c * per, NULL, &v, q, c);
    }
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
