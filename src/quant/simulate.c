/* simulate.c - a fake-quant node of a network that is simulated: floats in, floats out, each the value of a code.
 *
 * What it means is fakequant.c's: ranges, scales, codes and the straight-through gradient come from the same functions,
 * and codes become floats at once. Values that share a scale may lie apart here (nb_fq_slice): they are gathered.
 * saved: one bit per value, slice after slice. Work is cut into chunks of a slice, whatever the threads. */
#include "quant/learned.h"

#include "base/parallel.h"
#include "core/cut_gather.h"

#include <math.h>

enum { CHUNK = NB_FQ_CHUNK, BLOCK = 2048 };

typedef struct {
    nb_node *n;
    nb_fq_priv *p;
    int64_t slices, chunks; /* per slice */
    int64_t mask_stride;    /* bytes of a slice */
    int32_t calibration;
    bool observe, add, count;
    int64_t numbers; /* a slice has, of all ranks: how far draws lie apart */
    nb_fq_draw draw;
    float *dx; /* of what is quantized */
} sim_job;

static sim_job job_of(nb_node *n)
{
    nb_fq_priv *p = n->priv;
    const int64_t per = nb_fq_slice_of(n, 0).count; /* the last may have fewer */
    const nb_cut *cut = nb_fq_cut(n);
    return (sim_job){.n = n,
                     .p = p,
                     .slices = nb_fq_rows(n),
                     .chunks = nb_chunks(per, CHUNK),
                     .mask_stride = nb_chunks(per, 8),
                     .numbers = nb_chunks(cut ? per / cut->images * cut->batch : per, 8) * 8};
}

const float *nb_fq_gather(float *buf, const float *x, const nb_fq_slice *s, int64_t at, int64_t n)
{
    x += s->first + at * s->stride;
    if (s->stride == 1)
        return x;
    for (int64_t i = 0; i < n; i++)
        buf[i] = x[i * s->stride];
    return buf;
}

/* Where results [at, at + n) of a slice are written: y's own place, or buf, which scatter then takes there. */
static float *place(float *buf, float *y, const nb_fq_slice *s, int64_t at)
{
    return s->stride == 1 ? y + s->first + at : buf;
}

static void scatter(float *y, const float *buf, const nb_fq_slice *s, int64_t at, int64_t n)
{
    y += s->first + at * s->stride;
    for (int64_t i = 0; s->stride > 1 && i < n; i++)
        y[i * s->stride] = buf[i];
}

/* ---- ranges ---- */

static void minmax_task(void *arg, int64_t task, int32_t thread)
{
    (void)thread;
    sim_job *j = arg;
    const nb_fq_slice s = nb_fq_slice_of(j->n, (int32_t)(task / j->chunks));
    const int64_t from = task % j->chunks * CHUNK, end = nb_chunk_end(s.count, CHUNK, task % j->chunks);
    float buf[BLOCK], lo = INFINITY, hi = -INFINITY;
    for (int64_t at = from; at < end && !isnan(lo); at += BLOCK) {
        float min, max;
        const int64_t n = end - at < BLOCK ? end - at : BLOCK;
        nb_k_minmax(&min, &max, nb_fq_gather(buf, nb_fq_values(j->n), &s, at, n), n);
        lo = !(min >= lo) ? min : lo; /* a NaN sticks */
        hi = !(max <= hi) ? max : hi;
    }
    j->p->lo[task] = lo;
    j->p->hi[task] = hi;
}

typedef struct {
    const float *x;
    int64_t stride;
} strided;

static float value_at(const void *arg, int64_t i)
{
    const strided *s = arg;
    return s->x[i * s->stride];
}

static void observe_slice(void *arg, int64_t c, int32_t thread)
{
    (void)thread;
    sim_job *j = arg;
    const nb_fq_slice s = nb_fq_slice_of(j->n, (int32_t)c);
    const strided values = {nb_fq_values(j->n) + s.first, s.stride};
    const float *min = j->p->lo + c * j->chunks, *max = j->p->hi + c * j->chunks;
    float lo = min[0], hi = max[0];
    for (int64_t i = 1; i < j->chunks && !isnan(lo); i++) {
        lo = !(min[i] >= lo) ? min[i] : lo;
        hi = !(max[i] <= hi) ? max[i] : hi;
    }
    if (nb_fq_cut(j->n))
        nb_gather_extremes(j->n->cut, &lo, &hi);
    const nb_observation o = {
        .values = {value_at, &values}, .n = s.count, .min = lo, .max = hi, .calibration = j->calibration};
    nb_fq_observe(j->n, (int32_t)c, &o);
}

static void settle_slice(void *arg, int64_t c, int32_t thread)
{
    (void)thread;
    sim_job *j = arg;
    nb_fq_set_params(j->n, &j->p->q, (int32_t)c, NULL);
}

/* ---- values ---- */

/* Of row r; place: of the first in the tensor. Unlike in a network of integers weights need not fit -127..127 less their zero
 * point. */
static void round_block(const nb_node *node, float *y, uint8_t *mask, const nb_fq_span *v, int32_t r, int64_t place)
{
    const nb_fq_priv *p = node->priv;
    const nb_qparams *q = &p->q;
    const int32_t c = q->n > 1 ? r * nb_fq_group(node) : 0;
    const float *x = v->x, scale = q->scale[c];
    uint8_t codes[BLOCK];
    float moved[BLOCK];
    nb_klevels own;
    if (p->exponent) {
        nb_fq_round_blocks(node, y, mask, v, place, scale, scale);
        return;
    }
    if (v->draw.choose) {
        const nb_grid g = nb_fq_grid(node, r);
        nb_fq_round(moved, x, v->n, scale, &g, &v->draw, v->first);
        x = moved;
    }
    if (p->grid.real) {
        nb_k_quantize_reals(y, mask, x, v->n, scale, &p->reals);
        return;
    }
    if (p->grid.n_levels)
        nb_k_quantize_levels(codes, mask, x, v->n, scale, nb_fq_levels(node, r, &own));
    else
        nb_k_quantize(codes, mask, x, v->n, scale, q->zero[c], q->lo, q->hi);
    nb_k_dequantize(y, codes, v->n, scale, q->zero[c], q->lo < 0);
}

/* In units of the scale: what the kernel compares. */
static void count_lost(nb_lost_counts *c, const nb_kreals *t, const float *x, const float *y, int64_t n, float scale)
{
    c->values += n;
    for (int64_t i = 0; i < n; i++) {
        c->over += x[i] / scale > t->last || x[i] / scale < t->first;
        c->under += x[i] != 0.0f && y[i] == 0.0f;
    }
}

static void round_task(void *arg, int64_t task, int32_t thread)
{
    (void)thread;
    sim_job *j = arg;
    const int64_t c = task / j->chunks, chunk = task % j->chunks;
    const nb_fq_slice s = nb_fq_slice_of(j->n, (int32_t)c);
    const int64_t end = nb_chunk_end(s.count, CHUNK, chunk);
    uint8_t *mask = (uint8_t *)j->n->saved + c * j->mask_stride;
    float in[BLOCK], out[BLOCK], *y = j->n->out.data;
    nb_lost_counts lost = {0};
    for (int64_t at = chunk * CHUNK; at < end; at += BLOCK) {
        const int64_t n = end - at < BLOCK ? end - at : BLOCK;
        const float *x = nb_fq_gather(in, nb_fq_values(j->n), &s, at, n);
        float *here = place(out, y, &s, at);
        const nb_fq_span v = {x, n, c * j->numbers + at, j->draw};
        round_block(j->n, here, mask + at / 8, &v, (int32_t)c, s.first + at * s.stride);
        if (j->count)
            count_lost(&lost, &j->p->reals, x, here, n, j->p->q.scale[j->p->q.n > 1 ? c * nb_fq_group(j->n) : 0]);
        scatter(y, out, &s, at, n);
    }
    if (j->count)
        j->p->lost[task] = lost;
}

void nb_fakequant_lost(const nb_node *n, nb_lost_counts *c)
{
    const nb_fq_priv *p = n->priv;
    const int64_t tasks = nb_fq_rows(n) * nb_chunks(nb_fq_slice_of(n, 0).count, CHUNK);
    for (int64_t i = 0; p->lost && i < tasks; i++) {
        c->values += p->lost[i].values;
        c->over += p->lost[i].over;
        c->under += p->lost[i].under;
    }
}

void nb_fq_simulate(nb_node *n, const nb_run *r)
{
    sim_job j = job_of(n);
    j.observe = nb_fakequant_observes(n, r);
    j.count = j.p->lost && !r->train;
    j.calibration = r->calibration;
    j.draw = nb_fq_draw_of(n, r);
    if (j.observe) {
        nb_parallel_for(j.slices * j.chunks, minmax_task, &j);
        for (int64_t c = 0; nb_fq_cut(n) && c < j.slices; c++) /* one after the other: ranks meet */
            observe_slice(&j, c, 0);
        if (!nb_fq_cut(n))
            nb_parallel_for(j.slices, observe_slice, &j);
    }
    nb_fq_set_one_scale(n);
    nb_parallel_for(j.slices, settle_slice, &j);
    nb_parallel_for(j.slices * j.chunks, round_task, &j);
}

static void pass_task(void *arg, int64_t task, int32_t thread)
{
    (void)thread;
    const sim_job *j = arg;
    const int64_t c = task / j->chunks, chunk = task % j->chunks;
    const nb_fq_slice s = nb_fq_slice_of(j->n, (int32_t)c);
    const int64_t end = nb_chunk_end(s.count, CHUNK, chunk);
    const uint8_t *mask = (const uint8_t *)j->n->saved + c * j->mask_stride;
    float from[BLOCK], to[BLOCK], *dx = j->dx;
    for (int64_t at = chunk * CHUNK; at < end; at += BLOCK) {
        const int64_t n = end - at < BLOCK ? end - at : BLOCK;
        float *here = place(to, dx, &s, at);
        if (j->add)
            nb_fq_gather(to, dx, &s, at, n);
        nb_k_ste_backward(here, nb_fq_gather(from, j->n->out.grad, &s, at, n), mask + at / 8, n, j->add);
        scatter(dx, to, &s, at, n);
    }
}

void nb_fq_simulate_backward(nb_node *n, float *dx, bool add)
{
    sim_job j = job_of(n);
    j.dx = dx;
    j.add = add;
    nb_parallel_for(j.slices * j.chunks, pass_task, &j);
}
