/* op_shape.c - what is nothing here: Cast, Identity, Dropout unless it was exported in training mode, the softmax at the
 * end; and Constant. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_net.h"

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
    const onnx_layout l = onnx_layout_of(x);
    const int64_t at = axis < 0 ? axis + l.rank : axis, all = (int64_t)x->c * x->h * x->w;
    int64_t over = 1;
    bool images = false, any = false;
    for (int64_t i = at; i >= 0 && i < l.rank && (i == at || n->file->opset < 13); i++, any = any || images)
        over *= onnx_layout_size(&l, (int32_t)i, &images);
    if (at < 1 || at >= l.rank || any)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "axis: %lld: must be that of the logits", (long long)axis);
    if (over != all)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "axis: %lld: is taken over %lld of %lld values; only one for the whole image is supported",
                         (long long)axis, (long long)over, (long long)all);
    NB_TRY(onnx_note(n, d, ONNX_NOTE_SOFTMAX,
                     "is left out: the network ends in its logits, and the loss and `nibble run` take the softmax"));
    onnx_v_entry y = *x;
    y.last = true;
    return onnx_output(n, d, &y);
}
