/* prelu.c - y = x, below 0 slope * x, with a slope that is trained: one for each channel, or one for all.
 *
 * saved: double sums of the slopes' gradients, one row for each part of the batch, added in order. */
#include "each.h"
#include "layer.h"

#include "base/check.h"
#include "core/cut_gather.h"

#include <nibble/extend/lowering.h>

#include <string.h>

enum { SLOPE = 1, BLOCK = 1024 };

typedef struct {
    float slope;
    bool channels;
} prelu_attr;

static const nb_key prelu_keys[] = {
    NB_KEY_FLOAT(prelu_attr, slope, "0.25", -100, 100, "below 0, at the start"),
    NB_KEY_BOOL(prelu_attr, channels, "yes", "one slope for each channel; no: one for all"),
    {0}};

static int32_t maps_of(const nb_node *n)
{
    return n->in[SLOPE]->out.shape.d[0];
}

static nb_status prelu_build(nb_graph *g, nb_node *n)
{
    const prelu_attr *a = n->attr;
    n->out.shape = n->in[0]->out.shape;
    const int32_t maps = a->channels ? nb_channels(&n->out) : 1;
    nb_node *slope;
    NB_TRY(nb_graph_leaf(g, n, "slope", nb_shape_of(1, maps, 0, 0, 0), NB_NODE_PARAM, &slope));
    for (int32_t k = 0; k < maps; k++)
        ((float *)slope->out.data)[k] = a->slope;
    return NB_OK;
}

static void prelu_each(const nb_node *n, float *y, const float *x, int64_t rows)
{
    const int32_t maps = maps_of(n);
    const float *slope = n->in[SLOPE]->out.data, one = slope[0];
    for (int64_t i = 0; maps == 1 && i < rows; i++)
        y[i] = x[i] > 0.0f ? x[i] : one * x[i];
    for (int64_t i = 0; maps > 1 && i < rows; i++, x += maps, y += maps)
        for (int32_t k = 0; k < maps; k++)
            y[k] = x[k] > 0.0f ? x[k] : slope[k] * x[k];
}

static void prelu_slope(const nb_node *n, float *y, const float *x, int64_t rows)
{
    const int32_t maps = maps_of(n);
    const float *slope = n->in[SLOPE]->out.data, one = slope[0];
    for (int64_t i = 0; maps == 1 && i < rows; i++)
        y[i] = x[i] > 0.0f ? 1.0f : one;
    for (int64_t i = 0; maps > 1 && i < rows; i++, x += maps, y += maps)
        for (int32_t k = 0; k < maps; k++)
            y[k] = x[k] > 0.0f ? 1.0f : slope[k];
}

static nb_status prelu_prepare(nb_graph *g, nb_node *n)
{
    n->saved_bytes = (size_t)NB_TAP_MAX_PARTS * (size_t)maps_of(n) * sizeof(double);
    return nb_each_prepare(g, n, maps_of(n), prelu_slope);
}

static void slope_part(void *arg, int64_t part, int32_t thread)
{
    (void)thread;
    const nb_node *n = arg;
    const nb_tensor *x = &n->in[0]->out;
    const int32_t maps = maps_of(n);
    const int64_t image = nb_count(&n->out) / n->cut->images;
    const int64_t end = nb_cut_part_at(n->cut, (int32_t)part + 1) * image;
    double *sum = (double *)n->saved + part * maps;
    float buf[BLOCK];
    int32_t k = 0; /* an image begins with the first channel */
    memset(sum, 0, (size_t)maps * sizeof *sum);
    for (int64_t at = nb_cut_part_at(n->cut, (int32_t)part) * image; at < end; at += BLOCK) {
        const int64_t count = end - at < BLOCK ? end - at : BLOCK;
        const float *v = nb_layer_values(buf, x, at, count), *dy = n->out.grad + at;
        for (int64_t i = 0; i < count; i++, k = k + 1 < maps ? k + 1 : 0)
            sum[k] += v[i] > 0.0f ? 0.0 : (double)(dy[i] * v[i]);
    }
}

static void prelu_backward(nb_node *n, const nb_run *r)
{
    float *grad = n->in[SLOPE]->out.grad;
    const int32_t parts = nb_tap_parts(n->cut->batch), maps = maps_of(n);
    if (grad) {
        nb_cut_run(n->cut, slope_part, n);
        nb_gather_parts(n->cut, &(nb_gathered){n->saved, (size_t)maps * sizeof(double)}, 1);
        for (int32_t k = 0; k < maps; k++) {
            double sum = nb_layer_fresh(n, SLOPE) ? 0.0 : (double)grad[k];
            for (int32_t i = 0; i < parts; i++)
                sum += ((const double *)n->saved)[i * maps + k];
            grad[k] = (float)sum;
        }
    }
    nb_each_backward(n, r);
}

static nb_status prelu_lower(nb_lowering *lo, const nb_node *n)
{
    return nb_lower_each(lo, n, maps_of(n));
}

const nb_op nb_op_prelu = {
    .name = "prelu",
    .help = "x, below 0 slope * x, with trained slopes",
    .keys = prelu_keys,
    .attr_size = sizeof(prelu_attr),
    .min_in = 1,
    .max_in = 1,
    .flags = NB_OP_BWD_NEEDS_IN | NB_OP_BWD_SETS | NB_OP_HOMOGENEOUS,
    .role = NB_ROLE_TABLE,
    .build = prelu_build,
    .prepare = prelu_prepare,
    .forward = nb_each_forward,
    .backward = prelu_backward,
    .each = prelu_each,
    .lower = prelu_lower,
    .examples = (const char *const[]){"prelu", "prelu: {channels: no, slope: 0.1}", NULL},
};
