/* op_norm.c - BatchNormalization in evaluation.
 *
 * Behind a convolution it is a batch norm of ours. Elsewhere (networks that normalise first) it is a depthwise
 * convolution of one pixel, which is the same function and can be quantized like any other. */
#include "base/check.h"
#include "core/sound.h"
#include "import/fill.h"
#include "import/onnx_net.h"

#include <math.h>

static bool multiplies(const onnx_layer *l)
{
    for (int32_t i = 0; i < l->n_params; i++)
        if (l->param[i].t.ndim > 1)
            return true;
    return false;
}

typedef struct {
    float eps;
    double momentum; /* momentum: the share of the new batch, as here, not of the old as in ONNX */
} norm;

static nb_status as_convolution(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *const p[4],
                                float eps)
{
    const int64_t dims[4] = {x->c, 1, 1, 1};
    nb_st_tensor w, b;
    float *mul, *add;
    int32_t l;
    NB_TRY(onnx_new_floats(n, p[0]->name, 4, dims, &mul, &w));
    NB_TRY(onnx_new_floats(n, p[1]->name, 1, dims, &add, &b));
    for (int32_t c = 0; c < x->c; c++) {
        double scale = (double)nb_fill_element(p[0], c) / sqrt((double)nb_fill_element(p[3], c) + (double)eps);
        mul[c] = (float)scale;
        add[c] = (float)((double)nb_fill_element(p[1], c) - scale * (double)nb_fill_element(p[2], c));
    }
    NB_TRY(onnx_add_layer(n, d, "dwconv2d", p[0]->name, &x->layer, 1, &l));
    onnx_keys(n, l, "kernel: 1");
    onnx_give(n, l, "weight", &w);
    onnx_give(n, l, "bias", &b);
    n->layer[l].bias = true;
    return onnx_note(n, d, ONNX_NOTE_NORM,
                     "does not follow a convolution or linear layer of its own and becomes a depthwise convolution of "
                     "one pixel: the same numbers, but training will not normalise there");
}

/* Before opset 14 the number of outputs says whether it trains. */
static nb_status read_mode(const onnx_net *n, const onnx_node *d, norm *m)
{
    int64_t spatial, training;
    float old;
    NB_TRY(onnx_attr_float(n, d, "epsilon", 1e-5f, &m->eps));
    NB_TRY(onnx_attr_float(n, d, "momentum", 0.9f, &old));
    NB_TRY(onnx_attr_int(n, d, "spatial", 1, &spatial));
    NB_TRY(onnx_attr_int(n, d, "training_mode", 0, &training));
    for (size_t k = 1; k < d->n_out; k++)
        training = training || *d->out[k];
    if (training)
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "is in training mode (it normalises with each batch's own statistics): export the network in "
                         "evaluation mode, e.g. after model.eval()");
    if (spatial != 1)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "spatial: %lld: must be 1", (long long)spatial);
    if (!(m->eps >= 1e-12f && m->eps <= 1))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "epsilon: %g: must be in 1e-12..1", (double)m->eps);
    if (!(old >= 0 && old <= 1))
        return onnx_fail(n, d, NB_E_FORMAT, "momentum: %g: must be in 0..1", (double)old);
    m->momentum = 1 - (double)old;
    return NB_OK;
}

static nb_status as_batchnorm(onnx_net *n, const onnx_node *d, const onnx_v_entry *x, const nb_st_tensor *const p[4],
                              const norm *m, bool rows)
{
    static const char *const what[4] = {"gamma", "beta", "mean", "var"};
    int32_t in = x->layer, l;
    if (rows)
        NB_TRY(onnx_as_rows(n, d, x, &in));
    NB_TRY(onnx_add_layer(n, d, "batchnorm", p[0]->name, &in, 1, &l));
    if (fabsf(m->eps - 1e-5f) > 1e-10f)
        onnx_keys(n, l, "eps: %.9g", (double)m->eps);
    if (fabs(m->momentum - 0.1) > 1e-6)
        onnx_keys(n, l, "momentum: %.5g", m->momentum);
    for (int32_t i = 0; i < 4; i++)
        onnx_give(n, l, what[i], p[i]);
    return NB_OK;
}

nb_status onnx_op_batchnorm(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const nb_st_tensor *p[4];
    norm m;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(read_mode(n, d, &m));
    const bool rows = x->flat && (int64_t)x->h * x->w > 1;
    const int64_t channels = rows ? (int64_t)x->c * x->h * x->w : x->c;
    for (size_t i = 0; i < 4; i++) {
        NB_TRY(onnx_floats(n, d, i + 1, &p[i]));
        if (p[i]->ndim != 1 || p[i]->count != channels)
            return onnx_fail(n, d, NB_E_FORMAT, "input %zu has %lld values for %lld channels", i + 1,
                             (long long)p[i]->count, (long long)channels);
    }
    for (int32_t c = 0; c < channels; c++) {
        const float var = nb_fill_element(p[3], c);
        if (nb_value_fault(var, true))
            return onnx_fail(n, d, NB_E_FORMAT, "input 4, '%.80s', the variance: value %d is %g: %s", p[3]->name, c,
                             (double)var, nb_value_fault(var, true));
    }
    const bool alone = x->uses == 1 && multiplies(&n->layer[x->layer]);
    NB_TRY(alone || rows || x->row ? as_batchnorm(n, d, x, p, &m, rows) : as_convolution(n, d, x, p, m.eps));
    onnx_v_entry y = *x;
    y.layer = n->n - 1;
    y.row = x->row || rows;
    return onnx_output(n, d, &y);
}
