/* op_mul.c - Mul and Sub of two values that both come from the images. */
#include "base/check.h"
#include "import/onnx_net.h"

static nb_status pair(onnx_net *n, const onnx_node *d, const char *op)
{
    onnx_v_entry *a, *b, y;
    NB_TRY(onnx_data(n, d, 0, &a));
    NB_TRY(onnx_data(n, d, 1, &b));
    NB_TRY(onnx_pair(n, d, op, a, b, &y));
    return onnx_output(n, d, &y);
}

nb_status onnx_op_mul(onnx_net *n, const onnx_node *d)
{
    return pair(n, d, "mul");
}

nb_status onnx_op_sub(onnx_net *n, const onnx_node *d)
{
    return pair(n, d, "sub");
}
