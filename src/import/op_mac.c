/* op_mac.c - Conv, Gemm, MatMul. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_window.h"

#include <string.h>

enum { MAX_KERNEL = 64, MAX_PAD = 64, MAX_STRIDE = 16, MAX_OUT = 65536 };

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
    static const onnx_window_limits limits = {MAX_KERNEL, MAX_STRIDE, MAX_STRIDE, MAX_PAD};
    NB_TRY(onnx_window_check(n, d, w, &limits));
    const bool depthwise = groups > 1 && groups == x->c && t->shape[0] / groups <= 64;
    int32_t l;
    NB_TRY(onnx_add_layer(n, d, depthwise ? "dwconv2d" : "conv2d", t->name, &x->layer, 1, &l));
    if (!depthwise)
        onnx_keys(n, l, "out: %d", (int)t->shape[0]);
    onnx_window_keys(n, l, w, 1);
    if (depthwise && t->shape[0] != groups)
        onnx_keys(n, l, "multiplier: %d", (int)(t->shape[0] / groups));
    if (!depthwise && groups > 1)
        onnx_keys(n, l, "groups: %d", (int)groups);
    onnx_give(n, l, "weight", t);
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
