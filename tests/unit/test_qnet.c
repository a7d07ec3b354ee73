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
#include <stdio.h>
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
    else
        print_message("%s\n", nb_ctx_error(ctx));
    nb_intmodel_free(ctx, back);
    return st == NB_OK;
}

static void random_networks_come_back_with_the_same_logits(void **state)
{
    data_fixture *f = *state;
    int32_t back = 0, refused = 0;
    for (int32_t seed = 0; seed < 30; seed++) {
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
    if (refused)
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

#    define CODES "number s 0.01\nQuantizeLinear q x,s\n"

static nb_status read_codes(data_fixture *f, const char *text, nb_intmodel **m)
{
    static const float mean[1] = {0}, std[1] = {1};
    const char *path = data_fixture_path(f, "moves.onnx");
    ref_onnx_write(f->ctx, path, 1, 4, 4, text);
    return nb_onnx_integers(f->ctx, path, &(nb_onnx_integers_options){.mean = mean, .std = std}, m);
}

/* Between float nodes, as quantize_static writes them, and on codes. A zero stands above row 3, its columns are 3, 1, 1. */
static void images_are_cut_padded_and_picked(void **state)
{
    data_fixture *f = *state;
    static const char *const texts[] = {CODES "DequantizeLinear r q,s\nints p 0,0,1,0,0,0,0,0\nPad t "
                                              "r,p\nQuantizeLinear u t,s\nDequantizeLinear v u,s\nints a 0\nints b 8\n"
                                              "ints ax 2\nints st 4\nSlice w v,a,b,ax,st\nints i 3,1,-3\nGather z w,i "
                                              "axis=3\nQuantizeLinear o z,s\nDequantizeLinear y o,s\noutput y\n",
                                        CODES "ints p 0,0,1,0,0,0,0,0\nPad t q,p\nints a -1\nints b -9\nints ax "
                                              "2\nints st -4\nSlice w t,a,b,ax,st\nints r 1,0\nGather o w,r axis=2\n"
                                              "ints i 3,1,1\nGather z o,i axis=3\nDequantizeLinear y z,s\noutput y\n"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        nb_intmodel *m;
        uint8_t pixels[16];
        float logits[6];
        for (int32_t i = 0; i < 16; i++)
            pixels[i] = (uint8_t)(10 * i);
        if (read_codes(f, texts[k], &m) != NB_OK)
            fail_msg("%s", nb_ctx_error(f->ctx));
        assert_int_equal(m->classes, 6);
        assert_int_equal(nb_intmodel_logits(f->ctx, m, pixels, logits), NB_OK);
        static const float want[6] = {0, 0, 0, 150.0f / 255, 130.0f / 255, 130.0f / 255};
        for (int32_t i = 0; i < 6; i++)
            assert_true(logits[i] >= want[i] - 0.00501f && logits[i] <= want[i] + 0.00501f);
        nb_intmodel_free(f->ctx, m);
    }
}

static void moves_that_integers_do_not_make_are_named(void **state)
{
    data_fixture *f = *state;
    static const char *const cases[][2] = {
        {"ints p 1,0,0,0,0,0,0,0\nPad y q,p\noutput y", "node 'y' (Pad): pads: of the images themselves"},
        {"ints p 0,0,-1,0,0,0,0,0\nPad y q,p\noutput y", "pads: -1 and 0: must be in 0..16384"},
        {"ints p 0,0,1,0\nPad y q,p\noutput y", "pads: must be 8 numbers, and no axes"},
        {"ints p 0,0,1,0,0,0,0,0\nnumber v 7\nPad y q,p,v\noutput y", "pads with 7: must be the zero point, 0"},
        {"ints p 0,0,1,0,0,0,0,0\nPad y q,p mode=edge\noutput y", "mode: must be constant"},
        {"ints a 0\nints b 1\nints x0 0\nSlice y q,a,b,x0\noutput y", "axes: of the images themselves"},
        {"ints a 3\nints b 1\nints x2 2\nSlice y q,a,b,x2\noutput y",
         "gives 0 rows, columns or channels: must be 1..16384"},
        {"ints a 3\nints b 1,2\nSlice y q,a,b\noutput y", "differ in length"},
        {"ints a 0\nints b 1\nints x9 9\nSlice y q,a,b,x9\noutput y", "axis 9: must be in -4..3"},
        {"ints a 0\nints b 1\nints x2 2\nints st 0\nSlice y q,a,b,x2,st\noutput y", "steps: 0"},
        {"ints i 0,4\nGather y q,i axis=2\noutput y", "indices: 4: must be one of 4"},
        {"ints i 0\nGather y q,i axis=0\noutput y", "indices must be a list, of channels, rows or columns"},
        {"values t 1,2\nGather y t,q\noutput y", "a table has 256 codes for all channels, or for each"},
        {"ints m 5\nAdd e q,m\nvalues t 1,2\nGather y t,e\noutput y", "begin elsewhere than a table does"},
        {"floats w 2x4\nMatMul y w,q\noutput y", "is no mixture of pixels as our exporter writes it"},
        {"number n 2\nDiv y q,n\noutput y", "node 'y' (Div): integers have no such operator"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        nb_intmodel *m;
        snprintf(text, sizeof text, CODES "%s", cases[i][0]);
        const nb_status st = read_codes(f, text, &m);
        if (st == NB_OK || !strstr(nb_ctx_error(f->ctx), cases[i][1]))
            fail_msg("%s\n%d: %s\nwant: %s", text, (int)st, nb_ctx_error(f->ctx), cases[i][1]);
    }
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
    TEST(images_are_cut_padded_and_picked),
    TEST(moves_that_integers_do_not_make_are_named),
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
