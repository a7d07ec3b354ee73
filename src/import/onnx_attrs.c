/* onnx_attrs.c - attributes of a node, and short vectors of integers. */
#include "import/onnx_net.h"

#include "base/check.h"

#include <string.h>

const onnx_attr *onnx_attr_find(const onnx_node *d, const char *name)
{
    for (size_t i = 0; i < d->n_attr; i++)
        if (strcmp(d->attr[i].name, name) == 0)
            return &d->attr[i];
    return NULL;
}

static nb_status wrong_kind(const onnx_net *n, const onnx_node *d, const char *name)
{
    return onnx_fail(n, d, NB_E_FORMAT, "attribute '%s' is of the wrong kind", name);
}

nb_status onnx_attr_int(const onnx_net *n, const onnx_node *d, const char *name, int64_t dflt, int64_t *out)
{
    const onnx_attr *a = onnx_attr_find(d, name);
    if (a && a->kind != ONNX_A_INT)
        return wrong_kind(n, d, name);
    *out = a ? a->i : dflt;
    return NB_OK;
}

nb_status onnx_attr_float(const onnx_net *n, const onnx_node *d, const char *name, float dflt, float *out)
{
    const onnx_attr *a = onnx_attr_find(d, name);
    if (a && a->kind != ONNX_A_FLOAT)
        return wrong_kind(n, d, name);
    *out = a ? a->f : dflt;
    return NB_OK;
}

nb_status onnx_attr_ints(const onnx_net *n, const onnx_node *d, const char *name, int64_t *out, size_t count)
{
    const onnx_attr *a = onnx_attr_find(d, name);
    if (!a)
        return NB_OK;
    if (a->kind != ONNX_A_INTS)
        return wrong_kind(n, d, name);
    if (a->n != count)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "attribute '%s' has %zu values; for images there are %zu", name, a->n,
                         count);
    memcpy(out, a->ints, count * sizeof *out);
    return NB_OK;
}

nb_status onnx_integers(const onnx_net *n, const onnx_node *d, size_t k, const char *attr, int64_t *out, int32_t *count)
{
    const onnx_v_entry *e = onnx_input(n, d, k);
    const onnx_attr *a = attr ? onnx_attr_find(d, attr) : NULL;
    *count = 0;
    if (a && a->kind != ONNX_A_INTS)
        return wrong_kind(n, d, attr);
    if (a) {
        *count = a->n <= ONNX_SHAPE_MAX ? (int32_t)a->n : -1;
    } else if (e) {
        bool ints = e->kind == ONNX_V_CONSTANT && e->constant.dtype == NB_ST_I64 && e->constant.ndim <= 1;
        *count = ints && e->constant.count <= ONNX_SHAPE_MAX ? (int32_t)e->constant.count : -1;
    }
    if (*count < 0)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "%s%s must be a short vector of known integers",
                         a ? "attribute " : "input ", a ? attr : e->name);
    if (*count)
        memcpy(out, a ? (const void *)a->ints : e->constant.data, (size_t)*count * sizeof *out);
    return NB_OK;
}

nb_status onnx_shape_part(const onnx_net *n, const onnx_node *d, int32_t ndim, int64_t *first, int64_t *end)
{
    NB_TRY(onnx_attr_int(n, d, "start", 0, first));
    NB_TRY(onnx_attr_int(n, d, "end", ndim, end));
    for (int32_t i = 0; i < 2; i++) {
        int64_t *at = i ? end : first;
        *at += *at < 0 ? ndim : 0;
        *at = *at < 0 ? 0 : *at > ndim ? ndim : *at;
    }
    *end = *end < *first ? *first : *end;
    return NB_OK;
}

nb_status onnx_image_axis(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, int64_t axis, int32_t *out)
{
    int32_t axes[ONNX_FILE_DIMS], rank;
    char text[ONNX_LAYOUT_TEXT];
    const onnx_layout l = onnx_layout_of(x);
    const int64_t at = axis < 0 ? axis + l.rank : axis;
    if (at < 0 || at >= l.rank)
        return onnx_fail(n, d, NB_E_FORMAT, "axis: %lld: must be in %d..%d", (long long)axis, -l.rank, l.rank - 1);
    if (!onnx_layout_axes(x, axes, &rank))
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "axis: %lld: its input stands as %s, where no axis is one of the image's", (long long)axis,
                         onnx_layout_text(&l, text));
    *out = axes[at];
    return NB_OK;
}
