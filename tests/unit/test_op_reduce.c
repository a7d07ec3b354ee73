/* test_op_reduce.c - reductions over parts of an image, and the larger, smaller and mean of several (op_reduce.c, op_extreme.c). */
#include "operator_case.h"

#ifdef NB_ONNX

#    include <stdio.h>

static void means_and_maxima_of_rows_and_columns_are_pools(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv a x,w\nReduceMean y a axes=2,3 keepdims=0\noutput y", "avgpool: {global: yes}");
    expect(f, "floats w 4x2x3x3\nints ax -1,-2\nConv a x,w\nReduceMean y a,ax\noutput y", "avgpool: {global: yes}");
    expect(
        f,
        "floats w 4x2x3x3\nConv a x,w\nReduceMean b a axes=3, keepdims=0\nReduceMax y b axes=2, keepdims=0\noutput y",
        "  - avgpool: {kernel: [1, 6]}  # b\n  - maxpool: {global: yes}  # y\n");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nReduceMean b a axes=3,\nReduceMean y b axes=2,\noutput y",
           "# a\n  - avgpool: {global: yes}  # b\n\n");
    expect(
        f, "floats w 4x2x3x3\nConv a x,w\nReduceMean b a axes=3,\nReduceMean c b axes=2,\nAdd y b,c\noutput y",
        "  - avgpool: {name: b, kernel: [1, 6]}  # b\n  - avgpool: {name: c, global: yes}  # c\n  - add: {in: [b, c]}");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nReduceSum y a noop_with_empty_axes=1\noutput y", "bias: no}  # a\n\n");
}

static void sums_and_what_joins_channels_are_convolutions_with_one_weight(void **state)
{
    data_fixture *f = *state;
    const float ones[4] = {1, 1, 1, 1}, halves[2] = {0.5f, 0.5f};
    expect(f, "ReduceSum y x axes=2,\noutput y", "  - dwconv2d: {name: y, kernel: [8, 1], bias: no}");
    expect(f, "ReduceMean y x axes=1,\noutput y", "  - conv2d: {name: y, out: 1, kernel: 1, bias: no}");
    expect_weights(f, "ReduceMean y x axes=1,\noutput y", "y.weight", 2, halves);
    expect_weights(f, "GlobalAveragePool p x\nReduceSum y p axes=1, keepdims=0\noutput y", "y.weight", 2, ones);
    expect_weights(f, "floats w 128x4\nFlatten r x\nGemm g r,w\nReduceSum y g axes=1,\noutput y", "y.weight", 4, ones);
    refuse(f, "ReduceMax y x axes=1,\noutput y", "axes: the largest of all channels is not supported");
    refuse(f, "ReduceMean y x axes=0,1\noutput y", "axes: only channels, rows and columns of an image are supported");
    refuse(f, "ReduceMean y x\noutput y", "axes: only channels, rows and columns of an image are supported");
    refuse(f, "ReduceMean y x axes=4,\noutput y", "axis: 4: must be in -4..3");
}

static void the_larger_is_one_and_what_the_other_has_more(void **state)
{
    data_fixture *f = *state;
    const char *pair = "floats w 2x2x1x1\nConv a x,w\nConv b x,w\n";
    char model[256];
    snprintf(model, sizeof model, "%sMax y a,b\noutput y", pair);
    expect(f, model, "  - sub: {in: [b, a]}  # y\n  - relu: {name: y_2}  # y\n  - add: {in: [a, y_2]}  # y\n");
    snprintf(model, sizeof model, "%sMin y a,b\noutput y", pair);
    expect(f, model, "  - sub: {in: [a, b]}  # y\n  - relu: {name: y_2}  # y\n  - sub: {in: [a, y_2]}  # y\n");
    snprintf(model, sizeof model, "%sMean y a,b\noutput y", pair);
    expect_weights(f, model, "y_2.weight", 2, (const float[]){0.5f, 0.5f});
    refuse(f, "number v 1\nMax y x,v\noutput y", "input 1, 'v', must come from the images");
}

ONNX_TESTS(ONNX_TEST(means_and_maxima_of_rows_and_columns_are_pools),
           ONNX_TEST(sums_and_what_joins_channels_are_convolutions_with_one_weight),
           ONNX_TEST(the_larger_is_one_and_what_the_other_has_more))

#endif
