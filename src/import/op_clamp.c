/* op_clamp.c - Relu, Clip: from 0 a relu (ReLU6), else an activation of its own. */
#include "base/check.h"
#include "import/fill.h"
#include "import/onnx_net.h"

#include <math.h>

/* Ends that are not finite are none. */
static nb_status add_clamp(onnx_net *n, const onnx_node *d, float low, float high)
{
    onnx_v_entry *x;
    int32_t l;
    const bool relu = low == 0.0f;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_add_layer(n, d, relu ? "relu" : "clip", NULL, &x->layer, 1, &l));
    if (!relu)
        onnx_keys(n, l, isfinite(low) ? "low: %.9g" : "low: -inf", (double)low);
    if (!relu || isfinite(high))
        onnx_keys(n, l, isfinite(high) ? "%s: %.9g" : "%s: inf", relu ? "cap" : "high", (double)high);
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
    return add_clamp(n, d, 0, INFINITY);
}

nb_status onnx_op_clip(onnx_net *n, const onnx_node *d)
{
    float min, max;
    NB_TRY(bound(n, d, 1, "min", -INFINITY, &min));
    NB_TRY(bound(n, d, 2, "max", INFINITY, &max));
    if (!(max - min >= 1e-6f))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "from %g to %g: max must lie above min", (double)min, (double)max);
    min = min > -3e38f ? min : -INFINITY;
    max = max < 3e38f ? max : INFINITY;
    if (isfinite(min) || isfinite(max))
        return add_clamp(n, d, min, max);
    onnx_v_entry *x;
    NB_TRY(onnx_data(n, d, 0, &x));
    return onnx_output(n, d, x);
}
