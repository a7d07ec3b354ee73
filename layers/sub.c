/* sub.c - y = a - b, value by value. Inputs may be floats or codes; the difference is real. */
#include "join.h"

#include <nibble/extend/lowering.h>

static void differences(float *y, const float *a, const float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] - b[i];
}

static void parts(float *part, int32_t k, const float *dy, const float *a, const float *b, int64_t n)
{
    (void)a;
    (void)b;
    for (int64_t i = 0; i < n; i++)
        part[i] = k ? -dy[i] : dy[i];
}

static const nb_join_math math = {.apply = differences, .part = parts};

static void sub_forward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_forward(n, &math);
}

static void sub_backward(nb_node *n, const nb_run *r)
{
    (void)r;
    nb_join_backward(n, &math);
}

static nb_status sub_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_sub(lo, n);
}

const nb_op nb_op_sub = {
    .name = "sub",
    .help =
        "the first tensor without the second; one with a single row, column or channel counts for all of the other's",
    .min_in = 2,
    .max_in = 2,
    .flags = NB_OP_BWD_SETS | NB_OP_SUBTRACTS,
    .role = NB_ROLE_JOIN,
    .build = nb_join_build,
    .prepare = nb_join_prepare,
    .forward = sub_forward,
    .backward = sub_backward,
    .lower = sub_lower,
    .examples = (const char *const[]){"sub", NULL},
};
