/* concat.c - inputs of equal size side by side along channels. Inputs may be floats or codes; the result is real. */
#include "layer.h"

#include "base/check.h"

#include <nibble/extend/lowering.h>

#include <string.h>

static nb_status concat_build(nb_graph *g, nb_node *n)
{
    nb_shape s = n->in[0]->out.shape;
    int64_t channels = 0;
    uint32_t nonnegative = NB_NODE_NONNEGATIVE;
    for (int32_t k = 0; k < n->n_in; k++) {
        nb_shape other = n->in[k]->out.shape;
        channels += other.d[other.ndim - 1];
        nonnegative &= n->in[k]->flags;
        other.d[other.ndim - 1] = s.d[s.ndim - 1];
        if (!nb_shape_equal(&s, &other)) {
            char left[64];
            char right[64];
            return nb_node_fail(g, n, NB_E_SHAPE, "%s is %s, but %s is %s: all must be equal but for channels",
                                n->in[0]->name, nb_shape_text(&s, left, sizeof left), n->in[k]->name,
                                nb_shape_text(&n->in[k]->out.shape, right, sizeof right));
        }
    }
    if (channels > 65536)
        return nb_node_fail(g, n, NB_E_SHAPE, "%lld channels in all: at most 65536", (long long)channels);
    s.d[s.ndim - 1] = (int32_t)channels;
    n->out.shape = s;
    n->flags |= nonnegative;
    return NB_OK;
}

static int64_t rows_per_chunk(const nb_node *n)
{
    int32_t c = nb_channels(&n->out);
    return c < NB_LAYER_GRAIN ? NB_LAYER_GRAIN / c : 1;
}

static nb_status concat_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    n->scratch_bytes = (size_t)(rows_per_chunk(n) * nb_channels(&n->out)) * sizeof(float);
    return NB_OK;
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    nb_node *n = arg;
    int64_t grain = rows_per_chunk(n);
    int64_t first = chunk * grain;
    int64_t end = nb_chunk_end(nb_rows(&n->out), grain, chunk);
    int32_t all = nb_channels(&n->out);
    int32_t at = 0;
    for (int32_t k = 0; k < n->n_in; k++) {
        int32_t c = nb_channels(&n->in[k]->out);
        const float *x = nb_layer_values(nb_node_scratch(n, thread), &n->in[k]->out, first * c, (end - first) * c);
        for (int64_t row = first; row < end; row++)
            memcpy((float *)n->out.data + row * all + at, x + (row - first) * c, (size_t)c * sizeof(float));
        at += c;
    }
}

static void concat_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_rows(&n->out), rows_per_chunk(n)), forward_chunk, n);
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    int64_t grain = rows_per_chunk(n);
    int64_t end = nb_chunk_end(nb_rows(&n->out), grain, chunk);
    int32_t all = nb_channels(&n->out);
    int32_t at = 0;
    for (int32_t k = 0; k < n->n_in; k++) {
        int32_t c = nb_channels(&n->in[k]->out);
        float *dx = n->in[k]->out.grad;
        for (int64_t row = chunk * grain; dx && row < end; row++)
            nb_layer_pass_grad(dx + row * c, n->out.grad + row * all + at, c, nb_layer_fresh(n, k));
        at += c;
    }
}

static void concat_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_rows(&n->out), rows_per_chunk(n)), backward_chunk, n);
}

static nb_status concat_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_concat(lo, n);
}

const nb_op nb_op_concat = {
    .name = "concat",
    .help = "inputs of equal size side by side along channels",
    .min_in = 2,
    .max_in = NB_MAX_IN,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_JOIN,
    .build = concat_build,
    .prepare = concat_prepare,
    .forward = concat_forward,
    .backward = concat_backward,
    .lower = concat_lower,
    .examples = (const char *const[]){"concat", NULL},
};
