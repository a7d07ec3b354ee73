/* test_onnx_images.c - the network's input: its order and its size (onnx_images.c). */
#include "operator_case.h"

#ifdef NB_ONNX

#    include <stdio.h>

static void expect_size(data_fixture *f, const char *model, const nb_onnx_size *given, int32_t h, int32_t w, int32_t c)
{
    nb_onnx *o;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    if (nb_onnx_open_sized(f->ctx, path, given, &o) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    const nb_dsinfo *info = nb_onnx_info(o);
    if (info->h != h || info->w != w || info->c != c)
        fail_msg("%s\n%dx%dx%d, not %dx%dx%d", model, info->h, info->w, info->c, h, w, c);
    nb_onnx_free(o);
}

static void refuse_size(data_fixture *f, const char *model, const nb_onnx_size *given, const char *sentence)
{
    nb_onnx *o;
    const char *path = data_fixture_path(f, "m.onnx");
    ref_onnx_write(f->ctx, path, 2, 8, 8, model);
    assert_int_not_equal(nb_onnx_open_sized(f->ctx, path, given, &o), NB_OK);
    if (!strstr(nb_ctx_error(f->ctx), sentence))
        fail_msg("%s\nwant: %s", nb_ctx_error(f->ctx), sentence);
}

static void images_signals_and_vectors_come_in(void **state)
{
    data_fixture *f = *state;
    const char *first = "floats w 4x3x1x1\nTranspose t x perm=0,3,1,2\nConv c t,w\nGlobalAveragePool y c\noutput y";
    char model[256];
    expect_size(f, "input 3,5,7\nfloats w 4x3x1x1\nConv c x,w\nGlobalAveragePool y c\noutput y", NULL, 5, 7, 3);
    snprintf(model, sizeof model, "input 5,7,3\n%s", first);
    expect_size(f, model, NULL, 5, 7, 3);
    snprintf(model, sizeof model, "input 2,3,3\n%s", first); /* only the Transpose says so */
    expect_size(f, model, NULL, 2, 3, 3);
    expect_size(f, "input 8,6,2\nfloats w 4x8x1x1\nConv c x,w\nGlobalAveragePool y c\noutput y", NULL, 6, 2, 8);
    expect_size(f, "input 8,6,2\nGlobalAveragePool y x\noutput y", NULL, 6, 2, 8);
    expect_size(f, "input 3,40\nfloats w 4x3x9\nConv c x,w\nGlobalAveragePool y c\noutput y", NULL, 1, 40, 3);
    expect_size(f, "input 40,3\nfloats w 4x3x9\nTranspose t x perm=0,2,1\nConv c t,w\nGlobalAveragePool y c\noutput y",
                NULL, 1, 40, 3);
    expect_size(f, "input 13\nfloats w 4x13\nGemm y x,w transB=1\noutput y", NULL, 1, 13, 1);
}

static void sizes_that_the_file_leaves_open_are_given(void **state)
{
    data_fixture *f = *state;
    const char *open = "input 3,-1,-1\nfloats w 4x3x1x1\nConv c x,w\nGlobalAveragePool y c\noutput y";
    expect_size(f, open, &(nb_onnx_size){3, {3, 5, 7}}, 5, 7, 3);
    refuse_size(
        f, open, NULL,
        "input 'x' is [N, 3, ?, ?]: its size is not in the file; say it in the file's order, as in --input 3x224x224");
    refuse_size(f, open, &(nb_onnx_size){3, {1, 5, 7}},
                "input 'x' is [N, 3, ?, ?], which the size that was given does not fit");
    refuse_size(f, open, &(nb_onnx_size){2, {3, 5}}, "which the size that was given does not fit");
    refuse_size(f, "input 3,5,70000\nRelu y x\noutput y", NULL, "input 'x' is [N, 3, 5, 70000]: must be images");
    refuse_size(f, "input 3,5,5,5\nRelu y x\noutput y", NULL, "input 'x' is [N, 3, 5, 5, 5]: must be images");
}

ONNX_TESTS(ONNX_TEST(images_signals_and_vectors_come_in), ONNX_TEST(sizes_that_the_file_leaves_open_are_given))

#endif
