/* flatten.c - [batch, h, w, c] seen as [batch, h*w*c]; no bytes move. */
#include "layer.h"

#include "base/check.h"

#include <nibble/extend/lowering.h>

static nb_status flatten_build(nb_graph *g, nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    int64_t features = nb_count(x) / x->shape.d[0];
    if (features > INT32_MAX)
        return nb_node_fail(g, n, NB_E_SHAPE, "%lld values per image are too many", (long long)features);
    n->out.shape = nb_shape_of(2, g->room, (int32_t)features, 0, 0);
    n->flags |= n->in[0]->flags & NB_NODE_NONNEGATIVE;
    return NB_OK;
}

static nb_status flatten_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_same(lo, n);
}

const nb_op nb_op_flatten = {
    .name = "flatten",
    .help = "an image as one row of values (linear does this by itself)",
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_VIEW | NB_OP_KEEPS_MEAN,
    .role = NB_ROLE_KEEP,
    .build = flatten_build,
    .lower = flatten_lower,
    .examples = (const char *const[]){"flatten", NULL},
};
