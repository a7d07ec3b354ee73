/* test_onnx_float.c - a float network through ONNX and back: the same leaves, the same logits, bit for bit
 * (onnx_float.c). */
#include "ref/data_fixture.h"
#include "ref/foreign.h"

#include "base/rng.h"

#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

#    define MODEL                                                                                                      \
        "  - input: {mean: [0.1, 0.2, 0.3], std: 0.7}\n  - conv2d: {out: 6, kernel: 3, pad: 1, stride: 2, bias: no}\n" \
        "  - batchnorm: {eps: 0.001}\n  - relu: {name: r, cap: 3}\n"                                                   \
        "  - dwconv2d: {kernel: 3, pad: 2, dilation: 2, multiplier: 2}\n"                                              \
        "  - conv2d: {name: g, out: 6, kernel: 1, groups: 3}\n  - add: {name: s, in: [g, r]}\n"                        \
        "  - maxpool: {name: m, kernel: 3, stride: 1, pad: 1}\n  - concat: {in: [s, m]}\n  - avgpool: {kernel: 2}\n"   \
        "  - flatten\n  - batchnorm\n  - dropout\n  - linear: {out: 5, bias: no}\n  - relu\n  - linear: {name: fc, "   \
        "out: 4}\n"

#    define ACTIVATIONS                                                                                                \
        "  - input\n  - conv2d: {out: 6, kernel: 3, stride: 2, bias: no}\n  - affine\n  - sigmoid\n  - tanh\n"         \
        "  - hardsigmoid\n  - hardsigmoid: {alpha: 0.25, beta: 0.375}\n  - affine: {channels: no}\n  - silu\n"         \
        "  - silu: {alpha: 1.5}\n  - hardswish\n  - gelu\n  - gelu_tanh\n  - leakyrelu: {slope: 0.25}\n  - prelu\n"    \
        "  - elu\n  - prelu: {channels: no}\n  - celu: {alpha: 0.5}\n  - selu\n  - softplus\n  - mish\n  - softsign\n" \
        "  - erf\n  - abs\n  - clip: {low: 0.1, high: 0.9}\n  - exp\n"                                                 \
        "  - log: {floor: 0.5}\n  - pow\n  - pow: {power: 1.5}\n  - avgpool: {global: yes}\n  - affine\n  - prelu\n  " \
        "- linear: {name: fc, out: 4}\n"

/* Logits are an image of 2x1 pixels. */
#    define IMAGE "  - input\n  - conv2d: {out: 3, kernel: 3}\n  - relu\n  - conv2d: {out: 2, kernel: [8, 9]}\n"

enum { SIDE = 11, IMAGES = 3, CLASSES = 4 };

/* Everything a value of its own; variances above 0. */
static void fill(nb_graph *g)
{
    nb_rng rng = nb_rng_make(5, 0);
    for (int32_t i = 0; i < g->n; i++)
        if (g->node[i]->flags & (NB_NODE_PARAM | NB_NODE_BUFFER))
            for (int64_t k = 0, n = nb_count(&g->node[i]->out); k < n; k++)
                ((float *)g->node[i]->out.data)[k] = 0.1f + nb_rng_uniform(&rng);
}

static void assert_same_leaves(const nb_graph *a, const nb_graph *b, int32_t count)
{
    int32_t leaves = 0;
    for (int32_t i = 0; i < a->n; i++) {
        const nb_node *x = a->node[i], *y = nb_graph_find(b, x->name);
        if (!(x->flags & (NB_NODE_PARAM | NB_NODE_BUFFER)))
            continue;
        if (!y)
            fail_msg("%s is lost", x->name);
        assert_true(nb_shape_equal(&x->out.shape, &y->out.shape));
        assert_memory_equal(x->out.data, y->out.data, (size_t)nb_count(&x->out) * sizeof(float));
        leaves++;
    }
    assert_int_equal(leaves, count);
}

static void assert_same_logits(nb_graph *a, nb_graph *b)
{
    uint8_t pixels[IMAGES * SIDE * SIDE * 3];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37 + i / 7);
    nb_graph *both[2] = {a, b};
    for (int32_t i = 0; i < 2; i++) {
        assert_int_equal(nb_graph_freeze(both[i], NB_PLAN_INFER), NB_OK);
        nb_graph_set_batch(both[i], IMAGES);
        nb_forward(both[i], &(nb_run){.pixels = pixels});
    }
    assert_memory_equal(nb_graph_logits(a), nb_graph_logits(b), IMAGES * CLASSES * sizeof(float));
}

static void round_trip(data_fixture *f, const char *model, int32_t leaves)
{
    ref_foreign net, again = {0};
    nb_onnx *o;
    char *text;
    const char *path = data_fixture_path(f, "net.onnx");
    ref_foreign_open(&net, model, SIDE, SIDE, 3, CLASSES);
    fill(net.g);
    assert_int_equal(nb_exporter_find("onnx")->write_float(net.ctx, net.g, path), NB_OK);
    if (nb_onnx_open(f->ctx, path, &o) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    nb_dsinfo info = *nb_onnx_info(o);
    assert_int_equal(info.h, SIDE);
    if (leaves == 16)
        assert_true(info.mean[2] == 0.3f && info.std[0] == 0.7f && info.std[2] == 0.7f);
    const nb_onnx_config_options options = {
        .data = "{name: synth}", .init = "i", .out = "o", .mean = info.mean, .std = info.std};
    assert_int_equal(nb_onnx_config(o, &options, &text), NB_OK);
    again.ctx = f->ctx;
    assert_int_equal(nb_config_parse(f->ctx, "made", text, strlen(text), NULL, 0, &again.cfg), NB_OK);
    assert_int_equal(nb_experiment_bind(f->ctx, again.cfg, &again.exp), NB_OK);
    if (nb_model_build(f->ctx, &again.exp, &info, 8, &again.g) != NB_OK || nb_onnx_fill(o, again.g) != NB_OK)
        fail_msg("%s\n%s", nb_ctx_error(f->ctx), text);
    assert_same_leaves(net.g, again.g, leaves);
    assert_same_logits(net.g, again.g);
    nb_graph_free(again.g);
    nb_config_free(f->ctx, again.cfg);
    nb_free(f->ctx, text);
    nb_onnx_free(o);
    ref_foreign_close(&net);
}

static void a_float_network_comes_back_bit_for_bit(void **state)
{
    round_trip(*state, MODEL, 16);
    round_trip(*state, ACTIVATIONS, 12);
    round_trip(*state, IMAGE, 4);
}

#else

static void a_float_network_comes_back_bit_for_bit(void **state)
{
    data_fixture *f = *state;
    assert_int_equal(nb_exporter_find("onnx")->write_float(f->ctx, NULL, ""), NB_E_UNSUPPORTED);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_float_network_comes_back_bit_for_bit, data_fixture_setup,
                                        data_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
