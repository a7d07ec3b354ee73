/* add.c - y = a + b, element by element: the end of a residual block. Inputs may be floats or codes; the sum is real.
 */
#include "layer.h"

#include "base/check.h"

#include <nibble/extend/lowering.h>

static nb_status add_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *a = &n->in[0]->out;
    const nb_tensor *b = &n->in[1]->out;
    char left[64];
    char right[64];
    if (!nb_shape_equal(&a->shape, &b->shape))
        return nb_node_fail(g, n, NB_E_SHAPE, "%s is %s, but %s is %s: both must be equal", n->in[0]->name,
                            nb_shape_text(&a->shape, left, sizeof left), n->in[1]->name,
                            nb_shape_text(&b->shape, right, sizeof right));
    n->out.shape = a->shape;
    n->flags |= n->in[0]->flags & n->in[1]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status add_prepare(nb_graph *g, nb_node *n)
{
    (void)g;
    n->scratch_bytes = 2 * NB_LAYER_GRAIN * sizeof(float);
    return NB_OK;
}

static void forward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    nb_node *n = arg;
    int64_t first = chunk * NB_LAYER_GRAIN;
    int64_t count = nb_chunk_end(nb_count(&n->out), NB_LAYER_GRAIN, chunk) - first;
    float *buf = nb_node_scratch(n, thread);
    float *y = (float *)n->out.data + first;
    const float *a = nb_layer_values(buf, &n->in[0]->out, first, count);
    const float *b = nb_layer_values(buf + NB_LAYER_GRAIN, &n->in[1]->out, first, count);
    for (int64_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

static void add_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), forward_chunk, n);
}

static void backward_chunk(void *arg, int64_t chunk, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    int64_t first = chunk * NB_LAYER_GRAIN;
    int64_t count = nb_chunk_end(nb_count(&n->out), NB_LAYER_GRAIN, chunk) - first;
    for (int32_t k = 0; k < 2; k++)
        if (n->in[k]->out.grad)
            nb_layer_pass_grad(n->in[k]->out.grad + first, n->out.grad + first, count, nb_layer_fresh(n, k));
}

static void add_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_count(&n->out), NB_LAYER_GRAIN), backward_chunk, n);
}

static nb_status add_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_add(lo, n);
}

const nb_op nb_op_add = {
    .name = "add",
    .help = "sum of two tensors of equal shape",
    .min_in = 2,
    .max_in = 2,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_JOIN,
    .build = add_build,
    .prepare = add_prepare,
    .forward = add_forward,
    .backward = add_backward,
    .lower = add_lower,
    .examples = (const char *const[]){"add", NULL},
};
