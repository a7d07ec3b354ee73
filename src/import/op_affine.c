/* op_affine.c - Mul, Add, Sub, Div with a constant: a layer that scales and shifts, one for all that follow each other. */
#include "import/op_affine.h"

#include "base/check.h"
#include "import/fill.h"

#include <math.h>
#include <string.h>

nb_status onnx_per_channel(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                           bool *each)
{
    static const int32_t usual[] = {ONNX_AXIS_N, ONNX_AXIS_C, ONNX_AXIS_H, ONNX_AXIS_W};
    int32_t axis[ONNX_FILE_DIMS], rank = ONNX_AXES;
    *each = false;
    if (t->count == 1)
        return NB_OK;
    memcpy(axis, usual, sizeof usual); /* beside another layout the constant has been turned to ours (onnx_fit.c) */
    bool fits = t->count == x->c && (!x->flat || (int64_t)x->h * x->w == 1) &&
                (x->layout.rank || onnx_layout_axes(x, axis, &rank)) && t->ndim <= rank;
    for (int32_t i = 0; fits && i < t->ndim; i++)
        fits = t->shape[i] == 1 || axis[rank - t->ndim + i] == ONNX_AXIS_C;
    *each = true;
    return fits
               ? NB_OK
               : onnx_fail(n, d, NB_E_UNSUPPORTED,
                           "'%.80s' has %lld values for %dx%dx%d (channels, rows, columns): must be one number, or one "
                           "for each channel",
                           t->name, (long long)t->count, x->c, x->h, x->w);
}

static const float *numbers(const onnx_layer *l, int32_t k)
{
    return l->param[k].t.data;
}

bool onnx_one_affine(const onnx_net *n, int32_t layer, double *mul, double *add)
{
    if (layer < 0 || strcmp(n->layer[layer].op, "affine") != 0 || !*n->layer[layer].keys)
        return false;
    *mul = (double)numbers(&n->layer[layer], 0)[0];
    *add = (double)numbers(&n->layer[layer], 1)[0];
    return true;
}

/* y = m * x + a with the constant t. */
static void map_of(onnx_arithmetic what, double t, double *m, double *a)
{
    *m = what == ONNX_TIMES ? t : what == ONNX_OVER ? 1 / t : what == ONNX_LESS_THAN ? -1 : 1;
    *a = what == ONNX_PLUS || what == ONNX_LESS_THAN ? t : what == ONNX_MINUS ? -t : 0;
}

/* The layer before it, when that is an affine of nobody else's, takes it in. */
static nb_status set_maps(onnx_net *n, int32_t layer, const nb_st_tensor *t, onnx_arithmetic what,
                          const onnx_layer *before, int32_t c)
{
    const bool own = before && !*before->keys, each = own || t->count > 1;
    nb_st_tensor mul, add;
    float *m, *a;
    const int64_t count = each ? c : 1;
    const char *name = before ? before->param[0].t.name : t->name;
    NB_TRY(onnx_new_floats(n, name, 1, &count, &m, &mul));
    NB_TRY(onnx_new_floats(n, name, 1, &count, &a, &add));
    for (int32_t k = 0; k < count; k++) {
        double f, s, first = 1, then = 0;
        map_of(what, (double)nb_fill_element(t, t->count > 1 ? k : 0), &f, &s);
        if (before) {
            first = (double)numbers(before, 0)[own ? k : 0];
            then = (double)numbers(before, 1)[own ? k : 0];
        }
        m[k] = (float)(first * f);
        a[k] = (float)(then * f + s);
    }
    onnx_layer *l = &n->layer[layer];
    l->n_params = 0;
    l->keys[0] = '\0';
    if (!each)
        onnx_keys(n, layer, "channels: no");
    onnx_give(n, layer, "mul", &mul);
    onnx_give(n, layer, "add", &add);
    return NB_OK;
}

nb_status onnx_affine_of(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *t,
                         onnx_arithmetic what, onnx_v_entry *y)
{
    const bool merges = x->uses == 1 && strcmp(n->layer[x->layer].op, "affine") == 0;
    const onnx_layer before = n->layer[x->layer];
    *y = *x;
    if (!merges)
        NB_TRY(onnx_add_layer(n, d, "affine", t->name, &x->layer, 1, &y->layer));
    return set_maps(n, y->layer, t, what, merges ? &before : NULL, x->c);
}

nb_status onnx_affine_by(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, float v, onnx_arithmetic what,
                         onnx_v_entry *y)
{
    nb_st_tensor t;
    float *to;
    NB_TRY(onnx_new_floats(n, d->out[0], 0, NULL, &to, &t));
    *to = v;
    return onnx_affine_of(n, d, x, &t, what, y);
}

nb_status onnx_affine(onnx_net *n, const onnx_node *d, size_t data, onnx_arithmetic what)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    bool each;
    NB_TRY(onnx_data(n, d, data, &x));
    NB_TRY(onnx_floats(n, d, 1 - data, &t));
    NB_TRY(onnx_per_channel(n, d, x, t, &each));
    for (int64_t i = 0; what == ONNX_OVER && i < t->count; i++)
        if (nb_fill_element(t, i) == 0.0f)
            return onnx_fail(n, d, NB_E_FORMAT, "divides by 0");
    double m, a;
    map_of(what, (double)nb_fill_element(t, 0), &m, &a);
    if (!each && a == 0 && onnx_scaled_gate(n, x, m))
        return onnx_output(n, d, x);
    onnx_v_entry y;
    NB_TRY(onnx_affine_of(n, d, x, t, what, &y));
    return onnx_output(n, d, &y);
}
