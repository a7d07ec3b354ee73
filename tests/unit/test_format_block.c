/* test_format_block.c - blocks of weights with an exponent each: scales, exponents, codes and masks against plain loops over all of
 * them, in integers and simulated; rounding, sums near 32 bits, and what a config may ask for. */
#include "ref/street.h"

#include "lower/pack.h"
#include "quant/requant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7, ROW = 45 }; /* of the layer d */

/* Weights whose sizes differ from block to block, one block of zeros, one that is far smaller than the rest. */
static const nb_node *quantized(ref_street *s, const char *rules)
{
    if (ref_street_weights(s, rules) != NB_OK)
        fail_msg("%s: %s", rules, nb_ctx_error(s->ctx));
    const nb_node *fq = nb_graph_find(s->graph, "d.weight.fq");
    float *w = fq->in[0]->out.data;
    for (int32_t i = 0; i < ROWS * ROW; i++)
        w[i] *= ldexpf(1, -(i / 9 % 6));
    memset(w + ROW, 0, 9 * sizeof *w);
    for (int32_t i = 0; i < 9; i++)
        w[2 * ROW + i] *= 1e-4f;
    ref_street_steps(s, 2, 0, false);
    return fq;
}

typedef struct {
    int32_t bits, block, depth, rows; /* rows: that share a scale */
    bool mse;
    double (*round)(double v);
} rule;

static int32_t most_of(const rule *r)
{
    return (1 << (r->bits - 1)) - 1;
}

/* The smallest power of two at which the coarsest step cuts off no more than half of itself. */
static double scale_of(const rule *r, const float *w, int32_t n)
{
    double most = 0, s = ldexp(1, -60);
    for (int32_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)w[i]));
    while (most > (most_of(r) + 0.5) * ldexp(s, r->depth))
        s *= 2;
    return s;
}

static double mantissa(const rule *r, double v)
{
    return fmax(fmin(r->round(v), most_of(r)), -most_of(r));
}

static double error_of(const rule *r, const float *w, int32_t n, double step)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += pow((double)w[i] - step * fmax(fmin(nearbyint((double)w[i] / step), most_of(r)), -most_of(r)), 2);
    return sum;
}

/* Of all exponents there are. */
static int32_t exponent_of(const rule *r, const float *w, int32_t n, double s)
{
    int32_t best = r->depth;
    for (int32_t e = r->depth; e >= 0; e--) {
        bool cut = false;
        for (int32_t i = 0; i < n; i++)
            cut |= fabs(nearbyint((double)w[i] / ldexp(s, e))) > most_of(r);
        if (r->mse ? error_of(r, w, n, ldexp(s, e)) < error_of(r, w, n, ldexp(s, best)) : !cut)
            best = e;
    }
    return best;
}

/* What the node holds in units of its scale, and what it lets through. */
static void check(const nb_node *fq, const rule *r)
{
    const nb_qparams *q = fq->out.q;
    const float *w = fq->in[0]->out.data;
    const int32_t stride = q->n > 1 ? (ROW + 7) / 8 : 0;
    for (int32_t c = 0; c < ROWS; c++) {
        const int32_t first = c / r->rows * r->rows, rows = first + r->rows < ROWS ? r->rows : ROWS - first;
        const double s = scale_of(r, w + first * ROW, rows * ROW);
        assert_true((double)q->scale[q->n > 1 ? c : 0] == s);
        for (int32_t i = 0, e = 0; i < ROW; i++) {
            const int32_t at = c * ROW + i, bit = stride ? i : at;
            if (i % r->block == 0)
                e = exponent_of(r, w + at, ROW - i < r->block ? ROW - i : r->block, s);
            const double v = (double)w[at] / ldexp(s, e), want = ldexp(mantissa(r, v), e);
            const double got =
                fq->out.dtype == NB_F32 ? (double)((float *)fq->out.data)[at] / s : ((int8_t *)fq->out.data)[at];
            if (got != want)
                fail_msg("bits %d, block %d, weight %d of channel %d: %g, want %g", r->bits, r->block, i, c, got, want);
            const int32_t inside = ((const uint8_t *)fq->saved)[c * stride + bit / 8] >> (bit % 8) & 1;
            assert_int_equal(inside, fabs(r->round(v)) <= most_of(r));
        }
    }
}

static void codes_are_those_of_the_finest_or_the_best_step_of_each_block(void **state)
{
    (void)state;
    static const int32_t blocks[] = {1, 5, 16, 45, 100};
    static const char *const granularity[] = {"channel", "tensor", "group, group: 3"}, *const how[] = {"largest",
                                                                                                       "mse"};
    static const int32_t rows[] = {1, ROWS, 3};
    for (int32_t bits = 2; bits <= 7; bits++)
        for (int32_t b = 0; b < 5; b++)
            for (int32_t k = 0; k < 6; k++) {
                ref_street s;
                char rules[160];
                snprintf(rules, sizeof rules, "bits: %d, format: block, block: %d, exponents: %s, granularity: %s",
                         bits, blocks[b], how[k / 3], granularity[k % 3]);
                const nb_node *fq = quantized(&s, rules);
                check(fq, &(rule){bits, blocks[b], 8 - bits, rows[k % 3], k / 3 == 1, nearbyint});
                assert_null(s.graph->simulated);
                assert_true(fq->out.q->block == blocks[b] && fq->out.q->hi <= 127);
                ref_street_close(&s);
            }
}

/* docs/definitions.md: 4 bits, blocks of four. */
static void the_example_that_is_done_by_hand(void **state)
{
    (void)state;
    static const float w[8] = {2.09f, -0.98f, 1.48f, 0.09f, 0.05f, -0.14f, -0.08f, 0.12f};
    static const int8_t codes[8] = {64, -32, 48, 0, 2, -4, -3, 4};
    const nb_format *f = nb_registry_find(nb_formats, "block");
    ref_street s;
    assert_int_equal(ref_street_weights(&s, "bits: 4, format: block, block: 4, granularity: tensor"), NB_OK);
    const nb_node *fq = nb_graph_find(s.graph, "d.weight.fq");
    float *all = fq->in[0]->out.data, range = 0, scale;
    int32_t zero;
    memset(all, 0, ROWS * ROW * sizeof *all);
    memcpy(all, w, sizeof w);
    ref_street_steps(&s, 1, 0, false);
    assert_memory_equal(fq->out.data, codes, 8);
    const nb_grid g = {.hi = 112, .lo = -112, .block = {.n = 4, .depth = 4}, .format = f};
    f->range->observe(NULL, &range, &(nb_observation){.min = -0.98f, .max = 2.09f});
    f->range->params(NULL, &range, &g, &scale, &zero);
    assert_true(scale == 0.03125f && fq->out.q->scale[0] == scale);
    assert_int_equal(nb_grid_exponent(&g, scale, w, 4), 4);
    assert_int_equal(nb_grid_exponent(&g, scale, w + 4, 4), 0);
    assert_int_equal(nb_stream_row_bytes(&(nb_stream){.rows = 1, .row = 8, .bits = 4, .block = 4}), 5); /* 38 bits */
    ref_street_close(&s);
}

static void below_4_bits_the_best_step_is_the_default(void **state)
{
    (void)state;
    for (int32_t bits = 2; bits <= 5; bits++) {
        ref_street s;
        char rules[80];
        snprintf(rules, sizeof rules, "bits: %d, format: block", bits);
        check(quantized(&s, rules), &(rule){bits, 16, 8 - bits, 1, bits < 4, nearbyint});
        ref_street_close(&s);
    }
}

/* A depth that fits may be less, one that does not is simulated, as 8 bits are. */
static void what_does_not_fit_8_bits_is_simulated_with_the_same_rules(void **state)
{
    (void)state;
    static const struct {
        const char *rules;
        rule r;
        bool simulated;
    } cases[] = {
        {"bits: 8, format: block", {8, 16, 15, 1, false, nearbyint}, true},
        {"bits: 4, format: block, depth: 9, block: 7", {4, 7, 9, 1, false, nearbyint}, true},
        {"bits: 3, format: block, depth: 12, granularity: tensor", {3, 16, 12, ROWS, true, nearbyint}, true},
        {"bits: 4, format: block, depth: 2}, simulate: yes, layers: {", {4, 16, 2, 1, false, nearbyint}, true},
        {"bits: 4, format: block, depth: 2", {4, 16, 2, 1, false, nearbyint}, false},
        {"bits: 8, format: block, depth: 0", {8, 16, 0, 1, false, nearbyint}, false},
        {"bits: 5, format: block, rounding: floor", {5, 16, 3, 1, false, floor}, false},
        {"bits: 5, format: block, depth: 4, rounding: floor", {5, 16, 4, 1, false, floor}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ref_street s;
        check(quantized(&s, cases[i].rules), &cases[i].r);
        assert_int_equal(s.graph->simulated != NULL, cases[i].simulated);
        if (i == 1)
            assert_string_equal(s.graph->simulated,
                                "weights of d: format block with 4 bits and a depth of 9 does not fit -127..127");
        ref_street_close(&s);
    }
}

static void stochastic_rounding_goes_to_a_neighbour_in_the_grid_of_the_block(void **state)
{
    (void)state;
    const rule r = {4, 5, 4, 1, false, nearbyint};
    ref_street s;
    const nb_node *fq = quantized(&s, "bits: 4, format: block, block: 5, rounding: stochastic");
    const float *w = fq->in[0]->out.data;
    int32_t moved = 0;
    for (int32_t at = 0, e = 0; at < ROWS * ROW; at++) {
        const double scale = (double)fq->out.q->scale[at / ROW];
        if (at % 5 == 0)
            e = exponent_of(&r, w + at, 5, scale);
        const double v = (double)w[at] / ldexp(scale, e), got = ldexp(((int8_t *)fq->out.data)[at], -e);
        assert_true(got == floor(v) || got == ceil(v) || fabs(v) > 7);
        moved += got != nearbyint(v);
    }
    assert_true(moved > 20);
    ref_street_close(&s);
}

/* What lowering would take where the layer reads codes 0..hi: sums fit, the scale is as fine as it may be. */
static bool fits_sums(ref_street *s, const nb_node *fq, int32_t hi)
{
    const rule r = {4, 16, 4, 1, false, nearbyint};
    float scale[ROWS], one = 1;
    int32_t zero[ROWS], none = 0;
    int8_t code[ROWS * ROW];
    bool raised = false;
    const nb_qparams x = {.n = 1, .scale = &one, .zero = &none, .hi = hi};
    nb_qparams q = {.scale = scale, .zero = zero};
    assert_int_equal(nb_fakequant_snapshot(s->ctx, fq, &(nb_weight_use){.x = &x}, &q, code), NB_OK);
    for (int32_t c = 0; c < ROWS; c++) {
        const float *w = (const float *)fq->in[0]->out.data + c * ROW;
        const double finest = scale_of(&r, w, ROW);
        int64_t size = 0, at_finest = 0;
        for (int32_t i = 0, e = 0, f = 0; i < ROW; i++) {
            const int32_t n = ROW - i < 16 ? ROW - i : 16;
            if (i % 16 == 0) {
                e = exponent_of(&r, w + i, n, (double)scale[c]);
                f = exponent_of(&r, w + i, n, finest);
            }
            assert_true(code[c * ROW + i] == ldexp(mantissa(&r, (double)w[i] / ldexp((double)scale[c], e)), e));
            size += abs(code[c * ROW + i]);
            at_finest += llabs((long long)ldexp(mantissa(&r, (double)w[i] / ldexp(finest, f)), f));
        }
        assert_true(size * hi < NB_SUM_LIMIT);
        assert_true(((double)scale[c] == finest) == (at_finest * hi < NB_SUM_LIMIT));
        raised |= (double)scale[c] > finest;
    }
    return raised;
}

/* The second time with weights that are nearly all rounded up, to twice their size. */
static void a_scale_is_coarser_where_sums_would_leave_32_bits_and_exponents_follow(void **state)
{
    (void)state;
    ref_street s;
    const nb_node *fq = quantized(&s, "bits: 4, format: block");
    float *w = fq->in[0]->out.data;
    for (int32_t k = 0; k < 2; k++) {
        int32_t raised = 0, n = 0;
        for (int32_t hi = 255; hi < 100000000; hi += hi / 20, n++)
            raised += fits_sums(&s, fq, hi);
        assert_true(raised > n / 10 && raised < n);
        for (int32_t i = 0; i < ROWS * ROW; i++)
            w[i] = i % ROW % 16 == 0 ? 0.7f : 0.0501f;
        ref_street_steps(&s, 1, 0, false);
    }
    ref_street_close(&s);
}

/* Beside a bias of 2^36 units and less of theirs codes are made coarser: by powers of two, of which they stay mantissas. */
static void a_channel_made_coarser_keeps_its_blocks(void **state)
{
    (void)state;
    int32_t coarser = 0;
    for (int32_t bits = 2; bits <= 7; bits++)
        for (int32_t n = 1; n <= 8; n += 7)
            for (double scale = 0x1p-36; scale < 0x1p-28; scale *= 1.37) {
                const int32_t most = (1 << (bits - 1)) - 1;
                int8_t w[8], was[8];
                nb_requant q;
                const nb_requant_spec spec = {.scale = scale,
                                              .bias = 1,
                                              .out_scale = 0x1p-29,
                                              .x_hi = 255,
                                              .y_lo = INT32_MIN,
                                              .y_hi = INT32_MAX,
                                              .blocks = true};
                for (int32_t i = 0; i < 8; i++)
                    was[i] = w[i] = (int8_t)((i % 4 == 0 ? most : -(most + 1) / 2) * (i < 4 ? 1 << (8 - bits) : 1));
                assert_int_equal(nb_requant_channel(&spec, w, n, &q), NB_REQUANT_DONE);
                for (int32_t i = 0; i < n; i++)
                    if (w[0] != 0 || q.coarser > 1) /* else nothing of it is seen in the output, and it is constant */
                        assert_float_equal(w[i] * q.coarser, was[i], q.coarser > 1 ? q.coarser / 2 : 0);
                for (int32_t i = 0; i < n; i += 4)
                    assert_true(nb_pack_exponent(w + i, n - i < 4 ? 1 : 4, bits) >= 0);
                coarser += q.coarser > 1;
            }
    assert_true(coarser > 50);
}

/* No range is advised, as none can be named. Codes of 4 bits: 0..7, then 8, 10, 12, 14 times 1, 2, 4, 8: 23 sizes. */
static void unused_codes_are_named_with_what_would_help(void **state)
{
    (void)state;
    static const char *const rules[] = {"bits: 4, format: block, granularity: tensor", "bits: 4, format: block"};
    static const char *const advice[] = {"100 % of them become 0; granularity: channel would help",
                                         "they use 2 of 47 levels; more bits would help"};
    for (int32_t k = 0; k < 2; k++) {
        ref_street s;
        char text[320];
        float *w = quantized(&s, rules[k])->in[0]->out.data;
        for (int32_t i = 0; i < ROWS * ROW; i++)
            w[i] = k == 1 ? (float)(i % 2) - 0.5f : i == 0 ? 50 : 0.1f;
        ref_street_steps(&s, 1, 0, false);
        assert_int_equal(nb_quant_unused_text(s.graph, text, sizeof text), NB_OK);
        if (!strstr(text, advice[k]))
            fail_msg("%s", text);
        ref_street_close(&s);
    }
}

static void first_and_last_layer_are_uniform_with_their_8_bits(void **state)
{
    (void)state;
    ref_street s;
    quantized(&s, "bits: 4, format: block");
    const nb_qparams *q = nb_graph_find(s.graph, "c.weight.fq")->out.q;
    assert_true(q->bits == 8 && q->block == 0 && q->hi == 127);
    ref_street_close(&s);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"format: block, bits: 4, block: 0", "quant.weights.block: 0: must be in 1..65536"},
        {"format: block, bits: 4, block: 65537", "quant.weights.block: 65537: must be in 1..65536"},
        {"format: block, bits: 4, depth: 16", "format: block: depth must be auto or a whole number 0..15"},
        {"format: block, bits: 4, depth: -1", "format: block: depth must be auto or a whole number 0..15"},
        {"format: block, bits: 4, depth: 1.5", "format: block: depth must be auto or a whole number 0..15"},
        {"format: block, bits: 4, exponents: all", "quant.weights.exponents"},
        {"format: block, bits: 1", "format: block: has codes of 2..8 bits"},
        {"format: block, bits: 9", "quant.weights.bits: 9: must be in 1..8"},
        {"format: block, bits: 4, range: mse", "range: format block finds its scales itself: leave range out"},
        {"format: block, bits: 4, learn: lsq", "learn: lsq: format block takes its powers of two from the weights"},
        {"format: block, bits: 4, learn: dorefa", "learn: dorefa"},
        {"format: block, bits: 4, scheme: full", "scheme: format block has levels of its own"},
        {"format: block, bits: 4, granularity: full",
         "granularity: full: format block has its blocks along the inputs"},
        {"bits: 8}, activations: {format: block, bits: 4", "format: block: is for weights only"},
        {"bits: 4, block: 16", "quant.weights.block: unknown key"},
        {"bits: 4}, layers: {d: {weights: {format: block, learn: tqt}}", "learn: tqt: format block takes"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ref_street s;
        const nb_status st = ref_street_weights(&s, wrong[i][0]);
        if (st != NB_E_CONFIG || !strstr(nb_ctx_error(s.ctx), wrong[i][1]))
            fail_msg("%s: %d, %s", wrong[i][0], st, st == NB_OK ? "taken" : nb_ctx_error(s.ctx));
        ref_street_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_those_of_the_finest_or_the_best_step_of_each_block),
        cmocka_unit_test(the_example_that_is_done_by_hand),
        cmocka_unit_test(below_4_bits_the_best_step_is_the_default),
        cmocka_unit_test(what_does_not_fit_8_bits_is_simulated_with_the_same_rules),
        cmocka_unit_test(stochastic_rounding_goes_to_a_neighbour_in_the_grid_of_the_block),
        cmocka_unit_test(a_scale_is_coarser_where_sums_would_leave_32_bits_and_exponents_follow),
        cmocka_unit_test(a_channel_made_coarser_keeps_its_blocks),
        cmocka_unit_test(unused_codes_are_named_with_what_would_help),
        cmocka_unit_test(first_and_last_layer_are_uniform_with_their_8_bits),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
