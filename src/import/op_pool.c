/* op_pool.c - MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool. */
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
    if (w->dilation[0] != 1 || w->dilation[1] != 1)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "dilations: %lld and %lld: only windows without gaps are supported",
                         (long long)w->dilation[0], (long long)w->dilation[1]);
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
    if (d->n_out > 1 && *d->out[1] && onnx_is_read(n, d->out[1]))
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
