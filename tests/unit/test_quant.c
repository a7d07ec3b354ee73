/* test_quant.c - grids, scales, range methods, the fake-quant node (qparams.c, range_*.c, fakequant.c, dequantize.c, unit.c).
 */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static float one_scale;
static int32_t one_zero;

static nb_qparams params(int32_t bits, nb_scheme scheme, bool weights, float lo, float hi)
{
    nb_qparams q = {.n = 1, .scale = &one_scale, .zero = &one_zero};
    const nb_grid g = nb_grid_make(bits, scheme, weights);
    q.bits = g.bits;
    q.lo = g.lo;
    q.hi = g.hi;
    q.dtype = g.dtype;
    nb_params_cover(&g, lo, hi, &one_scale, &one_zero);
    return q;
}

static void grids_are_those_of_the_contract(void **state)
{
    (void)state;
    for (int32_t bits = 2; bits <= 8; bits++) {
        nb_qparams w = params(bits, NB_SCHEME_SYMMETRIC, true, -1, 1);
        assert_int_equal(w.hi, (1 << (bits - 1)) - 1);
        assert_int_equal(w.lo, -w.hi);
        assert_int_equal(w.dtype, NB_S8);
        nb_qparams a = params(bits, NB_SCHEME_ASYMMETRIC, false, -1, 1);
        assert_int_equal(a.lo, 0);
        assert_int_equal(a.hi, (1 << bits) - 1);
        assert_int_equal(a.dtype, NB_U8);
        nb_qparams s = params(bits, NB_SCHEME_SYMMETRIC, false, -1, 1);
        assert_int_equal(s.lo, -(1 << (bits - 1)));
    }
}

static void real_zero_is_always_a_code(void **state)
{
    (void)state;
    static const float range[][2] = {
        {1, 3}, {-3, -1}, {-1, 2}, {0, 0}, {-1e-30f, 1e-30f}, {0, 1e30f}, {-INFINITY, INFINITY}, {NAN, NAN}};
    for (size_t i = 0; i < sizeof range / sizeof range[0]; i++) {
        nb_qparams q = params(8, NB_SCHEME_ASYMMETRIC, false, range[i][0], range[i][1]);
        assert_true(isnormal(q.scale[0]) && q.scale[0] > 0);
        assert_true(q.zero[0] >= 0 && q.zero[0] <= 255);
    }
    nb_qparams q = params(8, NB_SCHEME_ASYMMETRIC, false, 1, 3); /* widened to 0..3 */
    assert_float_equal(q.scale[0], 3.0f / 255, 1e-9);
    assert_int_equal(q.zero[0], 0);
}

static void what_is_used_may_be_small_and_what_is_not_has_any_scale(void **state)
{
    (void)state;
    assert_float_equal(params(8, NB_SCHEME_SYMMETRIC, true, -1e-7f, 1e-7f).scale[0], 1e-7f / 127, 0);
    assert_float_equal(params(8, NB_SCHEME_SYMMETRIC, true, -1e-12f, 1e-12f).scale[0], 1.0f / 127, 0);
    assert_float_equal(params(8, NB_SCHEME_SYMMETRIC, false, -1e-7f, 1e-7f).scale[0], 1e-7f / 127, 0);
    assert_float_equal(params(8, NB_SCHEME_ASYMMETRIC, false, 0, 1e-8f).scale[0], 1e-8f / 255, 0);
    assert_float_equal(params(8, NB_SCHEME_SYMMETRIC, false, -1e-12f, 1e-12f).scale[0], 1.0f / 127, 0);
}

/* MIT 6.S965, lecture 6: the worked example. */
static void the_worked_example_of_two_bit_weights(void **state)
{
    (void)state;
    static const float w[4][4] = {{2.09f, -0.98f, 1.48f, 0.09f},
                                  {0.05f, -0.14f, -1.08f, 2.12f},
                                  {-0.91f, 1.92f, 0, -1.03f},
                                  {1.87f, 0, 1.53f, 1.49f}};
    static const float per_row[4] = {2.09f, 2.12f, 1.92f, 1.87f};
    double tensor = 0, row = 0;
    for (int32_t r = 0; r < 4; r++) {
        float largest = 0;
        for (int32_t c = 0; c < 4; c++)
            largest = fmaxf(largest, fabsf(w[r][c]));
        nb_qparams q = params(2, NB_SCHEME_SYMMETRIC, true, -largest, largest);
        assert_float_equal(q.scale[0], per_row[r], 1e-6);
        for (int32_t c = 0; c < 4; c++) {
            double t = nearbyintf(w[r][c] / 2.12f), p = nearbyintf(w[r][c] / q.scale[0]);
            tensor += pow(w[r][c] - 2.12 * t, 2);
            row += pow((double)w[r][c] - (double)q.scale[0] * p, 2);
        }
    }
    assert_float_equal(sqrt(tensor), 2.2846, 5e-4);
    assert_float_equal(sqrt(row), 2.0795, 5e-4);
}

static void ema_starts_with_the_first_batch_and_then_moves_by_its_momentum(void **state)
{
    (void)state;
    const nb_range *q = nb_registry_find(nb_ranges, "ema");
    float momentum = 0.25f, s[2] = {0}, lo, hi; /* the attribute is one float */
    q->observe(&momentum, s, &(nb_observation){.min = -1, .max = 3, .first = true});
    lo = s[0], hi = s[1];
    assert_float_equal(lo, -1, 0);
    assert_float_equal(hi, 3, 0);
    q->observe(&momentum, s, &(nb_observation){.min = -3, .max = 7});
    lo = s[0], hi = s[1];
    assert_float_equal(lo, -1.5f, 1e-6);
    assert_float_equal(hi, 4, 1e-6);
}

static void in_a_calibration_the_first_batches_of_an_average_count_the_same(void **state)
{
    (void)state;
    const nb_range *q = nb_registry_find(nb_ranges, "ema");
    float momentum = 0.001f, s[2] = {0}; /* so small that the mean is as good as plain */
    const float highs[] = {1, 2, 6, 7};
    for (int32_t i = 0; i < 4; i++)
        q->observe(&momentum, s, &(nb_observation){.min = 0, .max = highs[i], .first = i == 0, .calibration = i + 1});
    assert_float_equal(s[1], 4, 0.01);
    assert_float_equal(nb_observation_share(&(nb_observation){.calibration = 1}, 0.05f), 1, 1e-6);
    assert_float_equal(nb_observation_share(&(nb_observation){.calibration = 1000}, 0.05f), 0.05f, 1e-6);
    assert_true(nb_observation_share(&(nb_observation){0}, 0.05f) == 0.05f);
    assert_true(nb_observation_share(&(nb_observation){.calibration = 7}, 1) == 1);
}

static void minmax_grows_for_activations_and_follows_weights(void **state)
{
    (void)state;
    const nb_range *q = nb_registry_find(nb_ranges, "minmax");
    const nb_grid values = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false),
                  weights = nb_grid_make(8, NB_SCHEME_SYMMETRIC, true);
    float a[2] = {0}, w[2] = {0};
    q->observe(NULL, a, &(nb_observation){.min = -1, .max = 3, .grid = &values, .first = true});
    q->observe(NULL, a, &(nb_observation){.min = 0, .max = 1, .grid = &values});
    assert_float_equal(a[1], 3, 0);
    q->observe(NULL, w, &(nb_observation){.min = -1, .max = 3, .grid = &weights, .first = true});
    q->observe(NULL, w, &(nb_observation){.min = 0, .max = 1, .grid = &weights});
    assert_float_equal(w[1], 1, 0);
}

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 3}\n"                                   \
    "model: [input, conv2d: {name: c, out: 3, kernel: 3}, relu, avgpool: {global: yes}, linear: {name: fc, out: 3}]\n"

static void evaluation_leaves_the_ranges_alone(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, NET, 4, REF_QUANTIZED), NB_OK);
    ref_street_steps(&s, 2, 0.1f, false);
    const nb_node *leaf = nb_graph_find(s.graph, "relu1.fq.state");
    float before[3];
    memcpy(before, leaf->out.data, sizeof before);
    assert_true(before[2] != 0);
    uint8_t white[4 * 192];
    memset(white, 255, sizeof white);
    nb_forward(s.graph, &(nb_run){.pixels = white});
    assert_memory_equal(before, leaf->out.data, sizeof before);
    nb_forward(s.graph, &(nb_run){.train = true, .freeze_ranges = true, .pixels = white});
    assert_memory_equal(before, leaf->out.data, sizeof before);
    nb_forward(s.graph, &(nb_run){.train = true, .pixels = white});
    assert_memory_not_equal(before, leaf->out.data, sizeof before);
    ref_street_close(&s);
}

static void a_fake_quant_node_holds_codes_of_the_contract(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, NET, 4, REF_QUANTIZED), NB_OK);
    s.graph->fusions = NULL;
    assert_int_equal(nb_graph_freeze(s.graph, NB_PLAN_TRAIN), NB_OK);
    uint8_t pixels[4 * 192];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 7);
    nb_run r = {.train = true, .pixels = pixels};
    for (int32_t i = 0; i < s.graph->n; i++) { /* node by node: values are alive right after their node */
        nb_node *n = s.graph->node[i];
        if (n->op->forward)
            n->op->forward(n, &r);
        if (strcmp(n->op->name, "fakequant") != 0)
            continue;
        const nb_qparams *q = n->out.q;
        const float *x = n->in[0]->out.data;
        int64_t count = nb_count(&n->out), per = count / q->n;
        for (int64_t k = 0; k < count; k++) {
            float want = nearbyintf(x[k] / q->scale[k / per]) + (float)q->zero[k / per];
            want = fminf(fmaxf(want, (float)q->lo), (float)q->hi);
            int32_t got = n->out.dtype == NB_S8 ? ((int8_t *)n->out.data)[k] : ((uint8_t *)n->out.data)[k];
            assert_int_equal(got, (int32_t)want);
        }
    }
    ref_street_close(&s);
}

static void a_range_nobody_has_seen_is_an_error_at_lowering(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_open(&s, NET, 4, REF_QUANTIZED), NB_OK);
    nb_intmodel *m = NULL;
    assert_int_equal(nb_lower(s.graph, "", &m), NB_E_UNSUPPORTED);
    assert_non_null(strstr(nb_ctx_error(s.ctx), "has no range yet"));
    assert_null(m);
    ref_street_close(&s);
}

static void biases_are_whole_numbers_of_units(void **state)
{
    (void)state;
    assert_float_equal(nb_round_to_unit(0.26, 0.1), 0.3, 1e-12);
    assert_float_equal(nb_round_to_unit(-0.26, -0.1), -0.3, 1e-12);
    assert_float_equal(nb_round_to_unit(1.0, 1e-30), 1.0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_are_those_of_the_contract),
        cmocka_unit_test(real_zero_is_always_a_code),
        cmocka_unit_test(what_is_used_may_be_small_and_what_is_not_has_any_scale),
        cmocka_unit_test(the_worked_example_of_two_bit_weights),
        cmocka_unit_test(ema_starts_with_the_first_batch_and_then_moves_by_its_momentum),
        cmocka_unit_test(in_a_calibration_the_first_batches_of_an_average_count_the_same),
        cmocka_unit_test(minmax_grows_for_activations_and_follows_weights),
        cmocka_unit_test(evaluation_leaves_the_ranges_alone),
        cmocka_unit_test(a_fake_quant_node_holds_codes_of_the_contract),
        cmocka_unit_test(a_range_nobody_has_seen_is_an_error_at_lowering),
        cmocka_unit_test(biases_are_whole_numbers_of_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
