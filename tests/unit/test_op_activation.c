/* test_op_activation.c - activations of ONNX, and the products that exporters write them as (op_activation.c). */
#include "operator_case.h"

#include <stdio.h>

#ifdef NB_ONNX

#    define CONV "floats w 4x2x3x3\nConv c x,w\n"

static void operators_become_layers_with_their_keys(void **state)
{
    data_fixture *f = *state;
    static const char *const cases[][2] = {
        {"Sigmoid y c", "- sigmoid"},
        {"Tanh y c", "- tanh"},
        {"Softplus y c", "- softplus"},
        {"Softsign y c", "- softsign"},
        {"Erf y c", "- erf"},
        {"Mish y c", "- mish"},
        {"HardSwish y c", "- hardswish"},
        {"HardSigmoid y c", "hardsigmoid: {alpha: 0.200000003}"},
        {"HardSigmoid y c alpha=0.16666667 beta=0.25", "hardsigmoid: {beta: 0.25}"},
        {"LeakyRelu y c", "- leakyrelu"},
        {"LeakyRelu y c alpha=0.25", "leakyrelu: {slope: 0.25}"},
        {"Elu y c alpha=0.5", "elu: {alpha: 0.5}"},
        {"Celu y c alpha=0.5", "celu: {alpha: 0.5}"},
        {"Selu y c", "- selu"},
        {"Swish y c alpha=1.5", "silu: {alpha: 1.5}"},
        {"Gelu y c", "- gelu "},
        {"Gelu y c approximate=tanh", "- gelu_tanh"},
        {"Abs y c", "- abs"},
        {"Exp y c", "- exp"},
        {"Log y c", "- log"},
        {"Sqrt y c", "- pow: {power: 0.5}"},
        {"Reciprocal y c", "- pow: {power: -1}"},
        {"number p 2\nPow y c,p", "- pow  #"},
        {"number p 3\nPow y c,p", "- pow: {power: 3}"},
        {"Neg y c", "- affine: {name: y, channels: no}"},
        {"number a -1\nnumber b 1\nClip y c,a,b", "- clip: {low: -1, high: 1}"},
        {"number a -1\nClip y c,a", "- clip: {low: -1, high: inf}"},
        {"number b 0\nClip y c,,b", "- clip: {low: -inf, high: 0}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[256];
        snprintf(model, sizeof model, CONV "%s\noutput y", cases[i][0]);
        expect(f, model, cases[i][1]);
    }
    refuse(f, CONV "LeakyRelu y c alpha=-0.5\noutput y", "alpha: -0.5: must be in 0..100");
    expect(f, CONV "number p 1\nPow q c,p\nRelu y q\noutput y", "- relu");
    refuse(f, CONV "number p 9\nPow y c,p\noutput y",
           "node 'y' (Pow): input 1, the exponent: must be one number in -8..8");
    refuse(f, CONV "Pow y c,c\noutput y", "node 'y' (Pow): input 1, 'c', must be a constant");
    refuse(f, CONV "number a 1\nClip y c,a,a\noutput y", "node 'y' (Clip): from 1 to 1: max must lie above min");
    refuse(f, CONV "Celu y c alpha=0.0\noutput y", "alpha: 0: must be in 0.001..100");
}

static void trained_slopes_are_one_for_each_channel_or_for_all(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV "floats p.slope 4x1x1\nPRelu y c,p.slope\noutput y", "- prelu: {name: p}");
    expect_weights(f, CONV "floats p.slope 4x1x1\nPRelu y c,p.slope\noutput y", "p.slope", 4,
                   (const float[]){0.01f, 0.02f, 0.03f, 0.04f});
    expect(f, CONV "floats p.slope 1\nPRelu y c,p.slope\noutput y", "- prelu: {name: p, channels: no}");
    refuse(f, CONV "floats s 4\nPRelu y c,s\noutput y",
           "'s' has 4 values for 4x6x6 (channels, rows, columns): must be one number, or one for each channel");
}

/* x * f(x), in the orders that exporters write. */
static void products_of_a_value_and_its_gate_are_activations(void **state)
{
    data_fixture *f = *state;
    static const char *const cases[][2] = {
        {"Sigmoid s c\nMul y c,s", "- silu"},
        {"Sigmoid s c\nMul y s,c", "- silu"},
        {"number a 1.702\nMul m c,a\nSigmoid s m\nMul y c,s", "silu: {alpha: 1.70200002}"},
        {"HardSigmoid s c alpha=0.16666667\nMul y c,s", "- hardswish"},
        {"Softplus p c\nTanh t p\nMul y c,t", "- mish"},
        {"number three 3\nnumber six 6\nnumber zero 0\nAdd a c,three\nClip r a,zero,six\nMul m c,r\nDiv y m,six",
         "- hardswish"},
        {"number three 3\nnumber six 6\nnumber zero 0\nAdd a c,three\nClip r a,zero,six\nDiv g r,six\nMul y c,g",
         "- hardswish"},
        {"number root 1.41421356\nnumber one 1\nnumber half 0.5\nDiv d c,root\nErf e d\nAdd a e,one\nMul m c,a\n"
         "Mul y m,half",
         "- gelu"},
        {"number root 1.41421356\nnumber one 1\nnumber half 0.5\nDiv d c,root\nErf e d\nAdd a e,one\nMul h c,half\n"
         "Mul y h,a",
         "- gelu"},
        {"number root 0.70710678\nnumber one 1\nnumber half 0.5\nMul d c,root\nErf e d\nAdd a e,one\nMul h a,half\n"
         "Mul y c,h",
         "- gelu"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char model[512];
        snprintf(model, sizeof model, CONV "%s\noutput y", cases[i][0]);
        expect(f, model, cases[i][1]);
    }
}

static void other_products_stay_products(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV "Sigmoid s c\nRelu r c\nMul y r,s\noutput y", "- mul: {in: [");
    expect(f, CONV "HardSigmoid s c\nMul y c,s\noutput y", "- mul: {in: [");          /* alpha is 0.2 */
    expect(f, CONV "Sigmoid s c\nMul m c,s\nAdd y m,s\noutput y", "- mul: {name: m"); /* the gate is read again */
    expect(f, CONV "number six 6\nSigmoid s c\nRelu r c\nMul m r,s\nDiv y m,six\noutput y", "affine: {");
}

ONNX_TESTS(ONNX_TEST(operators_become_layers_with_their_keys),
           ONNX_TEST(trained_slopes_are_one_for_each_channel_or_for_all),
           ONNX_TEST(products_of_a_value_and_its_gate_are_activations), ONNX_TEST(other_products_stay_products))

#endif
