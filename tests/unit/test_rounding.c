/* test_rounding.c - floor and stochastic rounding: on codes, on levels, on real levels; what is reproduced, and what is lowered. */
#include "ref/street.h"

#include "quant/learned.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ref/must_refuse.h"

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 5, kernel: 3}, batchnorm, relu, conv2d: {name: d, out: 6, kernel: 3},\n"    \
    "  relu, flatten, linear: {name: fc, out: 3}]\n"                                                                   \
    "quant: {first_last_bits: 0, %s}\n"

enum { BATCH = 8, PIXELS = 8 * 8 * 3 };

static uint8_t pixels[BATCH * PIXELS];
static int32_t labels[BATCH];

static nb_status open_net(ref_street *s, const char *quant)
{
    char text[1024];
    snprintf(text, sizeof text, NET, quant);
    nb_status st = ref_street_open(s, text, BATCH, REF_QUANTIZED);
    for (int32_t i = 0; st == NB_OK && i < BATCH; i++)
        nb_data_get(s->train, i, pixels + (size_t)i * PIXELS, &labels[i]);
    return st;
}

static nb_run training(uint64_t seed, uint64_t step)
{
    return (nb_run){.train = true, .seed = seed, .step = step, .pixels = pixels, .labels = labels};
}

/* Rounded with one draw: x in units of the scale. */
static float rounded(const nb_grid *g, const char *how, float x, int64_t i)
{
    const nb_rounding *r = nb_registry_find(nb_roundings, how);
    const nb_fq_draw d = {.choose = r->choose, .key = 7};
    float out;
    nb_fq_round(&out, &x, 1, 1.0f, g, &d, i);
    return out;
}

static void floor_takes_the_code_below(void **state)
{
    (void)state;
    static const int8_t level[] = {-4, -2, -1, 0, 1, 2, 4};
    static const float real[] = {-2, -0.5f, 0, 0.5f, 2};
    const nb_grid codes = nb_grid_make(4, NB_SCHEME_SYMMETRIC, true);
    const nb_grid levels = {.level = level, .n_levels = 7, .lo = -4, .hi = 4};
    const nb_grid reals = {.real = real, .n_levels = 5, .lo = -2, .hi = 2};
    for (int32_t i = -96; i <= 96; i++) {
        const float v = (float)i / 16;
        assert_true(rounded(&codes, "floor", v, 0) == floorf(v));
        float want = v;
        for (int32_t k = 0; k + 1 < 7 && v >= -4 && v < 4; k++)
            want = v >= level[k] ? level[k] : want;
        assert_true(rounded(&levels, "floor", v, 0) == want);
        want = v;
        for (int32_t k = 0; k + 1 < 5 && v >= -2 && v < 2; k++)
            want = v >= real[k] ? real[k] : want;
        assert_true(rounded(&reals, "floor", v, 0) == want);
    }
    assert_true(isnan(rounded(&codes, "floor", NAN, 0)) && isinf(rounded(&levels, "floor", INFINITY, 0)));
}

/* The mean of n draws between neighbours that are `gap` apart has a standard deviation of at most gap / 2 / sqrt(n). */
static void stochastic_is_right_on_average(void **state)
{
    (void)state;
    enum { N = 40000 };
    static const int8_t level[] = {-4, -2, -1, 0, 1, 2, 4};
    static const float real[] = {-2, -0.5f, 0, 0.5f, 2};
    const nb_grid grids[] = {nb_grid_make(4, NB_SCHEME_SYMMETRIC, true),
                             {.level = level, .n_levels = 7, .lo = -4, .hi = 4},
                             {.real = real, .n_levels = 5, .lo = -2, .hi = 2}};
    static const float values[] = {0.25f, -0.125f, 1.9f, -1.7f, 0.03f, 1.0f};
    for (size_t k = 0; k < 3; k++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            double sum = 0, squares = 0;
            for (int64_t i = 0; i < N; i++) {
                const double y = (double)rounded(&grids[k], "stochastic", values[v], i);
                sum += y;
                squares += y * y;
            }
            const double mean = sum / N, sigma = sqrt(fmax(squares / N - mean * mean, 0) / N);
            assert_true(fabs(mean - (double)values[v]) <= 5 * sigma + 1e-9);
            assert_true(sigma > 0 || nb_grid_round(&grids[k], values[v]) == values[v]);
        }
}

static void draws_are_of_the_step_the_node_and_the_value_alone(void **state)
{
    (void)state;
    ref_street s;
    uint8_t first[BATCH * 6 * 6 * 5];
    int8_t weights[6 * 45];
    assert_int_equal(
        open_net(&s, "weights: {bits: 4, rounding: stochastic}, activations: {bits: 3, rounding: stochastic}"), NB_OK);
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    assert_null(nb_graph_about(s.graph).simulated);
    nb_run r = training(1, 5);
    nb_forward(s.graph, &r); /* ranges begin */
    r.freeze_ranges = r.freeze_bn = true;
    const nb_node *a = nb_graph_find(s.graph, "relu1.fq"), *w = nb_graph_find(s.graph, "d.weight.fq");
    nb_forward(s.graph, &r);
    memcpy(first, a->out.data, sizeof first);
    memcpy(weights, w->out.data, sizeof weights);
    nb_forward(s.graph, &r);
    assert_memory_equal(first, a->out.data, sizeof first);
    assert_memory_equal(weights, w->out.data, sizeof weights);
    r.step++;
    nb_forward(s.graph, &r);
    assert_memory_not_equal(first, a->out.data, sizeof first);
    assert_memory_not_equal(weights, w->out.data, sizeof weights);
    r.train = false;
    nb_forward(s.graph, &r);
    for (int32_t i = 0; i < 6 * 45; i++) { /* evaluation rounds to nearest */
        const float v = ((const float *)w->in[0]->out.data)[i] / w->out.q->scale[i / 45];
        assert_int_equal(((const int8_t *)w->out.data)[i], (int32_t)fminf(fmaxf(rintf(v), -7), 7));
    }
    ref_street_close(&s);
}

static void floored_weights_are_floored_in_the_integers(void **state)
{
    (void)state;
    ref_street s;
    nb_intmodel *m;
    nb_verify_report report;
    assert_int_equal(open_net(&s, "weights: {bits: 4, rounding: floor}"), NB_OK);
    ref_street_steps(&s, 4, 0.05f, false);
    assert_int_equal(nb_lower(s.graph, "", &m), NB_OK);
    assert_int_equal(nb_verify(s.graph, m, s.test, 16, &report), NB_OK);
    for (int32_t i = 0; i < m->e.n_steps; i++)
        assert_int_equal(report.rows[i].faults, 0);
    nb_forward(s.graph, &(nb_run){.pixels = pixels});
    const nb_node *w = nb_graph_find(s.graph, "d.weight.fq");
    int32_t below = 0;
    for (int32_t i = 0; i < 6 * 45; i++) {
        const float v = ((const float *)w->in[0]->out.data)[i] / w->out.q->scale[i / 45];
        /* a quotient that is a whole number but for its rounding may be taken for either */
        if (fabsf(v - rintf(v)) < 1e-5f)
            continue;
        below += ((const int8_t *)w->out.data)[i] < rintf(v);
        assert_int_equal(((const int8_t *)w->out.data)[i], (int32_t)fmaxf(floorf(v), -7));
    }
    assert_true(below > 20);
    nb_free(s.ctx, report.rows);
    nb_intmodel_free(s.ctx, m);
    ref_street_close(&s);
}

static void floored_activations_are_simulated(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(open_net(&s, "activations: {bits: 4, rounding: floor}"), NB_OK);
    assert_string_equal(nb_graph_about(s.graph).simulated,
                        "activations of input1: rounding floor is not what integers are rescaled by");
    ref_street_steps(&s, 2, 0.05f, false);
    nb_forward_step(s.graph, 0, &(nb_run){.pixels = pixels}); /* no further: memory is used again */
    nb_forward_step(s.graph, 1, &(nb_run){.pixels = pixels});
    const nb_node *in = nb_graph_find(s.graph, "input1.fq");
    const float *x = in->in[0]->out.data, *y = in->out.data, scale = in->out.q->scale[0];
    for (int32_t i = 0; i < BATCH * PIXELS; i++)
        assert_true((y[i] <= x[i] + 1e-5f * scale && y[i] > x[i] - 1.00001f * scale) ||
                    y[i] == -scale * (float)in->out.q->zero[0]);
    ref_street_close(&s);
}

static void refuses(const char *quant, const char *why)
{
    ref_street s;
    must_refuse(open_net(&s, quant), &s, why);
}

static void what_does_not_go_together_is_refused_in_words(void **state)
{
    (void)state;
    refuses("weights: {rounding: stochastic, learn: lsq}", "rounding: stochastic: goes with learn: none");
    refuses("weights: {rounding: up}", "quant.weights.rounding: up: unknown rounding");
}

#define WIDE                                                                                                           \
    "data: {name: synth, count: 8, height: 80, width: 80, channels: 3, classes: 3}\n"                                  \
    "model: [input, flatten, linear: {name: fc, out: 3}]\n"                                                            \
    "quant: {weights: {rounding: %s}}\n"

static void sums_that_could_leave_32_bits_are_refused(void **state)
{
    (void)state;
    static const char *const how[] = {"nearest", "floor"};
    for (int32_t i = 0; i < 2; i++) {
        char text[512];
        ref_street s;
        snprintf(text, sizeof text, WIDE, how[i]);
        assert_int_equal(ref_street_open(&s, text, 1, REF_QUANTIZED), NB_OK);
        assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_INFER), i == 0 ? NB_OK : NB_E_CONFIG);
        if (i == 1)
            assert_non_null(strstr(nb_ctx_error(s.ctx), "fc: rounding: floor: a sum of 19200 products"));
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(floor_takes_the_code_below),
        cmocka_unit_test(stochastic_is_right_on_average),
        cmocka_unit_test(draws_are_of_the_step_the_node_and_the_value_alone),
        cmocka_unit_test(floored_weights_are_floored_in_the_integers),
        cmocka_unit_test(floored_activations_are_simulated),
        cmocka_unit_test(what_does_not_go_together_is_refused_in_words),
        cmocka_unit_test(sums_that_could_leave_32_bits_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
