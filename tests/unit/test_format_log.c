/* test_format_log.c - the levels, their codes in a graph, ranges on them, and what a config may ask for. */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void levels_are_zero_and_powers_of_two(void **state)
{
    (void)state;
    static const int8_t four[] = {-64, -32, -16, -8, -4, -2, -1, 0, 1, 2, 4, 8, 16, 32, 64};
    static const int8_t three[] = {-4, -2, -1, 0, 1, 2, 4}, two[] = {-1, 0, 1};
    const nb_format *f = nb_registry_find(nb_formats, "log");
    int8_t level[256];
    assert_int_equal(f->levels(NULL, 4, level), 15);
    assert_memory_equal(level, four, sizeof four);
    assert_int_equal(f->levels(NULL, 3, level), 7);
    assert_memory_equal(level, three, sizeof three);
    assert_int_equal(f->levels(NULL, 2, level), 3);
    assert_memory_equal(level, two, sizeof two);
}

static void a_grid_of_levels_reaches_to_the_largest(void **state)
{
    (void)state;
    int8_t level[256];
    float scale;
    int32_t zero;
    const nb_grid g = nb_grid_of(nb_registry_find(nb_formats, "log"), NULL, 4, NB_SCHEME_SYMMETRIC, true, level);
    assert_true(g.lo == -64 && g.hi == 64 && g.bits == 4 && g.n_levels == 15);
    nb_params_cover(&g, -1, 2, &scale, &zero);
    assert_true(scale == 2.0f / 64 && zero == 0);
}

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3}, relu, conv2d: {name: d, out: 6, kernel: 3}, batchnorm, "     \
    "relu,\n"                                                                                                          \
    "  avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"                                                          \
    "quant: {first_last_bits: %d, weights: {bits: %d, format: log, granularity: %s, range: %s, learn: %s}}\n"

static nb_status open_net(ref_street *s, int32_t first_last, int32_t bits, const char *how)
{
    char text[1024], granularity[16], range[16], learn[16];
    assert_int_equal(sscanf(how, "%15s %15s %15s", granularity, range, learn), 3);
    snprintf(text, sizeof text, NET, first_last, bits, granularity, range, learn);
    return ref_street_open(s, text, 8, REF_QUANTIZED);
}

static double error_of(const nb_node *fq)
{
    const float *w = fq->in[0]->out.data;
    const int64_t n = nb_count(&fq->out), per = n / fq->out.q->n;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += pow((double)w[i] - (double)fq->out.q->scale[i / per] * ((const int8_t *)fq->out.data)[i], 2);
    return sum;
}

static void weights_in_a_graph_are_levels_and_mse_ranges_are_better(void **state)
{
    (void)state;
    static const char *const how[] = {"channel minmax none", "tensor minmax none", "channel mse none",
                                      "tensor mse none",     "channel minmax lsq", "tensor mse lsq"};
    double error[6];
    for (int32_t k = 0; k < 6; k++) {
        ref_street s;
        assert_int_equal(open_net(&s, 0, 3, how[k]), NB_OK);
        ref_street_steps(&s, 3, k < 4 ? 0 : 0.05f, false);
        const nb_node *fq = nb_graph_find(s.graph, "d.weight.fq");
        const nb_qparams *q = fq->out.q;
        assert_true(q->level && q->n_levels == 7 && q->bits == 3 && q->lo == -4 && q->hi == 4);
        int32_t seen[256] = {0};
        for (int64_t i = 0; i < nb_count(&fq->out); i++)
            seen[((const int8_t *)fq->out.data)[i] + 128]++;
        for (int32_t i = -128; i < 128; i++)
            assert_true(seen[i + 128] == 0 || i == 0 || abs(i) == 1 || abs(i) == 2 || abs(i) == 4);
        assert_true(seen[128 - 2] && seen[128] && seen[128 + 1] && seen[128 + 2]);
        error[k] = error_of(fq);
        ref_street_close(&s);
    }
    assert_true(error[2] < error[0] && error[3] < error[1]);
}

static void first_and_last_weights_are_uniform_where_the_format_has_no_such_width(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(open_net(&s, 8, 4, "channel minmax none"), NB_OK);
    ref_street_steps(&s, 1, 0, false);
    assert_null(nb_graph_find(s.graph, "c.weight.fq")->out.q->level);
    assert_int_equal(nb_graph_find(s.graph, "fc.weight.fq")->out.q->bits, 8);
    assert_int_equal(nb_graph_find(s.graph, "d.weight.fq")->out.q->n_levels, 15);
    ref_street_close(&s);
    assert_int_equal(open_net(&s, 4, 4, "channel minmax none"), NB_OK);
    ref_street_steps(&s, 1, 0, false);
    assert_int_equal(nb_graph_find(s.graph, "c.weight.fq")->out.q->n_levels, 15);
    ref_street_close(&s);
}

/* The largest is 64 as with 4 bits, and powers go on below 1: 2^6 .. 2^-8 with 5 bits. */
static void five_bits_and_more_are_simulated(void **state)
{
    (void)state;
    ref_street s;
    float real[256];
    const nb_format *f = nb_registry_find(nb_formats, "log");
    assert_int_equal(f->reals(NULL, 4, real), 0);
    assert_int_equal(f->reals(NULL, 5, real), 31);
    assert_true(real[0] == -64 && real[1] == -32 && real[14] == -0x1p-8f && real[15] == 0 && real[30] == 64);
    assert_int_equal(f->reals(NULL, 8, real), 255);
    assert_true(real[128] == 0x1p-120f && real[254] == 64);
    assert_int_equal(open_net(&s, 0, 5, "channel mse lsq"), NB_OK);
    ref_street_steps(&s, 2, 0.05f, false);
    assert_string_equal(nb_graph_about(s.graph).simulated,
                        "weights of c: format log with 5 bits does not fit -127..127");
    const nb_node *fq = nb_graph_find(s.graph, "d.weight.fq");
    const int64_t per = nb_count(&fq->out) / fq->out.q->n;
    for (int64_t i = 0; i < nb_count(&fq->out); i++) {
        const float v = fabsf(((const float *)fq->out.data)[i]) / fq->out.q->scale[i / per];
        assert_true(v == 0 || fabsf(log2f(v) - rintf(log2f(v))) < 1e-5f);
    }
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_zero_and_powers_of_two),
        cmocka_unit_test(a_grid_of_levels_reaches_to_the_largest),
        cmocka_unit_test(weights_in_a_graph_are_levels_and_mse_ranges_are_better),
        cmocka_unit_test(first_and_last_weights_are_uniform_where_the_format_has_no_such_width),
        cmocka_unit_test(five_bits_and_more_are_simulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
