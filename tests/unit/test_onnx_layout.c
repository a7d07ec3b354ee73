/* test_onnx_layout.c - Transpose, Reshape and who reads behind them (onnx_layout.c, onnx_fit.c, op_layout.c). The image is
 * 2 x 8 x 8. */
#include "operator_case.h"

#ifdef NB_ONNX

#    include <stdio.h>

#    define LAST  "perm=0,2,3,1\n"
#    define FIRST "perm=0,3,1,2\n"

static void transposes_around_layers_are_nothing(void **state)
{
    data_fixture *f = *state;
    expect(f,
           "floats w 4x2x3x3\nfloats v 3x4\nfloats b 4\nTranspose a x " LAST "Transpose c a " FIRST
           "Conv d c,w\nTranspose e d " LAST "Add g e,b\nRelu h g\nReduceMean m h axes=1,2 keepdims=0\nGemm y m,v "
           "transB=1\nSoftmax z y\noutput z",
           "  - conv2d: {name: d, out: 4, kernel: 3}  # d\n  - relu  # h\n  - avgpool: {global: yes}  # m\n  - linear: "
           "{name: y, "
           "out: 3, bias: no}  # y\n");
    refuse(f, "floats w 4x8x3x3\nTranspose a x " LAST "Conv y a,w\noutput y",
           "its input stands as [N, rows, columns, channels], must be [N, channels, rows, columns]");
    refuse(f, "Transpose y x perm=0,1,1,2\noutput y", "perm: must hold each axis once");
    refuse(f, "Transpose y x perm=0,3,2,1\noutput y",
           "output 'y' stands as [N, columns, rows, channels]: must be [N, logits]");
}

static void constants_beside_another_layout_are_turned(void **state)
{
    data_fixture *f = *state;
    const char *model = "floats w 4x2x3x3\nfloats k 4\nConv c x,w\nRelu r c\nTranspose t r " LAST
                        "Mul m t,k\nAdd a m,k\nReduceMean y a axes=1,2 keepdims=0\noutput y";
    const float k[] = {0.01f, 0.02f, 0.03f, 0.04f};
    expect(f, model, "  - affine: {name: m}  # m\n  - avgpool: {global: yes}");
    expect_weights(f, model, "m.mul", 4, k);
    expect(f,
           "floats w 4x2x8x3\nfloats k 4x1\nints ax 2\nConv c x,w\nSqueeze s c,ax\nPRelu p s,k\nReduceMean y p "
           "axes=2,\noutput y",
           "  - prelu: {name: p}");
    refuse(f, "floats w 4x2x3x3\nfloats k 6x1\nConv c x,w\nTranspose t c " LAST "Mul y t,k\noutput y",
           "'k' has 6 values for 4x6x6 (channels, rows, columns)");
}

static void values_that_stand_otherwise_are_not_joined(void **state)
{
    data_fixture *f = *state;
    expect(f,
           "floats w 2x2x1x1\nConv c x,w\nTranspose a x " LAST "Transpose b c " LAST
           "Add s a,b\nReduceMean y s axes=1,2\noutput y",
           "  - add: {in: [");
    expect(f,
           "floats w 2x2x1x1\nConv c x,w\nTranspose a x " LAST "Transpose b c " LAST
           "Concat s a,b axis=3\nReduceMean y s axes=1,2\noutput y",
           "  - concat: {in: [");
    refuse(f, "ints ax 1\nTranspose a x " LAST "Add y a,x\noutput y",
           "joins values that stand as [N, channels, rows, columns] and as [N, rows, columns, channels]");
    refuse(f, "Transpose a x " LAST "Concat y a,a axis=0\noutput y",
           "axis: 0: only channels, rows and columns can be joined");
    refuse(f, "floats b 8\nTranspose a x " LAST "Add y a,b\noutput y", "does not fit the order of its other input");
}

/* Rows of [h, w, c]: value j of them is value place(j) of the image. */
static void columns_behind_a_flattened_transpose_are_turned(void **state)
{
    data_fixture *f = *state;
    float want[128], *at = want;
    for (int32_t pixel = 0; pixel < 64; pixel++) /* ours are [h, w, c] too, so nothing moves in the end */
        for (int32_t c = 0; c < 2; c++)
            *at++ = 0.01f * (float)(pixel * 2 + c + 1);
    expect_weights(f, "floats w 1x128\nTranspose a x " LAST "Flatten r a\nGemm y r,w transB=1\noutput y", "y.weight",
                   128, want);
    expect_weights(f, "floats w 128x1\nints s -1,128\nTranspose a x " LAST "Reshape r a,s\nMatMul y r,w\noutput y",
                   "y.weight", 128, want);
    expect(f,
           "floats w 3x128\nints s 0,2,64\nReshape a x,s\nTranspose b a perm=0,2,1\nFlatten r b\nGemm y r,w "
           "transB=1\noutput y",
           "  - input\n  - linear: {name: y, out: 3, bias: no}");
}

static void a_matrix_over_channels_is_a_convolution_of_one_pixel(void **state)
{
    data_fixture *f = *state;
    const char *end = "ReduceMean y m axes=1,2\noutput y";
    char model[512];
    snprintf(model, sizeof model,
             "values w 1,2,3,4,5,6\nints s 2,3\nReshape v w,s\nTranspose a x " LAST "MatMul m a,v\n%s", end);
    expect(f, model, "  - conv2d: {name: m, out: 3, kernel: 1, bias: no}");
    expect_weights(f, model, "m.weight", 6, (const float[]){1, 4, 2, 5, 3, 6});
    expect(f,
           "floats w 2x3\nints s -1,2\nints t -1,8,8,3\nfloats b 3\nTranspose a x " LAST
           "Reshape r a,s\nGemm m r,w,b\nReshape u m,t\nTranspose v u " FIRST "GlobalAveragePool y v\noutput y",
           "  - conv2d: {name: m, out: 3, kernel: 1}");
    refuse(f, "floats w 8x3\nMatMul y x,w\noutput y",
           "needs rows, but its input are images, [N, channels, rows, columns]");
}

static void channels_are_shuffled(void **state)
{
    data_fixture *f = *state;
    const char *shuffle =
        "floats w 6x2x1x1\nfloats v 2x6x1x1\nints s -1,2,3,8,8\nints t -1,6,8,8\nConv c x,w\nReshape a c,s\n"
        "Transpose b a perm=0,2,1,3,4\nReshape r b,t\n";
    char model[512];
    snprintf(model, sizeof model, "%sConv y r,v\noutput y", shuffle);
    expect(f, model, "  - shuffle: {groups: 2}");
    snprintf(model, sizeof model,
             "%sints p -1,3,2,8,8\nReshape q r,p\nTranspose g q perm=0,2,1,3,4\nReshape h g,t\nConv y h,v\noutput y",
             shuffle);
    expect(f, model, "out: 6, kernel: 1, bias: no}  # c\n  - conv2d: {name: y");
    refuse(f, "floats w 2x1x1x1\nints s -1,2,8,8\nTranspose a x perm=0,1,3,2\nConv y a,w\noutput y",
           "stands as [N, channels, columns, rows]");
}

static void signals_are_images_of_one_row(void **state)
{
    data_fixture *f = *state;
    const char *row = "floats u 2x2x8x1\nfloats w 4x2x3\nints a 2\nConv e x,u\nSqueeze s e,a\n";
    char model[512];
    snprintf(model, sizeof model, "%sConv y s,w strides=2, pads=1,0 dilations=1,\noutput y", row);
    expect(f, model, "kernel: [1, 3], stride: [1, 2], pad: [0, 1, 0, 0]");
    snprintf(model, sizeof model, "%sMaxPool m s kernel_shape=2,\nGlobalAveragePool y m\noutput y", row);
    expect(f, model, "  - maxpool: {kernel: [1, 2], stride: 1}  # m\n  - avgpool: {global: yes}");
    snprintf(model, sizeof model, "%sMaxPool y s kernel_shape=2,2\noutput y", row);
    refuse(f, model, "does not fit into its 1x8 image");
}

static void squeezed_axes_come_back(void **state)
{
    data_fixture *f = *state;
    expect(f,
           "floats w 3x2\nints a 2\nints b -1\nGlobalAveragePool p x\nSqueeze q p,a\nSqueeze r q,b\nGemm y r,w "
           "transB=1\noutput y",
           "linear: {name: y");
    expect(f, "floats w 3x2x1x1\nints a 2,3\nGlobalAveragePool p x\nSqueeze q p\nUnsqueeze r q,a\nConv y r,w\noutput y",
           "conv2d: {name: y");
    refuse(f, "ints a 2\nSqueeze y x,a\noutput y", "axes: 2: only an axis of one element can go, and not the images");
    refuse(f, "ints a 0\nSqueeze y x,a\noutput y", "axes: 0: only an axis of one element can go, and not the images");
    refuse(f, "ints a 9\nUnsqueeze y x,a\noutput y", "axes: 9: must be in -5..4");
    refuse(f, "ints a 0,0\nUnsqueeze y x,a\noutput y", "axes: 0: must be in -6..5, and there once");
}

ONNX_TESTS(ONNX_TEST(transposes_around_layers_are_nothing), ONNX_TEST(constants_beside_another_layout_are_turned),
           ONNX_TEST(values_that_stand_otherwise_are_not_joined),
           ONNX_TEST(columns_behind_a_flattened_transpose_are_turned),
           ONNX_TEST(a_matrix_over_channels_is_a_convolution_of_one_pixel), ONNX_TEST(channels_are_shuffled),
           ONNX_TEST(signals_are_images_of_one_row), ONNX_TEST(squeezed_axes_come_back))

#endif
