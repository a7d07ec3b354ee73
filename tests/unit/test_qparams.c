/* test_qparams.c - what grids there are, scales that cover a range on them, and who shares one. */
#include "ref/street.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void schemes_of_weights_are_narrow_full_and_moved(void **state)
{
    (void)state;
    for (int32_t bits = 2; bits <= 7; bits++) {
        const int32_t half = 1 << (bits - 1);
        const nb_grid narrow = nb_grid_make(bits, NB_SCHEME_SYMMETRIC, true),
                      full = nb_grid_make(bits, NB_SCHEME_FULL, true),
                      moved = nb_grid_make(bits, NB_SCHEME_ASYMMETRIC, true);
        assert_true(narrow.lo == 1 - half && narrow.hi == half - 1 && narrow.dtype == NB_S8);
        assert_true(full.lo == -half && full.hi == half - 1 && full.dtype == NB_S8);
        assert_true(moved.lo == 0 && moved.hi == 2 * half - 1 && moved.dtype == NB_S8);
    }
    const nb_grid one = nb_grid_make(1, NB_SCHEME_UNSIGNED, false);
    assert_true(one.lo == 0 && one.hi == 1 && one.dtype == NB_U8);
}

/* The least scale at which both ends of the range are on the grid or inside. */
static void a_full_grid_covers_with_its_longer_side(void **state)
{
    (void)state;
    const nb_grid g = nb_grid_make(2, NB_SCHEME_FULL, true); /* -2..1 */
    static const float cases[][3] = {{-3, 1, 1.5f}, {-1, 1, 1}, {-1, 3, 3}, {-4, 3, 3}};
    for (int32_t i = 0; i < 4; i++) {
        float scale;
        int32_t zero;
        nb_params_cover(&g, cases[i][0], cases[i][1], &scale, &zero);
        assert_true(scale == cases[i][2] && zero == 0);
    }
}

#define NET                                                                                                            \
    "data: {name: synth, count: 64, height: 2, width: 2, channels: 1, classes: 4}\n"                                   \
    "model: [input, flatten, linear: {name: fc, out: 4, bias: no}]\n"                                                  \
    "quant: {first_last_bits: 0, weights: {range: minmax, %s}}\n"

/* The example of MIT 6.S965, lecture 6. */
static const float lecture[16] = {2.09f,  -0.98f, 1.48f, 0.09f,  0.05f, -0.14f, -1.08f, 2.12f,
                                  -0.91f, 1.92f,  0,     -1.03f, 1.87f, 0,      1.53f,  1.49f};

/* Quantizes the example by these rules; its node, of an open street. */
static const nb_node *quantized(ref_street *s, const char *rules)
{
    char text[512];
    snprintf(text, sizeof text, NET, rules);
    const nb_status st = ref_street_open(s, text, 8, REF_QUANTIZED);
    if (st != NB_OK)
        fail_msg("%s: %s", rules, nb_ctx_error(s->ctx));
    memcpy(nb_graph_find(s->graph, "fc.weight")->out.data, lecture, sizeof lecture);
    ref_street_steps(s, 1, 0, false);
    return nb_graph_find(s->graph, "fc.weight.fq");
}

/* Distance of the weights to what their integers say: ||w - s q||. */
static double distance(const nb_node *fq)
{
    double sum = 0;
    const nb_qparams *q = fq->out.q;
    for (int32_t i = 0; i < 16; i++)
        sum += pow(lecture[i] - (double)q->scale[q->n > 1 ? i / 4 : 0] * ((const int8_t *)fq->out.data)[i], 2);
    return sqrt(sum);
}

static void the_lectures_example_is_reproduced(void **state)
{
    (void)state;
    ref_street s;
    const nb_node *fq = quantized(&s, "bits: 2, granularity: tensor");
    assert_float_equal(fq->out.q->scale[0], 2.12, 1e-6);
    assert_float_equal(distance(fq), 2.2846, 5e-5);
    ref_street_close(&s);
    fq = quantized(&s, "bits: 2, granularity: channel");
    static const float scales[4] = {2.09f, 2.12f, 1.92f, 1.87f};
    assert_memory_equal(fq->out.q->scale, scales, sizeof scales);
    assert_float_equal(distance(fq), 2.0795, 5e-5);
    ref_street_close(&s);
}

/* Against a plain loop: scale and zero point of the range, codes of the values, less the zero point. */
static void integers_of_asymmetric_weights_are_codes_less_the_zero_point(void **state)
{
    (void)state;
    for (int32_t bits = 2; bits <= 7; bits++) {
        char rules[64];
        ref_street s;
        snprintf(rules, sizeof rules, "bits: %d, scheme: asymmetric", bits);
        const nb_node *fq = quantized(&s, rules);
        const int32_t last = (1 << bits) - 1;
        for (int32_t c = 0; c < 4; c++) {
            float lo = 0, hi = 0;
            for (int32_t i = 0; i < 4; i++) {
                lo = fminf(lo, lecture[4 * c + i]);
                hi = fmaxf(hi, lecture[4 * c + i]);
            }
            const float scale = (hi - lo) / (float)last;
            const int32_t zero = (int32_t)nearbyintf(-lo / scale);
            assert_true(fq->out.q->scale[c] == scale && fq->out.q->zero[c] == zero);
            for (int32_t i = 0; i < 4; i++) {
                const int32_t code = (int32_t)nearbyintf(lecture[4 * c + i] / scale) + zero;
                const int32_t clamped = code < 0 ? 0 : code > last ? last : code;
                assert_int_equal(((const int8_t *)fq->out.data)[4 * c + i], clamped - zero);
            }
        }
        ref_street_close(&s);
    }
}

/* Rows 0..2 and what is left, row 3. */
static void channels_of_a_group_share_a_scale_and_the_last_group_is_what_is_left(void **state)
{
    (void)state;
    static const char *const rules[] = {"bits: 3, granularity: group, group: 3",
                                        "bits: 3, granularity: group, group: 3, scheme: asymmetric, learn: lsq"};
    for (int32_t k = 0; k < 2; k++) {
        ref_street s;
        const nb_node *fq = quantized(&s, rules[k]);
        const nb_qparams *q = fq->out.q;
        const float first = k ? (2.12f + 1.08f) / 7 : 2.12f / 3, second = k ? 1.87f / 7 : 1.87f / 3;
        assert_int_equal(q->n, 4);
        assert_int_equal(fq->in[1]->out.shape.d[0], 2);
        for (int32_t c = 0; c < 4; c++)
            assert_float_equal(q->scale[c], c < 3 ? first : second, 1e-6);
        assert_true(q->zero[0] == q->zero[1] && q->zero[1] == q->zero[2]);
        ref_street_close(&s);
    }
}

static void what_a_grid_cannot_be_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"bits: 3, scheme: full, format: log", "scheme: format log has levels of its own"},
        {"bits: 1", "format: uniform: has codes of 2..8 bits, which fit into -127..127, not of 1: set bits to one of "
                    "these, or format to binary"},
        {"bits: 4, granularity: group", "granularity: group and group: N"},
        {"bits: 4, group: 2", "granularity: group and group: N"},
        {"bits: 4, granularity: group, group: 0", "quant.weights.group: 0: must be in 1..65536"},
        {"bits: 4, granularity: group, group: -3", "quant.weights.group: -3: must be in 1..65536"},
        {"bits: 9", "quant.weights.bits: 9: must be in 1..8"},
        {"bits: 4}, activations: {bits: 1",
         "bits: 1: activations of 1 bit are 0 and 1 times a scale: set scheme to unsigned"},
        {"bits: 4}, activations: {bits: 1, scheme: symmetric", "activations of 1 bit are 0 and 1"},
        {"bits: 4}, activations: {bits: 1, scheme: unsigned",
         "is 0 or 1 times a scale, but the values of input1 can be negative"},
        {"bits: 4}, activations: {bits: 16", "quant.activations.bits: 16: must be in 1..8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        ref_street s;
        snprintf(text, sizeof text, NET, cases[i][0]);
        const nb_status st = ref_street_open(&s, text, 8, REF_QUANTIZED);
        if (st != NB_E_CONFIG || !strstr(nb_ctx_error(s.ctx), cases[i][1]))
            fail_msg("%s: %d, %s", cases[i][0], st, nb_ctx_error(s.ctx));
        ref_street_close(&s);
    }
}

/* Layers of 8 bits beside others whose scheme has no 8. */
static void first_and_last_weights_are_symmetric_where_the_scheme_has_no_such_width(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(&s,
                        "data: {name: synth, count: 64, height: 8, width: 8, channels: 3, classes: 4}\n"
                        "model: [input, conv2d: {name: a, out: 3}, relu, conv2d: {name: b, out: 3}, relu,\n"
                        "  flatten, linear: {name: fc, out: 4}]\n"
                        "quant: {weights: {bits: 3, scheme: full}, activations: {bits: 1, scheme: unsigned}}\n",
                        8, REF_QUANTIZED),
        NB_OK);
    ref_street_steps(&s, 1, 0, false);
    assert_int_equal(nb_graph_find(s.graph, "a.weight.fq")->out.q->lo, -127);
    assert_int_equal(nb_graph_find(s.graph, "b.weight.fq")->out.q->lo, -4);
    assert_int_equal(nb_graph_find(s.graph, "relu1.fq")->out.q->hi, 1);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemes_of_weights_are_narrow_full_and_moved),
        cmocka_unit_test(a_full_grid_covers_with_its_longer_side),
        cmocka_unit_test(the_lectures_example_is_reproduced),
        cmocka_unit_test(integers_of_asymmetric_weights_are_codes_less_the_zero_point),
        cmocka_unit_test(channels_of_a_group_share_a_scale_and_the_last_group_is_what_is_left),
        cmocka_unit_test(what_a_grid_cannot_be_is_named),
        cmocka_unit_test(first_and_last_weights_are_symmetric_where_the_scheme_has_no_such_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
