/* fakequant.c - the fake-quant node: floats in, codes out.
 *
 * forward   (training, observers active) observe the range, set scale and zero point; then q =
 * clamp(round_half_even(x/s) + z, lo, hi). The output holds codes; nothing is expanded to floats again. backward
 * straight-through estimator with clipping: the gradient passes where the unclamped code was inside the grid (Nagel et
 * al. 2021, eq. 17); forward leaves one bit per value for that. Evaluation never observes, so it never changes a
 * result. A weight's scale has a floor: where the codes of a channel could make a sum of its layer leave 32 bits, or
 * the layer's bias would in units of such a sum, the scale is the smallest at which neither can. Training and lowering
 * ask the same function, so they have the same codes. Work is cut into fixed chunks: per channel for weights, CHUNK
 * values for activations; minimum and maximum do not depend on order, so neither do ranges. */
#include "quant/fakequant.h"

#include <nibble/extend/lowering.h>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/eltwise.h"
#include "quant/requant.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK = 16384 /* a multiple of 8: mask bytes are not shared between chunks */, FEW_VALUES = 65536 };

typedef struct {
    nb_qparams q;
    float *lo, *hi; /* per chunk extremes of the last observation */
    int32_t n_chunks_max;
    const nb_node *reader; /* of weights: the layer that multiplies with them */
} fq_priv;

typedef struct {
    nb_node *n;
    fq_priv *p;
    int64_t count, per;  /* values in all, per channel */
    int64_t mask_stride; /* bytes per channel */
    bool observe, add;
    int32_t calibration;
} fq_job;

static nb_status fq_build(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    int32_t channels = a->per_channel ? n->out.shape.d[0] : 1;
    return nb_graph_leaf(g, n, "state", nb_shape_of(2, channels, a->method->n_state, 0, 0), NB_NODE_BUFFER, NULL);
}

static nb_status fq_prepare(nb_graph *g, nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    int32_t channels = a->per_channel ? n->out.shape.d[0] : 1;
    int64_t count = nb_count(&n->out), per = count / channels;
    fq_priv *p = nb_graph_alloc(g, sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    p->n_chunks_max = (int32_t)nb_chunks(count, CHUNK);
    p->q.n = channels;
    p->q.scale = nb_graph_alloc(g, (size_t)channels * sizeof(float));
    p->q.zero = nb_graph_alloc(g, (size_t)channels * sizeof(int32_t));
    p->lo = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    p->hi = nb_graph_alloc(g, (size_t)p->n_chunks_max * sizeof(float));
    if (!p->q.scale || !p->q.zero || !p->lo || !p->hi)
        return NB_E_NOMEM;
    nb_grid(&p->q, a->bits, a->scheme, a->weights);
    n->priv = p;
    n->out.dtype = p->q.dtype;
    n->out.q = &p->q;
    n->saved_bytes = (size_t)channels * (size_t)nb_chunks(per, 8);
    return NB_OK;
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

/* The state of channel c from what there is to see; skips a tensor with NaN or infinity (the trainer stops on the loss
 * it makes). */
static void observe(const nb_node *n, int32_t c, const nb_observation *seen)
{
    const nb_fakequant_attr *a = n->attr;
    float *state = (float *)n->in[1]->out.data + (int64_t)c * a->method->n_state;
    nb_observation o = *seen;
    o.bits = a->bits;
    o.weights = a->weights;
    o.symmetric = a->weights || a->scheme == NB_SCHEME_SYMMETRIC;
    if (isfinite(o.min) && isfinite(o.max))
        a->method->observe(a->method_attr, state, &o);
}

/* The scale of w (`per` weights of channel c) at which the layer's sums fit: s, unless they could leave 32 bits. */
static float channel_scale(const nb_weight_use *use, const nb_qparams *q, const float *w, int64_t per, int32_t c,
                           float s)
{
    const nb_qparams *x = use->x;
    const int64_t raw = x->hi > -x->lo ? x->hi : -x->lo, reach = raw + abs(x->zero[0]);
    const double bias = use->bias ? (double)use->bias[c] / (double)x->scale[0] : 0;
    const double most = 0.5 * (double)NB_SUM_LIMIT;
    if ((double)per * (double)(q->hi * reach) <= most && fabs(bias) <= most * (double)s)
        return s; /* whatever the weights are */
    int64_t size = 0, sum = 0;
    double total = 0;
    for (int64_t i = 0; i < per; i++) {
        const float code = nearbyintf(w[i] / s);
        const int64_t held = !(code > (float)q->lo) ? q->lo : code > (float)q->hi ? q->hi : (int64_t)code;
        size += llabs(held);
        sum += held;
        total += fabs((double)w[i]);
    }
    if (!isfinite(total) || !isfinite(bias))
        return s; /* the trainer stops on the loss it makes */
    if (fabs(bias) < most * (double)s &&
        nb_sum_bound(x->lo, x->hi, x->zero[0], size, sum, llrint(bias / (double)s)) < NB_SUM_LIMIT)
        return s;
    return fmaxf(s, (float)nb_scale_floor(x->lo, x->hi, x->zero[0], total, per, bias));
}

static void keep_sums(const nb_node *n, nb_qparams *q, int32_t c, const nb_weight_use *use)
{
    const int32_t channels = n->out.shape.d[0];
    const int64_t per = nb_count(&n->out) / channels;
    const float *w = n->in[0]->out.data;
    float s = q->scale[c];
    if (q->n > 1)
        s = channel_scale(use, q, w + c * per, per, c, s);
    for (int32_t k = 0; q->n == 1 && k < channels; k++)
        s = fmaxf(s, channel_scale(use, q, w + k * per, per, k, q->scale[0]));
    q->scale[c] = s;
}

static void set_params(const nb_node *n, nb_qparams *q, int32_t c, const nb_weight_use *use)
{
    const nb_fakequant_attr *a = n->attr;
    float lo, hi;
    a->method->range(a->method_attr, (const float *)n->in[1]->out.data + (int64_t)c * a->method->n_state, &lo, &hi);
    nb_qparams_set(q, c, a->scheme, lo, hi);
    if (a->weights && use && use->x)
        keep_sums(n, q, c, use);
}

void nb_fakequant_read_by(const nb_node *fq, const nb_node *mac)
{
    fq_priv *p = fq->priv;
    p->reader = mac;
}

static nb_weight_use use_of(const fq_priv *p)
{
    const nb_node *mac = p->reader;
    return mac ? (nb_weight_use){mac->in[0]->out.q, mac->n_in > 2 ? mac->in[2]->out.data : NULL} : (nb_weight_use){0};
}

bool nb_fakequant_state_sound(const nb_node *n, const float *state)
{
    const nb_fakequant_attr *a = n->attr;
    const float seen = state[a->method->n_state - 1];
    float lo, hi;
    if (seen == 0.0f)
        return true;
    a->method->range(a->method_attr, state, &lo, &hi);
    return seen == 1.0f && lo <= hi && (!a->method->sound || a->method->sound(state));
}

bool nb_fakequant_fusible(const nb_node *n)
{
    const nb_fakequant_attr *a = n->attr;
    return !a->per_channel && !a->weights;
}

bool nb_fakequant_observes(const nb_run *r)
{
    return r->train && !r->freeze_ranges;
}

void nb_fakequant_settle(nb_node *n, const nb_run *r, float min, float max, const nb_values *values)
{
    fq_priv *p = n->priv;
    const nb_observation o = {
        .values = *values, .n = nb_count(&n->out), .min = min, .max = max, .calibration = r->calibration};
    if (nb_fakequant_observes(r))
        observe(n, 0, &o);
    set_params(n, &p->q, 0, NULL);
}

static void channel_forward(void *arg, int64_t c, int32_t thread)
{
    (void)thread;
    fq_job *j = arg;
    nb_qparams *q = &j->p->q;
    const float *x = (const float *)j->n->in[0]->out.data + c * j->per;
    if (j->observe) {
        nb_observation o = {.values = {stored, x}, .n = j->per, .calibration = j->calibration};
        nb_k_minmax(&o.min, &o.max, x, j->per);
        observe(j->n, (int32_t)c, &o);
    }
    const nb_weight_use use = use_of(j->p);
    set_params(j->n, q, (int32_t)c, &use);
    nb_k_quantize((uint8_t *)j->n->out.data + c * j->per, (uint8_t *)j->n->saved + c * j->mask_stride, x, j->per,
                  q->scale[c], q->zero[c], q->lo, q->hi);
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
    const nb_qparams *q = &j->p->q;
    int64_t at = i * CHUNK, end = nb_chunk_end(j->count, CHUNK, i);
    nb_k_quantize((uint8_t *)j->n->out.data + at, (uint8_t *)j->n->saved + at / 8,
                  (const float *)j->n->in[0]->out.data + at, end - at, q->scale[0], q->zero[0], q->lo, q->hi);
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
    set_params(j->n, &j->p->q, 0, &use);
    nb_parallel_for(chunks, chunk_quantize, j);
}

static void fq_forward(nb_node *n, const nb_run *r)
{
    const nb_fakequant_attr *a = n->attr;
    fq_job j = {.n = n,
                .p = n->priv,
                .count = nb_count(&n->out),
                .observe = nb_fakequant_observes(r),
                .calibration = r->calibration};
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
    (void)r;
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
    const nb_fakequant_attr *a = fq->attr;
    q->n = nb_fakequant_channels(fq);
    nb_grid(q, a->bits, a->scheme, a->weights);
    if (fq->out.q && fq->out.q->level) { /* a table: codes are its integers, bits its index */
        q->bits = fq->out.q->bits;
        q->level = fq->out.q->level;
        q->n_levels = fq->out.q->n_levels;
        q->lo = fq->out.q->lo;
        q->hi = fq->out.q->hi;
    }
    int64_t per = nb_count(&fq->out) / q->n;
    for (int32_t c = 0; c < q->n; c++) {
        const float *state = (const float *)fq->in[1]->out.data + (int64_t)c * a->method->n_state;
        if (state[a->method->n_state - 1] == 0.0f)
            return nb_fail(ctx, NB_E_UNSUPPORTED,
                           "%s has no range yet: train at least one step with quant: on before lowering", fq->name);
        set_params(fq, q, c, use);
        if (codes)
            nb_k_quantize((uint8_t *)codes + c * per, NULL, (const float *)fq->in[0]->out.data + c * per, per,
                          q->scale[c], q->zero[c], q->lo, q->hi);
    }
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
                               .role = NB_ROLE_NONE,
                               .build = fq_build,
                               .prepare = fq_prepare,
                               .forward = fq_forward,
                               .backward = fq_backward,
                               .lower = fq_lower};
