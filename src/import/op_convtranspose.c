/* op_convtranspose.c - ConvTranspose. One with a kernel of one pixel, all of whose weights are 1, is the zeros between
 * pixels alone. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_window.h"

#include <string.h>

enum { MAX_KERNEL = 64, MAX_STRIDE = 16, MAX_OUT = 65536, MAX_PAD = 64 };

typedef struct {
    int64_t k[2], stride[2], dilation[2], pad[4], more[2], out[2];
    int64_t groups;
} transposed;

static nb_status check_sizes(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *w,
                             const transposed *t)
{
    bool fits = true;
    if (w->ndim != 4)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its weights have %d dimensions; images need 4", w->ndim);
    if (t->groups < 1 || t->groups > MAX_OUT || w->shape[0] != x->c || x->c % t->groups || w->shape[1] < 1 ||
        w->shape[1] > MAX_OUT / t->groups)
        return onnx_fail(n, d, NB_E_FORMAT,
                         "weights of %lld x %lld channels in %lld groups do not fit the %d of its input",
                         (long long)w->shape[0], (long long)w->shape[1], (long long)t->groups, x->c);
    for (int32_t i = 0; i < 2; i++)
        fits = fits && t->k[i] >= 1 && t->k[i] <= MAX_KERNEL && t->stride[i] >= 1 && t->stride[i] <= MAX_STRIDE &&
               t->dilation[i] >= 1 && t->dilation[i] <= MAX_STRIDE && t->more[i] >= 0 && t->more[i] <= MAX_PAD;
    if (fits)
        return NB_OK;
    return onnx_fail(
        n, d, NB_E_UNSUPPORTED,
        "a window of %lldx%lld, strides %lld and %lld, dilations %lld and %lld, output_padding %lld and %lld: "
        "must be at most %d, %d, %d and %d",
        (long long)t->k[0], (long long)t->k[1], (long long)t->stride[0], (long long)t->stride[1],
        (long long)t->dilation[0], (long long)t->dilation[1], (long long)t->more[0], (long long)t->more[1], MAX_KERNEL,
        MAX_STRIDE, MAX_STRIDE, MAX_PAD);
}

/* auto_pad and output_shape give pads, the odd one behind, but for SAME_LOWER. */
static nb_status read_pads(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, transposed *t)
{
    const onnx_attr *a = onnx_attr_find(d, "auto_pad"), *shape = onnx_attr_find(d, "output_shape");
    const char *how = a && a->kind == ONNX_A_STRING ? a->s : a ? "?" : "NOTSET";
    const bool lower = strcmp(how, "SAME_LOWER") == 0, same = lower || strcmp(how, "SAME_UPPER") == 0;
    const int64_t size[2] = {x->h, x->w};
    NB_TRY(onnx_attr_ints(n, d, "pads", t->pad, 4));
    NB_TRY(onnx_attr_ints(n, d, "output_shape", t->out, 2));
    bool fits = true;
    for (int32_t i = 0; shape && i < 2; i++)
        fits = fits && t->out[i] >= 1 && t->out[i] <= ONNX_MAX_SIDE;
    if (!fits)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "output_shape: must be 1..%d rows and columns", ONNX_MAX_SIDE);
    if (!same && strcmp(how, "NOTSET") != 0 && strcmp(how, "VALID") != 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "auto_pad '%.40s' is not supported", how);
    for (int32_t i = 0; i < 2; i++) {
        const int64_t reach = t->stride[i] * (size[i] - 1) + t->more[i] + (t->k[i] - 1) * t->dilation[i] + 1;
        if (same && !shape)
            t->out[i] = size[i] * t->stride[i];
        if (same || shape) {
            const int64_t less = reach - t->out[i], all = less > 0 ? less : 0;
            t->more[i] -= less - all; /* what the windows do not reach stands behind */
            t->pad[i] = lower ? all - all / 2 : all / 2;
            t->pad[i + 2] = all - t->pad[i];
        }
        t->out[i] =
            t->stride[i] * (size[i] - 1) + t->more[i] + (t->k[i] - 1) * t->dilation[i] + 1 - t->pad[i] - t->pad[i + 2];
        for (int32_t k = i; k < 4; k += 2)
            if (t->pad[k] < 0 || t->pad[k] > (t->k[i] - 1) * t->dilation[i] || t->out[i] < 1 ||
                (t->k[i] - 1) * t->dilation[i] + t->more[i] - t->pad[k] > MAX_PAD)
                return onnx_fail(n, d, NB_E_UNSUPPORTED,
                                 "pads: %lld: must be in 0..%lld, a window less one pixel, and leave something of the "
                                 "output",
                                 (long long)t->pad[k], (long long)((t->k[i] - 1) * t->dilation[i]));
    }
    return NB_OK;
}

static bool all_one(const nb_st_tensor *w, const transposed *t)
{
    bool one = w->shape[1] == 1 && t->groups == w->shape[0] && t->k[0] * t->k[1] == 1;
    for (int64_t i = 0; i < w->count && one; i++)
        one = nb_fill_element(w, i) == 1.0f;
    return one;
}

static void put_pair(onnx_net *n, int32_t l, const char *key, const int64_t v[2], int64_t dflt)
{
    if (v[0] == v[1] && v[0] != dflt)
        onnx_keys(n, l, "%s: %d", key, (int)v[0]);
    else if (v[0] != v[1])
        onnx_keys(n, l, "%s: [%d, %d]", key, (int)v[0], (int)v[1]);
}

static nb_status add_transposed(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *w,
                                const transposed *t, int32_t *l)
{
    const int64_t *p = t->pad;
    NB_TRY(onnx_add_layer(n, d, "convtranspose2d", w->name, &x->layer, 1, l));
    onnx_keys(n, *l, "out: %d", (int)(w->shape[1] * t->groups));
    put_pair(n, *l, "kernel", t->k, 0);
    put_pair(n, *l, "stride", t->stride, 1);
    if (p[0] != p[2] || p[1] != p[3])
        onnx_keys(n, *l, "pad: [%d, %d, %d, %d]", (int)p[0], (int)p[1], (int)p[2], (int)p[3]);
    else
        put_pair(n, *l, "pad", p, 0);
    put_pair(n, *l, "output_pad", t->more, 0);
    put_pair(n, *l, "dilation", t->dilation, 1);
    if (t->groups > 1)
        onnx_keys(n, *l, "groups: %d", (int)t->groups);
    onnx_give(n, *l, "weight", w);
    return onnx_take_bias(n, d, 2, *l, w->shape[1] * t->groups);
}

nb_status onnx_op_convtranspose(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const nb_st_tensor *w;
    transposed t = {.stride = {1, 1}, .dilation = {1, 1}};
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &w));
    if (x->flat)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    NB_TRY(onnx_attr_int(n, d, "group", 1, &t.groups));
    NB_TRY(onnx_attr_ints(n, d, "strides", t.stride, 2));
    NB_TRY(onnx_attr_ints(n, d, "dilations", t.dilation, 2));
    NB_TRY(onnx_attr_ints(n, d, "output_padding", t.more, 2));
    memcpy(t.k, &w->shape[2], sizeof t.k);
    NB_TRY(check_sizes(n, d, x, w, &t));
    NB_TRY(onnx_attr_ints(n, d, "kernel_shape", t.k, 2));
    if (t.k[0] != w->shape[2] || t.k[1] != w->shape[3])
        return onnx_fail(n, d, NB_E_FORMAT, "kernel_shape is not that of its weights");
    NB_TRY(read_pads(n, d, x, &t));
    onnx_v_entry y = {
        .kind = ONNX_V_DATA, .c = (int32_t)(w->shape[1] * t.groups), .h = (int32_t)t.out[0], .w = (int32_t)t.out[1]};
    if (!onnx_input(n, d, 2) && all_one(w, &t) && t.more[0] + t.more[1] == 0) {
        NB_TRY(onnx_add_layer(n, d, "pad", NULL, &x->layer, 1, &y.layer));
        onnx_keys(n, y.layer, "between: [%d, %d]", (int)t.stride[0] - 1, (int)t.stride[1] - 1);
    } else {
        NB_TRY(add_transposed(n, d, x, w, &t, &y.layer));
    }
    return onnx_output(n, d, &y);
}
