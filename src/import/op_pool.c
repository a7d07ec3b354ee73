/* op_pool.c - MaxPool, AveragePool, GlobalAveragePool, ReduceMean over the image, Pad. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_window.h"

#include <string.h>

enum { MAX_WINDOW = 64, MAX_TAPS = 256 /* of maxpool */ };

static nb_status pooled(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const onnx_window *w)
{
    onnx_v_entry y = *x;
    y.layer = n->n - 1;
    y.h = w ? (int32_t)w->out[0] : 1;
    y.w = w ? (int32_t)w->out[1] : 1;
    return onnx_output(n, d, &y);
}

static nb_status check_window(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const onnx_window *w)
{
    static const onnx_window_limits limits = {MAX_WINDOW, MAX_WINDOW, 1, MAX_WINDOW - 1};
    NB_TRY(onnx_window_check(n, d, w, &limits));
    const int64_t size[2] = {x->h, x->w};
    for (int32_t i = 0; i < 2; i++)
        if (w->pad[i] >= w->k[i] || (w->out[i] - 1) * w->stride[i] - w->pad[i] >= size[i])
            return onnx_fail(n, d, NB_E_FORMAT, "pads must be less than the window");
    return NB_OK;
}

static nb_status add_pool(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const char *op, const onnx_window *w)
{
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, op, NULL, &x->layer, 1, &l));
    if (!w) {
        onnx_keys(n, l, "global: yes");
        return NB_OK;
    }
    onnx_window_keys(n, l, w, 0);
    return NB_OK;
}

nb_status onnx_op_maxpool(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    onnx_window w;
    NB_TRY(onnx_data(n, d, 0, &x));
    if (d->n_out > 1 && *d->out[1])
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its second output, indices, is not supported");
    NB_TRY(onnx_window_read(n, d, x, NULL, &w));
    NB_TRY(check_window(n, d, x, &w));
    if (w.k[0] * w.k[1] > MAX_TAPS)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "a window of %lldx%lld has more than %d pixels", (long long)w.k[0],
                         (long long)w.k[1], MAX_TAPS);
    NB_TRY(add_pool(n, d, x, "maxpool", &w));
    return pooled(n, d, x, &w);
}

nb_status onnx_op_avgpool(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    onnx_window w;
    NB_TRY(onnx_data(n, d, 0, &x));
    int64_t count_pad;
    NB_TRY(onnx_attr_int(n, d, "count_include_pad", 0, &count_pad));
    NB_TRY(onnx_window_read(n, d, x, NULL, &w));
    const bool pads = w.pad[0] || w.pad[1] || w.pad[2] || w.pad[3];
    if (!pads && w.k[0] == x->h && w.k[1] == x->w) {
        NB_TRY(add_pool(n, d, x, "avgpool", NULL));
        return pooled(n, d, x, NULL);
    }
    NB_TRY(check_window(n, d, x, &w));
    if (w.ceil && pads && count_pad)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "ceil_mode with pads that count is not supported");
    NB_TRY(add_pool(n, d, x, "avgpool", &w));
    if (pads && !count_pad)
        onnx_keys(n, n->n - 1, "count_pad: no");
    return pooled(n, d, x, &w);
}

nb_status onnx_op_globalmaxpool(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    NB_TRY(onnx_data(n, d, 0, &x));
    if (x->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    if (x->h * x->w > MAX_TAPS)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "an image of %dx%d has more than %d pixels", x->h, x->w, MAX_TAPS);
    NB_TRY(add_pool(n, d, x, "maxpool", NULL));
    return pooled(n, d, x, NULL);
}

nb_status onnx_op_globalpool(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    NB_TRY(onnx_data(n, d, 0, &x));
    if (x->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    NB_TRY(add_pool(n, d, x, "avgpool", NULL));
    return pooled(n, d, x, NULL);
}

nb_status onnx_op_reducemean(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t axes[ONNX_SHAPE_MAX] = {0}, keep;
    int32_t count;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, "axes", axes, &count));
    NB_TRY(onnx_attr_int(n, d, "keepdims", 1, &keep));
    for (int32_t i = 0; i < count; i++)
        axes[i] += axes[i] < 0 ? 4 : 0;
    const bool both = count == 2 && ((axes[0] == 2 && axes[1] == 3) || (axes[0] == 3 && axes[1] == 2));
    if (!both || x->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "only the mean over rows and columns of images (axes 2 and 3) is supported");
    NB_TRY(add_pool(n, d, x, "avgpool", NULL));
    onnx_v_entry y = *x;
    y.layer = n->n - 1;
    y.h = y.w = 1;
    y.flat = keep == 0;
    return onnx_output(n, d, &y);
}

/* Zeros around an image wait for the convolution that reads them. */
nb_status onnx_op_pad(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t pads[ONNX_SHAPE_MAX];
    int32_t count;
    float value = 0;
    const onnx_attr *mode = onnx_attr_find(d, "mode");
    NB_TRY(onnx_data_padded(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, "pads", pads, &count));
    NB_TRY(onnx_attr_float(n, d, "value", 0, &value));
    if (onnx_input(n, d, 2)) {
        const nb_st_tensor *t;
        NB_TRY(onnx_floats(n, d, 2, &t));
        value = t->count == 1 ? nb_fill_element(t, 0) : 1;
    }
    bool fits = count == 8 && !x->flat && value == 0.0f && !onnx_input(n, d, 3) &&
                (!mode || (mode->kind == ONNX_A_STRING && strcmp(mode->s, "constant") == 0));
    for (int32_t i = 0; i < count; i++)
        fits = fits && pads[i] >= 0 && pads[i] <= 64 && (i % 4 >= 2 || pads[i] == 0);
    if (!fits)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "only up to 64 zeros around rows and columns of images are supported");
    onnx_v_entry y = *x;
    const int32_t from[4] = {2, 3, 6, 7};
    for (int32_t i = 0; i < 4; i++)
        y.pad[i] += (int32_t)pads[from[i]];
    return onnx_output(n, d, &y);
}
