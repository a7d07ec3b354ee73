/* test_onnx_net.c - the walk over an ONNX graph: names, order, unknown operators (onnx_net.c, onnx_attrs.c,
 * onnx_window.c, onnx_config.c). */
#include "operator_case.h"

#include <stdio.h>

#ifdef NB_ONNX

#    define CONV "floats w 4x2x3x3\nConv c x,w\n"

static void what_is_not_supported_is_named_with_its_node(void **state)
{
    data_fixture *f = *state;
    refuse(f, "Cos y x\noutput y",
           "m.onnx: node 'y' (Cos): the operator is not supported; `nibble import --help` lists those that are");
    refuse(f, "LayerNormalization y x\noutput y",
           "is not supported, the closest by name is BatchNormalization; `nibble");
    refuse(f, "number s 1\nQuantizeLinear y x,s\noutput y",
           "node 'y' (QuantizeLinear): the network is quantized already");
    refuse(f, "Relu y x alpha=1\noutput y", "attribute 'alpha' is not supported");
}

static void a_name_is_given_before_it_is_read_and_once(void **state)
{
    data_fixture *f = *state;
    refuse(f, "Relu y z\nRelu z x\noutput y", "node 'y' (Relu): reads 'z', which no node before it gives");
    refuse(f, "Relu y y\noutput y", "reads 'y', which no node before it gives");
    refuse(f, "Relu y x\nRelu y x\noutput y", "its output 'y' is given twice");
    refuse(f, "floats w 2\nfloats w 2\nRelu y x\noutput y", "initializer 'w' is there twice");
    refuse(f, "floats x 2\nRelu y x\noutput y", "has 0 inputs; import takes networks of one");
    refuse(f, "Relu y -\noutput y", "input 0 is missing");
    refuse(f, "Relu z x\noutput y", "output 'y' does not come from a layer");
    refuse(f, "Relu y x", "has 0 outputs");
    refuse(f, "Relu y x\noutput y\noutput x", "has 2 outputs; import takes networks of one");
    refuse(f, "Identity y x\noutput y", "cannot be logits");
}

static void a_layer_is_named_where_somebody_reads_it_from_afar(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 4x2x3x3\nConv relu7 x,w\nRelu a relu7\nAdd y relu7,a\noutput y",
           "  - conv2d: {name: relu7_, out: 4, kernel: 3, bias: no}  # relu7\n  - relu: {name: a}  # a\n  - add: {in: "
           "[relu7_, a]}");
    expect(f, "floats w 4x2x3x3\nConv /l/l.0/c/Conv x,w\nRelu y /l/l.0/c/Conv\noutput y", "name: l.0.c, out");
    expect(f, "floats w 4x2x3x3\nConv a x,w\nConv dead x,w\nRelu y a\noutput y",
           "  - conv2d: {name: a, out: 4, kernel: 3, bias: no}  # a\n  - relu  # y");
    expect(f, "floats w 2x2x1x1\nConv a x,w\nAdd y a,x\noutput y", "- input: {name: input1}");
}

/* Trying every number from 2 on, against every layer, took a minute. */
static void thousands_of_layers_may_want_one_name(void **state)
{
    enum { LAYERS = 3000, LINE = 24 };
    static const char odd[] = "!#$%&()*+;<>?@[]^{|}~"; /* all become '_' */
    const int32_t n = (int32_t)strlen(odd);
    data_fixture *f = *state;
    char *text = test_malloc((LAYERS + 2) * LINE), before[8] = "x";
    size_t at = 0;
    for (int32_t i = 0; i < LAYERS; i++) {
        const char name[] = {'v', odd[i / n / n], odd[i / n % n], odd[i % n], '\0'};
        at += (size_t)sprintf(text + at, "Relu %s %s\n", name, before);
        memcpy(before, name, sizeof name);
    }
    sprintf(text + at, "Add y %s,v!!!\noutput y", before);
    expect(f, text, "add: {in: [v____3000, v___]}");
    test_free(text);
}

static void an_output_like_the_input_is_an_autoencoder(void **state)
{
    data_fixture *f = *state;
    expect(f, "floats w 2x2x3x3\nConv y x,w pads=1,1,1,1\noutput y", "# y\n  - mse ");
    expect(f, "floats w 2x2x3x3\nConv y x,w\noutput y", "# y\n\nquant:");
    expect(f, "floats w 3x2x3x3\nConv y x,w pads=1,1,1,1\noutput y", "# y\n\nquant:");
    expect(f, "floats w 2x2x3x3\nConv c x,w pads=1,1,1,1\nFlatten y c\noutput y", "\n\nquant:");
    expect(f, "input 1,2,2\nfloats w 4x4\nFlatten r x\nGemm y r,w\noutput y", "# y\n\nquant:");
    expect(f, "input 4\nfloats w 4x4\nGemm y x,w\noutput y", "# y\n  - mse ");
    expect(f, "input 4\nfloats w 4x4\nGemm g x,w\nSoftmax y g\noutput y", "# g\n\nquant:");
}

static void an_output_that_is_an_image_is_said_to_be_taken_for_logits(void **state)
{
    data_fixture *f = *state;
    expect_note(f, "floats w 4x2x3x3\nConv y x,w\noutput y", "# y\n\nquant:",
                "m.onnx: output 'y' is an image of 4x6x6 (channels, rows, columns): all its 144 values are taken for "
                "the logits");
    expect_note(f, "floats w 4x2x8x8\nConv y x,w\noutput y", "# y\n\nquant:", "");
    expect_note(f, "floats w 2x2x3x3\nConv y x,w pads=1,1,1,1\noutput y", "  - mse ", "");
}

/* Where it ends in no convolution or linear layer. */
static void the_config_closes_an_output_that_would_stay_open(void **state)
{
    data_fixture *f = *state;
    expect(f, CONV "Sigmoid y c\noutput y", "  output_bits: 8 ");
    expect(f, CONV "Sigmoid s c\nRelu y s\noutput y", "  output_bits: 8 ");
    expect(f, CONV "Conv d x,w\nAdd y c,d\noutput y", "  output_bits: 8 ");
    expect(f, CONV "Relu y c\noutput y", "# an avgpool's output has a grid of its own\n\ntrain:");
    expect(f, CONV "Sigmoid s c\nGlobalAveragePool y s\noutput y",
           "# an avgpool's output has a grid of its own\n\ntrain:");
}

static void more_layers_than_a_config_holds_are_refused_by_the_models_name(void **state)
{
    enum { LAYERS = 14000, LINE = 24 };
    data_fixture *f = *state;
    const char *path = data_fixture_path(f, "m.onnx");
    char *text = test_malloc((LAYERS + 4) * LINE), *config = NULL;
    size_t at = (size_t)sprintf(text, "floats w 2x2x1x1\n");
    for (int32_t i = 0; i < LAYERS; i++)
        at +=
            i ? (size_t)sprintf(text + at, "Conv v%d v%d,w\n", i, i - 1) : (size_t)sprintf(text + at, "Conv v0 x,w\n");
    sprintf(text + at, "output v%d", LAYERS - 1);
    ref_onnx_write(f->ctx, path, 2, 8, 8, text);
    nb_onnx *o;
    assert_int_equal(nb_onnx_open(f->ctx, path, &o), NB_OK);
    const nb_onnx_config_options options = {.data = "{name: synth}", .init = "i", .out = "o"};
    assert_int_equal(nb_onnx_config(o, &options, &config), NB_E_UNSUPPORTED);
    assert_non_null(
        strstr(nb_ctx_error(f->ctx), "m.onnx: becomes 14000 layers, which are more than a config can hold"));
    nb_onnx_free(o);
    test_free(text);
}

ONNX_TESTS(ONNX_TEST(what_is_not_supported_is_named_with_its_node),
           ONNX_TEST(a_name_is_given_before_it_is_read_and_once), ONNX_TEST(thousands_of_layers_may_want_one_name),
           ONNX_TEST(an_output_like_the_input_is_an_autoencoder),
           ONNX_TEST(an_output_that_is_an_image_is_said_to_be_taken_for_logits),
           ONNX_TEST(the_config_closes_an_output_that_would_stay_open),
           ONNX_TEST(more_layers_than_a_config_holds_are_refused_by_the_models_name),
           ONNX_TEST(a_layer_is_named_where_somebody_reads_it_from_afar))

#endif
