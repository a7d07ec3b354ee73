/* test_op_norm.c - batch norms of ONNX behind a convolution and elsewhere (op_norm.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void behind_a_convolution_it_stays_a_batch_norm(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization y c,s,s,s,s\noutput y",
           "  - batchnorm: {name: y}");
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization y c,s,s,s,s momentum=0.99\noutput y",
           "  - batchnorm: {name: y, momentum: 0.01}");
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization y c,s,s,s,s momentum=0.9\noutput y",
           "  - batchnorm: {name: y}");
}

static void elsewhere_it_is_a_convolution_of_one_pixel(void **state)
{
    data_fixture *f = *state;
    expect_note(f, "floats s 2\nBatchNormalization y x,s,s,s,s\noutput y", "  - dwconv2d: {name: y, kernel: 1}",
                "node 'y' (BatchNormalization): does not follow a convolution or linear layer of its own and becomes a "
                "depthwise convolution");
    expect_note(f,
                "floats s 2\nBatchNormalization a x,s,s,s,s\nBatchNormalization b a,s,s,s,s\nBatchNormalization y "
                "b,s,s,s,s\noutput y",
                "  - dwconv2d: {name: y, kernel: 1}", "(and 1 more like it)");
    expect(f, "floats w 4x2x3x3\nfloats s 4\nConv c x,w\nBatchNormalization n c,s,s,s,s\nAdd y c,n\noutput y",
           "  - dwconv2d: {name: n, kernel: 1}");
}

static void behind_a_flatten_it_has_as_many_channels_as_values(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nfloats s 144\nConv c x,w\nFlatten r c\nBatchNormalization y r,s,s,s,s\noutput y",
           "  - batchnorm: {name: ");
}

/* Of three channels the sum reaches one before and one behind; of two, one behind. */
static void lrn_is_layers_that_have_integers(void **state)
{
    data_fixture *f = *state;
    static const char model[] =
        "floats w 3x2x1x1\nConv c x,w\nLRN y c size=2 alpha=0.5 beta=0.75 bias=2.0\nGlobalAveragePool p y\noutput p";
    expect_note(f, model,
                "  - pow\n  - conv2d: {name: y, out: 3, kernel: 1}  # y\n  - pow: {name: pow_2, power: -0.75}\n  - "
                "mul: {in: [c, pow_2]}\n",
                "m.onnx: node 'y' (LRN): becomes a convolution over the squares");
    expect_weights(f, model, "y.weight", 9, (const float[]){0.25f, 0.25f, 0, 0, 0.25f, 0.25f, 0, 0, 0.25f});
    expect_weights(f, model, "y.bias", 3, (const float[]){2, 2, 2});
    refuse(f, "LRN y x size=0\noutput y", "node 'y' (LRN): size: 0: must be in 1..");
    refuse(f, "LRN y x size=3 bias=0.0\noutput y", "bias 0: must be in ");
    refuse(f, "Flatten r x\nLRN y r size=3\noutput y", "needs images");
}

static void sizes_and_modes_are_checked(void **state)
{
    data_fixture *f = *state;
    refuse(f, "floats s 3\nBatchNormalization y x,s,s,s,s\noutput y", "input 1 has 3 values for 2 channels");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s,s training_mode=1\noutput y", "is in training mode");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s\noutput y", "input 4 is missing");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s,s epsilon=0.0\noutput y", "epsilon: 0: must be in 1e-12..1");
    refuse(f, "floats s 2\nBatchNormalization y x,s,s,s,s momentum=1.5\noutput y", "momentum: 1.5: must be in 0..1");
}

static void statistics_that_cannot_be_are_named(void **state)
{
    data_fixture *f = *state;
    refuse(f, "floats s 2\nvalues v 1,-0.5\nBatchNormalization y x,s,s,s,v\noutput y",
           "input 4, 'v', the variance: value 1 is -0.5: it cannot be negative");
    refuse(f, "floats w 4x2x3x3\nfloats s 4\nvalues v 1,1,1,nan\nConv c x,w\nBatchNormalization y c,s,s,s,v\noutput y",
           "input 4, 'v': value 3 is nan: it must be a finite number");
    refuse(f, "floats w 4x2x3x3\nfloats s 4\nvalues v 1,inf,1,1\nConv c x,w\nBatchNormalization y c,s,s,v,s\noutput y",
           "input 3, 'v': value 1 is inf: it must be a finite number");
}

ONNX_TESTS(ONNX_TEST(behind_a_convolution_it_stays_a_batch_norm), ONNX_TEST(elsewhere_it_is_a_convolution_of_one_pixel),
           ONNX_TEST(behind_a_flatten_it_has_as_many_channels_as_values), ONNX_TEST(lrn_is_layers_that_have_integers),
           ONNX_TEST(sizes_and_modes_are_checked), ONNX_TEST(statistics_that_cannot_be_are_named))

#endif
