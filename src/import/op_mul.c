/* op_mul.c - Mul, Sub, Div and Neg: of two values that both come from the images, or of one and a constant (op_affine.c). */
#include "base/check.h"
#include "import/op_affine.h"

static bool is_data(const onnx_net *n, const onnx_node *d, size_t k)
{
    const onnx_v_entry *e = onnx_input(n, d, k);
    return e && e->kind == ONNX_V_DATA;
}

/* One of the two is a constant: *data is the other. */
static bool has_constant(const onnx_net *n, const onnx_node *d, size_t *data)
{
    *data = is_data(n, d, 0) ? 0 : 1;
    return is_data(n, d, 0) != is_data(n, d, 1);
}

static nb_status pair(onnx_net *n, const onnx_node *d, const char *op)
{
    onnx_v_entry *a, *b, y;
    NB_TRY(onnx_data(n, d, 0, &a));
    NB_TRY(onnx_data(n, d, 1, &b));
    if (*op != 'm' || !onnx_gate(n, a, b, &y))
        NB_TRY(onnx_pair(n, d, op, a, b, &y));
    return onnx_output(n, d, &y);
}

nb_status onnx_op_mul(onnx_net *n, const onnx_node *d)
{
    size_t data;
    return has_constant(n, d, &data) ? onnx_affine(n, d, data, ONNX_TIMES) : pair(n, d, "mul");
}

nb_status onnx_op_sub(onnx_net *n, const onnx_node *d)
{
    size_t data;
    return has_constant(n, d, &data) ? onnx_affine(n, d, data, data ? ONNX_LESS_THAN : ONNX_MINUS) : pair(n, d, "sub");
}

/* By a power of -1, an activation, and a product. */
static nb_status divide(onnx_net *n, const onnx_node *d)
{
    const onnx_v_entry *above = onnx_input(n, d, 0);
    onnx_v_entry *below, *x, over, y;
    onnx_node unnamed = *d;
    unnamed.name = "";
    NB_TRY(onnx_data(n, d, 1, &below));
    over = *below;
    NB_TRY(onnx_add_layer(n, &unnamed, "pow", NULL, &below->layer, 1, &over.layer));
    onnx_keys(n, over.layer, "power: -1");
    over.uses = 1;
    if (above && above->kind == ONNX_V_CONSTANT) {
        const nb_st_tensor *t;
        bool each;
        NB_TRY(onnx_floats(n, d, 0, &t));
        NB_TRY(onnx_per_channel(n, d, below, t, &each));
        NB_TRY(onnx_affine_of(n, d, &over, t, ONNX_TIMES, &y));
        return onnx_output(n, d, &y);
    }
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_pair(n, d, "mul", x, &over, &y));
    return onnx_output(n, d, &y);
}

nb_status onnx_op_div(onnx_net *n, const onnx_node *d)
{
    size_t data;
    if (has_constant(n, d, &data) && data == 0)
        return onnx_affine(n, d, 0, ONNX_OVER);
    return divide(n, d);
}

nb_status onnx_op_neg(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x, y;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_affine_by(n, d, x, -1, ONNX_TIMES, &y));
    return onnx_output(n, d, &y);
}
