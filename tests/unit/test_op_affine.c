/* test_op_affine.c - arithmetic with constants in ONNX (op_affine.c, op_mul.c). */
#include "operator_case.h"

#include <stdio.h>

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
    expect(f, CONV "number b 3\nDiv y b,c\noutput y", "  - pow: {power: -1}\n  - affine: {name: y, channels: no}");
    expect(f, CONV "Relu r c\nDiv y c,r\noutput y", "  - pow: {name: pow, power: -1}\n  - mul: {in: [c, pow]}");
}

/* Of the model's images, which are (p - mean) / std; what becomes of mean and std, and is there an affine left? */
static bool takes(data_fixture *f, const char *model, float mean[2], float std[2])
{
    const char *path = data_fixture_path(f, "m.onnx");
    nb_onnx *o;
    char *config = NULL;
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    if (nb_onnx_open(f->ctx, path, &o) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    const bool taken = nb_onnx_take_normalisation(o, mean, std);
    const nb_onnx_config_options options = {.data = "{name: synth}", .init = "i", .out = "o", .mean = mean, .std = std};
    assert_int_equal(nb_onnx_config(o, &options, &config), NB_OK);
    assert_true(taken == !strstr(config, "affine"));
    nb_free(f->ctx, config);
    nb_onnx_say(o);
    nb_onnx_free(o);
    return taken;
}

static void what_is_done_to_the_input_becomes_its_mean_and_std(void **state)
{
    data_fixture *f = *state;
    float mean[2] = {0.5f, 0}, std[2] = {0.5f, 1};
    const char *behind = "floats w 4x2x3x3\nConv c y,w\nReduceMean m c axes=2,3 keepdims=0\noutput m";
    char model[256];
    snprintf(model, sizeof model, "number a 0.25\nnumber b 2\nSub s x,a\nMul y s,b\n%s", behind);
    assert_true(takes(f, model, mean, std)); /* 2 (p - 0.5) / 0.5 - 0.5 = (p - 0.625) / 0.25 */
    assert_true(mean[0] == 0.625f && std[0] == 0.25f && mean[1] == 0.25f && std[1] == 0.5f);
    snprintf(model, sizeof model, "number a 1\nSub y a,x\n%s", behind); /* no std is negative */
    assert_false(takes(f, model, mean, std));
    snprintf(model, sizeof model, "number b 0.01\nMul y x,b\n%s", behind); /* pixels of 0..255, which these are not */
    assert_false(takes(f, model, mean, std));
    snprintf(model, sizeof model, "number b 2\nMul s x,b\nAdd y s,x\n%s", behind); /* something else reads it, too */
    assert_false(takes(f, model, mean, std));
    assert_true(mean[0] == 0.625f && std[0] == 0.25f);
}

ONNX_TESTS(ONNX_TEST(constants_scale_and_shift_and_what_follows_each_other_is_one_layer),
           ONNX_TEST(what_no_channel_has_one_number_of_is_refused),
           ONNX_TEST(what_is_done_to_the_input_becomes_its_mean_and_std))

#endif
