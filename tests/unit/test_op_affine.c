/* test_op_affine.c - arithmetic with constants in ONNX (op_affine.c, op_mul.c). */
#include "operator_case.h"

#ifdef NB_ONNX

#    define CONV "floats w 4x2x3x3\nConv c x,w\n"

static void constants_scale_and_shift_and_what_follows_each_other_is_one_layer(void **state)
{
    data_fixture *f = *state;
    const float four[] = {0.01f, 0.02f, 0.03f, 0.04f}, less[] = {-0.01f, -0.02f, -0.03f, -0.04f}, two = 2, half = 0.5f;
    expect(f, CONV "floats a.mul 4x1x1\nMul y c,a.mul\noutput y", "- affine: {name: a}");
    expect_weights(f, CONV "floats a.mul 1x4x1x1\nMul y a.mul,c\noutput y", "a.mul", 4, four);
    expect(f, CONV "number a.mul 2\nMul y c,a.mul\noutput y", "- affine: {name: a, channels: no}");
    expect_weights(f, CONV "number a.mul 2\nDiv y c,a.mul\noutput y", "a.mul", 1, &half);
    expect_weights(f, CONV "Relu r c\nfloats a.mul 4x1x1\nSub y r,a.mul\noutput y", "a.add", 4, less);
    expect_weights(f, CONV "Relu r c\nnumber a.mul 2\nSub y a.mul,r\noutput y", "a.mul", 1, &(const float){-1});
    expect_weights(f, CONV "Relu r c\nnumber a.mul 2\nSub y a.mul,r\noutput y", "a.add", 1, &two);
    /* ((r + 1) / 4 of each) * 2 - b */
    const char *chain =
        CONV "Relu r c\nnumber a.mul 1\nnumber q 4\nnumber t 2\nfloats b 4x1x1\nAdd s r,a.mul\nDiv d s,q\n"
             "Mul m d,t\nSub y m,b\noutput y";
    expect_weights(f, chain, "a.mul", 4, (const float[]){0.5f, 0.5f, 0.5f, 0.5f});
    expect_weights(f, chain, "a.add", 4, (const float[]){0.49f, 0.48f, 0.47f, 0.46f});
    expect(f,
           "floats v 4x2\nFlatten r x\nReduceMean m x axes=2,3 keepdims=0\nGemm g m,v transB=1\nfloats a.mul 4\nMul y "
           "g,a.mul\n"
           "output y",
           "- affine: {name: a}");
}

static void what_no_channel_has_one_number_of_is_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, CONV "floats b 6\nMul y c,b\noutput y", "'b' has 6 values for 4x6x6 (channels, rows, columns)");
    refuse(f, CONV "floats b 4\nMul y c,b\noutput y", "must be one number, or one for each channel");
    refuse(f, CONV "number b 0\nDiv y c,b\noutput y", "divides by 0");
    refuse(f, CONV "number b 1\nDiv y b,c\noutput y", "only a constant can be divided by");
    refuse(f, CONV "Relu r c\nDiv y c,r\noutput y", "only a constant can be divided by");
}

ONNX_TESTS(ONNX_TEST(constants_scale_and_shift_and_what_follows_each_other_is_one_layer),
           ONNX_TEST(what_no_channel_has_one_number_of_is_refused))

#endif
