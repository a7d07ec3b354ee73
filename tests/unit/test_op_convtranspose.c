/* test_op_convtranspose.c - ConvTranspose of ONNX (op_convtranspose.c); images are 2 x 8 x 8. */
#include "operator_case.h"

#ifdef NB_ONNX

static void transposed_convolutions_keep_their_windows(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 2x4x2x2\nConvTranspose y x,w strides=2,2\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 2, stride: 2, bias: no}");
    expect(f,
           "floats w 2x3x3x4\nfloats b 6\nConvTranspose y x,w,b strides=2,1 pads=1,0,1,2 output_padding=1,0 group=2 "
           "dilations=1,1\noutput y",
           "convtranspose2d: {name: y, out: 6, kernel: [3, 4], stride: [2, 1], pad: [1, 0, 1, 2], output_pad: [1, 0], "
           "groups: 2}");
    expect(f, "floats w 2x4x3x3\nConvTranspose y x,w strides=2,2 auto_pad=SAME_UPPER\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 3, stride: 2, pad: [0, 0, 1, 1], bias: no}");
    expect(f, "floats w 2x4x3x3\nConvTranspose y x,w strides=2,2 auto_pad=SAME_LOWER\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 3, stride: 2, pad: [1, 1, 0, 0], bias: no}");
    expect(f, "floats w 2x4x4x4\nConvTranspose y x,w strides=2,2 output_shape=16,17\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 4, stride: 2, pad: [1, 0, 1, 1], bias: no}");
}

static void a_size_that_windows_do_not_reach_is_filled_up_behind(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 2x4x2x2\nConvTranspose y x,w strides=2,2 output_shape=17,16\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 2, stride: 2, output_pad: [1, 0], bias: no}");
    expect(f, "floats w 2x4x1x1\nConvTranspose y x,w strides=2,2 auto_pad=SAME_UPPER\noutput y",
           "convtranspose2d: {name: y, out: 4, kernel: 1, stride: 2, output_pad: 1, bias: no}");
    refuse(f, "floats w 2x4x1x1\nConvTranspose y x,w output_shape=0,8\noutput y",
           "output_shape: must be 1..65536 rows");
    refuse(f, "floats w 2x4x1x1\nConvTranspose y x,w output_shape=100,8\noutput y", "pads: 0: must be in 0..0");
}

static void one_weight_of_1_for_each_channel_is_zeros_between_pixels(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 2x1x1x1 1\nConvTranspose y x,w strides=2,3 group=2\noutput y", "- pad: {between: [1, 2]}");
    expect(f, "floats w 2x1x1x1 2\nConvTranspose y x,w strides=2,3 group=2\noutput y", "- convtranspose2d: {name: y");
}

static void what_does_not_fit_is_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, "floats w 3x4x2x2\nConvTranspose y x,w\noutput y", "weights of 3 x 4 channels in 1 groups do not fit");
    refuse(f, "floats w 2x4x2\nConvTranspose y x,w\noutput y", "its weights have 3 dimensions");
    refuse(f, "floats w 2x4x2x2\nConvTranspose y x,w pads=2,0,0,0\noutput y", "pads: 2: must be in 0..1");
    refuse(f, "floats w 2x4x2x2\nConvTranspose y x,w strides=17,1\noutput y", "strides 17 and 1");
    refuse(f, "floats w 2x4x2x2\nConvTranspose y x,w kernel_shape=3,2\noutput y",
           "kernel_shape is not that of its weights");
    refuse(f, "floats w 2x4x2x2\nConvTranspose y x,w auto_pad=SAME\noutput y", "auto_pad 'SAME' is not supported");
    refuse(f, "floats w 2x4x2x2\nfloats b 3\nConvTranspose y x,w,b\noutput y", "its bias has 3 values for 4 channels");
    refuse(f, "floats w 2x4x2x2\nFlatten r x\nConvTranspose y r,w\noutput y", "needs images, but its input is flat");
}

ONNX_TESTS(ONNX_TEST(transposed_convolutions_keep_their_windows),
           ONNX_TEST(a_size_that_windows_do_not_reach_is_filled_up_behind),
           ONNX_TEST(one_weight_of_1_for_each_channel_is_zeros_between_pixels), ONNX_TEST(what_does_not_fit_is_refused))

#endif
