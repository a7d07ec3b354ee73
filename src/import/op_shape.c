/* op_shape.c - what moves no numbers: Flatten, Reshape to rows, Squeeze, Identity, Dropout, Constant, the integers that
 * a graph computes for its shapes, and the softmax at the end. Dropout is nothing unless it was exported in training
 * mode. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_net.h"

static nb_status give_rows(onnx_net *n, const onnx_node *d, const onnx_v_entry *x)
{
    onnx_v_entry y = *x;
    y.flat = true;
    return onnx_output(n, d, &y);
}

nb_status onnx_op_flatten(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t axis;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_attr_int(n, d, "axis", 1, &axis));
    if (axis != 1 && axis != (x->flat ? -1 : -3))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: must be 1", (long long)axis);
    return give_rows(n, d, x);
}

static bool is_size(int64_t given, int64_t size)
{
    return given == size || given == -1;
}

nb_status onnx_op_reshape(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t to[ONNX_SHAPE_MAX], zero;
    int32_t count;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, NULL, to, &count));
    NB_TRY(onnx_attr_int(n, d, "allowzero", 0, &zero));
    for (int32_t i = 0; i < count && zero; i++)
        if (to[i] == 0)
            return onnx_fail(n, d, NB_E_UNSUPPORTED, "allowzero: a size of 0 must stand for the input's");
    /* The first must be the images: 0 copies it, 1 is what exporters write that saw one image. */
    const bool images = count > 0 && (to[0] == ONNX_BATCH || to[0] == 0 || to[0] == -1 || to[0] == 1);
    if (images && count == 2 && is_size(to[1], (int64_t)x->c * x->h * x->w) && (to[0] != -1 || to[1] != -1))
        return give_rows(n, d, x);
    const bool same = images && count == 4 && is_size(to[1], x->c) && is_size(to[2], x->h) && is_size(to[3], x->w);
    if (same && !x->row)
        return onnx_output(n, d,
                           &(onnx_v_entry){.kind = ONNX_V_DATA, .layer = x->layer, .c = x->c, .h = x->h, .w = x->w});
    return onnx_fail(n, d, NB_E_UNSUPPORTED, "only images to rows, [N, %lld], is supported",
                     (long long)x->c * x->h * x->w);
}

/* Rows and columns of one pixel go or come. */
nb_status onnx_op_squeeze(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t axes[ONNX_SHAPE_MAX];
    int32_t count;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_integers(n, d, 1, "axes", axes, &count));
    for (int32_t i = 0; i < count; i++)
        axes[i] += axes[i] < 0 ? 4 : 0;
    const bool comes = d->op[0] == 'U';
    const bool both = count == 2 && ((axes[0] == 2 && axes[1] == 3) || (axes[0] == 3 && axes[1] == 2));
    if (!both || (int64_t)x->h * x->w != 1 || x->flat != comes || (comes && x->row))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "only rows and columns (axes 2 and 3) of images of one pixel");
    onnx_v_entry y = *x;
    y.flat = !comes;
    return onnx_output(n, d, &y);
}

nb_status onnx_op_shape(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t first, end, *size = nb_arena_array(n->arena, 4, sizeof *size);
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_shape_part(n, d, x->flat ? 2 : 4, &first, &end));
    if (!size)
        return NB_E_NOMEM;
    size[0] = ONNX_BATCH;
    size[1] = x->flat ? (int64_t)x->c * x->h * x->w : x->c;
    size[2] = x->h;
    size[3] = x->w;
    const nb_st_tensor t = {.name = d->out[0],
                            .dtype = NB_ST_I64,
                            .ndim = 1,
                            .shape = {end - first},
                            .count = end - first,
                            .data = size + first,
                            .bytes = (size_t)(end - first) * sizeof *size};
    return onnx_output(n, d, &(onnx_v_entry){.kind = ONNX_V_CONSTANT, .constant = t});
}

nb_status onnx_op_cast(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t to;
    NB_TRY(onnx_attr_int(n, d, "to", 0, &to));
    NB_TRY(onnx_data_padded(n, d, 0, &x));
    if (to != 1 && to != 10 && to != 11 && to != 16)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "to: %lld: images can be cast to floats only", (long long)to);
    return onnx_output(n, d, x);
}

nb_status onnx_op_constant(onnx_net *n, const onnx_node *d)
{
    if (d->n_attr != 1)
        return onnx_fail(n, d, NB_E_FORMAT, "has %zu values", d->n_attr);
    const onnx_attr *a = &d->attr[0];
    nb_st_tensor t = {.name = d->n_out ? d->out[0] : "", .count = 1, .bytes = 8};
    if (a->kind == ONNX_A_TENSOR) {
        t = a->t;
        t.name = d->n_out ? d->out[0] : "";
    } else if (a->kind == ONNX_A_INT || a->kind == ONNX_A_INTS) {
        t.dtype = NB_ST_I64;
        t.data = a->kind == ONNX_A_INT ? &a->i : a->ints;
    } else if (a->kind == ONNX_A_FLOAT || a->kind == ONNX_A_FLOATS) {
        t.dtype = NB_ST_F32;
        t.data = a->kind == ONNX_A_FLOAT ? &a->f : a->floats;
    } else {
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "holds neither a tensor nor numbers");
    }
    if (a->kind == ONNX_A_INTS || a->kind == ONNX_A_FLOATS) {
        t.ndim = 1;
        t.shape[0] = t.count = (int64_t)a->n;
    }
    return onnx_output(n, d, &(onnx_v_entry){.kind = ONNX_V_CONSTANT, .constant = t});
}

nb_status onnx_op_identity(onnx_net *n, const onnx_node *d)
{
    const onnx_v_entry *e = onnx_input(n, d, 0);
    if (!e)
        return onnx_fail(n, d, NB_E_FORMAT, "input 0 is missing");
    return onnx_output(n, d, e);
}

/* Since opset 12 an input says whether it trains, which only a network that was exported so does. */
nb_status onnx_op_dropout(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x, *mode = onnx_input(n, d, 2);
    float ratio;
    int32_t l;
    NB_TRY(onnx_data(n, d, 0, &x));
    if (d->n_out > 1 && *d->out[1] && onnx_is_read(n, d->out[1]))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its second output, the mask, is not supported");
    if (mode && (mode->kind != ONNX_V_CONSTANT || mode->constant.dtype != NB_ST_I64 || mode->constant.count != 1))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "its training_mode must be a constant");
    NB_TRY(onnx_attr_float(n, d, "ratio", 0.5f, &ratio));
    if (onnx_input(n, d, 1)) {
        const nb_st_tensor *t;
        NB_TRY(onnx_floats(n, d, 1, &t));
        ratio = t->count == 1 ? nb_fill_element(t, 0) : -1;
    }
    if (!mode || *(const int64_t *)mode->constant.data == 0 || ratio == 0.0f)
        return onnx_output(n, d, x);
    if (!(ratio > 0 && ratio <= 0.99f))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "ratio: must be one number in 0..0.99");
    NB_TRY(onnx_add_layer(n, d, "dropout", NULL, &x->layer, 1, &l));
    onnx_keys(n, l, "p: %.6g", (double)ratio);
    NB_TRY(onnx_note(n, d, ONNX_NOTE_DROPOUT,
                     "was exported in training mode: it becomes a dropout of %g, which drops values in training and "
                     "nothing else",
                     (double)ratio));
    onnx_v_entry y = *x;
    y.layer = l;
    return onnx_output(n, d, &y);
}

/* The loss has it; logits are what the checkpoint gives. The axis's default came with opset 13. */
nb_status onnx_op_softmax(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    int64_t axis;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_attr_int(n, d, "axis", n->file->opset >= 13 ? -1 : 1, &axis));
    if (axis != 1 && axis != (x->flat ? -1 : -3))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: must be 1", (long long)axis);
    if (n->file->opset >= 13 && !x->flat && (int64_t)x->h * x->w > 1)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "is taken at each of %dx%d places; only one for the whole image is supported", x->h, x->w);
    NB_TRY(onnx_note(n, d, ONNX_NOTE_SOFTMAX,
                     "is left out: the network ends in its logits, and the loss and `nibble run` take the softmax"));
    onnx_v_entry y = *x;
    y.last = true;
    return onnx_output(n, d, &y);
}
