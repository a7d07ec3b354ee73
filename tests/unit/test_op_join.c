/* test_op_join.c - sums and concatenations of ONNX, and constants that are a bias (op_join.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void a_constant_behind_a_layer_without_bias_is_its_bias(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nAdd y c,b\noutput y",
           "conv2d: {name: c, out: 4, kernel: 3}");
    refuse(f, "floats w 4x2x3x3\nfloats b 4\nConv c x,w\nAdd y c,b\noutput y", "one number per channel");
    refuse(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nRelu r c\nAdd y r,b\noutput y",
           "right behind a layer without a bias");
    refuse(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nAdd d c,b\nAdd y c,d\noutput y",
           "right behind a layer without a bias");
    refuse(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nIdentity i c\nAdd d i,b\nAdd y c,d\noutput y",
           "right behind a layer without a bias");
}

static void sums_are_of_equal_shapes(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nAdd y a,r\noutput y", "add: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nRelu s a\nSum y a,r,s\noutput y", "- add: {in: [y, s]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nAdd y a,x\noutput y", "adds 2x8x8 to 4x6x6");
}

static void channels_are_joined_in_steps_of_eight(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nConcat y a,r axis=1\noutput y", "concat: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a,a,a,a,a,a,a,a axis=1\noutput y", "concat: {in: [y, a]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a axis=2\noutput y", "axis: 2: only channels");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,x axis=1\noutput y", "joins images of 6x6 and 8x8");
    refuse(f, "Flatten a x\nConcat y a,a axis=1\noutput y",
           "axis: 1: its input stands as [N, channels*rows*columns], where no axis");
}

ONNX_TESTS(ONNX_TEST(a_constant_behind_a_layer_without_bias_is_its_bias), ONNX_TEST(sums_are_of_equal_shapes),
           ONNX_TEST(channels_are_joined_in_steps_of_eight))

#endif
