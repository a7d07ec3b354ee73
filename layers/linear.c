/* linear.c - y = W x + b on everything an image has, flattened. A 1x1 convolution on an image of some batch items.
 *
 * Lowered, it is a convolution whose window is the whole input image: NHWC flattened equals one OHWI filter, so the
 * engine needs no reshape. */
#include "mac.h"

#include "layer.h"

#include "base/check.h"
#include "base/rng.h"

#include <nibble/extend/lowering.h>

#include <math.h>

enum { ROWS = 16 }; /* enough rows to reuse each weight from registers */

typedef struct {
    int32_t out;
    bool bias;
} linear_attr;

static const nb_key linear_keys[] = {NB_KEY_INT(linear_attr, out, NULL, 1, 65536, "outputs"),
                                     NB_KEY_BOOL(linear_attr, bias, "yes", "add one learned number per output"),
                                     {0}};

static int64_t features(const nb_node *n)
{
    const nb_tensor *x = &n->in[0]->out;
    return nb_count(x) / x->shape.d[0];
}

static nb_geom linear_geom(const nb_node *n, int32_t rows)
{
    const linear_attr *a = n->attr;
    return nb_geom_pixels(1, rows, (int32_t)features(n), a->out, 1);
}

/* A unit of the batch (extend/cut.h) in equal numbers of at most ROWS. */
static int32_t rows_at_once(int32_t batch)
{
    const int32_t unit = nb_cut_unit_most(batch), chunks = (unit - 1) / ROWS + 1;
    return (unit - 1) / chunks + 1;
}

static nb_status linear_build(nb_graph *g, nb_node *n)
{
    const linear_attr *a = n->attr;
    nb_geom q = linear_geom(n, 1);
    n->out.shape = nb_shape_of(2, g->room, a->out, 0, 0);
    return nb_mac_leaves(g, n, &q, a->bias);
}

static void linear_init(nb_node *n, uint64_t seed)
{
    nb_rng rng = nb_rng_make(seed, 0);
    float bound = (float)(1.0 / sqrt((double)features(n)));
    for (int32_t k = 1; k < n->n_in; k++) {
        nb_tensor *t = &nb_layer_leaf(n, k)->out;
        float *data = t->data;
        for (int64_t i = 0, count = nb_count(t); i < count; i++)
            data[i] = bound * (2.0f * nb_rng_uniform(&rng) - 1.0f);
    }
}

static nb_status linear_prepare(nb_graph *g, nb_node *n)
{
    const int32_t rows = rows_at_once(g->max_batch);
    nb_geom q = linear_geom(n, rows);
    return nb_mac_prepare(g, n, &q, rows);
}

static nb_status linear_lower(nb_lowering *lo, const nb_node *n)
{
    const nb_node *x = n->in[0];
    while (x->op->flags & NB_OP_VIEW)
        x = x->in[0];
    const nb_shape *s = &x->out.shape;
    const bool image = s->ndim == 4;
    const linear_attr *a = n->attr;
    const nb_geom q = nb_geom_whole(image ? s->d[1] : 1, image ? s->d[2] : 1, nb_channels(&x->out), a->out, 1);
    return nb_lower_mac(lo, n, &q);
}

static int64_t linear_macs(const nb_node *n)
{
    const linear_attr *a = n->attr;
    return features(n) * a->out;
}

const nb_op nb_op_linear = {
    .name = "linear",
    .help = "fully connected layer on the flattened input; weights and bias start uniform in +-1/sqrt(inputs)",
    .keys = linear_keys,
    .attr_size = sizeof(linear_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS,
    .role = NB_ROLE_MAC,
    .build = linear_build,
    .init = linear_init,
    .prepare = linear_prepare,
    .forward = nb_mac_forward,
    .backward = nb_mac_backward,
    .lower = linear_lower,
    .macs = linear_macs,
    .examples = (const char *const[]){"linear: {out: 10}", "linear: {out: 7, bias: no}", NULL},
};
