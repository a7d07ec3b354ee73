/* fuse_norm.c - batchnorm -> [relu] -> [fakequant] in two sweeps each way.
 *
 * forward   sums (and extremes) of x, then x to the chain's output: normalise, clamp, quantize, one mask bit per value.
 *           y is a monotone function of x per channel, rounding included, so the extremes of y that the range observer
 *           wants are y at the extremes of x.
 * backward  sums over the masked gradient, then the gradient of x. The mask says at once where relu and the
 *           straight-through estimator pass.
 * Behind a convolution that nothing else reads, the first forward sweep and the second backward one are not sweeps at
 * all: the convolution hands over each image it has written, and asks for the gradient of each image when it wants it.
 * saved: the mask in the last node's, everything else in the batch norm's. */
#include "fuse.h"

#include "batchnorm.h"
#include "layer.h"

#include "core/cut_gather.h"
#include "kernels/sweeps/sweep.h"
#include "quant/fakequant.h"

#include <math.h>

enum { LEARN_GRAIN = 2048 /* values whose x and dy stay in the nearest cache */ };
_Static_assert(NB_GRAD_BLOCK % NB_SCALE_ROWS == 0, "pieces are whole blocks of both sums");

typedef struct {
    nb_bn bn;
    nb_tail tail;
    uint8_t *mask; /* NULL: all passes */
    nb_kmap map;
    nb_kgrid grid;
    bool observes, learns; /* this step */
} job;

static job job_of(const nb_step *s)
{
    job j = {.bn = nb_bn_of(s->node[0]), .tail = nb_fuse_tail(s, 1)};
    j.mask = s->n > 1 ? j.tail.out->saved : NULL;
    j.map = (nb_kmap){j.bn.mul, j.bn.add, j.tail.clamp};
    return j;
}

static bool norm_fits(const nb_step *s)
{
    return nb_fuse_tail_fits(s, 1);
}

static bool takes_values(const job *j, const nb_run *r)
{
    return nb_bn_uses_batch(r) || j->observes;
}

static void take(const job *j, int64_t part, int64_t first, int64_t end)
{
    const float *x = j->bn.n->in[0]->out.data;
    nb_bn_take(&j->bn, part, j->observes, x + first * j->bn.c, end - first);
}

static void tap_value(const nb_tap *t, const nb_run *r, int32_t part, int32_t image)
{
    job j = job_of(t->step);
    int64_t first = image * j.bn.per_image;
    j.observes = j.tail.fq && nb_fakequant_observes(j.tail.fq, r);
    if (!takes_values(&j, r))
        return;
    if (first == nb_bn_part(&j.bn, part))
        nb_bn_start(&j.bn, part);
    take(&j, part, first, first + j.bn.per_image);
}

/* The gradient of rows [first, end) of x into dx. */
static void grad_rows(const job *j, float *dx, int64_t first, int64_t end, int32_t add)
{
    const nb_bn *b = &j->bn;
    const float *x = b->n->in[0]->out.data;
    nb_k_channel_grad(dx, j->tail.out->out.grad + first * b->c, j->mask ? j->mask + first * nb_mask_bytes(b->c) : NULL,
                      x + first * b->c, &(nb_kgrad){b->mul, b->add, b->off}, end - first, b->c, add);
}

static void tap_grad(const nb_tap *t, float *buf, int32_t image)
{
    job j = job_of(t->step);
    grad_rows(&j, buf, image * j.bn.per_image, (image + 1) * j.bn.per_image, 0);
}

static nb_status norm_prepare(nb_graph *g, nb_step *s)
{
    const nb_node *bn = s->node[0];
    nb_node *x = bn->in[0];
    if ((x->op->flags & NB_OP_TAPS) && nb_node_consumers(g, x) == 1) {
        nb_tap *t = nb_graph_alloc(g, sizeof *t);
        if (!t)
            return NB_E_NOMEM;
        *t = (nb_tap){.step = s, .value = tap_value, .grad = tap_grad};
        x->tap = t;
    }
    for (int32_t i = 1; i < s->n; i++)
        s->node[i]->saved_bytes = 0;
    if (s->n > 1)
        nb_step_last(s)->saved_bytes = (size_t)(nb_rows(&bn->out) * nb_mask_bytes(nb_channels(&bn->out)));
    return NB_OK;
}

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    nb_bn_start(&j->bn, part);
    take(j, part, nb_bn_part(&j->bn, part), nb_bn_part(&j->bn, part + 1));
}

/* Of the chain's values, from those of x. */
static void extremes(const job *j, float *min, float *max)
{
    const nb_bn *b = &j->bn;
    *min = INFINITY;
    *max = -INFINITY;
    for (int32_t c = 0; c < b->c; c++) {
        float lo = INFINITY, hi = -INFINITY;
        for (int64_t p = 0; p < b->n_parts; p++)
            nb_fuse_extend(&lo, &hi, b->extremes[p * 2 * b->c + c], b->extremes[(p * 2 + 1) * b->c + c]);
        float at_lo = nb_fuse_clamp(&j->tail.clamp, lo * b->mul[c] + b->add[c]);
        float at_hi = nb_fuse_clamp(&j->tail.clamp, hi * b->mul[c] + b->add[c]);
        nb_fuse_extend(min, max, at_lo, at_lo);
        nb_fuse_extend(min, max, at_hi, at_hi);
    }
    *min += 0.0f; /* no -0, as in a sweep */
    *max += 0.0f;
}

static void map_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_bn *b = &j->bn;
    int64_t first = chunk * b->grain, rows = nb_chunk_end(b->rows, b->grain, chunk) - first;
    const float *x = (const float *)b->n->in[0]->out.data + first * b->c;
    uint8_t *mask = j->mask ? j->mask + first * nb_mask_bytes(b->c) : NULL;
    if (j->tail.fq)
        nb_k_map_codes((uint8_t *)j->tail.out->out.data + first * b->c, mask, x, &j->map, &j->grid, rows, b->c);
    else
        nb_k_map_float((float *)j->tail.out->out.data + first * b->c, mask, x, &j->map, rows, b->c);
}

/* The i-th value before it is quantized. */
static float value_at(const void *arg, int64_t i)
{
    const job *j = arg;
    const int64_t c = i % j->bn.c;
    const nb_kmap m = {j->bn.mul + c, j->bn.add + c, j->tail.clamp};
    float y;
    nb_k_map_float(&y, NULL, (const float *)j->bn.n->in[0]->out.data + i, &m, 1, 1);
    return y;
}

static void norm_forward(const nb_step *s, const nb_run *r)
{
    job j = job_of(s);
    j.observes = j.tail.fq && nb_fakequant_observes(j.tail.fq, r);
    float min = 0, max = 0;
    if (takes_values(&j, r) && !s->node[0]->in[0]->tap)
        nb_cut_run(j.bn.n->cut, sum_part, &j);
    if (takes_values(&j, r))
        nb_bn_gather(&j.bn, nb_bn_uses_batch(r), j.observes);
    nb_bn_forward_map(&j.bn, r);
    if (j.observes)
        extremes(&j, &min, &max);
    if (j.tail.fq) {
        nb_fakequant_settle(j.tail.fq, r, min, max, &(nb_values){value_at, &j});
        j.grid = nb_fuse_grid(j.tail.fq);
    }
    nb_parallel_for(nb_chunks(j.bn.rows, j.bn.grain), map_chunk, &j);
}

/* The sums of the batch norm, and in the same pieces, while they are in cache, those of what the quantizer learns. */
static void grad_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_bn *b = &j->bn;
    if (!j->learns) {
        nb_bn_grad_part(b, part, j->tail.out->out.grad, j->mask);
        return;
    }
    const float *x = b->n->in[0]->out.data, *dy = j->tail.out->out.grad;
    const int64_t end = nb_bn_part(b, part + 1), blocks = LEARN_GRAIN / NB_GRAD_BLOCK / b->c;
    const int64_t piece = NB_GRAD_BLOCK * (blocks > 0 ? blocks : 1);
    nb_bn_grad_start(b, part);
    nb_fakequant_learn_start(j->tail.fq, part);
    for (int64_t first = nb_bn_part(b, part), next; first < end; first = next) {
        next = first + piece < end ? first + piece : end;
        nb_fakequant_learn_rows(j->tail.fq, part, x + first * b->c, &j->map, dy + first * b->c, next - first, b->c);
        nb_bn_grad_rows(b, part, first, next, dy, j->mask);
    }
}

static void grad_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const job *j = arg;
    const nb_bn *b = &j->bn;
    int64_t first = chunk * b->grain;
    grad_rows(j, b->n->in[0]->out.grad + first * b->c, first, nb_chunk_end(b->rows, b->grain, chunk),
              !nb_layer_fresh(b->n, 0));
}

static void norm_backward(const nb_step *s, const nb_run *r)
{
    job j = job_of(s);
    j.learns = j.tail.fq && nb_fakequant_learns(j.tail.fq, r);
    nb_cut_run(j.bn.n->cut, grad_part, &j);
    nb_bn_gather(&j.bn, true, false);
    if (j.learns)
        nb_fakequant_learn(j.tail.fq);
    nb_bn_backward_map(&j.bn, r);
    if (s->node[0]->in[0]->out.grad)
        nb_parallel_for(nb_chunks(j.bn.rows, j.bn.grain), grad_chunk, &j);
}

const nb_fusion nb_fusion_norm = {.name = "norm",
                                  .help = "batch norm and what follows it: statistics, then everything else",
                                  .patterns =
                                      (const char *const[]){"batchnorm [relu] [fakequant]", "batchnorm [relu]", NULL},
                                  .fits = norm_fits,
                                  .prepare = norm_prepare,
                                  .forward = norm_forward,
                                  .backward = norm_backward};
