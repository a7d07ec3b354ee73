/* op_mul.c - Mul, Sub and Div: of two values that both come from the images, or of one and a constant (op_affine.c). */
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

nb_status onnx_op_div(onnx_net *n, const onnx_node *d)
{
    size_t data;
    if (!has_constant(n, d, &data) || data)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "divides by values of the images: only a constant can be divided by");
    return onnx_affine(n, d, 0, ONNX_OVER);
}
