/* test_export_size.c - flash and RAM of the exported C before training: the figures that its header states after it. */
#include "ref/data_fixture.h"
#include "ref/random_network.h"

#include "base/files.h"

#include <nibble/export.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NETWORKS = 24, STEPS = 3 };

static const char head[] = "data: {name: synth, height: 9, width: 7, channels: 3, classes: 4}\nmodel:\n  - input\n"
                           "  - conv2d: {name: c1, out: 6, kernel: 3, pad: 1, bias: no}\n  - batchnorm\n  - relu\n"
                           "  - conv2d: {name: dw, out: 6, kernel: 3, groups: 6}\n  - relu\n"
                           "  - resblock: {out: 10, stride: 2}\n  - linear: {name: fc, out: 4}\n";

/* What `#define NET_<name> <number>` says in net.h. */
static int64_t stated(data_fixture *f, const char *name)
{
    uint8_t *text;
    size_t len;
    char what[64];
    assert_int_equal(nb_file_read(f->ctx, data_fixture_path(f, "net.h"), 1 << 20, &text, &len), NB_OK);
    snprintf(what, sizeof what, "#define NET_%s ", name);
    const char *at = strstr((char *)text, what);
    assert_non_null(at);
    const int64_t v = strtoll(at + strlen(what), NULL, 10);
    nb_free(f->ctx, text);
    return v;
}

/* Of the trained network, whose export is written beside it. */
static nb_export_size after(data_fixture *f, nb_ctx *ctx, const nb_intmodel *m)
{
    const nb_exporter *c = nb_exporter_find("c");
    nb_export_size s;
    assert_int_equal(c->write(ctx, m, data_fixture_path(f, "net.c"), NULL), NB_OK);
    assert_int_equal(c->size(ctx, m, &s), NB_OK);
    assert_int_equal(s.flash_bytes, stated(f, "FLASH_BYTES"));
    assert_int_equal(s.ram_bytes, stated(f, "RAM_BYTES"));
    assert_true(s.settled);
    return s;
}

static nb_export_size before(ref_street *s)
{
    nb_export_size size;
    if (nb_export_size_before(s->ctx, &s->exp, nb_data_info(s->train), &size) != NB_OK)
        fail_msg("%s", nb_ctx_error(s->ctx));
    return size;
}

/* Trained networks whose batch norms turn channels around, switch them off, or leave next to nothing of them. */
static void random_networks_have_their_sizes_before_they_are_trained(void **state)
{
    data_fixture *f = *state;
    char *text = malloc(REF_NETWORK_BYTES);
    int32_t compared = 0;
    assert_non_null(text);
    for (int32_t seed = 0; seed < NETWORKS; seed++) {
        ref_street s;
        nb_intmodel *m = NULL;
        (seed % 2 ? ref_network_text_residual : ref_network_text)(seed, text);
        ref_network_open(seed, text, &s);
        const nb_export_size will = before(&s);
        if (will.settled && ref_network_integers(&s, &m) == NB_OK) {
            const nb_export_size is = after(f, s.ctx, m);
            assert_int_equal(will.flash_bytes, is.flash_bytes);
            assert_int_equal(will.ram_bytes, is.ram_bytes);
            assert_int_equal(will.macs, is.macs);
            compared++;
        }
        nb_intmodel_free(s.ctx, m);
        ref_street_close(&s);
    }
    assert_true(compared > NETWORKS / 3);
    free(text);
}

static void sizes(data_fixture *f, const char *quant, nb_export_size *will, nb_export_size *is)
{
    ref_street s;
    nb_intmodel *m;
    char text[2048];
    snprintf(text, sizeof text, "%squant: {%s}\n", head, quant);
    if (ref_street_open(&s, text, 8, REF_QUANTIZED) != NB_OK)
        fail_msg("%s: %s", quant, nb_ctx_error(s.ctx));
    *will = before(&s);
    ref_street_steps(&s, STEPS, 0.05f, false);
    ref_network_disturb(1, s.graph);
    assert_int_equal(nb_lower(s.graph, "", &m), NB_OK);
    *is = after(f, s.ctx, m);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

static void so_has_every_width_and_symmetric_format(void **state)
{
    static const char *const quants[] = {
        "weights: {bits: 2}, activations: {bits: 2}",
        "weights: {bits: 3}",
        "weights: {bits: 4}, first_last_bits: 0",
        "weights: {bits: 5}, first_last_bits: 0",
        "weights: {bits: 6, granularity: tensor}",
        "weights: {bits: 7}",
        "weights: {bits: 8}, batchnorm: fold",
        "weights: {bits: 8}, batchnorm: fold_corrected, output_bits: 8",
        "weights: {bits: 4, format: log}",
        "weights: {bits: 4, format: apot}",
        "weights: {bits: 4, format: fp4}",
        "weights: {bits: 2, format: ternary}",
        "weights: {bits: 1, format: binary}",
        "weights: {bits: 4, format: pow2, learn: tqt}, activations: {bits: 4, learn: lsq, scheme: unsigned}",
        "weights: {bits: 2, format: odd, learn: dorefa}, activations: {bits: 4, learn: pact, range: mean}",
        "weights: {bits: 8, range: mse}, activations: {range: percentile}"};
    for (size_t i = 0; i < sizeof quants / sizeof *quants; i++) {
        nb_export_size will, is;
        sizes(*state, quants[i], &will, &is);
        if (!will.settled || will.flash_bytes != is.flash_bytes || will.ram_bytes != is.ram_bytes)
            fail_msg("%s: flash %d, then %d; RAM %d, then %d", quants[i], (int)will.flash_bytes, (int)is.flash_bytes,
                     (int)will.ram_bytes, (int)is.ram_bytes);
    }
}

/* 40 channels have a low or a table of their own, or none has. */
static void a_grid_that_is_not_symmetric_is_said_not_to_be_settled(void **state)
{
    static const char *const quants[] = {"weights: {bits: 4, scheme: full}", "weights: {bits: 4, scheme: asymmetric}",
                                         "weights: {bits: 3, format: codebook}",
                                         "weights: {bits: 2, learn: ttq, granularity: tensor}"};
    for (size_t i = 0; i < sizeof quants / sizeof *quants; i++) {
        nb_export_size will, is;
        sizes(*state, quants[i], &will, &is);
        assert_false(will.settled);
        if (abs((int)(will.flash_bytes - is.flash_bytes)) > 40 * 8)
            fail_msg("%s: flash %d, then %d", quants[i], (int)will.flash_bytes, (int)is.flash_bytes);
    }
}

static void what_cannot_be_integers_has_no_size_but_a_reason(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"weights: {format: fp8_e4m3}", "simulated in floats"},
        {"weights: {granularity: full}", "simulated in floats"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ref_street s;
        nb_export_size size = {.flash_bytes = -7};
        char text[2048];
        snprintf(text, sizeof text, "%squant: {%s}\n", head, cases[i][0]);
        assert_int_equal(ref_street_open(&s, text, 8, REF_FLOAT), NB_OK);
        assert_int_equal(nb_export_size_before(s.ctx, &s.exp, nb_data_info(s.train), &size), NB_E_UNSUPPORTED);
        assert_non_null(strstr(nb_ctx_error(s.ctx), cases[i][1]));
        assert_int_equal(size.flash_bytes, -7);
        ref_street_close(&s);
    }
}

static void running_out_of_memory_anywhere_is_an_error(void **state)
{
    (void)state;
    ref_street s;
    nb_export_size size;
    char text[2048];
    snprintf(text, sizeof text, "%squant: {weights: {bits: 3}}\n", head);
    assert_int_equal(ref_street_open(&s, text, 8, REF_FLOAT), NB_OK);
    nb_status st = NB_E_NOMEM;
    for (int64_t n = 1; st == NB_E_NOMEM; n += n < 30 ? 1 : 11) {
        nb_ctx_fail_alloc_at(s.ctx, n);
        st = nb_export_size_before(s.ctx, &s.exp, nb_data_info(s.train), &size);
        assert_true(n < 10000);
    }
    nb_ctx_fail_alloc_at(s.ctx, 0);
    assert_int_equal(st, NB_OK);
    ref_street_close(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, data_fixture_setup, data_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_networks_have_their_sizes_before_they_are_trained),
        TEST(so_has_every_width_and_symmetric_format),
        TEST(a_grid_that_is_not_symmetric_is_said_not_to_be_settled),
        TEST(what_cannot_be_integers_has_no_size_but_a_reason),
        TEST(running_out_of_memory_anywhere_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
