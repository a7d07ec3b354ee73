/* fuse_join.c - add -> [relu] -> [fakequant], and relu -> fakequant, in one sweep each way, or two when the range is
 * observed.
 *
 * forward   the extremes of the sum (nothing stored: adding twice is cheaper than writing and reading it), then sum,
 *           clamp, quantize, one mask bit per value.
 * backward  every input gets the masked gradient; those that share its memory have it once it is masked in place.
 * saved: the mask, in the last node's. */
#include "fuse.h"

#include "join.h"
#include "layer.h"

#include "core/cut_gather.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <math.h>

typedef struct {
    float *min, *max; /* per chunk */
} join_priv;

typedef struct {
    const join_priv *p;
    nb_node *first;
    nb_tail tail;
    int64_t count;
    uint8_t *mask; /* NULL: all passes */
    nb_kjoin join;
    nb_kgrid grid;
} job;

/* Where a chain's `[relu] [fakequant]` begins: behind an add, or at a relu. */
static int32_t tail_from(const nb_step *s)
{
    return s->node[0]->op == &nb_op_relu ? 0 : 1;
}

static job job_of(const nb_step *s)
{
    job j = {.p = s->priv, .first = s->node[0], .tail = nb_fuse_tail(s, tail_from(s))};
    j.count = nb_count(&j.first->out);
    j.mask = s->n > 1 ? j.tail.out->saved : NULL;
    j.join = (nb_kjoin){.n_in = j.first->n_in, .clamp = j.tail.clamp};
    for (int32_t k = 0; k < j.first->n_in; k++) {
        const nb_tensor *x = &j.first->in[k]->out;
        j.join.codes = nb_layer_is_codes(x);
        j.join.in[k].data = x->data;
        if (j.join.codes) {
            j.join.in[k].scale = x->q->scale[0];
            j.join.in[k].zero = x->q->zero[0];
            j.join.in[k].is_signed = x->dtype == NB_S8;
        }
    }
    return j;
}

/* All floats or all codes, nothing repeated; a relu on codes is another thing. */
static bool join_fits(const nb_step *s)
{
    const nb_node *first = s->node[0];
    if (first->n_in > 1 && !nb_join_is_plain(first))
        return false;
    bool codes = nb_layer_is_codes(&first->in[0]->out);
    for (int32_t k = 1; k < first->n_in; k++)
        if (nb_layer_is_codes(&first->in[k]->out) != codes)
            return false;
    return !nb_layer_is_codes(&first->out) && nb_fuse_tail_fits(s, tail_from(s));
}

static nb_status join_prepare(nb_graph *g, nb_step *s)
{
    int64_t count = nb_count(&s->node[0]->out), chunks = nb_chunks(count, NB_LAYER_GRAIN);
    join_priv *p = nb_graph_alloc(g, sizeof *p);
    if (!p)
        return NB_E_NOMEM;
    p->min = nb_graph_alloc(g, 2 * (size_t)chunks * sizeof(float));
    if (!p->min)
        return NB_E_NOMEM;
    p->max = p->min + chunks;
    s->priv = p;
    for (int32_t i = 0; i < s->n; i++)
        s->node[i]->saved_bytes = s->node[i]->scratch_bytes = 0;
    const nb_tail t = nb_fuse_tail(s, tail_from(s));
    if (t.fq && nb_fakequant_can_learn(t.fq)) /* the sum is computed again */
        s->node[0]->flags |= NB_NODE_READS_IN;
    if (s->n > 1)
        nb_step_last(s)->saved_bytes = (size_t)nb_mask_bytes(count);
    return NB_OK;
}

static nb_kjoin join_at(const job *j, int64_t at)
{
    nb_kjoin k = j->join;
    for (int32_t i = 0; i < k.n_in; i++)
        k.in[i].data = (const uint8_t *)k.in[i].data + at * (k.codes ? 1 : (int64_t)sizeof(float));
    return k;
}

static void minmax_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    int64_t at = chunk * NB_LAYER_GRAIN;
    nb_kjoin k = join_at(j, at);
    nb_k_join_minmax(&j->p->min[chunk], &j->p->max[chunk], &k, nb_chunk_end(j->count, NB_LAYER_GRAIN, chunk) - at);
}

static void write_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    int64_t at = chunk * NB_LAYER_GRAIN, n = nb_chunk_end(j->count, NB_LAYER_GRAIN, chunk) - at;
    nb_kjoin k = join_at(j, at);
    uint8_t *mask = j->mask ? j->mask + at / 8 : NULL;
    if (j->tail.fq)
        nb_k_join_codes((uint8_t *)j->tail.out->out.data + at, mask, &k, &j->grid, n);
    else
        nb_k_join_float((float *)j->tail.out->out.data + at, mask, &k, n);
}

static void observe(job *j, float *min, float *max)
{
    int64_t chunks = nb_chunks(j->count, NB_LAYER_GRAIN);
    nb_parallel_for(chunks, minmax_chunk, j);
    *min = INFINITY;
    *max = -INFINITY;
    for (int64_t i = 0; i < chunks; i++)
        nb_fuse_extend(min, max, j->p->min[i], j->p->max[i]);
    nb_gather_extremes(j->first->cut, min, max);
}

/* The i-th value before it is quantized. */
static float value_at(const void *arg, int64_t i)
{
    const nb_kjoin k = join_at(arg, i);
    float y;
    nb_k_join_float(&y, NULL, &k, 1);
    return y;
}

static void join_forward(const nb_step *s, const nb_run *r)
{
    job j = job_of(s);
    float min = 0, max = 0;
    if (j.tail.fq) {
        if (nb_fakequant_observes(j.tail.fq, r))
            observe(&j, &min, &max);
        nb_fakequant_settle(j.tail.fq, r, min, max, &(nb_values){value_at, &j});
        j.grid = nb_fuse_grid(j.tail.fq);
    }
    nb_parallel_for(nb_chunks(j.count, NB_LAYER_GRAIN), write_chunk, &j);
}

static void pass(float *dx, const float *dy, const uint8_t *mask, int64_t n, bool fresh)
{
    if (mask)
        nb_k_ste_backward(dx, dy, mask, n, !fresh);
    else if (dx != dy)
        nb_layer_pass_grad(dx, dy, n, fresh);
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    int64_t at = chunk * NB_LAYER_GRAIN, n = nb_chunk_end(j->count, NB_LAYER_GRAIN, chunk) - at;
    float *dy = j->tail.out->out.grad + at;
    const uint8_t *mask = j->mask ? j->mask + at / 8 : NULL;
    bool in_place = false;
    for (int32_t k = 0; k < j->first->n_in; k++) {
        float *dx = j->first->in[k]->out.grad;
        bool same = dx == j->tail.out->out.grad;
        in_place |= same;
        if (dx && !same)
            pass(dx + at, dy, mask, n, nb_layer_fresh(j->first, k));
    }
    if (in_place) /* last: the others read what stood there */
        pass(dy, dy, mask, n, true);
}

enum { LEARN_BUFFER = 2048 };
_Static_assert(LEARN_BUFFER % NB_SCALE_RUN == 0 && LEARN_BUFFER / NB_SCALE_RUN >= NB_SCALE_ROWS, "whole blocks fit");

/* The sums are computed again, so many at a time. */
static void learn_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_node *fq = j->tail.fq;
    const int32_t c = nb_channels(&fq->out), wide = c < LEARN_BUFFER ? c : LEARN_BUFFER;
    const int64_t per_image = nb_rows(&fq->out) / fq->cut->images;
    const int64_t end = nb_cut_part_at(fq->cut, (int32_t)part + 1) * per_image;
    const int64_t most = c > NB_SCALE_RUN ? 1 : LEARN_BUFFER / c / NB_SCALE_ROWS * NB_SCALE_ROWS;
    float buf[LEARN_BUFFER];
    nb_fakequant_learn_start(fq, part);
    for (int64_t r = nb_cut_part_at(fq->cut, (int32_t)part) * per_image, rows; r < end; r += rows) {
        rows = most < end - r ? most : end - r;
        for (int32_t from = 0; from < c; from += wide) {
            const int32_t n = c - from < wide ? c - from : wide;
            const nb_kjoin k = join_at(j, r * c + from);
            nb_k_join_float(buf, NULL, &k, rows * n);
            nb_fakequant_learn_rows(fq, part, buf, NULL, fq->out.grad + r * c + from, rows, n);
        }
    }
}

static void join_backward(const nb_step *s, const nb_run *r)
{
    job j = job_of(s);
    if (j.tail.fq && nb_fakequant_learns(j.tail.fq, r)) { /* before the gradient is masked in place */
        nb_cut_run(j.first->cut, learn_part, &j);
        nb_fakequant_learn(j.tail.fq);
    }
    nb_parallel_for(nb_chunks(j.count, NB_LAYER_GRAIN), backward_chunk, &j);
}

const nb_fusion nb_fusion_join = {
    .name = "join",
    .help = "a residual add, or a relu, and what follows it",
    .patterns = (const char *const[]){"add [relu] [fakequant]", "add [relu]", "relu fakequant", NULL},
    .flags = NB_FUSION_PASSES_GRAD,
    .fits = join_fits,
    .prepare = join_prepare,
    .forward = join_forward,
    .backward = join_backward};
