/* test_qnet.c - quantized ONNX files back into integers: ours with every bit, others refused with node and reason. */
#include "ref/data_fixture.h"
#include "ref/onnx_case.h"
#include "ref/random_network.h"
#include "ref/tiny_int.h"

#include "base/files.h"
#include "engine/engine_check.h"

#include <nibble/export.h>
#include <nibble/import.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#ifdef NB_ONNX

enum { IMAGES = 20, MOST_CLASSES = 64 };

static void fill_pixels(uint8_t *pixels, int64_t n, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (uint8_t)(seed >> 24);
    }
}

static void assert_same_logits(nb_ctx *ctx, const nb_intmodel *a, const nb_intmodel *b)
{
    const int64_t values = nb_etensor_values(&a->e.tensors[nb_intmodel_input(a)]);
    uint8_t *pixels = test_malloc((size_t)values);
    float want[MOST_CLASSES], got[MOST_CLASSES];
    assert_int_equal(a->classes, b->classes);
    assert_true(a->classes <= MOST_CLASSES);
    for (uint32_t i = 0; i < IMAGES; i++) {
        fill_pixels(pixels, values, i);
        assert_int_equal(nb_intmodel_logits(ctx, a, pixels, want), NB_OK);
        assert_int_equal(nb_intmodel_logits(ctx, b, pixels, got), NB_OK);
        assert_memory_equal(got, want, (size_t)a->classes * sizeof *want);
    }
    test_free(pixels);
}

static bool comes_back(data_fixture *f, nb_ctx *ctx, const nb_intmodel *m, nb_onnx_form form)
{
    const char *path = data_fixture_path(f, "net.onnx");
    nb_intmodel *back = NULL;
    assert_int_equal(nb_exporter_find("onnx")->write(ctx, m, path, &(nb_export_options){.onnx_form = form}), NB_OK);
    const nb_status st = nb_onnx_integers(ctx, path, NULL, &back);
    if (st == NB_OK)
        assert_same_logits(ctx, m, back);
    else if (st != NB_E_UNSUPPORTED || !strstr(nb_ctx_error(ctx), "node '"))
        fail_msg("%s", nb_ctx_error(ctx));
    nb_intmodel_free(ctx, back);
    return st == NB_OK;
}

static void random_networks_come_back_with_the_same_logits(void **state)
{
    data_fixture *f = *state;
    int32_t back = 0, refused = 0;
    for (int32_t seed = 0; seed < 24; seed++) {
        char text[REF_NETWORK_BYTES];
        ref_street s;
        nb_intmodel *m = NULL;
        ref_network_text(seed, text);
        ref_network_open(seed, text, &s);
        if (ref_network_integers(&s, &m) == NB_OK)
            for (int32_t form = 0; form < 2; form++)
                *(comes_back(f, s.ctx, m, (nb_onnx_form)form) ? &back : &refused) += 1;
        nb_intmodel_free(s.ctx, m);
        ref_street_close(&s);
    }
    if (back < 6) /* most have layers that only move values, which do not come back */
        fail_msg("%d come back, %d are refused", back, refused);
}

static void assert_refused(data_fixture *f, const char *text, const char *why)
{
    nb_intmodel *m;
    ref_onnx_write(f->ctx, data_fixture_path(f, "bad.onnx"), 1, 4, 4, text);
    assert_int_equal(nb_onnx_integers(f->ctx, data_fixture_path(f, "bad.onnx"), NULL, &m), NB_E_UNSUPPORTED);
    if (!strstr(nb_ctx_error(f->ctx), why))
        fail_msg("%s", nb_ctx_error(f->ctx));
}

static void what_integers_cannot_hold_is_refused_by_node_and_reason(void **state)
{
    data_fixture *f = *state;
    assert_refused(f, "Sigmoid y x\noutput y\n", "node 'y' (Sigmoid): integers have no such operator");
    assert_refused(f, "number s 0.5\nQuantizeLinear y x,s\noutput y\n",
                   "its images are normalised floats, and the file does not say how: --mean and --std do");
    assert_refused(f, "number s 0\nQuantizeLinear y x,s\noutput y\n", "scale: 0: must be positive");
    assert_refused(f, "values s 1,2\nQuantizeLinear y x,s\noutput y\n", "activations have one scale");
    assert_refused(f, "floats w 2x1x3x3\nConv y x,w\noutput y\n", "input 0 must come from the images, quantized");
    assert_refused(f, "Identity y x\noutput y\n", "its output does not come from quantized images");
}

/* 100 is code 39 of scale 0.01; 0.39 * 0.39 is code 152 of scale 0.001. */
static void operators_with_the_scale_of_their_output_are_one_step_each(void **state)
{
    data_fixture *f = *state;
    const float mean[1] = {0}, std[1] = {1};
    const nb_onnx_integers_options options = {.mean = mean, .std = std};
    const char *path = data_fixture_path(f, "linear.onnx");
    uint8_t pixels[16];
    float logits[8];
    nb_intmodel *m;
    ref_onnx_write(f->ctx, path, 1, 4, 4,
                   "number s 0.01\nnumber t 0.001\nQuantizeLinear q x,s\nQLinearConcat c s,-,q,s,-,q,s,- axis=1\n"
                   "QLinearAveragePool p c,s,-,s,- kernel_shape=2,2 strides=2,2\nQLinearMul m p,s,-,p,s,-,t,-\n"
                   "DequantizeLinear y m,t\noutput y\n");
    if (nb_onnx_integers(f->ctx, path, &options, &m) != NB_OK)
        fail_msg("%s", nb_ctx_error(f->ctx));
    assert_int_equal(m->e.n_steps, 4);
    assert_int_equal(m->classes, 8);
    memset(pixels, 100, sizeof pixels);
    assert_int_equal(nb_intmodel_logits(f->ctx, m, pixels, logits), NB_OK);
    for (int32_t i = 0; i < 8; i++)
        assert_float_equal(logits[i], 0.152f, 1e-6);
    nb_intmodel_free(f->ctx, m);
    ref_onnx_write(f->ctx, path, 1, 4, 4,
                   "number s 0.01\nnumber t 0.02\nQuantizeLinear q x,s\nQLinearConcat c s,-,q,t,-\noutput c\n");
    assert_int_equal(nb_onnx_integers(f->ctx, path, &options, &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "scale 0.02 and zero point 0 are not those 'q' was made with"));
    ref_onnx_write(f->ctx, path, 1, 4, 4, "number s 0.01\nQuantizeLinear q x,s\nQLinearConcat c s,-,q,s\noutput c\n");
    assert_int_equal(nb_onnx_integers(f->ctx, path, &options, &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "must join 1 to 8 values, each with scale and zero point"));
    ref_onnx_write(
        f->ctx, path, 1, 4, 4,
        "number s 0.01\nQuantizeLinear q x,s\nQLinearGlobalAveragePool c q,s,-,s,- channels_last=1\noutput c\n");
    assert_int_equal(nb_onnx_integers(f->ctx, path, &options, &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(f->ctx), "channels_last: must be 0"));
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    data_fixture *f = *state;
    nb_intmodel *m, *back = NULL;
    const char *path = data_fixture_path(f, "mem.onnx");
    assert_int_equal(ref_tiny_model(f->ctx, 4, &m), NB_OK);
    assert_int_equal(nb_exporter_find("onnx")->write(f->ctx, m, path, NULL), NB_OK);
    nb_intmodel_free(f->ctx, m);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st == NB_E_NOMEM || st == NB_E_FORMAT; n++) { /* protobuf-c does not say why it cannot unpack */
        nb_ctx_fail_alloc_at(f->ctx, n);
        st = nb_onnx_integers(f->ctx, path, NULL, &back);
        assert_true(n < 3000);
    }
    nb_ctx_fail_alloc_at(f->ctx, 0);
    if (st == NB_OK)
        nb_intmodel_free(f->ctx, back);
    assert_true(st == NB_OK || st == NB_E_UNSUPPORTED); /* its scales do not say its multipliers */
}

#    define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)
static const struct CMUnitTest tests[] = {
    TEST(random_networks_come_back_with_the_same_logits),
    TEST(what_integers_cannot_hold_is_refused_by_node_and_reason),
    TEST(operators_with_the_scale_of_their_output_are_one_step_each),
    TEST(running_out_of_memory_anywhere_is_an_error),
};

#else

static void without_onnx_the_sentence_says_what_to_install(void **state)
{
    (void)state;
    nb_ctx *ctx = nb_ctx_create();
    nb_intmodel *m;
    assert_int_equal(nb_onnx_integers_parse(ctx, "x.onnx", (const uint8_t *)"", 0, NULL, &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(ctx), "install libprotobuf-c-dev"));
    nb_ctx_destroy(ctx);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(without_onnx_the_sentence_says_what_to_install)};

#endif

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
