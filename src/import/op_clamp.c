/* op_clamp.c - Relu, Clip from 0 (ReLU6). */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_net.h"

#include <math.h>

static nb_status add_relu(onnx_net *n, const onnx_node *d, float cap)
{
    onnx_v_entry *x;
    int32_t l;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_add_layer(n, d, "relu", NULL, &x->layer, 1, &l));
    if (isfinite(cap))
        onnx_keys(n, l, "cap: %.9g", (double)cap);
    onnx_v_entry y = *x;
    y.layer = l;
    return onnx_output(n, d, &y);
}

/* A bound: an input since opset 11, an attribute before. */
static nb_status bound(const onnx_net *n, const onnx_node *d, size_t k, const char *name, float dflt, float *out)
{
    const onnx_v_entry *e = onnx_input(n, d, k);
    if (!e)
        return onnx_attr_float(n, d, name, dflt, out);
    if (e->kind != ONNX_V_CONSTANT || !nb_fill_is_float(&e->constant) || e->constant.count != 1)
        return onnx_fail(n, d, NB_E_FORMAT, "%s must be one number, a constant float", name);
    *out = nb_fill_element(&e->constant, 0); /* infinity is no bound */
    return NB_OK;
}

nb_status onnx_op_relu(onnx_net *n, const onnx_node *d)
{
    return add_relu(n, d, INFINITY);
}

nb_status onnx_op_clip(onnx_net *n, const onnx_node *d)
{
    float min, max;
    NB_TRY(bound(n, d, 1, "min", -INFINITY, &min));
    NB_TRY(bound(n, d, 2, "max", INFINITY, &max));
    if (min != 0.0f || !(max >= 1e-6f))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "from %g to %g: only a relu is supported: from 0 to something above",
                         (double)min, (double)max);
    return add_relu(n, d, max < 3e38f ? max : INFINITY);
}
