/* op_extreme.c - Max, Min and Mean of values that all come from the images. The larger of two is one of them and what the other
 * has more: max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b). */
#include "base/check.h"
#include "import/onnx_net.h"

static nb_status extreme(onnx_net *n, const onnx_node *d, bool max)
{
    onnx_v_entry *x, best;
    NB_TRY(onnx_data(n, d, 0, &x));
    best = *x;
    for (size_t k = 1; k < d->n_in; k++) {
        onnx_v_entry more, next;
        NB_TRY(onnx_data(n, d, k, &x));
        NB_TRY(onnx_pair(n, d, "sub", max ? x : &best, max ? &best : x, &more));
        NB_TRY(onnx_add_layer(n, d, "relu", NULL, &more.layer, 1, &more.layer));
        NB_TRY(onnx_pair(n, d, max ? "add" : "sub", &best, &more, &next));
        best = next;
    }
    return onnx_output(n, d, &best);
}

nb_status onnx_op_max(onnx_net *n, const onnx_node *d)
{
    return extreme(n, d, true);
}

nb_status onnx_op_min(onnx_net *n, const onnx_node *d)
{
    return extreme(n, d, false);
}

/* Their sum, and a depthwise convolution of one pixel with one weight. */
nb_status onnx_op_mean(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x, sum;
    nb_st_tensor w;
    float *to;
    NB_TRY(onnx_data(n, d, 0, &x));
    sum = *x;
    for (size_t k = 1; k < d->n_in; k++) {
        onnx_v_entry next;
        NB_TRY(onnx_data(n, d, k, &x));
        NB_TRY(onnx_pair(n, d, "add", &sum, x, &next));
        sum = next;
    }
    if (d->n_in == 1)
        return onnx_output(n, d, &sum);
    NB_TRY(onnx_new_floats(n, d->out[0], 4, (int64_t[]){sum.c, 1, 1, 1}, &to, &w));
    for (int32_t c = 0; c < sum.c; c++)
        to[c] = 1 / (float)d->n_in;
    if (sum.row)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "the mean of rows is not supported, that of images is");
    NB_TRY(onnx_add_layer(n, d, "dwconv2d", w.name, &sum.layer, 1, &sum.layer));
    onnx_keys(n, sum.layer, "kernel: 1");
    onnx_give(n, sum.layer, "weight", &w);
    return onnx_output(n, d, &sum);
}
