/* test_op_join.c - sums and concatenations of ONNX, and constants that are a bias (op_join.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void a_constant_behind_a_layer_without_bias_is_its_bias(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nAdd y c,b\noutput y",
           "conv2d: {name: c, out: 4, kernel: 3}");
    refuse(f, "floats w 4x2x3x3\nfloats b 4\nConv c x,w\nAdd y c,b\noutput y",
           "'b' has 4 values for 4x6x6 (channels, rows, columns): must be one number, or one for each channel");
    /* elsewhere, or where others read the layer without it, it is a layer of its own */
    expect(f, "floats w 4x2x3x3\nfloats b 1x4x1x1\nConv c x,w\nRelu r c\nAdd y r,b\noutput y", "- affine: {name: y}");
    expect(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nAdd d c,b\nAdd y c,d\noutput y", "- affine: {name: d}");
    expect(f, "floats w 4x2x3x3\nfloats b 4x1x1\nConv c x,w\nIdentity i c\nAdd d i,b\nAdd y c,d\noutput y",
           "- affine: {name: d}");
}

static void sums_are_of_equal_shapes(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nAdd y a,r\noutput y", "add: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nRelu s a\nSum y a,r,s\noutput y", "- add: {in: [y, s]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nAdd y a,x\noutput y",
           "joins 4x6x6 and 2x8x8 (channels, rows, columns): must be equal, or 1");
}

/* A factor per channel, which a linear layer may give, one per pixel, and a difference. */
static void what_has_one_row_and_column_is_for_all(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats v 4x4x1x1\nConv a x,w\nGlobalAveragePool p a\nConv g p,v\nMul y a,g\noutput y",
           "mul: {in: [a, g]}");
    expect(f, "floats w 4x2x3x3\nfloats v 1x4x1x1\nConv a x,w\nConv g a,v\nMul y g,a\noutput y", "mul: {in: [g, a]}");
    expect(f,
           "floats w 4x2x3x3\nfloats v 4x4\nints s 0,4,1,1\nConv a x,w\nGlobalAveragePool p a\nFlatten r p\n"
           "Gemm g r,v transB=1\nReshape i g,s\nMul y a,i\noutput y",
           "mul: {in: [a, g]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nSub y a,r\noutput y", "sub: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nGlobalAveragePool p a\nAdd y p,a\noutput y", "add: {in: [p, a]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nMul y a,x\noutput y", "joins 4x6x6 and 2x8x8");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nGlobalAveragePool p a\nFlatten q p\nMul y a,q\noutput y",
           "joins 4x6x6 and 4x1x1");
}

static void channels_are_joined_in_steps_of_eight(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nRelu r a\nConcat y a,r axis=1\noutput y", "concat: {in: [a, r]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a,a,a,a,a,a,a,a axis=1\noutput y", "concat: {in: [y, a]}");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,a axis=0\noutput y", "axis: 0: only channels");
    refuse(f, "floats w 4x2x3x3\nConv a x,w\nConcat y a,x axis=1\noutput y", "joins images of 6x6 and 8x8");
    refuse(f, "Flatten a x\nConcat y a,a axis=1\noutput y",
           "axis: 1: its input stands as [N, channels*rows*columns], where no axis");
}

ONNX_TESTS(ONNX_TEST(a_constant_behind_a_layer_without_bias_is_its_bias), ONNX_TEST(sums_are_of_equal_shapes),
           ONNX_TEST(what_has_one_row_and_column_is_for_all), ONNX_TEST(channels_are_joined_in_steps_of_eight))

#endif
