/* mul.c - y = a * b, value by value: a gate, one factor per channel in squeeze-and-excite, one per pixel in spatial
 * attention. Inputs may be floats or codes; the product is real. */
#include "join.h"

#include <nibble/extend/lowering.h>

static nb_status mul_build(nb_graph *g, nb_node *n)
{
    n->flags |= n->in[0]->flags & n->in[1]->flags & NB_NODE_NONNEGATIVE;
    return nb_join_build(g, n);
}

static void products(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void parts(float *part, int32_t k, const float *dy, const float *a, const float *b, int64_t n)
{
    const float *other = k ? a : b;
    for (int64_t i = 0; i < n; i++)
        part[i] = dy[i] * other[i];
}

static const nb_join_math math = {.apply = products, .part = parts};

static void mul_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_forward(n, &math);
}

static void mul_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_backward(n, &math);
}

static nb_status mul_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_mul(lo, n);
}

const nb_op nb_op_mul = {
    .name = "mul",
    .help = "product of two tensors; one with a single row, column or channel multiplies all of the other's",
    .min_in = 2,
    .max_in = 2,
    .flags = NB_OP_BWD_SETS | NB_OP_BWD_NEEDS_IN,
    .role = NB_ROLE_PRODUCT,
    .build = mul_build,
    .prepare = nb_join_prepare,
    .forward = mul_forward,
    .backward = mul_backward,
    .lower = mul_lower,
    .examples = (const char *const[]){"mul", NULL},
};
