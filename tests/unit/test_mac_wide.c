/* test_mac_wide.c - wide layers, whose float passes go to OpenBLAS: values and gradients against plain loops in double,
 * on floats and on codes; the same bits on any number of threads, and fused or node by node. Without BLAS the same
 * layers run on our own kernels, and the same holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/float/fblas.h"
#include "ref/node_check.h"
#include "ref/small_model.h"

#include <nibble/extend/fusion.h>
#include <nibble/extend/quant.h>

static nb_ctx *ctx;

static int setup(void **state)
{
    (void)state;
    nb_set_threads(1);
    nb_cpu_limit(nb_fblas_width() == 8 ? NB_CPU_AVX2
                                       : UINT32_MAX); /* instructions of equal width: OpenBLAS is chosen */
    ctx = nb_ctx_create();
    return ctx ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    nb_cpu_limit(UINT32_MAX);
    nb_ctx_destroy(ctx);
    return 0;
}

#define assert_ok(e)                                                                                                   \
    do {                                                                                                               \
        if ((e) != NB_OK)                                                                                              \
            fail_msg("%s", nb_ctx_error(ctx));                                                                         \
    } while (0)

/* "x" reads 96 channels of 7 x 6 pixels, or 48 * 42 = 2016 values. */
static const struct {
    const char *text;
    int32_t batch; /* 256 output pixels at least */
} layers[] = {
    {"conv2d: {name: x, out: 80, kernel: 3, pad: 1}", 7},
    {"conv2d: {name: x, out: 82, kernel: 3, pad: 2, dilation: 2}", 8},
    {"conv2d: {name: x, out: 80, kernel: 3, pad: 1, stride: 2, bias: no}", 22},
    {"conv2d: {name: x, out: 192, kernel: 1, bias: no}", 17},
    {"conv2d: {name: x, out: 192, kernel: 1, bias: no}", 60}, /* more output gradients than a tap keeps at once */
    {"linear: {name: x, out: 72}", 19}};
enum { LAYERS = sizeof layers / sizeof *layers };

static void build(small_model *m, int32_t i, bool fused)
{
    char text[512];
    const char *layer = layers[i].text;
    snprintf(text, sizeof text,
             "model:\n- input\n- conv2d: {name: pre, kernel: 3, pad: 1, out: %d}\n- %s\n%s- linear: {out: %d}\n",
             layer[0] == 'l' ? 48 : 96, layer, layer[0] == 'l' ? "" : "- batchnorm\n- relu\n", SMALL_CLASSES);
    assert_ok(small_model_build(m, ctx, text, layers[i].batch));
    if (fused)
        m->g->fusions = nb_fusions;
}

/* codes: bit k quantizes input k. */
static void check_layer(int32_t i, int32_t codes)
{
    small_model m;
    node_error e;
    build(&m, i, false);
    nb_node *x = nb_graph_find(m.g, "x");
    for (int32_t k = 0; k < 2; k++)
        if (codes >> k & 1)
            assert_ok(small_model_codes(m.g, x, k));
    m.g->compute = NB_COMPUTE_F32;
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_forward(m.g, &m.run);
    assert_true(node_check(m.g, x, &m.run, codes ? 1 : 2, &e));
    if (e.forward > 2e-6 || e.backward > 2e-5)
        fail_msg("%s, codes %d: forward %g, backward %g", layers[i].text, codes, e.forward, e.backward);
    small_model_free(&m);
}

static void wide_layers_equal_plain_loops_forward_and_backward(void **state)
{
    (void)state;
    for (int32_t i = 0; i < LAYERS; i++)
        if (layers[i].batch < 60)
            check_layer(i, 0);
}

static void wide_layers_read_codes_as_the_real_numbers_they_stand_for(void **state)
{
    (void)state;
    for (int32_t i = 0; i < LAYERS; i++)
        for (int32_t codes = 1; codes < 4; codes++)
            if (layers[i].batch < 60 &&
                (codes < 3 || strstr(layers[i].text, "bias"))) /* one on integers is rounded: test_layers_codes.c */
                check_layer(i, codes);
}

static uint64_t step_digest(int32_t layer, int32_t threads, bool fused, int32_t batch)
{
    small_model m;
    uint64_t digest = 0;
    nb_set_threads(threads);
    build(&m, layer, fused);
    assert_ok(nb_graph_freeze(m.g, NB_PLAN_TRAIN));
    nb_graph_set_batch(m.g, batch);
    nb_forward(m.g, &m.run);
    nb_backward(m.g, &m.run);
    for (int32_t i = 0; i < m.g->n; i++) {
        const nb_tensor *t = &m.g->node[i]->out;
        for (int64_t k = 0; (m.g->node[i]->flags & NB_NODE_PARAM) && t->grad && k < nb_count(t); k++) {
            uint32_t bits;
            memcpy(&bits, t->grad + k, sizeof bits);
            digest = nb_mix(digest, bits);
        }
    }
    small_model_free(&m);
    nb_set_threads(1);
    return digest;
}

static void wide_layers_give_the_same_bits_on_any_number_of_threads_fused_or_not(void **state)
{
    (void)state;
    for (int32_t i = 0; i < LAYERS; i++)
        for (int32_t batch = layers[i].batch; batch > 0;
             batch -= batch > 30 ? 45 : 11) { /* whole and short groups of images */
            const uint64_t want = step_digest(i, 1, false, batch);
            for (int32_t threads = 1; threads <= 4; threads += 3)
                if (step_digest(i, threads, true, batch) != want)
                    fail_msg("%s, batch %d: other bits on %d threads", layers[i].text, batch, threads);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_layers_equal_plain_loops_forward_and_backward),
        cmocka_unit_test(wide_layers_read_codes_as_the_real_numbers_they_stand_for),
        cmocka_unit_test(wide_layers_give_the_same_bits_on_any_number_of_threads_fused_or_not),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
