/* onnx_each.c - see onnx_each.h. */
#include "export/onnx_each.h"

#ifdef NB_ONNX

#    include "core/oihw.h"

#    include <float.h>
#    include <math.h>
#    include <string.h>

enum { OPSET = 13, OPSET_MISH = 18, OPSET_GELU = 20 };

/* A node of one operator on x, the layer's output unless a part is named. */
static const char *put_part(onnx_model *o, const nb_node *n, const char *op, const char *x, const char *part)
{
    return onnx_add(o, op, part ? onnx_name(o, "%s.%s", n->name, part) : n->name, &x, 1);
}

/* The same of two. */
static const char *put_two(onnx_model *o, const nb_node *n, const char *op, const char *a, const char *b,
                           const char *part)
{
    const char *in[2] = {a, b};
    return onnx_add(o, op, part ? onnx_name(o, "%s.%s", n->name, part) : n->name, in, 2);
}

static const char *put_number(onnx_model *o, const nb_node *n, const char *what, double v)
{
    return onnx_scalar(o, onnx_name(o, "%s.%s", n->name, what), ONNX_FLOAT, v);
}

static double key_of(const nb_node *n, const char *key)
{
    return (double)*(const float *)nb_bound_key(n, key, NB_K_FLOAT);
}

/* Those that are one operator: its name, and what its attributes are called here. */
static const char *put_one(onnx_model *o, const nb_node *n, const char *x)
{
    static const struct {
        const char *ours, *op, *attr[2], *key[2];
    } table[] = {
        {"sigmoid", "Sigmoid", {NULL}, {NULL}},
        {"tanh", "Tanh", {NULL}, {NULL}},
        {"softplus", "Softplus", {NULL}, {NULL}},
        {"softsign", "Softsign", {NULL}, {NULL}},
        {"erf", "Erf", {NULL}, {NULL}},
        {"abs", "Abs", {NULL}, {NULL}},
        {"exp", "Exp", {NULL}, {NULL}},
        {"mish", "Mish", {NULL}, {NULL}},
        {"gelu_tanh", "Gelu", {NULL}, {NULL}},
        {"hardsigmoid", "HardSigmoid", {"alpha", "beta"}, {"alpha", "beta"}},
        {"leakyrelu", "LeakyRelu", {"alpha"}, {"slope"}},
        {"elu", "Elu", {"alpha"}, {"alpha"}},
        {"celu", "Celu", {"alpha"}, {"alpha"}},
        {"selu", "Selu", {"alpha", "gamma"}, {"alpha", "gamma"}},
    };
    size_t i = 0;
    while (strcmp(table[i].ours, n->op->name) != 0)
        i++;
    const char *y = put_part(o, n, table[i].op, x, NULL);
    for (int32_t k = 0; k < 2 && table[i].attr[k]; k++)
        onnx_float(o, table[i].attr[k], (float)key_of(n, table[i].key[k]));
    if (strcmp(n->op->name, "gelu_tanh") == 0)
        onnx_string(o, "approximate", "tanh");
    return y;
}

/* As PyTorch writes them: products of x and a gate. */
static const char *put_silu(onnx_model *o, const nb_node *n, const char *x)
{
    const char *in = x;
    if (key_of(n, "alpha") != 1)
        in = put_two(o, n, "Mul", x, put_number(o, n, "alpha", key_of(n, "alpha")), "scaled");
    return put_two(o, n, "Mul", x, put_part(o, n, "Sigmoid", in, "gate"), NULL);
}

static const char *put_hardswish(onnx_model *o, const nb_node *n, const char *x)
{
    const char *gate = put_part(o, n, "HardSigmoid", x, "gate");
    onnx_float(o, "alpha", 1.0f / 6);
    return put_two(o, n, "Mul", x, gate, NULL);
}

/* Without what has no number as its logarithm. */
static const char *put_log(onnx_model *o, const nb_node *n, const char *x)
{
    const char *least[2] = {x, put_number(o, n, "floor", key_of(n, "floor"))};
    x = onnx_add(o, "Clip", onnx_name(o, "%s.above", n->name), least, 2);
    return put_part(o, n, "Log", x, NULL);
}

/* A power with a fraction: of 0 below 0. */
static const char *put_pow(onnx_model *o, const nb_node *n, const char *x)
{
    const double power = key_of(n, "power");
    if (power != floor(power))
        x = put_part(o, n, "Relu", x, "above");
    return put_two(o, n, "Pow", x, put_number(o, n, "power", power), NULL);
}

static const char *put_clip(onnx_model *o, const nb_node *n, const char *x)
{
    const double low = key_of(n, "low"), high = key_of(n, "high"), most = (double)FLT_MAX;
    const char *in[3] = {x, put_number(o, n, "low", fmax(low, -most)), put_number(o, n, "high", fmin(high, most))};
    return onnx_add(o, "Clip", n->name, in, 3);
}

static const char *put_gelu(onnx_model *o, const nb_node *n, const char *x)
{
    const char *erf = put_two(o, n, "Div", x, put_number(o, n, "root", 1.41421356237309504880), "scaled");
    erf = put_part(o, n, "Erf", erf, "erf");
    erf = put_two(o, n, "Add", erf, put_number(o, n, "one", 1), "gate");
    erf = put_two(o, n, "Mul", x, erf, "twice");
    return put_two(o, n, "Mul", erf, put_number(o, n, "half", 0.5), NULL);
}

const char *onnx_put_each(onnx_model *o, const nb_node *n, const char *x)
{
    static const struct {
        const char *op;
        const char *(*put)(onnx_model *o, const nb_node *n, const char *x);
    } parts[] = {{"silu", put_silu}, {"hardswish", put_hardswish},
                 {"gelu", put_gelu}, {"log", put_log},
                 {"pow", put_pow},   {"clip", put_clip}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strcmp(parts[i].op, n->op->name) == 0)
            return parts[i].put(o, n, x);
    return put_one(o, n, x);
}

int64_t onnx_opset_of_each(const nb_node *n)
{
    return strcmp(n->op->name, "gelu_tanh") == 0 ? OPSET_GELU : strcmp(n->op->name, "mish") == 0 ? OPSET_MISH : OPSET;
}

#endif
