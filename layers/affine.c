/* affine.c - y = mul * x + add with trained numbers, one of each per channel or for all: scale and shift. In a quantized network
 * what a batch norm is there: an edit of the open accumulator, on codes a depthwise convolution of one pixel.
 *
 * saved: double sums of dy and dy * x, a row of each for each part of the batch, added in order. */
#include "layer.h"

#include "batchnorm.h"

#include "base/check.h"
#include "core/cut_gather.h"
#include "kernels/sweeps/sweep.h"

#include <nibble/extend/lowering.h>

#include <string.h>

enum { MUL = 1, ADD };

typedef struct {
    bool channels;
} affine_attr;

static const nb_key affine_keys[] = {
    NB_KEY_BOOL(affine_attr, channels, "yes", "two numbers for each channel; no: two for all"), {0}};

/* The map of each channel, and 0 for those that do not need it. */
typedef struct {
    double *mul, *add; /* [c], and work space behind them */
    float *a, *b, *zero;
} affine_priv;

static nb_status affine_build(nb_graph *g, nb_node *n)
{
    const size_t c = (size_t)nb_channels(&n->in[0]->out);
    n->out.shape = n->in[0]->out.shape;
    const nb_shape s = nb_shape_of(1, ((const affine_attr *)n->attr)->channels ? (int32_t)c : 1, 0, 0, 0);
    affine_priv *p = nb_graph_alloc(g, sizeof *p);
    nb_node *mul;
    NB_TRY(nb_graph_leaf(g, n, "mul", s, NB_NODE_PARAM, &mul));
    NB_TRY(nb_graph_leaf(g, n, "add", s, NB_NODE_PARAM, NULL));
    for (int32_t k = 0; k < s.d[0]; k++)
        ((float *)mul->out.data)[k] = 1;
    n->priv = p;
    if (!p || !(p->mul = nb_graph_alloc(g, 5 * c * sizeof *p->mul)) ||
        !(p->a = nb_graph_alloc(g, 3 * c * sizeof *p->a)))
        return NB_E_NOMEM;
    p->add = p->mul + c;
    p->b = p->a + c;
    p->zero = p->b + c;
    return NB_OK;
}

static nb_status affine_prepare(nb_graph *g, nb_node *n)
{
    n->saved_bytes = (size_t)NB_TAP_MAX_PARTS * 2 * (size_t)nb_channels(&n->out) * sizeof(double);
    return nb_layer_need_float(g, n, 0);
}

static void affine_affine(const nb_node *n, double *mul, double *add)
{
    const float *m = n->in[MUL]->out.data, *a = n->in[ADD]->out.data;
    const bool one = n->in[MUL]->out.shape.d[0] == 1;
    for (int32_t c = 0; c < nb_channels(&n->out); c++) {
        mul[c] = (double)m[one ? 0 : c];
        add[c] = (double)a[one ? 0 : c];
    }
}

static int64_t grain_of(int32_t c)
{
    return c < NB_LAYER_GRAIN ? NB_LAYER_GRAIN / c : 1;
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const affine_priv *p = n->priv;
    const int32_t c = nb_channels(&n->out);
    const int64_t first = chunk * grain_of(c), rows = nb_chunk_end(nb_rows(&n->out), grain_of(c), chunk) - first;
    nb_k_channel_affine((float *)n->out.data + first * c, (const float *)n->in[0]->out.data + first * c, p->a, p->b,
                        rows, c);
}

static void affine_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    affine_priv *p = n->priv;
    const int32_t c = nb_channels(&n->out);
    affine_affine(n, p->mul, p->add);
    nb_bn_round_shift(n, p->mul, p->add, c);
    for (int32_t k = 0; k < c; k++) {
        p->a[k] = (float)p->mul[k];
        p->b[k] = (float)p->add[k];
    }
    nb_parallel_for(nb_chunks(nb_rows(&n->out), grain_of(c)), forward_chunk, n);
}

static void sum_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const affine_priv *p = n->priv;
    const int32_t c = nb_channels(&n->out);
    const int64_t image = nb_rows(&n->out) / n->cut->images, first = nb_cut_part_at(n->cut, (int32_t)part) * image;
    double *sum = (double *)n->saved + part * 2 * c;
    memset(sum, 0, 2 * (size_t)c * sizeof *sum);
    nb_k_channel_grad_sums(sum, sum + c, n->out.grad + first * c, NULL, (const float *)n->in[0]->out.data + first * c,
                           p->zero, nb_cut_part_at(n->cut, (int32_t)part + 1) * image - first, c);
}

/* The sums of dy (row 0) or dy * x (row 1) to leaf k's gradient. */
static void give_leaf(const nb_node *n, int32_t k, int32_t row, int32_t parts)
{
    float *grad = n->in[k]->out.grad;
    const int32_t c = nb_channels(&n->out), own = n->in[k]->out.shape.d[0];
    for (int32_t i = 0; grad && i < own; i++) {
        double sum = nb_layer_fresh(n, k) ? 0 : (double)grad[i];
        for (int32_t p = 0; p < parts; p++)
            for (int32_t j = i; j < c; j += own)
                sum += ((const double *)n->saved)[(p * 2 + row) * c + j];
        grad[i] = (float)sum;
    }
}

static void grad_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const affine_priv *p = n->priv;
    const int32_t c = nb_channels(&n->out);
    const int64_t first = chunk * grain_of(c), rows = nb_chunk_end(nb_rows(&n->out), grain_of(c), chunk) - first;
    const nb_tensor *x = &n->in[0]->out;
    nb_k_channel_grad(x->grad + first * c, n->out.grad + first * c, NULL, (const float *)x->data + first * c,
                      &(nb_kgrad){p->a, p->zero, p->zero}, rows, c, !nb_layer_fresh(n, 0));
}

static void affine_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    const int32_t parts = nb_tap_parts(n->cut->batch);
    nb_cut_run(n->cut, sum_part, n);
    nb_gather_parts(n->cut, &(nb_gathered){n->saved, 2 * (size_t)nb_channels(&n->out) * sizeof(double)}, 1);
    give_leaf(n, ADD, 0, parts);
    give_leaf(n, MUL, 1, parts);
    if (n->in[0]->out.grad)
        nb_parallel_for(nb_chunks(nb_rows(&n->out), grain_of(nb_channels(&n->out))), grad_chunk, n);
}

static nb_status affine_lower(nb_lowering *lo, const nb_node *n)
{
    affine_priv *p = n->priv;
    affine_affine(n, p->mul, p->add);
    return nb_lower_affine(lo, n, p->mul, p->add);
}

const nb_op nb_op_affine = {
    .name = "affine",
    .help = "scale and shift: mul * x + add, trained; starts with mul 1, add 0",
    .keys = affine_keys,
    .attr_size = sizeof(affine_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS,
    .role = NB_ROLE_AFFINE,
    .build = affine_build,
    .prepare = affine_prepare,
    .forward = affine_forward,
    .backward = affine_backward,
    .lower = affine_lower,
    .affine = affine_affine,
    .examples = (const char *const[]){"affine", "affine: {channels: no}", NULL},
};
