/* op_activation.c - activations: functions of one value, and the products that exporters write them as.
 *
 * What is known of values is the layers so far: x * sigmoid(x) is found at its product, and its sigmoid becomes the silu. */
#include "base/check.h"
#include "import/fill.h"
#include "import/op_affine.h"

#include <math.h>
#include <string.h>

static nb_status add_each(onnx_net *n, const onnx_node *d, const char *op, const char *param, int32_t *layer)
{
    onnx_v_entry *x;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_add_layer(n, d, op, param, &x->layer, 1, layer));
    onnx_v_entry y = *x;
    y.layer = *layer;
    return onnx_output(n, d, &y);
}

/* An attribute that is a key of ours, written where it is not its default. */
static nb_status give_key(onnx_net *n, const onnx_node *d, int32_t layer, const char *attr, const char *key,
                          double theirs, double ours, double low)
{
    float v;
    NB_TRY(onnx_attr_float(n, d, attr, (float)theirs, &v));
    if (!((double)v >= low && v <= 100))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "%s: %g: must be in %g..100", attr, (double)v, low);
    if (fabs((double)v - ours) > 1e-6 * fabs(ours))
        onnx_keys(n, layer, "%s: %.9g", key, (double)v);
    return NB_OK;
}

static nb_status plain(onnx_net *n, const onnx_node *d, const char *op)
{
    int32_t l;
    return add_each(n, d, op, NULL, &l);
}

nb_status onnx_op_sigmoid(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "sigmoid");
}

nb_status onnx_op_tanh(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "tanh");
}

nb_status onnx_op_softplus(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "softplus");
}

nb_status onnx_op_softsign(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "softsign");
}

nb_status onnx_op_erf(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "erf");
}

nb_status onnx_op_mish(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "mish");
}

nb_status onnx_op_hardswish(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "hardswish");
}

nb_status onnx_op_hardsigmoid(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "hardsigmoid", NULL, &l));
    NB_TRY(give_key(n, d, l, "alpha", "alpha", 0.2, 1.0 / 6, 0));
    return give_key(n, d, l, "beta", "beta", 0.5, 0.5, -100);
}

nb_status onnx_op_leakyrelu(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "leakyrelu", NULL, &l));
    return give_key(n, d, l, "alpha", "slope", 0.01, 0.01, 0);
}

nb_status onnx_op_elu(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "elu", NULL, &l));
    return give_key(n, d, l, "alpha", "alpha", 1, 1, 0);
}

nb_status onnx_op_celu(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "celu", NULL, &l));
    return give_key(n, d, l, "alpha", "alpha", 1, 1, 1e-3);
}

nb_status onnx_op_selu(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "selu", NULL, &l));
    NB_TRY(give_key(n, d, l, "alpha", "alpha", 1.67326319217681884765625, 1.67326319, 0));
    return give_key(n, d, l, "gamma", "gamma", 1.05070102214813232421875, 1.05070102, 1e-3);
}

nb_status onnx_op_swish(onnx_net *n, const onnx_node *d)
{
    int32_t l;
    NB_TRY(add_each(n, d, "silu", NULL, &l));
    return give_key(n, d, l, "alpha", "alpha", 1, 1, 1e-3);
}

nb_status onnx_op_gelu(onnx_net *n, const onnx_node *d)
{
    const onnx_attr *a = onnx_attr_find(d, "approximate");
    return plain(n, d, a && a->s && strcmp(a->s, "tanh") == 0 ? "gelu_tanh" : "gelu");
}

nb_status onnx_op_abs(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "abs");
}

nb_status onnx_op_exp(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "exp");
}

nb_status onnx_op_log(onnx_net *n, const onnx_node *d)
{
    return plain(n, d, "log");
}

static nb_status add_power(onnx_net *n, const onnx_node *d, float power)
{
    int32_t l;
    NB_TRY(add_each(n, d, "pow", NULL, &l));
    if (power != 2.0f)
        onnx_keys(n, l, "power: %.9g", (double)power);
    return NB_OK;
}

nb_status onnx_op_sqrt(onnx_net *n, const onnx_node *d)
{
    return add_power(n, d, 0.5f);
}

nb_status onnx_op_reciprocal(onnx_net *n, const onnx_node *d)
{
    return add_power(n, d, -1);
}

nb_status onnx_op_pow(onnx_net *n, const onnx_node *d)
{
    const nb_st_tensor *t;
    onnx_v_entry *x;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &t));
    const float power = t->count == 1 ? nb_fill_element(t, 0) : NAN;
    if (!(power >= -8 && power <= 8))
        return onnx_fail(n, d, NB_E_UNSUPPORTED, "input 1, the exponent: must be one number in -8..8");
    return power == 1.0f ? onnx_output(n, d, x) : add_power(n, d, power);
}

nb_status onnx_op_prelu(onnx_net *n, const onnx_node *d)
{
    onnx_v_entry *x;
    const nb_st_tensor *t;
    nb_st_tensor slope;
    float *v;
    int32_t l;
    bool each;
    NB_TRY(onnx_data(n, d, 0, &x));
    NB_TRY(onnx_floats(n, d, 1, &t));
    NB_TRY(onnx_per_channel(n, d, x, t, &each));
    NB_TRY(onnx_new_floats(n, t->name, 1, &(int64_t){each ? x->c : 1}, &v, &slope));
    for (int32_t c = 0; c < slope.count; c++)
        v[c] = nb_fill_element(t, c);
    NB_TRY(add_each(n, d, "prelu", t->name, &l));
    if (!each)
        onnx_keys(n, l, "channels: no");
    onnx_give(n, l, "slope", &slope);
    return NB_OK;
}

/* ---- products that are activations ---- */

static bool is(const onnx_net *n, int32_t layer, const char *op)
{
    return strcmp(n->layer[layer].op, op) == 0;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b);
}

/* The layer is mul * y + add: y's layer, else -1. */
static int32_t under_affine(const onnx_net *n, int32_t layer, double mul, double add)
{
    double m, a;
    return onnx_one_affine(n, layer, &m, &a) && near(m, mul) && near(a, add) ? n->layer[layer].in[0] : -1;
}

static int32_t under(const onnx_net *n, int32_t layer, const char *op)
{
    return layer >= 0 && is(n, layer, op) ? n->layer[layer].in[0] : -1;
}

/* relu6(x + 3): x. */
static int32_t of_hard_gate(const onnx_net *n, int32_t layer)
{
    const int32_t l = layer >= 0 && strcmp(n->layer[layer].keys, "cap: 6") == 0 ? under(n, layer, "relu") : -1;
    return l >= 0 ? under_affine(n, l, 1, 3) : -1;
}

/* erf(x / sqrt 2): x. */
static int32_t of_erf(const onnx_net *n, int32_t layer)
{
    const int32_t l = under(n, layer, "erf");
    return l >= 0 ? under_affine(n, l, 0.70710678118654752440, 0) : -1;
}

/* What the gate stands for when x is multiplied with it, or NULL; *alpha: of a silu. */
static const char *gated(const onnx_net *n, int32_t gate, int32_t x, double *alpha)
{
    const onnx_layer *l = &n->layer[gate];
    double add;
    *alpha = 1;
    if (is(n, gate, "sigmoid")) {
        const bool scaled = onnx_one_affine(n, l->in[0], alpha, &add) && add == 0 && n->layer[l->in[0]].in[0] == x;
        *alpha = scaled ? *alpha : 1;
        return l->in[0] == x || (scaled && *alpha >= 1e-3 && *alpha <= 100) ? "silu" : NULL;
    }
    if (is(n, gate, "hardsigmoid") && !*l->keys && l->in[0] == x)
        return "hardswish";
    if (is(n, gate, "tanh") && under(n, l->in[0], "softplus") == x)
        return "mish";
    if (of_hard_gate(n, under_affine(n, gate, 1.0 / 6, 0)) == x)
        return "hardswish";
    if (of_erf(n, under_affine(n, gate, 0.5, 0.5)) == x)
        return "gelu";
    const int32_t half = under_affine(n, x, 0.5, 0);
    return half >= 0 && of_erf(n, under_affine(n, gate, 1, 1)) == half ? "gelu" : NULL;
}

bool onnx_gate(onnx_net *n, const onnx_v_entry *a, const onnx_v_entry *b, onnx_v_entry *y)
{
    if (a->c != b->c || a->h != b->h || a->w != b->w || a->row != b->row)
        return false;
    for (int32_t k = 0; k < 2; k++) {
        const onnx_v_entry *gate = k ? a : b, *x = k ? b : a;
        double alpha;
        const char *op = gate->uses == 1 && gate->layer > 0 ? gated(n, gate->layer, x->layer, &alpha) : NULL;
        if (!op)
            continue;
        onnx_layer *l = &n->layer[gate->layer];
        const int32_t half = strcmp(op, "gelu") == 0 ? under_affine(n, x->layer, 0.5, 0) : -1;
        l->op = op;
        l->in[0] = half >= 0 ? half : x->layer;
        l->n_params = 0;
        l->named = false;
        l->keys[0] = '\0';
        if (alpha != 1)
            onnx_keys(n, gate->layer, "alpha: %.9g", alpha);
        *y = *x;
        y->layer = gate->layer;
        return true;
    }
    return false;
}

/* x * relu6(x + 3), a sixth of which is a hardswish, and x * (1 + erf(x / sqrt 2)), half of which is a gelu. */
bool onnx_scaled_gate(onnx_net *n, const onnx_v_entry *v, double factor)
{
    onnx_layer *l = &n->layer[v->layer];
    if (v->uses != 1 || !is(n, v->layer, "mul"))
        return false;
    for (int32_t k = 0; k < 2; k++) {
        const int32_t x = l->in[k], gate = l->in[1 - k];
        const char *op = near(factor, 1.0 / 6) && of_hard_gate(n, gate) == x                ? "hardswish"
                         : near(factor, 0.5) && of_erf(n, under_affine(n, gate, 1, 1)) == x ? "gelu"
                                                                                            : NULL;
        if (!op)
            continue;
        l->op = op;
        l->n_in = 1;
        l->in[0] = x;
        return true;
    }
    return false;
}
