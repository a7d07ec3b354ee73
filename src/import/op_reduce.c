/* op_reduce.c - ReduceMean, ReduceMax, ReduceSum of images: pools over whole rows or columns, and, where there is a sum or
 * channels go, convolutions whose weights are all alike. */
#include "base/check.h"
#include "import/onnx_fit.h"
#include "import/onnx_window.h"

#include <string.h>

enum { MAX_WINDOW = 64, MAX_TAPS = 256 /* of maxpool */ };

typedef enum { MEAN, MAX, SUM } reduction;

typedef struct {
    bool on[ONNX_AXES], keep, nothing;
    onnx_window w; /* over what goes of rows and columns */
} reduced;

/* Without axes it would be over the images of a batch too. */
static nb_status read_reduced(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, reduced *r)
{
    int64_t axes[ONNX_SHAPE_MAX] = {0}, keep, none;
    int32_t count, at;
    *r = (reduced){.w = {.k = {1, 1}, .dilation = {1, 1}}};
    NB_TRY(onnx_integers(n, d, 1, "axes", axes, &count));
    NB_TRY(onnx_attr_int(n, d, "keepdims", 1, &keep));
    NB_TRY(onnx_attr_int(n, d, "noop_with_empty_axes", 0, &none));
    r->keep = keep != 0;
    r->nothing = count == 0 && none;
    for (int32_t i = 0; i < count; i++) {
        NB_TRY(onnx_image_axis(n, d, x, axes[i], &at));
        r->on[at] = true;
    }
    if (!r->nothing && (count == 0 || r->on[ONNX_AXIS_N]))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: only channels, rows and columns of an image are supported");
    for (int32_t i = 0; i < 2; i++) {
        const int32_t size = i ? x->w : x->h;
        r->w.k[i] = r->w.stride[i] = r->on[ONNX_AXIS_H + i] ? size : 1;
        r->w.out[i] = size / r->w.k[i];
    }
    return NB_OK;
}

/* One weight everywhere; each channel for itself, or all of them into one. */
static nb_status add_alike(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const reduced *r, double weight,
                           int32_t *layer)
{
    const bool all = r->on[ONNX_AXIS_C];
    const int64_t dims[4] = {all ? 1 : x->c, all ? x->c : 1, r->w.k[0], r->w.k[1]};
    nb_st_tensor w;
    float *to;
    NB_TRY(onnx_new_floats(n, d->out[0], 4, dims, &to, &w));
    for (int64_t i = 0; i < w.count; i++)
        to[i] = (float)weight;
    w.ndim = x->row ? 2 : 4;
    NB_TRY(onnx_add_layer(n, d, x->row ? "linear" : all ? "conv2d" : "dwconv2d", w.name, &x->layer, 1, layer));
    if (all)
        onnx_keys(n, *layer, "out: 1");
    onnx_window whole = r->w; /* one step, whatever its length */
    whole.stride[0] = whole.stride[1] = 1;
    if (!x->row)
        onnx_window_keys(n, *layer, &whole, 1);
    onnx_give(n, *layer, "weight", &w);
    return NB_OK;
}

static nb_status add_pool(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const reduced *r, bool max,
                          int32_t *layer)
{
    onnx_layer *before = &n->layer[x->layer];
    const bool global = r->w.k[0] == x->h && r->w.k[1] == x->w;
    *layer = x->layer;
    if (global && !max && before->reduced && x->uses == 1) { /* the mean of means of rows */
        before->keys[0] = '\0';
    } else {
        NB_TRY(onnx_add_layer(n, d, max ? "maxpool" : "avgpool", NULL, &x->layer, 1, layer));
    }
    if (global)
        onnx_keys(n, *layer, "global: yes");
    else
        onnx_window_keys(n, *layer, &r->w, 0);
    n->layer[*layer].reduced = !global && !max;
    return NB_OK;
}

static nb_status reduce(onnx_net *n, const onnx_node *d, reduction what)
{
    onnx_v_entry *x;
    reduced r;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_fit_shuffle(n, d, x));
    NB_TRY(read_reduced(n, d, x, &r));
    if (r.nothing)
        return onnx_output(n, d, x);
    const int64_t taps = r.w.k[0] * r.w.k[1], values = taps * (r.on[ONNX_AXIS_C] ? x->c : 1);
    const bool channels = r.on[ONNX_AXIS_C] && x->c > 1, global = r.w.k[0] == x->h && r.w.k[1] == x->w;
    const bool alike = channels || (what == SUM && values > 1);
    if (what == MAX && channels)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: the largest of all channels is not supported");
    if ((alike || what == MAX || !global) &&
        (r.w.k[0] > MAX_WINDOW || r.w.k[1] > MAX_WINDOW || (what == MAX && taps > MAX_TAPS)))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: %lldx%lld pixels are too many", (long long)r.w.k[0],
                         (long long)r.w.k[1]);
    onnx_v_entry y = *x;
    if (alike)
        NB_TRY(add_alike(n, d, x, &r, what == SUM ? 1 : 1 / (double)values, &y.layer));
    else if (taps > 1)
        NB_TRY(add_pool(n, d, x, &r, what == MAX, &y.layer));
    y.c = channels ? 1 : x->c;
    y.h = (int32_t)r.w.out[0];
    y.w = (int32_t)r.w.out[1];
    onnx_layout_like(&y, x, r.keep ? NULL : r.on);
    return onnx_output(n, d, &y);
}

nb_status onnx_op_reducemean(onnx_net *n, const onnx_node *d)
{
    return reduce(n, d, MEAN);
}

nb_status onnx_op_reducemax(onnx_net *n, const onnx_node *d)
{
    return reduce(n, d, MAX);
}

nb_status onnx_op_reducesum(onnx_net *n, const onnx_node *d)
{
    return reduce(n, d, SUM);
}
