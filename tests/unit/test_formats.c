/* test_formats.c - formats of weights that are levels: tables against the papers' definitions, scales against plain loops, and what
 * a config may ask for. */
#include "ref/street.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 3000 };

static const nb_format *format(const char *name)
{
    return nb_registry_find(nb_formats, name);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As the authors' code builds them for b - 1 bits, from powers of 1/2, in units of the smallest. */
static void additive_powers_of_two_are_the_papers(void **state)
{
    (void)state;
    static const double a[4][4] = {{0, 1}, {0, 0.5, 0.25, 0.125}, {0, 0.5, 0.25, 0.0625}, {0, 0.5, 0.125, 0.03125}};
    static const double b[4][4] = {{0}, {0}, {0, 0.125}, {0, 0.25, 0.0625, 0.015625}};
    static const int32_t na[4] = {2, 4, 4, 4}, nb[4] = {1, 1, 2, 4};
    static const double unit[4] = {1, 0.125, 0.0625, 0.015625};
    for (int32_t bits = 2; bits <= 5; bits++) {
        double size[16];
        int8_t level[256];
        int32_t n = 0;
        for (int32_t i = 0; i < na[bits - 2]; i++)
            for (int32_t k = 0; k < nb[bits - 2]; k++)
                size[n++] = (a[bits - 2][i] + b[bits - 2][k]) / unit[bits - 2];
        qsort(size, (size_t)n, sizeof *size, by_value);
        assert_int_equal(n, 1 << (bits - 1));
        assert_int_equal(format("apot")->levels(NULL, bits, level), 2 * n - 1);
        for (int32_t i = 0; i < n; i++)
            assert_true(level[n - 1 + i] == size[i] && level[n - 1 - i] == -size[i]);
    }
}

/* Values that a trained layer could have. */
static void draw(float *w, int32_t n, uint64_t seed)
{
    nb_rng rng = nb_rng_make(seed, 0);
    for (int32_t i = 0; i < n; i++) {
        w[i] = -1.5f;
        for (int32_t k = 0; k < 6; k++)
            w[i] += 0.5f * nb_rng_uniform(&rng);
        w[i] *= 0.1f;
    }
}

static float at(const void *arg, int64_t i)
{
    return ((const float *)arg)[i];
}

static nb_observation seen(const float *w, int32_t n, const nb_grid *g)
{
    nb_observation o = {.values = {at, w}, .n = n, .min = w[0], .max = w[0], .grid = g, .first = true};
    for (int32_t i = 0; i < n; i++) {
        o.min = fminf(o.min, w[i]);
        o.max = fmaxf(o.max, w[i]);
    }
    return o;
}

static double error_of(const nb_grid *g, float scale, const float *w, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += pow((double)w[i] - (double)scale * nb_grid_nearest(g, w[i] / scale), 2);
    return sum;
}

static const nb_node *quantized(ref_street *s, const char *rules)
{
    if (ref_street_weights(s, rules) != NB_OK)
        fail_msg("%s: %s", rules, nb_ctx_error(s->ctx));
    ref_street_steps(s, 2, 0, false);
    return nb_graph_find(s->graph, "d.weight.fq");
}

static void ternary_codes_are_beyond_the_threshold_and_the_scale_is_their_mean(void **state)
{
    (void)state;
    static const char *const rules[] = {"bits: 2, format: ternary", "bits: 2, format: ternary, granularity: tensor",
                                        "bits: 2, format: ternary, granularity: group, group: 3"};
    static const int32_t groups[] = {1, 7, 3};
    for (int32_t k = 0; k < 3; k++) {
        ref_street s;
        const nb_node *fq = quantized(&s, rules[k]);
        const int8_t *code = fq->out.data;
        const float *w = fq->in[0]->out.data;
        const int32_t per = 45;
        for (int32_t first = 0; first < 7; first += groups[k]) {
            const int32_t end = first + groups[k] < 7 ? first + groups[k] : 7, n = (end - first) * per;
            double mean = 0, beyond = 0;
            int32_t count = 0;
            for (int32_t i = first * per; i < end * per; i++)
                mean += fabs((double)w[i]) / n;
            for (int32_t i = first * per; i < end * per; i++) {
                const bool out = fabs((double)w[i]) > 0.7 * mean;
                assert_int_equal(code[i], !out ? 0 : w[i] > 0 ? 1 : -1);
                beyond += out ? fabs((double)w[i]) : 0;
                count += out;
            }
            assert_float_equal(fq->out.q->scale[fq->out.q->n > 1 ? first : 0], beyond / count, 1e-7);
        }
        assert_null(fq->out.q->level); /* -1..1 is the narrow grid of 2 bits */
        ref_street_close(&s);
    }
}

static void binary_codes_are_signs_times_the_mean_size_and_pass_up_to_1(void **state)
{
    (void)state;
    ref_street s;
    const nb_node *fq = quantized(&s, "bits: 1, format: binary");
    float *w = fq->in[0]->out.data;
    w[0] = 0;
    w[1] = 1.5f;
    w[2] = -1.0f;
    ref_street_steps(&s, 1, 0, false);
    for (int32_t c = 0; c < 7; c++) {
        double mean = 0;
        for (int32_t i = 0; i < 45; i++) {
            mean += fabs((double)w[c * 45 + i]) / 45;
            assert_int_equal(((const int8_t *)fq->out.data)[c * 45 + i], w[c * 45 + i] >= 0 ? 1 : -1);
            const int32_t passes = ((const uint8_t *)fq->saved)[c * 6 + i / 8] >> (i % 8) & 1;
            assert_int_equal(passes, fabsf(w[c * 45 + i]) <= 1);
        }
        assert_float_equal(fq->out.q->scale[c], mean, 1e-7);
    }
    assert_true(fq->out.q->bits == 1 && fq->out.q->n_levels == 2);
    ref_street_close(&s);
}

static double book_error(const float *center, int32_t n, const float *w)
{
    double sum = 0;
    for (int32_t i = 0; i < MANY; i++) {
        double best = INFINITY;
        for (int32_t k = 0; k < n; k++)
            best = fmin(best, pow((double)w[i] - (double)center[k], 2));
        sum += best;
    }
    return sum;
}

/* Lloyd's iterations by brute force: at the end every centre is the mean of what is nearest to it. */
static void a_book_is_where_k_means_stands_still_and_no_turn_raises_its_error(void **state)
{
    (void)state;
    static float w[MANY];
    for (int32_t bits = 1; bits <= 6; bits++) {
        const nb_format *f = format("codebook");
        const nb_grid g = nb_grid_of(f, NULL, bits, NB_SCHEME_SYMMETRIC, true, NULL);
        const int32_t n = 1 << bits;
        float book[128];
        draw(w, MANY, (uint64_t)bits);
        nb_observation o = seen(w, MANY, &g);
        f->range->observe(NULL, book, &o);
        o.first = false;
        double before = book_error(book, n, w);
        for (int32_t turn = 0; turn < 200; turn++) {
            f->range->observe(NULL, book, &o);
            const double now = book_error(book, n, w);
            assert_true(now <= before * (1 + 1e-6));
            before = now;
        }
        for (int32_t k = 0; k < n; k++) {
            double sum = 0;
            int32_t count = 0;
            for (int32_t i = 0; i < MANY; i++) {
                int32_t best = 0;
                for (int32_t c = 1; c < n; c++)
                    best = fabs((double)w[i] - book[c]) < fabs((double)w[i] - book[best]) ? c : best;
                sum += best == k ? (double)w[i] : 0;
                count += best == k;
            }
            assert_true(count == 0 || fabs(sum / count - book[k]) < 1e-6);
            assert_true(k == 0 || book[k] > book[k - 1]);
        }
    }
}

static void a_book_as_integers_beats_the_best_uniform_grid(void **state)
{
    (void)state;
    static float w[MANY];
    for (int32_t bits = 2; bits <= 4; bits++) {
        const nb_format *f = format("codebook");
        nb_grid g = nb_grid_of(f, NULL, bits, NB_SCHEME_SYMMETRIC, true, NULL);
        const nb_grid uniform = nb_grid_make(bits, NB_SCHEME_SYMMETRIC, true);
        float book[128], edge[128], scale, most = 0;
        int8_t level[128];
        int32_t zero;
        draw(w, MANY, (uint64_t)bits + 50);
        nb_observation o = seen(w, MANY, &g);
        for (int32_t turn = 0; turn < 200; turn++) { /* as soon as training has looked at it as often */
            f->range->observe(NULL, book, &o);
            o.first = false;
        }
        nb_grid_book(&g, book, level, edge);
        f->range->params(NULL, book, &g, &scale, &zero);
        for (int32_t i = 0; i < MANY; i++)
            most = fmaxf(most, fabsf(w[i]));
        double best = INFINITY;
        for (int32_t i = 1; i <= 200; i++)
            best = fmin(best, error_of(&uniform, most * (float)i / 200 / (float)uniform.hi, w, MANY));
        if (!(error_of(&g, scale, w, MANY) < best))
            fail_msg("%d bits: %g, uniform %g, book itself %g", bits, error_of(&g, scale, w, MANY), best,
                     book_error(book, 1 << bits, w));
    }
}

/* Of weights that are all the same, and of a state that no training leaves. */
static void a_book_is_ascending_whatever_it_was_made_from(void **state)
{
    (void)state;
    static const float same[8] = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f}, none[8] = {0},
                       wrong[8] = {3, -2, 7, -1e30f, 1e30f, 0, 0, 1};
    const float *states[] = {same, none, wrong};
    for (int32_t i = 0; i < 3; i++) {
        int8_t level[8];
        format("codebook")->book(NULL, states[i], 3, level);
        for (int32_t k = 0; k < 8; k++)
            assert_true(level[k] >= -127 && (k == 0 || level[k] > level[k - 1]));
    }
}

/* The exponent of the widest, at which the widest range is covered and at half of which it is not. */
/* 2^-8 covers 1 of a range of 2, 2^-7 all of it, 2^-6 more. */
static void a_range_beyond_a_given_exponent_is_cut_at_both_ends(void **state)
{
    (void)state;
    static const struct {
        const char *exponent;
        float lo, hi;
        int32_t zero;
    } cases[] = {{"-8", -1, 1, 128}, {"-8", -1.5f, 0.5f, 191}, {"-8", 0, 2, 0},  {"-8", -2, 0, 255},
                 {"-9", -1, 1, 128}, {"-7", -1, 1, 128},       {"-6", -1, 1, 64}};
    const nb_format *f = nb_registry_find(nb_formats, "fixed");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int8_t level[256];
        float scale;
        int32_t zero;
        const nb_grid g = nb_grid_of(f, &cases[i].exponent, 8, NB_SCHEME_ASYMMETRIC, false, level);
        nb_params_cover(&g, cases[i].lo, cases[i].hi, &scale, &zero);
        assert_true(scale == ldexpf(1, atoi(cases[i].exponent)));
        assert_int_equal(zero, cases[i].zero);
    }
}

static void fixed_point_has_one_exponent_for_all_that_the_widest_needs(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_weights(&s, "bits: 4, format: fixed}, activations: {bits: 8, format: fixed, range: minmax"), NB_OK);
    ref_street_steps(&s, 3, 0, false); /* what is first in the graph knows of the last after one step */
    float scale[2] = {0}, most[2] = {0};
    for (int32_t i = 0; i < s.graph->n; i++) {
        const nb_node *n = s.graph->node[i];
        const nb_qparams *q = n->out.q;
        if (n->op != &nb_op_fakequant)
            continue;
        const bool weights = n->in[0]->flags & NB_NODE_LEAF;
        const int32_t states = (int32_t)(nb_count(&n->in[1]->out) / n->in[1]->out.shape.d[0]);
        for (int32_t c = 0; c < q->n; c++) {
            const float *range = (const float *)n->in[1]->out.data + c * states;
            scale[weights] = scale[weights] == 0 ? q->scale[c] : scale[weights];
            assert_true(q->scale[c] == scale[weights]);
            const float reach = weights ? fmaxf(-range[0], range[1]) / (float)q->hi
                                        : (fmaxf(range[1], 0) - fminf(range[0], 0)) / (float)q->hi;
            most[weights] = fmaxf(most[weights], reach);
        }
    }
    for (int32_t k = 0; k < 2; k++) {
        int exponent;
        assert_true(frexpf(scale[k], &exponent) == 0.5f);
        assert_true(scale[k] >= most[k] && scale[k] * 0.5f < most[k]);
    }
    ref_street_close(&s);
    assert_int_equal(ref_street_weights(&s, "bits: 4, format: fixed, exponent: -3"), NB_OK);
    ref_street_steps(&s, 1, 0, false);
    assert_true(nb_graph_find(s.graph, "d.weight.fq")->out.q->scale[3] == 0.125f);
    ref_street_close(&s);
}

/* docs/definitions.md says so. */
static void the_worked_examples_hold(void **state)
{
    (void)state;
    float scale, real[256];
    int32_t zero;
    nb_grid g = nb_grid_of(format("pow2"), NULL, 8, NB_SCHEME_SYMMETRIC, true, NULL);
    nb_params_cover(&g, -12.064f, 12.064f, &scale, &zero);
    assert_true(scale == 0.125f && zero == 0);
    assert_int_equal(nb_grid_nearest(&g, -12.064f / scale), -97);

    static const struct {
        const char *format;
        int32_t bits, code; /* numbers >= 0 are in the order of their codes */
        double unit;        /* the smallest number of all */
    } six[] = {{"fp8_e4m3", 8, 0x4c, 0x1p-9}, {"fp4", 4, 0x7, 0.5}};
    for (int32_t i = 0; i < 2; i++) {
        const nb_format *f = format(six[i].format);
        const int32_t n = f->reals(f->attr, six[i].bits, real);
        const double unit = (double)real[n / 2 + 1];
        assert_true((double)real[n / 2 + six[i].code] / unit * six[i].unit == 6.0);
    }
}

static void widths_follow_from_the_format_or_are_refused(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(quantized(&s, "format: fp4")->out.q->bits, 4);
    assert_int_equal(nb_graph_find(s.graph, "c.weight.fq")->out.q->bits, 8); /* first_last_bits: uniform */
    ref_street_close(&s);
    assert_int_equal(quantized(&s, "format: binary, range: auto")->out.q->bits, 1);
    ref_street_close(&s);
    assert_int_equal(quantized(&s, "format: minifloat, exponent: 2, mantissa: 2")->out.q->bits, 5);
    ref_street_close(&s);
    static const char *const wrong[][2] = {
        {"format: fp4, bits: 5", "bits: 5: format fp4 has codes of 4 bits: leave bits out"},
        {"format: apot, bits: 6", "format: apot: has codes of 2..5 bits, which fit into -127..127, not of 6"},
        {"format: ternary, bits: 3", "bits: 3: format ternary has codes of 2 bits: leave bits out"},
        {"format: ternary, bits: 2, range: mse", "range: format ternary finds its scales itself: leave range out"},
        {"format: binary, bits: 1, range: minmax", "range: format binary finds its scales itself"},
        {"format: codebook, bits: 12", "quant.weights.bits: 12: must be in 1..8"},
        {"format: codebook, bits: 8", "format: codebook: has codes of 1..7 bits"},
        {"format: codebook, bits: 4, scheme: full", "scheme: format codebook has levels of its own"},
        {"format: {fixed: {exponent: -5}}, bits: 4", "format: a map: must be one word, fixed; keys of its own stand"},
        {"format: fixed, bits: 4, exponent: 2.5", "format: fixed: exponent must be auto or a whole number"},
        {"format: fixed, bits: 4, granularity: full", "granularity: format fixed has one scale for all layers"},
        {"format: fixed, bits: 4, granularity: group, group: 2", "granularity: format fixed has one scale"},
        {"format: fixed, bits: 4, learn: lsq", "learn: lsq: format fixed has one scale for all layers"},
        {"bits: 8}, activations: {format: binary, bits: 1, scheme: unsigned", "format: binary: is for weights only"},
        {"bits: 4}, layers: {d: {weights: {format: ternary, bits: 2, range: mse}}", "range: format ternary finds"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const nb_status st = ref_street_weights(&s, wrong[i][0]);
        if (st != NB_E_CONFIG || !strstr(nb_ctx_error(s.ctx), wrong[i][1]))
            fail_msg("%s: %d, %s", wrong[i][0], st, nb_ctx_error(s.ctx));
        ref_street_close(&s);
    }
}

/* A format that finds its scales takes the place of the range and gives it back. */
static void layers_may_have_other_formats_than_the_rest(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(ref_street_weights(
                         &s,
                         "bits: 1, format: binary}, layers: {d: {weights: {bits: 3, format: uniform, range: mse}}, c: "
                         "{weights: {bits: 2, format: ternary}}"),
                     NB_OK);
    ref_street_steps(&s, 2, 0.01f, false);
    assert_int_equal(nb_graph_find(s.graph, "d.weight.fq")->out.q->hi, 3);
    assert_int_equal(nb_graph_find(s.graph, "c.weight.fq")->out.q->hi, 1);
    ref_street_close(&s);
    assert_int_equal(ref_street_weights(&s, "bits: 4, range: mse}, layers: {d: {weights: {bits: 1, format: binary}}"),
                     NB_OK);
    ref_street_steps(&s, 2, 0.01f, false);
    assert_int_equal(nb_graph_find(s.graph, "d.weight.fq")->out.q->bits, 1);
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additive_powers_of_two_are_the_papers),
        cmocka_unit_test(ternary_codes_are_beyond_the_threshold_and_the_scale_is_their_mean),
        cmocka_unit_test(binary_codes_are_signs_times_the_mean_size_and_pass_up_to_1),
        cmocka_unit_test(a_book_is_where_k_means_stands_still_and_no_turn_raises_its_error),
        cmocka_unit_test(a_book_as_integers_beats_the_best_uniform_grid),
        cmocka_unit_test(a_book_is_ascending_whatever_it_was_made_from),
        cmocka_unit_test(a_range_beyond_a_given_exponent_is_cut_at_both_ends),
        cmocka_unit_test(fixed_point_has_one_exponent_for_all_that_the_widest_needs),
        cmocka_unit_test(the_worked_examples_hold),
        cmocka_unit_test(widths_follow_from_the_format_or_are_refused),
        cmocka_unit_test(layers_may_have_other_formats_than_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
