/* test_moments.c - moments of clipped normals against integrals, and what batch norms say through relus, joins and pools. */
#include "ref/street.h"

#include "quant/moments.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Mean and deviation of clip(x) by the midpoint rule over 12 sigmas either side. */
static void integrate(double low, double high, double *mean, double *deviation)
{
    const int32_t steps = 400000;
    const double m = *mean, s = *deviation;
    double sum = 0, squares = 0, all = 0;
    for (int32_t i = 0; i < steps; i++) {
        const double t = -12 + 24 * (i + 0.5) / steps, weight = exp(-0.5 * t * t);
        const double v = fmin(fmax(m + s * t, low), high);
        all += weight;
        sum += weight * v;
        squares += weight * v * v;
    }
    *mean = sum / all;
    *deviation = sqrt(squares / all - sum / all * (sum / all));
}

static void a_clipped_normal_has_the_moments_of_its_integral(void **state)
{
    (void)state;
    static const double cases[][4] = {{0, INFINITY, 0, 1},  {0, INFINITY, 2, 0.5}, {0, INFINITY, -1.5, 2},
                                      {0, 6, 1, 3},         {0, 6, 7, 1},          {-1, 1, 0.25, 0.5},
                                      {-INFINITY, 3, 2, 4}, {0, 1, -0.5, 0.01},    {-INFINITY, INFINITY, 3, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double *c = cases[i];
        double m = c[2], s = c[3], want_m = c[2], want_s = c[3];
        nb_clip_moments(c[0], c[1], &m, &s);
        integrate(c[0], c[1], &want_m, &want_s);
        assert_true(fabs(m - want_m) < 1e-8 && fabs(s - want_s) < 1e-6);
    }
    double m = -2, s = 0; /* a dead channel: a constant */
    nb_clip_moments(0, 6, &m, &s);
    assert_true(m == 0 && s == 0);
}

static void batch_norms_are_followed_through_what_stands_behind_them(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(
            &s,
            "data: {name: synth, count: 8, height: 8, width: 8, channels: 3, classes: 3}\n"
            "model: [input, {conv2d: {name: a, out: 2}}, {batchnorm: {name: na}}, {relu: {name: ra}},\n"
            "  {conv2d: {name: b, out: 2, pad: 1}}, {batchnorm: {name: nb}},\n"
            "  {add: {name: sum, in: [nb, ra]}}, {relu: {name: rs, cap: 6}},\n"
            "  {concat: {name: cat, in: [rs, na]}}, {avgpool: {name: ap, kernel: 2}}, {flatten: {name: flat}},\n"
            "  {linear: {name: fc, out: 3}}]\nquant: {batchnorm: keep}\n",
            2, REF_QUANTIZED),
        NB_OK);
    static const float gamma_a[2] = {1, -0.5f}, beta_a[2] = {0.5f, 2}, gamma_b[2] = {2, 0.25f}, beta_b[2] = {-1, 1};
    memcpy(nb_graph_find(s.graph, "na.gamma")->out.data, gamma_a, sizeof gamma_a);
    memcpy(nb_graph_find(s.graph, "na.beta")->out.data, beta_a, sizeof beta_a);
    memcpy(nb_graph_find(s.graph, "nb.gamma")->out.data, gamma_b, sizeof gamma_b);
    memcpy(nb_graph_find(s.graph, "nb.beta")->out.data, beta_b, sizeof beta_b);
    double m[4], d[4];
    for (int32_t c = 0; c < 2; c++) {
        m[c] = (double)beta_a[c];
        d[c] = fabs((double)gamma_a[c]);
        nb_clip_moments(0, INFINITY, &m[c], &d[c]);
        m[c] += (double)beta_b[c];
        d[c] = sqrt(d[c] * d[c] + (double)gamma_b[c] * (double)gamma_b[c]);
        nb_clip_moments(0, 6, &m[c], &d[c]);
        m[2 + c] = (double)beta_a[c];
        d[2 + c] = fabs((double)gamma_a[c]);
    }
    static const char *const nodes[] = {"cat", "ap", "flat", "cat.fq"};
    for (int32_t k = 0; k < 4; k++)
        for (int32_t c = 0; c < 4; c++) {
            double mean, deviation;
            const int32_t at = k == 2 ? 4 * 3 + c : c; /* a flattened pixel has all channels */
            assert_true(nb_value_moments(nb_graph_find(s.graph, nodes[k]), at, &mean, &deviation));
            assert_true(fabs(mean - m[c]) < 1e-12 && fabs(deviation - d[c]) < 1e-12);
        }
    ref_street_close(&s);
}

/* Of silu(x), x normal, by Simpson's rule in double; what it lets through of an interval has its lowest point inside. */
static void activations_are_seen_through(void **state)
{
    (void)state;
    ref_street s;
    assert_int_equal(
        ref_street_open(
            &s,
            "data: {name: synth, count: 8, height: 8, width: 8, channels: 3, classes: 3}\n"
            "model: [input, {conv2d: {name: a, out: 1}}, {batchnorm: {name: na}}, {silu: {name: act}},\n"
            "  {relu: {name: r, cap: 2}}, {prelu: {name: one, channels: no}}, {prelu: {name: each, in: na}},\n"
            "  {add: {name: sum, in: [one, each]}}, {linear: {name: fc, out: 3}}]\n",
            2, REF_FLOAT),
        NB_OK);
    *(float *)nb_graph_find(s.graph, "na.gamma")->out.data = 1.5f;
    *(float *)nb_graph_find(s.graph, "na.beta")->out.data = -0.5f;
    enum { POINTS = 4000 };
    double first = 0, second = 0, mean, deviation, low, high;
    for (int32_t i = 0; i <= POINTS; i++) {
        const double z = -8 + 16.0 * i / POINTS, x = -0.5 + 1.5 * z, y = x / (1 + exp(-x));
        const double w = (i == 0 || i == POINTS ? 1
                          : i % 2               ? 4
                                                : 2) *
                         16.0 / POINTS / 3 * exp(-z * z / 2) / sqrt(2 * 3.14159265358979323846);
        first += w * y;
        second += w * y * y;
    }
    const nb_node *act = nb_graph_find(s.graph, "act");
    assert_true(nb_value_moments(act, 0, &mean, &deviation));
    assert_true(fabs(mean - first) < 1e-4 && fabs(deviation - sqrt(second - first * first)) < 1e-4);
    assert_true(nb_value_interval(act, 0, 4, &low, &high));
    assert_true(fabs(low + 0.27846) < 1e-3 && fabs(high - 5.5 / (1 + exp(-5.5))) < 1e-5);
    assert_true(nb_value_interval(nb_graph_find(s.graph, "one"), 0, 4, &low, &high));
    assert_true(low == 0 && high == 2); /* a relu with its cap, and a PReLU of values above 0 */
    assert_true(nb_value_interval(nb_graph_find(s.graph, "each"), 0, 2, &low, &high)); /* it has one channel */
    assert_true(fabs(low + 0.25 * 3.5) < 1e-6 && fabs(high - 2.5) < 1e-6);
    ref_street_close(&s);
}

static void where_no_batch_norm_says_it_nobody_knows(void **state)
{
    (void)state;
    static const char *const none[] = {"input1", "a", "ra", "mp", "sum", "fc", "pr"};
    ref_street s;
    assert_int_equal(
        ref_street_open(
            &s,
            "data: {name: synth, count: 8, height: 8, width: 8, channels: 3, classes: 3}\n"
            "model: [{input: {name: input1}}, {conv2d: {name: a, out: 2}}, {relu: {name: ra}},\n"
            "  {conv2d: {name: b, out: 2, pad: 1}}, {batchnorm: {name: nb}}, {maxpool: {name: mp, kernel: 1}},\n"
            "  {add: {name: sum, in: [nb, ra]}}, {add: {name: two, in: [sum, mp]}}, {prelu: {name: pr, in: nb}},\n"
            "  {add: {name: all, in: [two, pr]}}, {linear: {name: fc, out: 3}}]\n",
            2, REF_FLOAT),
        NB_OK);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        double mean, deviation;
        assert_false(nb_value_moments(nb_graph_find(s.graph, none[i]), 0, &mean, &deviation));
    }
    ref_street_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clipped_normal_has_the_moments_of_its_integral),
        cmocka_unit_test(batch_norms_are_followed_through_what_stands_behind_them),
        cmocka_unit_test(activations_are_seen_through),
        cmocka_unit_test(where_no_batch_norm_says_it_nobody_knows),
    };
    return cmocka_run_group_tests_name("moments", tests, NULL, NULL);
}
