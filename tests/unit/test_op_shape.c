/* test_op_shape.c - reshapes of ONNX, the sizes it computes for them, softmax, and relus (op_shape.c, op_clamp.c). */
#include "operator_case.h"

#ifdef NB_ONNX

static void rows_are_made_in_many_ways(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 3x128\nints s 0,-1\nReshape r x,s\nGemm y r,w transB=1\noutput y",
           "- linear: {name: y, out: 3, bias: no}");
    expect(f, "floats w 3x128\nints s -1,128\nReshape r x,s\nGemm y r,w transB=1\noutput y", "linear");
    expect(f,
           "floats w 3x128\nShape s x\nints zero 0\nGather n s,zero axis=0\nints ax 0\nSqueeze q n\nUnsqueeze u "
           "q,ax\nints rest "
           "-1\nConcat t u,rest axis=0\nReshape r x,t\nGemm y r,w transB=1\noutput y",
           "linear");
    expect(f,
           "floats w 4x2x3x3\nfloats v 3x4\nConv c x,w\nGlobalAveragePool p c\nSqueeze q p axes=2,3\nGemm y q,v "
           "transB=1\noutput y",
           "linear");
    refuse(f, "ints s 128\nReshape y x,s\noutput y", "output 'y' cannot be logits");
    refuse(f, "ints s 0,64\nReshape y x,s\noutput y", "shape: cuts [N, channels, rows, columns] apart");
    refuse(f, "ints s -1,-1\nReshape y x,s\noutput y", "shape: cuts [N, channels, rows, columns] apart");
    refuse(f, "Reshape y x,x\noutput y", "must be a short vector of known integers");
    refuse(f, "ints s 0,-1\nReshape y x,s allowzero=1\noutput y", "allowzero: a size of 0");
    refuse(f, "Flatten y x axis=2\noutput y", "axis: 2: must be 1");
    refuse(f, "Shape s x\nints at 7\nGather y s,at\noutput y", "takes element 7 of 4");
    refuse(f, "Shape y x\noutput y", "output 'y' does not come from a layer");
}

static void a_softmax_ends_the_network(void **state)
{
    data_fixture *f = *state;
    expect_note(f, "floats w 3x128\nFlatten r x\nGemm g r,w transB=1\nSoftmax y g axis=1\noutput y",
                "linear: {name: g, out: 3, bias: no}",
                "node 'y' (Softmax): is left out: the network ends in its logits");
    expect_note(f, "floats w 3x128\nFlatten r x\nGemm y r,w transB=1\noutput y", "linear", "");
    refuse(f, "floats w 3x128\nFlatten r x\nGemm g r,w transB=1\nSoftmax s g\nRelu y s\noutput y",
           "stands behind a softmax, which must be the end");
    refuse(f, "Softmax y x axis=3\noutput y", "axis: 3: is taken over 8 of 128 values");
    refuse(f, "floats w 4x2x3x3\nConv c x,w\nGlobalAveragePool p c\nSoftmax y p\noutput y",
           "axis: -1: is taken over 1 of 4 values");
    expect(f, "opset 11\nfloats w 4x2x3x3\nConv c x,w\nGlobalAveragePool p c\nSoftmax y p\noutput y", "avgpool");
    refuse(f, "floats w 4x2x3x3\nConv c x,w\nSoftmax y c axis=1\noutput y", "axis: 1: is taken over 4 of 144 values");
}

static void a_dropout_is_nothing_unless_it_was_exported_in_training(void **state)
{
    data_fixture *f = *state;
    expect_note(f, "floats w 3x128\nFlatten r x\nDropout d r\nGemm y d,w transB=1\noutput y",
                "  - input\n  - linear: {name: y", "");
    expect_note(
        f, "floats w 3x128\nnumber p 0.25\nbool no 0\nFlatten r x\nDropout d r,p,no\nGemm y d,w transB=1\noutput y",
        "  - input\n  - linear: {name: y", "");
    expect_note(
        f, "floats w 3x128\nnumber p 0.25\nbool yes 1\nFlatten r x\nDropout d r,p,yes\nGemm y d,w transB=1\noutput y",
        "  - dropout: {p: 0.25}", "node 'd' (Dropout): was exported in training mode: it becomes a dropout of 0.25");
    expect(f, "floats w 3x128\nnumber p 0\nbool yes 1\nFlatten r x\nDropout d r,p,yes\nGemm y d,w transB=1\noutput y",
           "  - input\n  - linear: {name: y");
    refuse(f, "number p 1\nbool yes 1\nDropout y x,p,yes\noutput y", "ratio: must be one number in 0..0.99");
    refuse(f, "number p 0.5\nDropout y x,p,x\noutput y", "its training_mode must be a constant");
}

static void clips_from_zero_are_relus(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nnumber lo 0\nnumber hi 6\nConv c x,w\nClip y c,lo,hi\noutput y", "relu: {cap: 6}");
    expect(f, "floats w 4x2x3x3\nnumber lo 0\nConv c x,w\nClip y c,lo\noutput y", "  - relu  #");
    expect(f, "number lo -1\nnumber hi 1\nClip y x,lo,hi\noutput y", "  - clip: {low: -1, high: 1}");
    refuse(f, "number lo 1\nnumber hi -1\nClip y x,lo,hi\noutput y", "from 1 to -1: max must lie above min");
    refuse(f, "floats lo 2\nClip y x,lo\noutput y", "min must be one number");
    expect(f, "floats w 4x2x3x3\nnumber lo 0\nnumber hi inf\nConv c x,w\nClip y c,lo,hi\noutput y", "  - relu  #");
    refuse(f, "number lo nan\nClip y x,lo\noutput y", "from nan to inf: max must lie above min");
    expect(f, "Clip q x\nRelu y q\noutput y", "  - input\n  - relu  #");
}

ONNX_TESTS(ONNX_TEST(rows_are_made_in_many_ways), ONNX_TEST(a_softmax_ends_the_network),
           ONNX_TEST(a_dropout_is_nothing_unless_it_was_exported_in_training), ONNX_TEST(clips_from_zero_are_relus))

#endif
