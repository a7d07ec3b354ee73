/* onnx_window.c - kernel_shape, strides, dilations, pads, auto_pad, ceil_mode. */
#include "import/onnx_window.h"

#include "base/check.h"

#include <string.h>

enum { MAX_WINDOW = 65536 };

/* SAME: as many outputs as strides fit, the odd zero at the end (UPPER) or the beginning (LOWER). */
static nb_status pad_by_itself(const onnx_net *n, const onnx_node *d, const onnx_v_entry *v, onnx_window *w)
{
    const onnx_attr *a = onnx_attr_find(d, "auto_pad");
    const char *how = a && a->kind == ONNX_A_STRING ? a->s : a ? "?" : "NOTSET";
    const bool upper = strcmp(how, "SAME_UPPER") == 0, lower = strcmp(how, "SAME_LOWER") == 0;
    const int64_t size[2] = {v->h + v->pad[0] + v->pad[2], v->w + v->pad[1] + v->pad[3]};
    bool given = false;
    for (int32_t i = 0; i < 4; i++)
        given = given || w->pad[i];
    if (given && strcmp(how, "NOTSET") != 0)
        return onnx_fail(n, d, NB_E_FORMAT, "has pads and auto_pad '%.40s': only one of them can hold", how);
    for (int32_t i = 0; i < 2 && (upper || lower); i++) {
        int64_t steps = (size[i] + w->stride[i] - 1) / w->stride[i];
        int64_t total = (steps - 1) * w->stride[i] + (w->k[i] - 1) * w->dilation[i] + 1 - size[i];
        total = total > 0 ? total : 0;
        w->pad[i] = upper ? total / 2 : total - total / 2;
        w->pad[i + 2] = total - w->pad[i];
    }
    if (!upper && !lower && strcmp(how, "NOTSET") != 0 && strcmp(how, "VALID") != 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "auto_pad '%.40s' is not supported", how);
    return NB_OK;
}

static nb_status check_range(const onnx_net *n, const onnx_node *d, const char *what, const int64_t *v, int32_t count,
                             int64_t low)
{
    for (int32_t i = 0; i < count; i++)
        if (v[i] < low || v[i] > MAX_WINDOW)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "%s: %lld: must be in %lld..%d", what, (long long)v[i],
                             (long long)low, MAX_WINDOW);
    return NB_OK;
}

nb_status onnx_window_check(const onnx_net *n, const onnx_node *d, const onnx_window *w, const onnx_window_limits *most)
{
    bool fits = true;
    for (int32_t i = 0; i < 2; i++)
        fits = fits && w->k[i] <= most->kernel && w->stride[i] <= most->stride && w->dilation[i] <= most->dilation;
    for (int32_t i = 0; i < 4; i++)
        fits = fits && w->pad[i] <= most->pad;
    if (fits)
        return NB_OK;
    return onnx_fail(n, d, NB_E_UNSUPPORTED,
                     "a window of %lldx%lld, strides %lld and %lld, dilations %lld and %lld, pads %lld %lld %lld %lld: "
                     "must be at most %lldx%lld, %lld, %lld, %lld",
                     (long long)w->k[0], (long long)w->k[1], (long long)w->stride[0], (long long)w->stride[1],
                     (long long)w->dilation[0], (long long)w->dilation[1], (long long)w->pad[0], (long long)w->pad[1],
                     (long long)w->pad[2], (long long)w->pad[3], (long long)most->kernel, (long long)most->kernel,
                     (long long)most->stride, (long long)most->dilation, (long long)most->pad);
}

static void put_pair(onnx_net *n, int32_t layer, const char *key, const int64_t v[2])
{
    if (v[0] == v[1])
        onnx_keys(n, layer, "%s: %d", key, (int)v[0]);
    else
        onnx_keys(n, layer, "%s: [%d, %d]", key, (int)v[0], (int)v[1]);
}

void onnx_window_keys(onnx_net *n, int32_t layer, const onnx_window *w, int64_t stride)
{
    const int64_t *p = w->pad;
    const bool usual =
        stride ? w->stride[0] == stride && w->stride[1] == stride : w->stride[0] == w->k[0] && w->stride[1] == w->k[1];
    put_pair(n, layer, "kernel", w->k);
    if (!usual)
        put_pair(n, layer, "stride", w->stride);
    if (p[0] != p[2] || p[1] != p[3])
        onnx_keys(n, layer, "pad: [%d, %d, %d, %d]", (int)p[0], (int)p[1], (int)p[2], (int)p[3]);
    else if (p[0] || p[1])
        put_pair(n, layer, "pad", p);
    if (w->dilation[0] != 1 || w->dilation[1] != 1)
        put_pair(n, layer, "dilation", w->dilation);
    if (w->ceil)
        onnx_keys(n, layer, "ceil: yes");
}

nb_status onnx_window_read(const onnx_net *n, const onnx_node *d, const onnx_v_entry *v, const int64_t k[2],
                           onnx_window *out)
{
    onnx_window w = {.stride = {1, 1}, .dilation = {1, 1}};
    int64_t ceil_mode, size[2] = {v->h, v->w};
    if (v->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    if (k)
        memcpy(w.k, k, sizeof w.k);
    NB_TRY(onnx_attr_ints(n, d, "kernel_shape", w.k, 2));
    if (k && (w.k[0] != k[0] || w.k[1] != k[1]))
        return onnx_fail(n, d, NB_E_FORMAT, "kernel_shape is not that of its weights");
    NB_TRY(onnx_attr_ints(n, d, "strides", w.stride, 2));
    NB_TRY(onnx_attr_ints(n, d, "dilations", w.dilation, 2));
    NB_TRY(onnx_attr_ints(n, d, "pads", w.pad, 4));
    NB_TRY(check_range(n, d, "kernel_shape", w.k, 2, 1));
    NB_TRY(check_range(n, d, "strides", w.stride, 2, 1));
    NB_TRY(check_range(n, d, "dilations", w.dilation, 2, 1));
    NB_TRY(check_range(n, d, "pads", w.pad, 4, 0));
    NB_TRY(pad_by_itself(n, d, v, &w));
    for (int32_t i = 0; i < 4; i++)
        w.pad[i] += v->pad[i];
    NB_TRY(onnx_attr_int(n, d, "ceil_mode", 0, &ceil_mode));
    for (int32_t i = 0; i < 2; i++) {
        int64_t span = size[i] + w.pad[i] + w.pad[i + 2] - w.dilation[i] * (w.k[i] - 1) - 1;
        if (span < 0)
            return onnx_fail(n, d, NB_E_FORMAT, "a %lldx%lld window does not fit into its %dx%d image",
                             (long long)w.k[0], (long long)w.k[1], v->h, v->w);
        w.out[i] = span / w.stride[i] + 1;
        if (ceil_mode && span % w.stride[i] && w.out[i] * w.stride[i] < size[i] + w.pad[i]) { /* begins before it */
            w.out[i]++;
            w.ceil = true;
        }
    }
    *out = w;
    return NB_OK;
}
