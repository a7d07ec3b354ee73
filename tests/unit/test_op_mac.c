/* test_op_mac.c - convolutions and matrices of ONNX: their windows, whose bias is whose (op_mac.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void windows_stay_as_they_are(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv y x,w strides=2,2 pads=1,1,1,1\noutput y",
           "conv2d: {name: y, out: 4, kernel: 3, stride: 2, pad: 1, bias: no}");
    expect(f, "floats w 4x2x3x3\nfloats b 4\nConv y x,w,b\noutput y", "conv2d: {name: y, out: 4, kernel: 3}");
    expect(f, "floats w 4x1x3x3\nConv y x,w group=2 dilations=2,2\noutput y",
           "dwconv2d: {name: y, kernel: 3, dilation: 2, multiplier: 2, bias: no}");
    expect(f, "floats w 2x1x1x1\nConv y x,w group=2\noutput y", "dwconv2d: {name: y, kernel: 1, bias: no}");
    expect(f, "floats my.conv.weight 4x2x1x1\nConv y x,my.conv.weight\noutput y",
           "conv2d: {name: my.conv, out: 4, kernel: 1, bias: no}");
}

static void rows_and_columns_are_told_apart_where_they_differ(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x1x3\nConv y x,w pads=0,1,0,1\noutput y", "kernel: [1, 3], pad: [0, 1]");
    expect(f, "floats w 4x2x3x3\nConv y x,w strides=2,1 pads=0,0,1,1\noutput y",
           "kernel: 3, stride: [2, 1], pad: [0, 0, 1, 1]");
    expect(f, "floats w 4x2x3x3\nConv y x,w dilations=1,2 pads=1,1,1,1\noutput y",
           "kernel: 3, pad: 1, dilation: [1, 2]");
    expect(f, "ints p 0,0,0,0,0,0,1,1\nfloats w 4x2x3x3\nPad z x,p\nConv y z,w strides=2,2\noutput y",
           "kernel: 3, stride: 2, pad: [0, 0, 1, 1]");
}

static void automatic_pads_count_from_the_zeros_around_the_image(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv y x,w strides=2,2 auto_pad=SAME_UPPER\noutput y",
           "kernel: 3, stride: 2, pad: [0, 0, 1, 1]");
    expect(f, "floats w 4x2x3x3\nConv y x,w auto_pad=VALID\noutput y", "{name: y, out: 4, kernel: 3, bias: no}");
    /* 8 and one row of zeros are 9: five steps, for which one more row is needed on each side */
    expect(f,
           "ints p 0,0,0,0,0,0,1,1\nfloats w 4x2x3x3\nPad z x,p\nConv y z,w strides=2,2 auto_pad=SAME_UPPER\noutput y",
           "kernel: 3, stride: 2, pad: [1, 1, 2, 2]");
    refuse(f, "floats w 4x2x3x3\nConv y x,w auto_pad=VALID pads=1,1,1,1\noutput y",
           "has pads and auto_pad 'VALID': only one of them can hold");
    refuse(f, "floats w 4x2x3x3\nConv y x,w auto_pad=SAME\noutput y", "auto_pad 'SAME' is not supported");
}

#    define POOLED "GlobalAveragePool p y\noutput p"

static void weights_of_two_layers_are_copied_and_said(void **state)
{
    data_fixture *f = *state;
    expect_note(
        f, "floats w 2x2x3x3\nConv a x,w pads=1,1,1,1\nRelu b a\nConv y b,w\n" POOLED, "conv2d: {name: y",
        "m.onnx: 'w' is the weights of both a and y: here every layer has its own (36 values more in all, copies: 1), "
        "and training will make them differ");
    expect_note(f, "floats w 2x2x3x3\nfloats v 2x2x3x3\nfloats b 2\nConv a x,w,b\nConv y a,v,b\n" POOLED,
                "conv2d: {name: y", "");
    expect_note(f, "floats w 2x2x3x3\nfloats v 2x2x3x3\nConv y x,w\nConv z x,w\n" POOLED, "conv2d: {name: y",
                "node 'z' (Conv): is not needed for the output, and left out (nodes in all: 1)");
}

static void values_that_are_no_numbers_are_named(void **state)
{
    data_fixture *f = *state;
    refuse(f, "floats w 4x2x3x3\nvalues b 1,2,-inf,nan\nConv y x,w,b\noutput y",
           "node 'y' (Conv): input 2, 'b': value 2 is -inf: it must be a finite number");
}

static void windows_that_are_none_are_refused(void **state)
{
    data_fixture *f = *state;
    refuse(
        f, "floats w 4x2x3x3\nConv y x,w strides=1,17\noutput y",
        "node 'y' (Conv): a window of 3x3, strides 1 and 17, dilations 1 and 1, pads 0 0 0 0: must be at most 64x64");
    refuse(f, "floats w 4x2x3x3\nConv y x,w pads=0,0,0,65\noutput y", "pads 0 0 0 65: must be at most");
    refuse(f, "floats w 4x2x3x3\nConv y x,w strides=0,1\noutput y", "strides: 0: must be in 1..65536");
    refuse(f, "floats w 4x2x3x3\nConv y x,w pads=1,1\noutput y",
           "attribute 'pads' has 2 values; for images there are 4");
    refuse(f, "floats w 4x2x3x3\nConv y x,w kernel_shape=5,5\noutput y", "kernel_shape is not that of its weights");
    refuse(f, "floats w 4x2x3x3\nConv y x,w group=2\noutput y", "do not fit the 2 of its input");
    refuse(f, "floats w 4x2x9x9\nConv y x,w\noutput y", "a 9x9 window does not fit into its 8x8 image");
    refuse(f, "floats w 4x2x3\nConv y x,w\noutput y", "its weights have 3 dimensions");
    refuse(f, "floats w 4x2x3x3\nfloats b 3\nConv y x,w,b\noutput y", "its bias has 3 values for 4 channels");
    refuse(f, "floats w 4x2x3x3\nConv y x,w colour=1\noutput y", "attribute 'colour' is not supported");
    refuse(f, "floats w 4x2x3x3\nConv y x,x\noutput y", "input 1, 'x', must be a constant");
    refuse(f, "ints w 1,2\nConv y x,w\noutput y", "input 1, 'w', must hold floats");
}

static void matrices_become_linear_layers(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 3x128\nfloats b 3\nFlatten r x\nGemm y r,w,b transB=1\noutput y", "linear: {name: y, out: 3}");
    expect(f, "floats w 128x3\nFlatten r x\nGemm y r,w\noutput y", "linear: {name: y, out: 3, bias: no}");
    expect(f, "floats w 128x3\nfloats b 3\nFlatten r x\nMatMul m r,w\nAdd y b,m\noutput y",
           "linear: {name: m, out: 3}");
    refuse(f, "floats w 128x3\nfloats b 3x1\nFlatten r x\nGemm y r,w,b\noutput y",
           "C: must be one number, or one for each");
    refuse(f, "floats w 3x128\nGemm y x,w transB=1\noutput y", "needs rows, but its input are images");
    refuse(f, "floats w 3x64\nFlatten r x\nGemm y r,w transB=1\noutput y", "do not fit the 128 values of its input");
    refuse(f, "floats w 3x128\nFlatten r x\nGemm y r,w transA=1\noutput y", "needs rows that transA turns");
    expect(f, "floats w 3x128\nFlatten r x\nTranspose t r\nGemm y t,w transA=1 transB=1\noutput y", "linear: {name: y");
    expect_weights(f,
                   "values w 1,2,3,4\nints s 2,2\nReshape m w,s\nvalues b 5\nGlobalAveragePool p x\nFlatten r p\n"
                   "Gemm y r,m,b alpha=0.5 beta=2.0\noutput y",
                   "y.weight", 4, (const float[]){0.5f, 1.5f, 1, 2});
    expect_weights(f, "floats w 2x2\nvalues b 5\nGlobalAveragePool p x\nFlatten r p\nGemm y r,w,b beta=2.0\noutput y",
                   "y.bias", 2, (const float[]){10, 10});
    expect(f, "floats w 128x3\nfloats v 128x3\nFlatten r x\nGemm a r,w\nGemm y r,v,a\noutput y", "  - add: {in: [");
}

ONNX_TESTS(ONNX_TEST(windows_stay_as_they_are), ONNX_TEST(rows_and_columns_are_told_apart_where_they_differ),
           ONNX_TEST(automatic_pads_count_from_the_zeros_around_the_image),
           ONNX_TEST(weights_of_two_layers_are_copied_and_said), ONNX_TEST(values_that_are_no_numbers_are_named),
           ONNX_TEST(windows_that_are_none_are_refused), ONNX_TEST(matrices_become_linear_layers))

#endif
