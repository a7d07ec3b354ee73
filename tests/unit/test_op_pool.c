/* test_op_pool.c - pools of ONNX and zeros around images (op_pool.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void pools_keep_their_windows(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nMaxPool y a kernel_shape=3,3 strides=2,2 pads=1,1,1,1\noutput y",
           "maxpool: {kernel: 3, stride: 2, pad: 1}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nAveragePool y a kernel_shape=2,2 strides=2,2 ceil_mode=1\noutput y",
           "avgpool: {kernel: 2}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nAveragePool y a kernel_shape=6,6\noutput y", "avgpool: {global: yes}");
    expect(f, "MaxPool y x kernel_shape=3,2 pads=0,0,1,1\noutput y",
           "maxpool: {kernel: [3, 2], stride: 1, pad: [0, 0, 1, 1]}");
    expect(f, "MaxPool y x kernel_shape=3,3 strides=2,2 ceil_mode=1\noutput y",
           "maxpool: {kernel: 3, stride: 2, ceil: yes}");
    expect(f, "MaxPool y x kernel_shape=2,2 strides=2,2 ceil_mode=1\noutput y", "maxpool: {kernel: 2}");
    expect(f, "AveragePool y x kernel_shape=3,3 pads=1,1,1,1\noutput y",
           "avgpool: {kernel: 3, stride: 1, pad: 1, count_pad: no}");
    expect(f, "AveragePool y x kernel_shape=3,3 pads=1,1,1,1 count_include_pad=1\noutput y",
           "avgpool: {kernel: 3, stride: 1, pad: 1}");
    expect(f, "GlobalMaxPool y x\noutput y", "maxpool: {global: yes}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nGlobalAveragePool y a\noutput y", "avgpool: {global: yes}");
}

static void what_our_pools_are_not_is_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, "MaxPool y x kernel_shape=3,3 dilations=2,2\noutput y",
           "node 'y' (MaxPool): dilations: 2 and 2: only windows without gaps are supported");
    refuse(f, "AveragePool y x kernel_shape=3,3 strides=2,2 pads=1,1,1,1 ceil_mode=1 count_include_pad=1\noutput y",
           "ceil_mode with pads that count is not supported");
    refuse(f, "MaxPool y x\noutput y", "kernel_shape: 0: must be in 1..65536");
    refuse(f, "MaxPool y x kernel_shape=2,2 pads=2,2,2,2\noutput y", "pads must be less than the window");
    refuse(f, "Flatten r x\nGlobalAveragePool y r\noutput y", "needs images, but its input is flat");
}

ONNX_TESTS(ONNX_TEST(pools_keep_their_windows), ONNX_TEST(what_our_pools_are_not_is_refused))

#endif
