/* test_op_norm.c - batch norms of ONNX behind a convolution and elsewhere (op_norm.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void behind_a_convolution_it_stays_a_batch_norm(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization y c,s,s,s,s\noutput y",
           "  - batchnorm: {name: y}");
}

static void elsewhere_it_is_a_convolution_of_one_pixel(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats s 2\nBatchNormalization y x,s,s,s,s\noutput y", "  - dwconv2d: {name: y, kernel: 1}");
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization n c,s,s,s,s\nAdd y c,n\noutput y",
           "  - dwconv2d: {name: n, kernel: 1}");
}

static void behind_a_flatten_it_has_as_many_channels_as_values(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats s 144\nConv c x,w\nFlatten r c\nBatchNormalization y r,s,s,s,s\noutput y",
           "  - batchnorm: {name: ");
}

static void sizes_and_modes_are_checked(void **state)
{
    data_fixture *f = *state;
    refuse(f, "floats s 3\nBatchNormalization y x,s,s,s,s\noutput y", "input 1 has 3 values for 2 channels");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s,s training_mode=1\noutput y", "in evaluation mode");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s\noutput y", "input 4 is missing");
}

ONNX_TESTS(ONNX_TEST(behind_a_convolution_it_stays_a_batch_norm), ONNX_TEST(elsewhere_it_is_a_convolution_of_one_pixel),
           ONNX_TEST(behind_a_flatten_it_has_as_many_channels_as_values), ONNX_TEST(sizes_and_modes_are_checked))

#endif
