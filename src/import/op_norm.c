/* op_norm.c - BatchNormalization in evaluation, and LRN.
 *
 * Behind a convolution it is a batch norm of ours. Elsewhere (networks that normalise first) it is a depthwise
 * convolution of one pixel, which is the same function and can be quantized like any other. */
#include "base/check.h"
#include "core/sound.h"
#include "import/fill.h"
#include "import/onnx_net.h"

#include <math.h>

enum { MAX_LRN = 4096 };

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

/* ---- LRN ---- */

typedef struct {
    float alpha, beta, bias;
    int64_t size;
} lrn;

static nb_status read_lrn(const onnx_net *n, const onnx_node *d, const onnx_v_entry *x, lrn *r)
{
    NB_TRY(onnx_attr_float(n, d, "alpha", 1e-4f, &r->alpha));
    NB_TRY(onnx_attr_float(n, d, "beta", 0.75f, &r->beta));
    NB_TRY(onnx_attr_float(n, d, "bias", 1, &r->bias));
    NB_TRY(onnx_attr_int(n, d, "size", 0, &r->size));
    if (x->flat || x->row)
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "needs images, but its input is flat");
    if (r->size < 1 || r->size > ONNX_MAX_SIDE)
        return onnx_fail(n, d, NB_E_FORMAT, "size: %lld: must be in 1..%d", (long long)r->size, ONNX_MAX_SIDE);
    if (!(r->alpha >= 0 && r->alpha <= 1e6f && r->beta > 0 && r->beta <= 8 && r->bias >= 1e-3f && r->bias <= 1e6f))
        return onnx_fail(n, d, NB_E_UNSUPPORTED,
                         "alpha %g, beta %g, bias %g: must be in 0..1e6, above 0 and at most 8, in 0.001..1e6",
                         (double)r->alpha, (double)r->beta, (double)r->bias);
    return x->c <= MAX_LRN ? NB_OK
                           : onnx_fail(n, d, NB_E_UNSUPPORTED, "size: over %d channels: at most %d", x->c, MAX_LRN);
}

/* bias + alpha / size * the sum of squares over neighbouring channels: a convolution of one pixel over the squares. */
static nb_status add_sums(onnx_net *n, const onnx_node *d, const lrn *r, int32_t c, int32_t *layer)
{
    const int64_t dims[4] = {c, c, 1, 1}, before = (r->size - 1) / 2, behind = r->size - 1 - before;
    nb_st_tensor w, b;
    float *to, *bias;
    NB_TRY(onnx_new_floats(n, d->out[0], 4, dims, &to, &w));
    NB_TRY(onnx_new_floats(n, d->out[0], 1, dims, &bias, &b));
    for (int64_t k = 0; k < c; k++) {
        bias[k] = r->bias;
        for (int64_t i = 0; i < c; i++)
            to[k * c + i] = i >= k - before && i <= k + behind ? r->alpha / (float)r->size : 0;
    }
    NB_TRY(onnx_add_layer(n, d, "conv2d", NULL, layer, 1, layer));
    onnx_keys(n, *layer, "out: %d, kernel: 1", c);
    onnx_give(n, *layer, "weight", &w);
    onnx_give(n, *layer, "bias", &b);
    n->layer[*layer].bias = true;
    n->layer[*layer].named = true;
    return NB_OK;
}

/* x * (bias + alpha / size * sums of squares) ^ -beta, in layers that all have integers. */
nb_status onnx_op_lrn(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x, y;
    onnx_node part = *d;
    lrn r;
    int32_t l;
    part.name = "";
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(read_lrn(n, d, x, &r));
    NB_TRY(onnx_add_layer(n, &part, "pow", NULL, &x->layer, 1, &l));
    NB_TRY(add_sums(n, d, &r, x->c, &l));
    NB_TRY(onnx_add_layer(n, &part, "pow", NULL, &l, 1, &l));
    onnx_keys(n, l, "power: %.9g", -(double)r.beta);
    NB_TRY(
        onnx_note(n, d, ONNX_NOTE_LRN,
                  "becomes a convolution over the squares, a power of it, and a product with what it normalises: the "
                  "same numbers, but training will change its weights"));
    onnx_v_entry gate = *x;
    gate.layer = l;
    NB_TRY(onnx_pair(n, &part, "mul", x, &gate, &y));
    return onnx_output(n, d, &y);
}
