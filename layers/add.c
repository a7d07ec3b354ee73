/* add.c - y = a + b, value by value: the end of a residual block. Inputs may be floats or codes; the sum is real. */
#include "join.h"

#include <nibble/extend/lowering.h>

static nb_status add_build(nb_graph *g, nb_node *n)
{
    n->flags |= n->in[0]->flags & n->in[1]->flags & NB_NODE_NONNEGATIVE;
    return nb_join_build(g, n);
}

static void sums(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static const nb_join_math math = {.apply = sums};

static void add_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_forward(n, &math);
}

static void add_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_backward(n, &math);
}

static nb_status add_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_add(lo, n);
}

const nb_op nb_op_add = {
    .name = "add",
    .help = "sum of two tensors; one with a single row, column or channel is added to all of the other's",
    .min_in = 2,
    .max_in = 2,
    .flags = NB_OP_BWD_SETS,
    .role = NB_ROLE_JOIN,
    .build = add_build,
    .prepare = nb_join_prepare,
    .forward = add_forward,
    .backward = add_backward,
    .lower = add_lower,
    .examples = (const char *const[]){"add", NULL},
};
