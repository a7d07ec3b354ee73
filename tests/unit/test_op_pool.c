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

/* PyTorch's older exporter puts an axis behind a signal before it takes means, and takes it away again. */
static void windows_over_images_of_one_column_are_those_of_a_signal(void **state)
{
    data_fixture *f = *state;
#    define COLUMN "input 2,16\nints a 3\nUnsqueeze u x,a\n"
    expect(f,
           COLUMN "AveragePool p u kernel_shape=4,1 strides=2,1 pads=1,0,0,0\nSqueeze s p,a\nfloats w 3x2x5\nConv y "
                  "s,w\nGlobalAveragePool z y\noutput z",
           "  - avgpool: {kernel: [1, 4], stride: [1, 2], pad: [0, 1, 0, 0], count_pad: no}  # p\n  - conv2d: {name: "
           "y, out: 3, kernel: [1, 5], bias: no}");
    expect(f,
           COLUMN "floats w 3x2x3x1\nConv y u,w pads=1,0,1,0\nRelu r y\nMaxPool m r kernel_shape=2,1 "
                  "strides=2,1\nGlobalAveragePool z m\noutput z",
           "  - conv2d: {name: y, out: 3, kernel: [1, 3], pad: [0, 1], bias: no}  # y\n  - relu  # r\n  - maxpool: "
           "{kernel: [1, 2]}  # m");
    refuse(f, COLUMN "floats w 3x2x3x3\nConv y u,w pads=1,1,1,1\noutput y",
           "node 'y' (Conv): input 1: a window of 3x3 over images of one column");
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

ONNX_TESTS(ONNX_TEST(pools_keep_their_windows), ONNX_TEST(windows_over_images_of_one_column_are_those_of_a_signal),
           ONNX_TEST(what_our_pools_are_not_is_refused))

#endif
