/* test_range_percentile.c - percentiles against NumPy (tests/golden/make_ranges.py) and sorting; what a histogram keeps
 * (histogram.c). */
#include "ref/observed.h"

#include "quant/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden/percentile_golden.h"

typedef struct {
    float momentum, low, high;
} attributes; /* as the keys bind them */

enum { FLOATS = 2 + NB_HISTOGRAM_FLOATS, N = 6000 };

static const nb_range *percentile(void)
{
    return nb_registry_find(nb_ranges, "percentile");
}

static void of_weights_they_are_numpys(void **state)
{
    (void)state;
    const nb_grid g = nb_grid_make(4, NB_SCHEME_SYMMETRIC, true);
    for (size_t i = 0; i < sizeof golden_percentiles / sizeof *golden_percentiles; i++) {
        const double p = golden_percentiles[i].percent;
        attributes a = {0.05f, (float)(p < 50 ? p : 0), (float)(p < 50 ? 100 : p)};
        float s[2] = {0};
        const nb_observation o = observed(golden_values, golden_percentiles[i].n, &g);
        percentile()->observe(&a, s, &o);
        assert_float_equal(s[p < 50 ? 0 : 1], golden_percentiles[i].value, 1e-5); /* 99.99 is a float */
    }
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double below(const float *sorted, int32_t n, float v)
{
    int32_t i = 0;
    while (i < n && sorted[i] < v)
        i++;
    return i;
}

/* Batches whose extremes grow, the first without negative values. */
static void of_activations_they_are_those_of_all_batches_to_a_bin(void **state)
{
    (void)state;
    static float x[3 * N], s[FLOATS];
    const nb_grid g = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false);
    attributes a = {0.05f, 20, 99.5f};
    for (int32_t positive = 0; positive < 2; positive++) {
        memset(s, 0, sizeof s);
        for (int32_t b = 0; b < 3; b++) {
            float *batch = x + (int64_t)b * N;
            observed_fill(batch, N, b == 0 || positive ? 3 : 1, (uint64_t)b);
            for (int32_t i = 0; i < N; i++)
                batch[i] *= (float)(b + 1);
            nb_observation o = observed(batch, N, &g);
            o.first = b == 0;
            o.calibration = b + 1;
            percentile()->observe(&a, s, &o);
        }
        qsort(x, 3 * N, sizeof *x, by_value);
        const nb_histogram *h = (const nb_histogram *)(s + 2);
        const float width = (float)(nb_histogram_edge(h, 1) - nb_histogram_edge(h, 0));
        assert_true(h->reach < 2 * fmaxf(-x[0], x[3 * N - 1]) && nb_histogram_sound(s + 2));
        for (int32_t end = 0; end < 2; end++) { /* at most that many below its bin, at least that many with it */
            const double rank = (end ? 0.995 : 0.2) * 3 * N;
            assert_true(below(x, 3 * N, s[end] - width) <= rank + 1 && below(x, 3 * N, s[end] + width) >= rank - 1);
        }
    }
}

static void in_training_new_batches_count_by_the_momentum(void **state)
{
    (void)state;
    static float s[FLOATS];
    const float low[] = {1, 1, 1, 1}, high[] = {3, 3, 3, 3};
    const nb_grid g = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false);
    attributes a = {0.25f, 0, 100};
    nb_observation o = observed(low, 4, &g);
    percentile()->observe(&a, s, &o);
    o = observed(high, 4, &g);
    o.first = false;
    percentile()->observe(&a, s, &o);
    const nb_histogram *h = (const nb_histogram *)(s + 2);
    double below = 0, above = 0;
    for (int32_t i = 0; i < NB_BINS; i++)
        *(nb_histogram_edge(h, i) < 2 ? &below : &above) += (double)h->share[i];
    assert_float_equal(below, 0.75, 1e-6);
    assert_float_equal(above, 0.25, 1e-6);
    assert_float_equal(s[1], 3, 0.01);
}

static void zeros_have_no_reach_and_a_histogram_that_cannot_be_is_told(void **state)
{
    (void)state;
    static float s[FLOATS];
    const float zeros[4] = {0};
    const nb_grid g = nb_grid_make(8, NB_SCHEME_ASYMMETRIC, false);
    attributes a = {0.25f, 1, 99};
    const nb_observation o = observed(zeros, 4, &g);
    percentile()->observe(&a, s, &o);
    assert_true(s[0] == 0 && s[1] == 0 && percentile()->sound(s) && percentile()->history_sound(s + 2));
    s[2] = -1; /* a reach that doubling would never make large enough */
    assert_false(percentile()->history_sound(s + 2));
    s[2] = 1;
    s[3] = 0.5f;
    assert_false(percentile()->history_sound(s + 2));
    s[3] = 1;
    s[100] = -0.1f;
    assert_false(percentile()->history_sound(s + 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_weights_they_are_numpys),
        cmocka_unit_test(of_activations_they_are_those_of_all_batches_to_a_bin),
        cmocka_unit_test(in_training_new_batches_count_by_the_momentum),
        cmocka_unit_test(zeros_have_no_reach_and_a_histogram_that_cannot_be_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
