/* op_mac.c - Conv, Gemm, MatMul.
 *
 * Our windows are square, with the same number of zeros on each side. Others are made so where that changes nothing: a
 * window that gets rows or columns of zero weights, and as many zeros more around the image, gives the same sums at the
 * same places. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_window.h"

#include <string.h>

enum { MAX_KERNEL = 31, MAX_PAD = 64, MAX_STRIDE = 16, MAX_OUT = 65536 };

/* Side of the square window and its zeros; false when there is none. */
static bool square_window(const onnx_window *w, int64_t *k, int64_t *pad)
{
    *pad = 0;
    for (int32_t i = 0; i < 4; i++)
        *pad = w->pad[i] > *pad ? w->pad[i] : *pad;
    int64_t side[2];
    for (int32_t i = 0; i < 2; i++) {
        int64_t before = *pad - w->pad[i], behind = *pad - w->pad[i + 2];
        if (before % w->dilation[0] || behind % w->dilation[0])
            return false;
        side[i] = w->k[i] + (before + behind) / w->dilation[0];
    }
    *k = side[0];
    return side[0] == side[1] && w->dilation[0] == w->dilation[1] && w->stride[0] == w->stride[1];
}

/* The OIHW weights with rows and columns of zeros around each window. */
static nb_status widen(onnx_net *n, const onnx_window *w, int64_t k, int64_t pad, const nb_st_tensor *t,
                       nb_st_tensor *out)
{
    const int64_t dims[4] = {t->shape[0], t->shape[1], k, k};
    const int64_t top = (pad - w->pad[0]) / w->dilation[0], left = (pad - w->pad[1]) / w->dilation[0];
    float *to;
    NB_TRY(onnx_new_floats(n, t->name, 4, dims, &to, out));
    for (int64_t i = 0; i < t->shape[0] * t->shape[1]; i++)
        for (int64_t y = 0; y < w->k[0]; y++)
            for (int64_t x = 0; x < w->k[1]; x++)
                to[(i * k + y + top) * k + x + left] = nb_fill_element(t, (i * w->k[0] + y) * w->k[1] + x);
    return NB_OK;
}

/* Input k, if it is given, becomes the layer's bias. */
static nb_status take_bias(onnx_net *n, const onnx_node *d, size_t k, int32_t layer, int64_t channels)
{
    const nb_st_tensor *b = NULL;
    if (onnx_input(n, d, k)) {
        NB_TRY(onnx_floats(n, d, k, &b));
        if (b->count != channels || (b->ndim > 0 && b->shape[b->ndim - 1] != channels))
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "its bias has %lld values for %lld channels", (long long)b->count,
                             (long long)channels);
        nb_st_tensor flat = *b;
        flat.ndim = 1;
        flat.shape[0] = channels;
        onnx_give(n, layer, "bias", &flat);
    }
    n->layer[layer].bias = b != NULL;
    return NB_OK;
}

static nb_status check_conv(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *w,
                            int64_t groups)
{
    if (w->ndim != 4)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its weights have %d dimensions; images need 4", w->ndim);
    if (groups < 1 || w->shape[0] < 1 || w->shape[0] > MAX_OUT || w->shape[1] < 1 || groups > MAX_OUT ||
        w->shape[1] > MAX_OUT || w->shape[1] * groups != x->c || w->shape[0] % groups)
        return onnx_fail(n, d, NB_E_FORMAT,
                         "weights of %lld x %lld channels in %lld groups do not fit the %d of its input",
                         (long long)w->shape[0], (long long)w->shape[1], (long long)groups, x->c);
    return NB_OK;
}

static nb_status add_conv(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                          const onnx_window *w, int64_t groups)
{
    int64_t k, pad;
    if (!square_window(w, &k, &pad) || k > MAX_KERNEL || pad > MAX_PAD || w->stride[0] > MAX_STRIDE ||
        w->dilation[0] > MAX_STRIDE)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "a window of %lldx%lld, strides %lld and %lld, dilations %lld and %lld, pads %lld %lld %lld "
                         "%lld has no square form here (to 31x31)",
                         (long long)w->k[0], (long long)w->k[1], (long long)w->stride[0], (long long)w->stride[1],
                         (long long)w->dilation[0], (long long)w->dilation[1], (long long)w->pad[0],
                         (long long)w->pad[1], (long long)w->pad[2], (long long)w->pad[3]);
    nb_st_tensor square = *t;
    if (k != w->k[0] || k != w->k[1]) {
        NB_TRY(widen(n, w, k, pad, t, &square));
        NB_TRY(onnx_note(n, d, ONNX_NOTE_WINDOW,
                         "a %lldx%lld window with pads %lld %lld %lld %lld becomes one of %lldx%lld with zero weights "
                         "and pad %lld: the same numbers, but %lld %% more multiplications and weights",
                         (long long)w->k[0], (long long)w->k[1], (long long)w->pad[0], (long long)w->pad[1],
                         (long long)w->pad[2], (long long)w->pad[3], (long long)k, (long long)k, (long long)pad,
                         (long long)((100 * k * k + w->k[0] * w->k[1] / 2) / (w->k[0] * w->k[1]) - 100)));
    }
    const bool depthwise = groups > 1 && groups == x->c && t->shape[0] / groups <= 64;
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, depthwise ? "dwconv2d" : "conv2d", t->name, &x->layer, 1, &l));
    if (!depthwise)
        onnx_keys(n, l, "out: %d", (int)t->shape[0]);
    onnx_keys(n, l, "kernel: %d", (int)k);
    if (w->stride[0] != 1)
        onnx_keys(n, l, "stride: %d", (int)w->stride[0]);
    if (pad)
        onnx_keys(n, l, "pad: %d", (int)pad);
    if (w->dilation[0] != 1)
        onnx_keys(n, l, "dilation: %d", (int)w->dilation[0]);
    if (depthwise && t->shape[0] != groups)
        onnx_keys(n, l, "multiplier: %d", (int)(t->shape[0] / groups));
    if (!depthwise && groups > 1)
        onnx_keys(n, l, "groups: %d", (int)groups);
    onnx_give(n, l, "weight", &square);
    return take_bias(n, d, 2, l, t->shape[0]);
}

nb_status onnx_op_conv(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    onnx_window w;
    int64_t groups;
    NB_TRY(onnx_data_padded(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &t));
    NB_TRY(onnx_attr_int(n, d, "group", 1, &groups));
    NB_TRY(check_conv(n, d, x, t, groups));
    NB_TRY(onnx_window_read(n, d, x, &t->shape[2], &w));
    NB_TRY(add_conv(n, d, x, t, &w, groups));
    return onnx_output(n, d,
                       &(onnx_v_entry){.kind = ONNX_V_DATA,
                                       .layer = n->n - 1,
                                       .c = (int32_t)t->shape[0],
                                       .h = (int32_t)w.out[0],
                                       .w = (int32_t)w.out[1]});
}

/* y = x W + b; W is [out, in], or [in, out] when it has to be turned. */
static nb_status add_linear(onnx_net *n, const onnx_node *d, bool turned, bool bias)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &t));
    if (!x->flat && !x->row && (int64_t)x->h * x->w > 1)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs rows, but its input are images");
    const int64_t features = (int64_t)x->c * x->h * x->w;
    if (t->ndim != 2 || t->shape[turned ? 0 : 1] != features || t->shape[turned ? 1 : 0] < 1 ||
        t->shape[turned ? 1 : 0] > MAX_OUT)
        return onnx_fail(n, d, NB_E_FORMAT, "its weights do not fit the %lld values of its input", (long long)features);
    const int64_t out = t->shape[turned ? 1 : 0], dims[2] = {out, features};
    nb_st_tensor w = *t;
    if (turned) {
        float *to;
        NB_TRY(onnx_new_floats(n, t->name, 2, dims, &to, &w));
        for (int64_t o = 0; o < out; o++)
            for (int64_t i = 0; i < features; i++)
                to[o * features + i] = nb_fill_element(t, i * out + o);
    }
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, "linear", t->name, &x->layer, 1, &l));
    onnx_keys(n, l, "out: %d", (int)out);
    onnx_give(n, l, "weight", &w);
    if (bias)
        NB_TRY(take_bias(n, d, 2, l, out));
    return onnx_output(
        n, d,
        &(onnx_v_entry){.kind = ONNX_V_DATA, .layer = l, .c = (int32_t)out, .h = 1, .w = 1, .flat = true, .row = true});
}

nb_status onnx_op_gemm(onnx_net *n, const onnx_node *d)
{
    int64_t turn_a, turn_b;
    float alpha, beta;
    NB_TRY(onnx_attr_int(n, d, "transA", 0, &turn_a));
    NB_TRY(onnx_attr_int(n, d, "transB", 0, &turn_b));
    NB_TRY(onnx_attr_float(n, d, "alpha", 1, &alpha));
    NB_TRY(onnx_attr_float(n, d, "beta", 1, &beta));
    if (turn_a || alpha != 1.0f || beta != 1.0f)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "transA, alpha and beta other than 0, 1 and 1 are not supported");
    return add_linear(n, d, turn_b == 0, true);
}

nb_status onnx_op_matmul(onnx_net *n, const onnx_node *d)
{
    return add_linear(n, d, true, false);
}
