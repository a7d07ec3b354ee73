/* op_layout.c - Transpose, Reshape, Flatten, Squeeze, Unsqueeze of images, and Shape: no number moves, only where it is
 * said to stand (onnx_layout.h). */
#include "base/check.h"
#include "import/onnx_net.h"

static nb_status give(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const onnx_layout *l)
{
    onnx_v_entry y = *x;
    onnx_layout_set(&y, l);
    return onnx_output(n, d, &y);
}

nb_status onnx_op_transpose(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t perm[ONNX_FILE_DIMS] = {0};
    bool seen[ONNX_FILE_DIMS] = {false};
    NB_TRY(onnx_data(n, d, 0, &x));
    const onnx_layout l = onnx_layout_of(x);
    for (int32_t i = 0; i < l.rank; i++)
        perm[i] = l.rank - 1 - i;
    NB_TRY(onnx_attr_ints(n, d, "perm", perm, (size_t)l.rank));
    for (int32_t i = 0; i < l.rank; i++) {
        if (perm[i] < 0 || perm[i] >= l.rank || seen[perm[i]])
            return onnx_fail(n, d, NB_E_FORMAT, "perm: must hold each axis once");
        seen[perm[i]] = true;
    }
    const onnx_layout y = onnx_layout_transposed(&l, perm);
    return give(n, d, x, &y);
}

static nb_status refuse_reshape(const onnx_net *n, const onnx_node *d, const onnx_layout *l)
{
    char text[ONNX_LAYOUT_TEXT];
    return onnx_fail(n, d, NB_E_UNSUPPORTED,
                     "shape: cuts %s apart where it cannot be cut, or mixes the images of a batch",
                     onnx_layout_text(l, text));
}

/* 0 copies a size, and -1 is what is left. The first stands for the images: any number, or how many the exporter saw. */
static nb_status reshape_sizes(const onnx_net *n, const onnx_node *d, const onnx_layout *l, int64_t *to, int32_t count)
{
    int64_t all = 1, known = 1, times = 1, seen = n->batch > 0 ? n->batch : 1;
    int32_t open = -1;
    bool images;
    for (int32_t i = 0; i < l->rank; i++)
        all *= onnx_layout_size(l, i, &images);
    for (int32_t i = 0; i < count; i++) {
        const int64_t size = i < l->rank ? onnx_layout_size(l, i, &images) : 0;
        if (to[i] == 0 && i > 0)
            to[i] = i < l->rank && !images ? size : -2;
        if (to[i] == -1 && i > 0 && open < 0)
            open = i;
        else if (i > 0 && (to[i] < 1 || known > INT32_MAX / to[i]))
            return refuse_reshape(n, d, l);
        else if (i > 0)
            known *= to[i];
        else if (to[0] == 0)
            times = images ? size : -1;
        else if (to[0] > 0)
            times = to[0] % seen ? -1 : to[0] / seen;
        else if (to[0] != -1 && to[0] != ONNX_BATCH)
            times = -1;
    }
    if (times < 1 || times > all || known > all || (open >= 0 && (to[0] == -1 || all % (known * times))))
        return refuse_reshape(n, d, l);
    if (open >= 0)
        to[open] = all / (known * times);
    if (to[0] != -1 && (open >= 0 ? to[open] : 1) * known * times != all)
        return refuse_reshape(n, d, l);
    return NB_OK;
}

nb_status onnx_op_reshape(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    onnx_layout y;
    int64_t to[ONNX_SHAPE_MAX], zero;
    int32_t count;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, "shape", to, &count));
    NB_TRY(onnx_attr_int(n, d, "allowzero", 0, &zero));
    for (int32_t i = 0; i < count && zero; i++)
        if (to[i] == 0)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "allowzero: a size of 0 must stand for the input's");
    const onnx_layout l = onnx_layout_of(x);
    if (count == 0)
        return refuse_reshape(n, d, &l);
    NB_TRY(reshape_sizes(n, d, &l, to, count));
    if (!onnx_layout_reshaped(&l, to, count, &y))
        return refuse_reshape(n, d, &l);
    return give(n, d, x, &y);
}

nb_status onnx_op_flatten(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    onnx_layout y;
    int64_t axis, all = 1;
    bool images;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_attr_int(n, d, "axis", 1, &axis));
    const onnx_layout l = onnx_layout_of(x);
    if (axis != 1 && axis != 1 - l.rank)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: must be 1", (long long)axis);
    for (int32_t i = 1; i < l.rank; i++)
        all *= onnx_layout_size(&l, i, &images);
    if (!onnx_layout_reshaped(&l, (int64_t[]){0, all}, 2, &y))
        return refuse_reshape(n, d, &l);
    return give(n, d, x, &y);
}

/* The images are never one of the axes, not even when the file holds one image: any number goes in here. */
static nb_status read_axes(const onnx_net *n, const onnx_node *d, int32_t rank, int32_t *count, bool *is_axis)
{
    int64_t axes[ONNX_SHAPE_MAX];
    NB_TRY(onnx_integers(n, d, 1, "axes", axes, count));
    for (int32_t i = 0; i < *count; i++) {
        const int64_t at = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (at < 0 || at >= rank || is_axis[at])
            return onnx_fail(n, d, NB_E_FORMAT, "axes: %lld: must be in %d..%d, and there once", (long long)axes[i],
                             -rank, rank - 1);
        is_axis[at] = true;
    }
    return NB_OK;
}

nb_status onnx_op_squeeze(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int32_t count;
    bool goes[ONNX_FILE_DIMS] = {false};
    NB_TRY(onnx_data(n, d, 0, &x));
    const onnx_layout l = onnx_layout_of(x);
    onnx_layout y = {0};
    NB_TRY(read_axes(n, d, l.rank, &count, goes));
    for (int32_t i = 0; i < l.rank; i++) {
        const bool one = l.first[i] == l.first[i + 1];
        if (goes[i] && !one)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: %d: only an axis of one element can go, and not the images",
                             i);
        if (goes[i] || (count == 0 && one))
            continue;
        for (int32_t k = l.first[i]; k < l.first[i + 1]; k++)
            onnx_layout_add(&y, y.rank, l.atom[k]);
        y.rank++;
    }
    return give(n, d, x, &y);
}

nb_status onnx_op_unsqueeze(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t axes[ONNX_SHAPE_MAX];
    int32_t count, from = 0;
    bool comes[ONNX_FILE_DIMS] = {false};
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, "axes", axes, &count));
    const onnx_layout l = onnx_layout_of(x);
    onnx_layout y = {.rank = l.rank + count};
    if (y.rank > ONNX_FILE_DIMS)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axes: makes more than %d dimensions", ONNX_FILE_DIMS);
    NB_TRY(read_axes(n, d, y.rank, &count, comes));
    for (int32_t i = 0; i < y.rank; i++) {
        for (int32_t k = l.first[from]; k < l.first[from + 1] && !comes[i]; k++)
            onnx_layout_add(&y, i, l.atom[k]);
        from += !comes[i] && from + 1 < l.rank;
    }
    return give(n, d, x, &y);
}

nb_status onnx_op_shape(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t first, end, *size = nb_arena_array(n->arena, ONNX_FILE_DIMS, sizeof *size);
    NB_TRY(onnx_data_padded(n, d, 0, &x));
    const onnx_layout l = onnx_layout_of(x);
    NB_TRY(onnx_shape_part(n, d, l.rank, &first, &end));
    if (!size)
        return NB_E_NOMEM;
    for (int32_t i = 0; i < l.rank; i++) {
        bool images;
        size[i] = onnx_layout_size(&l, i, &images);
        if (images && size[i] > 1)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "asks for the number of images times %lld", (long long)size[i]);
        size[i] = images ? ONNX_BATCH : size[i];
    }
    if (!x->layout.rank && !x->flat) { /* zeros that wait for the next layer */
        size[2] += x->pad[0] + x->pad[2];
        size[3] += x->pad[1] + x->pad[3];
    }
    const nb_st_tensor t = {.name = d->out[0],
                            .dtype = NB_ST_I64,
                            .ndim = 1,
                            .shape = {end - first},
                            .count = end - first,
                            .data = size + first,
                            .bytes = (size_t)(end - first) * sizeof *size};
    return onnx_output(n, d, &(onnx_v_entry){.kind = ONNX_V_CONSTANT, .constant = t});
}
