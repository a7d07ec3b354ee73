/* fold_move.c - what moves the values of constants, or repeats them. */
#include "base/check.h"
#include "import/onnx_fold.h"

#include <string.h>

/* ---- other dimensions ---- */

static nb_status fold_reshape(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t to[ONNX_SHAPE_MAX], zero, known = 1;
    int32_t ndim, open = -1;
    NB_TRY(onnx_integers(f->n, f->d, 1, "shape", to, &ndim));
    NB_TRY(onnx_attr_int(f->n, f->d, "allowzero", 0, &zero));
    for (int32_t i = 0; i < ndim; i++) {
        if (to[i] == 0 && !zero && i < t->ndim)
            to[i] = t->shape[i];
        if ((to[i] == -1 && open >= 0) || to[i] < -1)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "makes dimensions that cannot be");
        if (to[i] == -1)
            open = i;
        else if (to[i] && known > INT64_MAX / to[i])
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "makes dimensions that cannot be");
        else
            known *= to[i];
    }
    if (open >= 0)
        to[open] = known ? t->count / known : 0;
    return fold_view(f, t, ndim, to);
}

static nb_status fold_flatten(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t axis, dims[2] = {1, 1};
    int32_t at = t->ndim;
    NB_TRY(onnx_attr_int(f->n, f->d, "axis", 1, &axis));
    if (axis != t->ndim)
        NB_TRY(fold_axis(f, axis, t->ndim, &at));
    for (int32_t i = 0; i < t->ndim; i++)
        dims[i >= at] *= t->shape[i];
    return fold_view(f, t, 2, dims);
}

static nb_status read_axes(const fold_job *f, int32_t ndim, bool *is_axis)
{
    int64_t axes[ONNX_SHAPE_MAX];
    int32_t count, at;
    NB_TRY(onnx_integers(f->n, f->d, 1, "axes", axes, &count));
    for (int32_t i = 0; i < count; i++) {
        NB_TRY(fold_axis(f, axes[i], ndim, &at));
        if (is_axis[at])
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "axes: %lld is there twice", (long long)axes[i]);
        is_axis[at] = true;
    }
    return NB_OK;
}

static nb_status fold_squeeze(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    const bool all = !onnx_attr_find(f->d, "axes") && !onnx_input(f->n, f->d, 1);
    bool goes[NB_ST_MAX_DIM] = {false};
    int64_t dims[NB_ST_MAX_DIM];
    int32_t ndim = 0;
    NB_TRY(read_axes(f, t->ndim, goes));
    for (int32_t i = 0; i < t->ndim; i++)
        if (!goes[i] && !(all && t->shape[i] == 1))
            dims[ndim++] = t->shape[i];
        else if (t->shape[i] != 1)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "axes: %d has %lld elements", i, (long long)t->shape[i]);
    return fold_view(f, t, ndim, dims);
}

static nb_status fold_unsqueeze(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    bool comes[NB_ST_MAX_DIM] = {false};
    int64_t axes[ONNX_SHAPE_MAX], dims[NB_ST_MAX_DIM];
    int32_t more, from = 0;
    NB_TRY(onnx_integers(f->n, f->d, 1, "axes", axes, &more));
    if (t->ndim + more > NB_ST_MAX_DIM)
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED, "makes more than %d dimensions", NB_ST_MAX_DIM);
    NB_TRY(read_axes(f, t->ndim + more, comes));
    for (int32_t i = 0; i < t->ndim + more; i++)
        dims[i] = comes[i] ? 1 : t->shape[from++];
    return fold_view(f, t, t->ndim + more, dims);
}

/* ---- other places ---- */

static nb_status fold_transpose(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t perm[NB_ST_MAX_DIM] = {0}, from[NB_ST_MAX_DIM], stride[NB_ST_MAX_DIM], dims[NB_ST_MAX_DIM];
    bool seen[NB_ST_MAX_DIM] = {false};
    nb_st_tensor out;
    for (int32_t i = 0; i < t->ndim; i++)
        perm[i] = t->ndim - 1 - i;
    NB_TRY(onnx_attr_ints(f->n, f->d, "perm", perm, (size_t)t->ndim));
    fold_strides(t, t->ndim, from);
    for (int32_t i = 0; i < t->ndim; i++) {
        if (perm[i] < 0 || perm[i] >= t->ndim || seen[perm[i]])
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "perm: must hold each axis once");
        seen[perm[i]] = true;
        stride[i] = from[perm[i]];
        dims[i] = t->shape[perm[i]];
    }
    NB_TRY(fold_new(f, t->dtype, t->ndim, dims, &out));
    fold_copy(t, 0, stride, &out);
    return fold_give(f, 0, &out);
}

typedef struct {
    int64_t start, step, count;
} cut;

static cut cut_of(int64_t start, int64_t end, int64_t step, int64_t size)
{
    const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start += start < 0 && start >= -size ? size : 0;
    end += end < 0 && end >= -size ? size : 0;
    start = start < 0 ? (step > 0 ? 0 : low) : start > high ? high : start;
    end = end < 0 ? low : end > size ? size : end;
    const int64_t span = step > 0 ? end - start : start - end, width = step > 0 ? step : -step;
    return (cut){start, step, span > 0 ? (span - 1) / width + 1 : 0};
}

static nb_status take_parts(const fold_job *f, const cut *c)
{
    const nb_st_tensor *t = f->in[0];
    int64_t stride[NB_ST_MAX_DIM], dims[NB_ST_MAX_DIM], from = 0;
    nb_st_tensor out;
    fold_strides(t, t->ndim, stride);
    for (int32_t i = 0; i < t->ndim; i++) {
        from += c[i].start * stride[i];
        stride[i] *= c[i].count > 1 ? c[i].step : 0;
        dims[i] = c[i].count;
    }
    NB_TRY(fold_new(f, t->dtype, t->ndim, dims, &out));
    fold_copy(t, from, stride, &out);
    return fold_give(f, 0, &out);
}

static nb_status fold_slice(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t start[ONNX_SHAPE_MAX] = {0}, end[ONNX_SHAPE_MAX] = {0}, axes[ONNX_SHAPE_MAX], steps[ONNX_SHAPE_MAX];
    int32_t n, n_end, n_axes, n_steps, at;
    cut c[NB_ST_MAX_DIM];
    NB_TRY(onnx_integers(f->n, f->d, 1, "starts", start, &n));
    NB_TRY(onnx_integers(f->n, f->d, 2, "ends", end, &n_end));
    NB_TRY(onnx_integers(f->n, f->d, 3, "axes", axes, &n_axes));
    NB_TRY(onnx_integers(f->n, f->d, 4, NULL, steps, &n_steps));
    if (n != n_end || (n_axes && n_axes != n) || (n_steps && n_steps != n) || n > t->ndim)
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "starts, ends, axes and steps must be equally many");
    for (int32_t i = 0; i < t->ndim; i++)
        c[i] = (cut){0, 1, t->shape[i]};
    for (int32_t i = 0; i < n; i++) {
        NB_TRY(fold_axis(f, n_axes ? axes[i] : i, t->ndim, &at));
        const int64_t step = n_steps ? steps[i] : 1;
        if (step == 0 || step < -(1 << 30) || step > 1 << 30)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "steps: %lld cannot be", (long long)step);
        c[at] = cut_of(start[i], end[i], step, t->shape[at]);
    }
    return take_parts(f, c);
}

static nb_status split_sizes(const fold_job *f, int64_t size, int64_t *sizes)
{
    const int64_t parts = (int64_t)f->d->n_out;
    int32_t count;
    if (parts < 1 || parts > ONNX_SHAPE_MAX)
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED, "has %lld outputs: constants are split into at most %d",
                         (long long)parts, ONNX_SHAPE_MAX);
    NB_TRY(onnx_integers(f->n, f->d, 1, "split", sizes, &count));
    int64_t left = size;
    for (int32_t i = 0; i < parts; i++) {
        const int64_t even = (size + parts - 1) / parts;
        sizes[i] = count ? sizes[i] : left < even ? left : even;
        if (sizes[i] < 0 || sizes[i] > left)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "split: does not add up to %lld", (long long)size);
        left -= sizes[i];
    }
    return left == 0 && (!count || count == parts)
               ? NB_OK
               : onnx_fail(f->n, f->d, NB_E_FORMAT, "split: does not add up to %lld", (long long)size);
}

static nb_status fold_split(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t axis, sizes[ONNX_SHAPE_MAX], stride[NB_ST_MAX_DIM], dims[NB_ST_MAX_DIM], from = 0;
    int32_t at;
    NB_TRY(onnx_attr_int(f->n, f->d, "axis", 0, &axis));
    NB_TRY(fold_axis(f, axis, t->ndim, &at));
    NB_TRY(split_sizes(f, t->shape[at], sizes));
    fold_strides(t, t->ndim, stride);
    memcpy(dims, t->shape, sizeof dims);
    for (size_t k = 0; k < f->d->n_out; k++) {
        nb_st_tensor out;
        dims[at] = sizes[k];
        NB_TRY(fold_new(f, t->dtype, t->ndim, dims, &out));
        fold_copy(t, from, stride, &out);
        from += sizes[k] * stride[at];
        if (*f->d->out[k])
            NB_TRY(fold_give(f, k, &out));
    }
    return NB_OK;
}

/* Whole blocks behind the axis; the indices' dimensions stand in its place. */
static nb_status fold_gather(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0], *index = f->in[1];
    int64_t axis, dims[2 * NB_ST_MAX_DIM], outer = 1, inner = 1;
    int32_t at, ndim = 0;
    nb_st_tensor out;
    NB_TRY(onnx_attr_int(f->n, f->d, "axis", 0, &axis));
    NB_TRY(fold_axis(f, axis, t->ndim, &at));
    if (!fold_is_int(index) || t->ndim + index->ndim - 1 > NB_ST_MAX_DIM)
        return onnx_fail(f->n, f->d, NB_E_UNSUPPORTED, "its indices must be integers of few dimensions");
    for (int32_t i = 0; i < t->ndim; i++) {
        outer *= i < at ? t->shape[i] : 1;
        inner *= i > at ? t->shape[i] : 1;
        if (i != at)
            dims[ndim++] = t->shape[i];
        for (int32_t k = 0; k < index->ndim && i == at; k++)
            dims[ndim++] = index->shape[k];
    }
    NB_TRY(fold_new(f, t->dtype, ndim, dims, &out));
    const size_t block = (size_t)inner * fold_bytes(t);
    uint8_t *to = (uint8_t *)(uintptr_t)out.data;
    for (int64_t i = 0; i < index->count && outer; i++) {
        int64_t from = ((const int64_t *)index->data)[i];
        from += from < 0 && from >= -t->shape[at] ? t->shape[at] : 0;
        if (from < 0 || from >= t->shape[at])
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "takes element %lld of %lld", (long long)from,
                             (long long)t->shape[at]);
        for (int64_t o = 0; o < outer && block; o++)
            memcpy(to + (size_t)(o * index->count + i) * block,
                   (const uint8_t *)t->data + (size_t)(o * t->shape[at] + from) * block, block);
    }
    return fold_give(f, 0, &out);
}

/* ---- more of them ---- */

static nb_status fold_concat(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t axis, dims[NB_ST_MAX_DIM], outer = 1, inner = 1;
    int32_t at;
    nb_st_tensor out;
    NB_TRY(onnx_attr_int(f->n, f->d, "axis", 1, &axis));
    NB_TRY(fold_axis(f, axis, t->ndim, &at));
    memcpy(dims, t->shape, sizeof dims);
    for (int32_t k = 1; k < f->n_in; k++) {
        bool fits = f->in[k] && f->in[k]->ndim == t->ndim && f->in[k]->dtype == t->dtype;
        for (int32_t i = 0; i < t->ndim && fits; i++)
            fits = i == at || f->in[k]->shape[i] == t->shape[i];
        if (!fits)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "input %d does not fit the first", k);
        dims[at] += f->in[k]->shape[at];
    }
    for (int32_t i = 0; i < t->ndim; i++) {
        outer *= i < at ? t->shape[i] : 1;
        inner *= i > at ? t->shape[i] : 1;
    }
    NB_TRY(fold_new(f, t->dtype, t->ndim, dims, &out));
    uint8_t *to = (uint8_t *)(uintptr_t)out.data;
    for (int64_t o = 0; o < outer && out.count; o++)
        for (int32_t k = 0; k < f->n_in; k++) {
            const size_t block = (size_t)(inner * f->in[k]->shape[at]) * fold_bytes(t);
            if (block)
                memcpy(to, (const uint8_t *)f->in[k]->data + (size_t)o * block, block);
            to += block;
        }
    return fold_give(f, 0, &out);
}

static nb_status fold_expand(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    nb_st_tensor to = {0}, out;
    int64_t dims[NB_ST_MAX_DIM], stride[NB_ST_MAX_DIM];
    int32_t ndim;
    NB_TRY(onnx_integers(f->n, f->d, 1, NULL, to.shape, &to.ndim));
    if (!fold_spread(t, &to, &ndim, dims))
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "shape: does not fit its input");
    NB_TRY(fold_new(f, t->dtype, ndim, dims, &out));
    fold_strides(t, ndim, stride);
    fold_copy(t, 0, stride, &out);
    return fold_give(f, 0, &out);
}

/* As if each axis were two: how often, and how many. */
static nb_status fold_tile(const fold_job *f)
{
    const nb_st_tensor *t = f->in[0];
    int64_t times[ONNX_SHAPE_MAX], dims[NB_ST_MAX_DIM], from[NB_ST_MAX_DIM], at[NB_ST_MAX_DIM] = {0};
    int32_t n;
    nb_st_tensor out;
    NB_TRY(onnx_integers(f->n, f->d, 1, NULL, times, &n));
    if (n != t->ndim)
        return onnx_fail(f->n, f->d, NB_E_FORMAT, "repeats: %d numbers for %d axes", n, t->ndim);
    for (int32_t i = 0; i < n; i++) {
        if (times[i] < 0 || times[i] > 1 << 30)
            return onnx_fail(f->n, f->d, NB_E_FORMAT, "repeats: %lld cannot be", (long long)times[i]);
        dims[i] = t->shape[i] * times[i];
    }
    NB_TRY(fold_new(f, t->dtype, n, dims, &out));
    fold_strides(t, n, from);
    const size_t bytes = fold_bytes(t);
    for (int64_t i = 0; i < out.count; i++) {
        int64_t k = 0;
        for (int32_t a = 0; a < n; a++)
            k += at[a] % t->shape[a] * from[a];
        memcpy((uint8_t *)(uintptr_t)out.data + (size_t)i * bytes, (const uint8_t *)t->data + (size_t)k * bytes, bytes);
        for (int32_t a = n - 1; a >= 0 && ++at[a] == out.shape[a]; a--)
            at[a] = 0;
    }
    return fold_give(f, 0, &out);
}

const fold_operator fold_move[] = {
    {"Reshape", fold_reshape, "allowzero shape", 1, 2, 0},
    {"Flatten", fold_flatten, "axis", 1, 1, 0},
    {"Squeeze", fold_squeeze, "axes", 1, 2, 0},
    {"Unsqueeze", fold_unsqueeze, "axes", 1, 2, 0},
    {"Transpose", fold_transpose, "perm", 1, 1, 0},
    {"Slice", fold_slice, "starts ends axes", 1, 5, 0},
    {"Split", fold_split, "axis split num_outputs", 1, 2, 0},
    {"Gather", fold_gather, "axis", 2, 2, 0},
    {"Concat", fold_concat, "axis", 1, FOLD_IN, 0},
    {"Expand", fold_expand, "", 2, 2, 0},
    {"Tile", fold_tile, "", 2, 2, 0},
    {0},
};
