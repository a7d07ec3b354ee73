/* qnet_mac.c - convolutions and matrix products of a quantized ONNX graph: open sums, whose bias and scale others may
 * still change. A matrix over a flattened image is a convolution whose window is the image. */
#include "import/qnet.h"

#include "base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const nb_st_tensor *t, *scale, *zero;
    int64_t out, in, y, x; /* strides of output and input channels, rows, columns */
} weights;

bool q_is_open_mac(const q_value *v)
{
    return v->kind == Q_REAL && v->open.kind == NB_STEP_CONV;
}

static int64_t at_channel(const nb_st_tensor *t, int32_t c)
{
    return t->count > 1 ? c : 0;
}

/* Codes less their zero points, OHWI. */
static nb_status take_codes(qnet *n, const onnx_node *d, const weights *w, const nb_geom *g, int8_t *to)
{
    const int32_t in = g->c / g->groups;
    for (int32_t o = 0; o < g->oc; o++) {
        const int32_t zero = w->zero ? (int32_t)q_number(w->zero, at_channel(w->zero, o)) : 0;
        for (int32_t y = 0; y < g->kh; y++)
            for (int32_t x = 0; x < g->kw; x++)
                for (int32_t i = 0; i < in; i++) {
                    const int32_t v = (int32_t)q_number(w->t, o * w->out + i * w->in + y * w->y + x * w->x) - zero;
                    if (v < -127 || v > 127)
                        return q_fail(
                            n, d,
                            "a weight is %d less its zero point: must be in -127..127, as weights of type int8 "
                            "are (quantize_static: weight_type=QuantType.QInt8)",
                            v);
                    *to++ = (int8_t)v;
                }
    }
    return NB_OK;
}

static bool per_channel(const nb_st_tensor *t, int32_t channels)
{
    return !t || t->count == 1 || t->count == channels;
}

static nb_status open_mac(qnet *n, const onnx_node *d, const q_value *x, const weights *w, const nb_geom *g,
                          q_value *out)
{
    int32_t tensor;
    NB_TRY(q_codes(n, d, x, &tensor));
    const int64_t count = (int64_t)g->oc * g->kh * g->kw * (g->c / g->groups);
    if ((w->t->dtype != NB_ST_I8 && w->t->dtype != NB_ST_U8) || w->t->count != count)
        return q_fail(n, d, "weights must be %lld integers of 4 or 8 bits", (long long)count);
    if (!per_channel(w->scale, g->oc) || !per_channel(w->zero, g->oc))
        return q_fail(n, d, "weights must have one scale, or one for each of %d channels", g->oc);
    int8_t *codes = nb_arena_array(n->arena, (size_t)count, 1);
    double *unit = nb_arena_array(n->arena, (size_t)g->oc, sizeof *unit);
    int64_t *bias = nb_arena_array(n->arena, (size_t)g->oc, sizeof *bias);
    if (!codes || !unit || !bias)
        return NB_E_NOMEM;
    NB_TRY(take_codes(n, d, w, g, codes));
    bool narrow = true;
    for (int64_t i = 0; i < count; i++)
        narrow = narrow && codes[i] >= -7 && codes[i] <= 7;
    for (int32_t c = 0; c < g->oc; c++) {
        unit[c] = w->scale ? q_tensor_grid(n, tensor).scale * q_number(w->scale, at_channel(w->scale, c)) : 1;
        bias[c] = 0;
        if (!(unit[c] > 0) || !isfinite(unit[c]))
            return q_fail(n, d, "channel %d: the scale of its weights must be positive", c);
    }
    *out = (q_value){.kind = Q_REAL, .c = g->oc, .h = g->oh, .w = g->ow};
    out->open = (q_open){.kind = NB_STEP_CONV,
                         .in = {tensor},
                         .n_in = 1,
                         .geom = *g,
                         .weights = codes,
                         .bits = narrow ? 4 : 8,
                         .unit = unit,
                         .bias = bias,
                         .lo = -INFINITY,
                         .hi = INFINITY};
    return NB_OK;
}

/* Integers as they are where their scale is that of the sums (or scale is NULL), else rounded to it. */
static nb_status set_bias(qnet *n, const onnx_node *d, q_value *v, const nb_st_tensor *t, const nb_st_tensor *scale)
{
    const int32_t channels = v->open.geom.oc;
    if (t->count != channels && t->count != 1)
        return q_fail(n, d, "the bias must have %d values", channels);
    if (!per_channel(scale, channels))
        return q_fail(n, d, "the bias must have one scale, or one for each of %d channels", channels);
    int64_t *bias = nb_arena_array(n->arena, (size_t)channels, sizeof *bias);
    if (!bias)
        return NB_E_NOMEM;
    for (int32_t c = 0; c < channels; c++) {
        const double b = q_number(t, at_channel(t, c)), unit = v->open.unit[c],
                     s = scale                   ? q_number(scale, at_channel(scale, c))
                         : t->dtype == NB_ST_F32 ? 1
                                                 : unit;
        const double sum = fabs(s - unit) <= 1e-4 * unit ? b : nearbyint(b * s / unit);
        if (!(fabs(sum) < 2147483648.0))
            return q_fail(n, d, "channel %d: the bias does not fit 32 bits at the scale of the sums", c);
        bias[c] = v->open.bias[c] + (int64_t)sum;
    }
    v->open.bias = bias;
    return NB_OK;
}

nb_status q_add_bias(qnet *n, const onnx_node *d, const q_value *x, const q_value *bias)
{
    q_value v = *x;
    if (!isinf(v.open.lo) || !isinf(v.open.hi))
        return q_fail(n, d, "adds a constant behind a clamp");
    NB_TRY(set_bias(n, d, &v, &bias->t, bias->scale));
    return q_output(n, d, v);
}

static nb_status constant_weights(const qnet *n, const onnx_node *d, size_t k, weights *w)
{
    const q_value *v = q_input(n, d, k);
    if (!v || v->kind != Q_CONSTANT || !v->scale)
        return q_fail(n, d, "input %zu must be a constant behind a DequantizeLinear", k);
    *w = (weights){.t = &v->t, .scale = v->scale, .zero = v->zero};
    return NB_OK;
}

static const char *text_of(const onnx_node *d, const char *name)
{
    for (size_t i = 0; i < d->n_attr; i++)
        if (strcmp(d->attr[i].name, name) == 0 && d->attr[i].kind == ONNX_A_STRING)
            return d->attr[i].s;
    return "NOTSET";
}

static nb_status conv_geom(qnet *n, const onnx_node *d, const q_value *x, const nb_st_tensor *w, nb_geom *g)
{
    int64_t stride[2] = {1, 1}, dilation[2] = {1, 1}, pads[4] = {0};
    const int64_t groups = q_int(d, "group", 1);
    NB_TRY(q_ints(n, d, "strides", stride, 2));
    NB_TRY(q_ints(n, d, "dilations", dilation, 2));
    NB_TRY(q_ints(n, d, "pads", pads, 4));
    if (strcmp(text_of(d, "auto_pad"), "NOTSET") != 0 && strcmp(text_of(d, "auto_pad"), "VALID") != 0)
        return q_fail(n, d, "auto_pad: %.20s: must be NOTSET, with pads", text_of(d, "auto_pad"));
    const bool flat = x->flat && x->h * x->w > 1;
    if ((flat || x->last) && !(flat && x->last))
        return q_fail(n, d, "its input is no image [N, channels, rows, columns]");
    *g = flat ? nb_geom_pixels(1, 1, x->c * x->h * x->w, 1, 1) : nb_geom_pixels(x->h, x->w, x->c, 1, 1);
    if (w->ndim != 4 || w->shape[0] < 1 || w->shape[0] > 1 << 20 || groups < 1 || groups > g->c || g->c % groups ||
        w->shape[0] % groups || w->shape[1] != g->c / groups || w->shape[2] < 1 || w->shape[2] > 1024 ||
        w->shape[3] < 1 || w->shape[3] > 1024 || stride[0] < 1 || stride[1] < 1 || dilation[0] < 1 || dilation[1] < 1)
        return q_fail(n, d, "its weights do not go with %d channels in %lld groups", g->c, (long long)groups);
    g->oc = (int32_t)w->shape[0];
    g->kh = (int32_t)w->shape[2];
    g->kw = (int32_t)w->shape[3];
    g->stride = (nb_hw){(int32_t)stride[0], (int32_t)stride[1]};
    g->dilation = (nb_hw){(int32_t)dilation[0], (int32_t)dilation[1]};
    g->pad = (nb_sides){(int32_t)pads[0], (int32_t)pads[1], (int32_t)pads[2], (int32_t)pads[3]};
    g->groups = (int32_t)groups;
    nb_geom_fit(g);
    return g->oh > 0 && g->ow > 0 ? NB_OK : q_fail(n, d, "its window does not fit the image");
}

static nb_status conv_of(qnet *n, const onnx_node *d, const q_value *x, weights *w, q_value *out)
{
    nb_geom g;
    NB_TRY(conv_geom(n, d, x, w->t, &g));
    w->x = 1;
    w->y = g.kw;
    w->in = (int64_t)g.kh * g.kw;
    w->out = w->in * (g.c / g.groups);
    return open_mac(n, d, x, w, &g, out);
}

/* x, w and perhaps a bias, as the operators on floats have them. */
static nb_status dequantized_mac(qnet *n, const onnx_node *d,
                                 nb_status (*open)(qnet *n, const onnx_node *d, const q_value *x, weights *w,
                                                   q_value *out))
{
    const q_value *x, *bias = q_input(n, d, 2);
    weights w;
    q_value out;
    NB_TRY(q_real(n, d, 0, &x));
    NB_TRY(constant_weights(n, d, 1, &w));
    NB_TRY(open(n, d, x, &w, &out));
    if (bias && bias->kind != Q_CONSTANT)
        return q_fail(n, d, "the bias must be a constant");
    if (bias)
        NB_TRY(set_bias(n, d, &out, &bias->t, bias->scale));
    return q_output(n, d, out);
}

nb_status q_op_conv(qnet *n, const onnx_node *d)
{
    return dequantized_mac(n, d, conv_of);
}

/* x, s, z, w, s, z, s, z, bias */
nb_status q_op_qlinear_conv(qnet *n, const onnx_node *d)
{
    const q_value *x;
    const nb_st_tensor *bias;
    weights w = {0};
    q_value open, out;
    q_grid y;
    NB_TRY(q_real(n, d, 0, &x));
    NB_TRY(q_constant(n, d, 3, &w.t));
    NB_TRY(q_constant(n, d, 4, &w.scale));
    NB_TRY(q_constant(n, d, 5, &w.zero));
    NB_TRY(conv_of(n, d, x, &w, &open));
    if (q_input(n, d, 8)) {
        NB_TRY(q_constant(n, d, 8, &bias));
        NB_TRY(set_bias(n, d, &open, bias, NULL));
    }
    NB_TRY(q_grid_of(n, d, 6, 7, &y));
    NB_TRY(q_close(n, d, &open, &y, &out));
    return q_output(n, d, out);
}

/* Sums as numbers: a scale comes later, by Mul. */
nb_status q_op_conv_integer(qnet *n, const onnx_node *d)
{
    const q_value *x;
    weights w = {0};
    q_value out;
    NB_TRY(q_real(n, d, 0, &x));
    NB_TRY(q_constant(n, d, 1, &w.t));
    if (q_input(n, d, 3))
        NB_TRY(q_constant(n, d, 3, &w.zero));
    NB_TRY(conv_of(n, d, x, &w, &out));
    return q_output(n, d, out);
}

static nb_status matrix_of(qnet *n, const onnx_node *d, const q_value *x, weights *w, q_value *out)
{
    const int64_t turned = q_int(d, "transB", 0), inputs = (int64_t)x->c * x->h * x->w;
    if (q_int(d, "transA", 0) || q_int(d, "alpha", 1) != 1 || q_int(d, "beta", 1) != 1)
        return q_fail(n, d, "transA, alpha and beta must be 0, 1 and 1");
    if (w->t->ndim != 2 || w->t->shape[turned ? 1 : 0] != inputs || w->t->shape[turned ? 0 : 1] > 1 << 20 ||
        (!x->flat && x->h * x->w > 1))
        return q_fail(n, d, "its matrix does not go with %lld values of a flattened image", (long long)inputs);
    const int32_t outputs = (int32_t)w->t->shape[turned ? 0 : 1];
    const nb_geom g = nb_geom_whole(x->h, x->w, x->c, outputs, 1);
    const int64_t each = turned ? 1 : outputs;
    w->out = turned ? inputs : 1;
    w->in = each * (x->last ? 1 : x->h * x->w);
    w->x = each * (x->last ? x->c : 1);
    w->y = w->x * x->w;
    NB_TRY(open_mac(n, d, x, w, &g, out));
    out->flat = true;
    return NB_OK;
}

/* Gemm, and MatMul, which has no attributes. */
nb_status q_op_gemm(qnet *n, const onnx_node *d)
{
    return dequantized_mac(n, d, matrix_of);
}

/* QGemm: x, s, z, w, s, z, bias, s, z; QLinearMatMul: x, s, z, w, s, z, s, z */
nb_status q_op_qlinear_gemm(qnet *n, const onnx_node *d)
{
    const bool gemm = strcmp(d->op, "QGemm") == 0;
    const q_value *x;
    const nb_st_tensor *bias;
    weights w = {0};
    q_value open, out;
    q_grid y;
    NB_TRY(q_real(n, d, 0, &x));
    NB_TRY(q_constant(n, d, 3, &w.t));
    NB_TRY(q_constant(n, d, 4, &w.scale));
    NB_TRY(q_constant(n, d, 5, &w.zero));
    NB_TRY(matrix_of(n, d, x, &w, &open));
    if (gemm && q_input(n, d, 6)) {
        NB_TRY(q_constant(n, d, 6, &bias));
        NB_TRY(set_bias(n, d, &open, bias, NULL));
    }
    NB_TRY(q_grid_of(n, d, gemm ? 7 : 6, gemm ? 8 : 7, &y));
    NB_TRY(q_close(n, d, &open, &y, &out));
    return q_output(n, d, out);
}
