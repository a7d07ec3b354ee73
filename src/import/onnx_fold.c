/* onnx_fold.c - finds who folds a node, and bounds what may come of it: all that is folded has at most as many elements as the
 * file's constants allow. */
#include "import/onnx_fold.h"

#include "base/check.h"
#include "import/fill.h"

#include <string.h>

const fold_operator *onnx_fold_find(const char *op)
{
    static const fold_operator *const parts[] = {fold_math, fold_move, fold_make};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (const fold_operator *o = parts[p]; o->op; o++)
            if (strcmp(o->op, op) == 0)
                return o;
    return NULL;
}

bool onnx_fold_can(const onnx_net *n, const onnx_node *d)
{
    bool any = false;
    for (size_t k = 0; k < d->n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, k);
        if (e && e->kind != ONNX_V_CONSTANT)
            return false;
        any = any || e;
    }
    return any;
}

nb_status onnx_fold(onnx_net *n, const onnx_node *d, const fold_operator *o)
{
    fold_job f = {.n = n, .d = d, .n_in = (int32_t)(d->n_in < FOLD_IN ? d->n_in : FOLD_IN)};
    if (d->n_in < (size_t)o->min_in || d->n_in > (size_t)o->max_in)
        return onnx_fail(n, d, NB_E_FORMAT, "has %zu inputs: must have %d to %d", d->n_in, o->min_in, o->max_in);
    for (int32_t k = 0; k < f.n_in; k++) {
        const onnx_v_entry *e = onnx_input(n, d, (size_t)k);
        f.in[k] = e ? &e->constant : NULL;
        if (!e && k < o->min_in)
            return onnx_fail(n, d, NB_E_FORMAT, "input %d is missing", k);
        if (e && e->constant.count == 0 && e->constant.ndim > 1) /* sizes beside a 0 are not bounded by the count */
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %d, '%.80s', is empty", k, e->name);
        if (e && !fold_is_int(f.in[k]) && !nb_fill_is_float(f.in[k]))
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "input %d, '%.80s': must hold floats, int32, int64 or bool", k,
                             e->name);
    }
    return o->fn(&f);
}

bool fold_is_int(const nb_st_tensor *t)
{
    return t->dtype == NB_ST_I64;
}

size_t fold_bytes(const nb_st_tensor *t)
{
    return t->dtype == NB_ST_F64 || t->dtype == NB_ST_I64 ? 8 : t->dtype == NB_ST_F32 ? 4 : 2;
}

nb_status fold_new(const fold_job *f, nb_st_dtype dtype, int32_t ndim, const int64_t *dims, nb_st_tensor *out)
{
    *out = (nb_st_tensor){.dtype = dtype, .ndim = ndim, .count = 1};
    for (int32_t k = 0; k < f->n_in; k++) /* a layer is named after the weights it comes from */
        if (f->in[k] && f->in[k]->name && (!out->name || f->in[k]->count > out->count)) {
            out->name = f->in[k]->name;
            out->count = f->in[k]->count;
        }
    out->count = 1;
    if (!out->name || f->n_in == 0)
        out->name = f->d->out[0];
    NB_ASSERT(ndim <= NB_ST_MAX_DIM);
    for (int32_t i = 0; i < ndim; i++) {
        if (dims[i] < 0 || (dims[i] && out->count > f->n->foldable / dims[i]))
            return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED,
                             "its result is computed from constants and would be larger than the model allows");
        out->shape[i] = dims[i];
        out->count *= dims[i];
    }
    f->n->foldable -= out->count;
    out->bytes = (size_t)out->count * fold_bytes(out);
    void *data = nb_arena_alloc(f->n->arena, out->bytes + 8);
    out->data = data;
    return data ? NB_OK : NB_E_NOMEM;
}

nb_status fold_give(const fold_job *f, size_t output, const nb_st_tensor *t)
{
    return onnx_output_at(f->n, f->d, output, &(onnx_v_entry){.kind = ONNX_V_CONSTANT, .constant = *t});
}

nb_status fold_view(const fold_job *f, const nb_st_tensor *t, int32_t ndim, const int64_t *dims)
{
    nb_st_tensor y = *t;
    int64_t count = 1;
    for (int32_t i = 0; i < ndim; i++) {
        if (dims[i] < 0 || (dims[i] && count > INT64_MAX / dims[i]))
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "makes dimensions that cannot be");
        y.shape[i] = dims[i];
        count *= dims[i];
    }
    if (count != t->count)
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "makes %lld values of %lld", (long long)count, (long long)t->count);
    y.ndim = ndim;
    return fold_give(f, 0, &y);
}

double fold_number(const nb_st_tensor *t, int64_t i)
{
    double wide;
    if (fold_is_int(t))
        return (double)((const int64_t *)t->data)[i];
    if (t->dtype != NB_ST_F64)
        return (double)nb_fill_element(t, i);
    memcpy(&wide, (const uint8_t *)t->data + i * 8, sizeof wide);
    return wide;
}

nb_status fold_axis(const fold_job *f, int64_t axis, int32_t ndim, int32_t *out)
{
    if (axis < -ndim || axis >= ndim)
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "axis: %lld: must be in %d..%d", (long long)axis, -ndim, ndim - 1);
    *out = (int32_t)(axis < 0 ? axis + ndim : axis);
    return NB_OK;
}

bool fold_spread(const nb_st_tensor *a, const nb_st_tensor *b, int32_t *ndim, int64_t *dims)
{
    const int32_t n = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (int32_t i = 0; i < n; i++) {
        const int32_t p = a->ndim - n + i, q = b->ndim - n + i;
        const int64_t x = p < 0 ? 1 : a->shape[p], y = q < 0 ? 1 : b->shape[q];
        if (x != y && x != 1 && y != 1)
            return false;
        dims[i] = x == 1 ? y : x;
    }
    *ndim = n;
    return true;
}

void fold_strides(const nb_st_tensor *t, int32_t ndim, int64_t *stride)
{
    int64_t step = 1;
    for (int32_t i = ndim - 1; i >= 0; i--) {
        const int32_t at = t->ndim - ndim + i;
        stride[i] = at < 0 || t->shape[at] == 1 ? 0 : step;
        step *= at < 0 ? 1 : t->shape[at];
    }
}

void fold_copy(const nb_st_tensor *t, int64_t from, const int64_t *stride, nb_st_tensor *out)
{
    const size_t bytes = fold_bytes(t);
    const uint8_t *src = t->data;
    uint8_t *to = (uint8_t *)(uintptr_t)out->data;
    int64_t at[NB_ST_MAX_DIM] = {0};
    for (int64_t i = 0; i < out->count; i++, to += bytes) {
        memcpy(to, src + from * (int64_t)bytes, bytes);
        for (int32_t k = out->ndim - 1; k >= 0; k--) {
            from += stride[k];
            if (++at[k] < out->shape[k])
                break;
            from -= stride[k] * out->shape[k];
            at[k] = 0;
        }
    }
}
