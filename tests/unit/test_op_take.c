/* test_op_take.c - Slice, Split, Gather and Pad of ONNX (op_take.c). */
#include "operator_case.h"

#ifdef NB_ONNX

#    define CONV  "floats w 4x2x3x3\nConv a x,w\n"
#    define CONV6 "floats w 6x2x3x3\nConv a x,w\n"

static void slices_are_written_as_python_does(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV "ints s 1\nints e 3\nints ax 1\nSlice y a,s,e,ax\noutput y", "- slice: {channels: \"1:3\"}");
    expect(f, CONV "ints s 0,0\nints e 100,100\nints ax 2,3\nints st 2,3\nSlice y a,s,e,ax,st\noutput y",
           "- slice: {rows: \"::2\", cols: \"::3\"}");
    expect(f, CONV "ints s -1\nints e -9\nints ax -1\nints st -1\nSlice y a,s,e,ax,st\noutput y",
           "- slice: {cols: \"::-1\"}");
    expect(f, CONV "Slice y a starts=1,1 ends=9,3 axes=2,2\noutput y",
           "- slice: {rows: \"1:\"}  # y\n  - slice: {rows: \"1:3\"}");
    expect(f, CONV "Slice y a starts=0,2 ends=1000000000000,4 axes=0,1\noutput y", "- slice: {channels: \"2:\"}");
    expect(f, CONV "ints s 0\nints e 9\nints ax 2\nSlice b a,s,e,ax\nRelu y b\noutput y",
           "conv2d: {name: a, out: 4, kernel: 3, "
           "bias: no}  # a\n  - relu  # y\n");
    expect(f, CONV "GlobalAveragePool g a\nFlatten r g\nints s 1\nints e 3\nints ax 1\nSlice y r,s,e,ax\noutput y",
           "- slice: {channels: \"1:3\"}");
}

static void parts_of_a_split_are_slices(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV "Split b,c a axis=1\nConcat y c,b axis=1\noutput y",
           " - slice: {name: b, channels: \":2\"}  # b\n  - slice: {name: b_2, channels: \"2:\", in: a}  # b\n");
    expect(f, CONV "ints p 1,3\nSplit b,c a,p axis=1\nRelu y c\noutput y",
           "- slice: {channels: \"1:\"}  # b\n  - relu");
    expect(f, CONV "Split b,c a axis=-1 split=2,4\nRelu y b\noutput y", "- slice: {cols: \":2\"}  # b\n  - relu");
    expect(f, CONV6 "Split b,c,e a axis=1 num_outputs=3\nRelu y c\noutput y", "- slice: {channels: \"2:4\"}");
}

static void gathers_are_slices_or_shuffles(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV6 "ints i 0,3,1,4,2,5\nGather y a,i axis=1\noutput y", "- shuffle: {groups: 2}");
    expect(f, CONV6 "ints i 0,2,4,1,3,5\nGather y a,i axis=1\noutput y", "- shuffle: {groups: 3}");
    expect(f, CONV6 "ints i 5,0,1,2,-2,-2\nGather y a,i axis=1\noutput y", "- slice: {channels: \"5, :3, 4, 4\"}");
    expect(f, CONV6 "ints i 1,0,1,2,3,4,5,4\nGather y a,i axis=2\noutput y", "- slice: {rows: \"1, :, 4\"}");
    expect(f, CONV6 "ints i 4,2,0\nGather y a,i axis=1\noutput y", "- slice: {channels: \"4::-2\"}");
}

/* As torchvision writes a shuffle, and tf2onnx a slice. */
static void other_layouts_are_seen_through(void **state)
{
    data_fixture *f = *state;
    expect(f,
           CONV6 "ints g 0,2,3,6,6\nints b 0,6,6,6\nReshape q a,g\nTranspose t q perm=0,2,1,3,4\nReshape s t,b\n"
                 "Split y,z s axis=1\noutput y",
           "- shuffle: {groups: 2}\n  - slice: {channels: \":3\"}");
    expect(f,
           CONV6 "ints g 0,2,3,6,6\nints b 0,6,6,6\nReshape q a,g\nTranspose t q perm=0,2,1,3,4\nReshape s t,b\n"
                 "ReduceMean y s axes=2,3\noutput y",
           "- shuffle: {groups: 2}\n  - avgpool: {global: yes}");
    expect(f, "Transpose t x perm=0,2,3,1\nSlice y t starts=1,0 ends=3,1 axes=1,3\noutput y",
           "- slice: {rows: \"1:3\", channels: \"0\"}");
    expect(f, "Transpose t x perm=0,2,3,1\nPad p t pads=0,1,2,0,0,1,2,0\nTranspose y p perm=0,3,1,2\noutput y",
           "- pad: {pad: [1, 2, 1, 2]}");
}

static void pads_wait_for_a_convolution_or_are_layers(void **state)
{
    data_fixture *f = *state;
    expect(f, "ints p 0,0,1,2,0,0,1,0\nfloats w 4x2x3x3\nPad a x,p\nConv y a,w\noutput y",
           "conv2d: {name: y, out: 4, kernel: 3, pad: [1, 2, 1, 0], bias: no}");
    expect(f, "ints p 0,0,1,1,0,0,1,1\nPad z x,p\nMaxPool y z kernel_shape=3,3\noutput y",
           "- pad: {pad: [1, 1, 1, 1]}\n  - maxpool: {kernel: 3, stride: 1}");
    expect(f, "ints p 0,1,0,0,0,2,0,0\nPad y x,p\noutput y", "- pad: {channels: [1, 2]}");
    expect(f, "ints p 2,1,1,2\nints ax 2,3\nPad y x,p,-,ax mode=reflect\noutput y",
           "- pad: {pad: [2, 1, 1, 2], mode: reflect}");
    expect(f, "Pad y x pads=0,0,0,3,0,0,0,0 mode=edge\noutput y", "- pad: {pad: [0, 3, 0, 0], mode: edge}");
    expect(f, "Pad y x pads=0,0,-1,0,0,0,1,-2\noutput y",
           "- slice: {rows: \"1:\", cols: \":6\"}  # y\n  - pad: {pad: [0, 0, 1, 0]}");
    expect(f, "Pad y x pads=0,0,70,0,0,0,0,0\noutput y", "- pad: {pad: [70, 0, 0, 0]}");
}

/* Shifted, padded with zeros, and shifted back. */
static void another_number_around_an_image_is_two_shifts(void **state)
{
    data_fixture *f = *state;
    static const char model[] = "number v 1.5\nints p 0,0,1,2,0,0,0,1\nRelu r x\nPad y r,p,v\noutput y";
    expect(f, model,
           "  - affine: {name: y, channels: no}  # y\n  - pad: {pad: [1, 2, 0, 1]}  # y\n  - affine: {name: y_3, "
           "channels: no}");
    expect_weights(f, model, "y.add", 1, (const float[]){-1.5f});
    expect_weights(f, model, "y_3.add", 1, (const float[]){1.5f});
    expect(f, "number v 2\nints p 0,0,1,1,0,0,1,1\nfloats w 4x2x3x3\nPad q x,p,v\nConv y q,w\noutput y",
           "  - pad: {pad: [1, 1, 1, 1]}");
}

static void what_has_no_such_layer_is_refused(void **state)
{
    data_fixture *f = *state;
    refuse(f, "ints s 0\nints e 1\nints ax 0\nSlice y x,s,e,ax\noutput y", "axes: 0: only channels, rows and columns");
    refuse(f, "ints s 5\nints e 3\nints ax 2\nSlice y x,s,e,ax\noutput y", "starts and ends leave nothing of 8");
    refuse(f, "ints s 5\nints e 3,4\nints ax 2\nSlice y x,s,e,ax\noutput y", "differ in length");
    refuse(f, "ints s 5\nints e 3\nints ax 2\nints st 0\nSlice y x,s,e,ax,st\noutput y", "steps: 0");
    refuse(f, "Flatten r x\nints s 0\nints e 4\nints ax 1\nSlice y r,s,e,ax\noutput y", "works on flattened images");
    refuse(f, "Split b,c x axis=0\nRelu y b\noutput y", "axis: 0: only channels, rows and columns");
    refuse(f, "Split b,c x axis=1 split=1,2\nRelu y b\noutput y", "split: its parts are not the whole, 2");
    refuse(f, "ints i 0,2\nGather y x,i axis=1\noutput y", "indices: 2: must be one of 2");
    refuse(f, "ints i 0\nGather y x,i axis=0\noutput y", "axis: 0: only channels, rows and columns");
    refuse(f, "Gather y x,x axis=1\noutput y", "indices: must be a known list of integers");
    refuse(f, "Pad y x pads=0,0,1,1,0,0,1,1 mode=mirror\noutput y", "mode: 'mirror' is not supported");
    refuse(f, "number v 1001\nints p 0,0,1,1,0,0,1,1\nPad y x,p,v\noutput y",
           "node 'y' (Pad): pads with 1001: must be in -1000..1000");
    refuse(f, "values v 1,2\nints p 0,0,1,1,0,0,1,1\nPad y x,p,v\noutput y", "constant_value: must be one number");
    refuse(f, "Pad y x pads=1,0,0,0,0,0,0,0\noutput y", "pads: 1 on axis 0: only channels, rows and columns");
    refuse(f, "Pad y x pads=0,0,1,1\noutput y", "pads: 4 numbers: must be 8");
    refuse(f, "Pad y x pads=0,0,-8,0,0,0,0,0\noutput y", "pads: cuts off all of 8");
    refuse(f, "Pad y x pads=0,1,0,0,0,0,0,0 mode=edge\noutput y", "mode: edge: not of channels");
}

ONNX_TESTS(ONNX_TEST(slices_are_written_as_python_does), ONNX_TEST(parts_of_a_split_are_slices),
           ONNX_TEST(gathers_are_slices_or_shuffles), ONNX_TEST(other_layouts_are_seen_through),
           ONNX_TEST(pads_wait_for_a_convolution_or_are_layers),
           ONNX_TEST(another_number_around_an_image_is_two_shifts), ONNX_TEST(what_has_no_such_layer_is_refused))

#endif
