/* op_join.c - Add, Sum, Concat of data; an Add of one number per channel is the bias of the layer before it. */
#include "base/check.h"
#include "import/op_affine.h"

static bool is_data(const onnx_net *n, const onnx_node *d, size_t k)
{
    const onnx_v_entry *e = onnx_input(n, d, k);
    return e && e->kind == ONNX_V_DATA;
}

/* [out], [1, out], [out, 1, 1] or [1, out, 1, 1] */
static bool is_per_channel(const nb_st_tensor *t, int64_t channels, bool row)
{
    if (t->count != channels || t->ndim < 1 || t->ndim > 4)
        return false;
    int32_t from_the_right = row ? 1 : 3;
    return t->ndim >= from_the_right && t->shape[t->ndim - from_the_right] == channels;
}

static nb_status add_bias(onnx_net *n, const onnx_node *d, size_t data, size_t constant)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    NB_TRY(onnx_data(n, d, data, &x));
    NB_TRY(onnx_floats(n, d, constant, &t));
    onnx_layer *l = &n->layer[x->layer];
    const bool open = x->layer > 0 && l->n_params == 1 && l->param[0].t.ndim > 1 && !l->bias && x->uses == 1;
    if (!open || !is_per_channel(t, x->c, x->row))
        return onnx_affine(n, d, data, ONNX_PLUS);
    nb_st_tensor flat = *t;
    flat.ndim = 1;
    flat.shape[0] = x->c;
    onnx_give(n, x->layer, "bias", &flat);
    l->bias = true;
    return onnx_output(n, d, x);
}

static bool fit(int32_t a, int32_t b)
{
    return a == b || a == 1 || b == 1;
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int64_t values(const onnx_v_entry *v)
{
    return (int64_t)v->c * v->h * v->w;
}

/* Rows where one of two is rows, unless these are a value per channel of an image. */
nb_status onnx_pair(onnx_net *n, const onnx_node *d, const char *op, const onnx_v_entry *a, const onnx_v_entry *b,
                    onnx_v_entry *out)
{
    int32_t in[2] = {a->layer, b->layer};
    const bool same = a->c == b->c && a->h == b->h && a->w == b->w;
    bool fits = fit(a->c, b->c) && fit(a->h, b->h) && fit(a->w, b->w) && a->flat == b->flat;
    if (!same && a->flat) /* each is a vector */
        fits = values(a) == 1 || values(b) == 1;
    for (int32_t k = 0; k < 2 && !same; k++) {
        const onnx_v_entry *v = k ? b : a;
        fits = fits && (!v->row || v->h * v->w == 1);
    }
    if (!fits)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "joins %dx%dx%d and %dx%dx%d (channels, rows, columns): must be equal, or 1", a->c, a->h, a->w,
                         b->c, b->h, b->w);
    const bool rows = a->row != b->row && (same || a->flat);
    if (rows)
        NB_TRY(onnx_as_rows(n, d, a->row ? b : a, &in[a->row ? 1 : 0]));
    const onnx_v_entry *whole = values(a) >= values(b) ? a : b;
    *out = *whole;
    out->c = larger(a->c, b->c);
    out->h = larger(a->h, b->h);
    out->w = larger(a->w, b->w);
    out->row = rows || (a->row && b->row);
    if (!out->flat)
        onnx_layout_like(out, whole, NULL);
    return onnx_add_layer(n, d, op, NULL, in, 2, &out->layer);
}

nb_status onnx_op_add(onnx_net *n, const onnx_node *d)
{
    if (d->n_in == 2 && is_data(n, d, 0) != is_data(n, d, 1))
        return is_data(n, d, 0) ? add_bias(n, d, 0, 1) : add_bias(n, d, 1, 0);
    onnx_v_entry *first, sum;
    NB_TRY(onnx_data(n, d, 0, &first));
    sum = *first;
    for (size_t k = 1; k < d->n_in; k++) {
        onnx_v_entry *x, both;
        NB_TRY(onnx_data(n, d, k, &x));
        NB_TRY(onnx_pair(n, d, "add", &sum, x, &both));
        sum = both;
    }
    return onnx_output(n, d, &sum);
}

/* More inputs than a concat of ours takes become a chain of them. */
nb_status onnx_op_concat(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *first, all;
    int32_t in[NB_MAX_IN], count = 0;
    int64_t axis, channels = 0;
    int32_t at;
    NB_TRY(onnx_data(n, d, 0, &first));
    all = *first;
    NB_TRY(onnx_attr_int(n, d, "axis", 1, &axis));
    NB_TRY(onnx_image_axis(n, d, first, axis, &at));
    if (at == ONNX_AXIS_H || at == ONNX_AXIS_W)
        return onnx_concat_along(n, d, at == ONNX_AXIS_W);
    if (at != ONNX_AXIS_C)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: only channels, rows and columns can be joined",
                         (long long)axis);
    bool rows = false;
    for (size_t k = 0; k < d->n_in; k++) {
        onnx_v_entry *x;
        NB_TRY(onnx_data(n, d, k, &x));
        rows = rows || x->row;
        channels += x->c;
        if (x->h != all.h || x->w != all.w || x->flat != all.flat || (x->flat && x->h * x->w > 1) || channels > 65536)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "joins images of %dx%d and %dx%d%s, or more than 65536 channels",
                             all.h, all.w, x->h, x->w, x->flat ? " that are flat" : "");
    }
    for (size_t k = 0; k < d->n_in; k++) {
        onnx_v_entry *x;
        NB_TRY(onnx_data(n, d, k, &x));
        in[count] = x->layer;
        if (rows)
            NB_TRY(onnx_as_rows(n, d, x, &in[count]));
        if (++count < NB_MAX_IN && k + 1 < d->n_in)
            continue;
        if (count > 1)
            NB_TRY(onnx_add_layer(n, d, "concat", NULL, in, count, &in[0]));
        count = 1;
    }
    all.layer = in[0];
    all.c = (int32_t)channels;
    all.row = rows;
    onnx_layout_like(&all, first, NULL);
    return onnx_output(n, d, &all);
}
