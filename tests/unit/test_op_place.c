/* test_op_place.c - values that come to other places (op_place.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void blocks_become_channels_and_back(void **state)
{
    data_fixture *f = *state;
    float one[64] = {0}; /* [out 8][rows 2][columns 2][in 2]: channel (i * 2 + j) * 2 + c takes place (i, j) of c */
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++)
                one[((((i * 2 + j) * 2 + c) * 2 + i) * 2 + j) * 2 + c] = 1;
    expect_weights(f, "SpaceToDepth y x blocksize=2\noutput y", "y.weight", 64, one);
    expect(f, "SpaceToDepth a x blocksize=2\nDepthToSpace y a blocksize=2\noutput y",
           "  - conv2d: {name: a, out: 8, kernel: 2, stride: 2, bias: no}  # a\n"
           "  - convtranspose2d: {name: y, out: 2, kernel: 2, stride: 2, bias: no}  # y\n");
    refuse(f, "SpaceToDepth y x blocksize=3\noutput y", "blocksize: 3: must be in 1..16 and divide an image of 2x8x8");
    refuse(f, "DepthToSpace y x blocksize=2\noutput y", "blocksize: 2: must be in 1..16 and divide");
    refuse(f, "DepthToSpace y x blocksize=1 mode=ABC\noutput y", "mode: must be DCR or CRD");
}

static void images_are_joined_below_and_beside_each_other(void **state)
{
    data_fixture *f = *state;
    expect(f, "Relu a x\nConcat y x,a axis=2\noutput y",
           "  - relu: {name: a}  # a\n  - pad: {name: y, pad: [0, 0, 8, 0], in: input1}  # y\n"
           "  - pad: {name: y_2, pad: [8, 0, 0, 0], in: a}  # y\n  - add: {in: [y, y_2]}  # y\n");
    expect(f, "Relu a x\nConcat y x,a,x axis=-1\noutput y", "pad: [0, 8, 0, 8]");
    refuse(f, "floats w 3x2x1x1\nConv c x,w\nConcat y x,c axis=2\noutput y", "joins images of 2x8x8 and 3x8x8");
}

ONNX_TESTS(ONNX_TEST(blocks_become_channels_and_back), ONNX_TEST(images_are_joined_below_and_beside_each_other))

#endif
