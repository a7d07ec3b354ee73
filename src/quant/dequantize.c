/* dequantize.c - codes back to floats, for a layer that only takes floats but follows codes (a batch norm after a pool,
 * say). Where codes are simulated they are floats already. */
#include <nibble/extend/lowering.h>
#include <nibble/extend/quant.h>

#include "base/parallel.h"
#include "kernels/sweeps/sweep.h"

#include <string.h>

enum { CHUNK = 16384 };

static nb_status dq_build(nb_graph *g, nb_node *n)
{
    (void)g;
    n->out.shape = n->in[0]->out.shape;
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status dq_prepare(nb_graph *g, nb_node *n)
{
    if (!n->in[0]->out.q)
        return nb_node_fail(g, n, NB_E_SHAPE, "its input %s is not quantized", n->in[0]->name);
    return NB_OK;
}

static void dq_chunk(void *arg, int64_t i, int32_t thread)
{
    (void)thread;
    nb_node *n = arg;
    const nb_tensor *x = &n->in[0]->out;
    int64_t at = i * CHUNK, end = nb_chunk_end(nb_count(x), CHUNK, i);
    if (x->dtype == NB_F32) {
        memcpy((float *)n->out.data + at, (const float *)x->data + at, (size_t)(end - at) * sizeof(float));
        return;
    }
    nb_k_dequantize((float *)n->out.data + at, (const uint8_t *)x->data + at, end - at, x->q->scale[0], x->q->zero[0],
                    x->dtype == NB_S8);
}

static void dq_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_parallel_for(nb_chunks(nb_count(&n->out), CHUNK), dq_chunk, n);
}

static void dq_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    float *dx = n->in[0]->out.grad;
    if (!dx)
        return;
    for (int64_t i = 0, count = nb_count(&n->out); i < count; i++)
        dx[i] += n->out.grad[i];
}

static nb_status dq_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_same(lo, n);
}

const nb_op nb_op_dequantize = {.name = "dequantize",
                                .help = "codes to real values",
                                .min_in = 1,
                                .max_in = 1,
                                .flags = NB_OP_INTERNAL,
                                .role = NB_ROLE_NONE,
                                .build = dq_build,
                                .prepare = dq_prepare,
                                .forward = dq_forward,
                                .backward = dq_backward,
                                .lower = dq_lower};
