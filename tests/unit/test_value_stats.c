/* test_value_stats.c - moments, outliers and shares of zeros against NumPy (tests/golden/make_profile.py), whole and in parts. */
#include "analysis/value_stats.h"

#include "quant/aciq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "golden/profile_golden.h"

enum { CASES = sizeof golden_drawn / sizeof *golden_drawn };

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.17g, want %.17g", got, want);
}

static void they_are_numpys(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const nb_stats s = nb_stats_of(golden_drawn[i].x, GOLDEN_VALUES, 1);
        near(nb_stats_mean(&s), golden_drawn[i].mean, 1e-12);
        near(nb_stats_std(&s), golden_drawn[i].std, 1e-12);
        near(nb_stats_kurtosis(&s), golden_drawn[i].kurtosis, 1e-11);
        assert_int_equal(s.extent.n, GOLDEN_VALUES);
        assert_int_equal(s.extent.zeros, golden_drawn[i].zeros);
        assert_int_equal(s.outliers.beyond4, golden_drawn[i].beyond4);
        assert_int_equal(s.outliers.beyond6, golden_drawn[i].beyond6);
    }
}

/* 120 values as 30 rows of 4 channels, in two parts of 7 and 23 rows: a channel alone, and the parts merged. */
static void channels_and_parts_are_the_same_values(void **state)
{
    (void)state;
    const float *x = golden_drawn[1].x;
    for (int c = 0; c < 4; c++) {
        float alone[30];
        for (int r = 0; r < 30; r++)
            alone[r] = x[4 * r + c];
        const nb_stats want = nb_stats_of(alone, 30, 1);
        nb_stats got = {.extent = NB_EXTENT_NONE}, parts[2] = {{.extent = NB_EXTENT_NONE}, {.extent = NB_EXTENT_NONE}};
        const float *at[2] = {x + c, x + 4 * 7 + c};
        const int rows[2] = {7, 23};
        for (int p = 0; p < 2; p++) {
            nb_extent_add(&parts[p].extent, at[p], rows[p], 4);
            nb_extent_merge(&got.extent, &parts[p].extent);
        }
        for (int p = 0; p < 2; p++) {
            nb_moments_add(&parts[p].moments, &got.extent, at[p], rows[p], 4);
            nb_moments_merge(&got.moments, &parts[p].moments);
        }
        for (int p = 0; p < 2; p++) {
            nb_outliers_add(&parts[p].outliers, &got, at[p], rows[p], 4);
            nb_outliers_merge(&got.outliers, &parts[p].outliers);
        }
        assert_true(got.extent.min == want.extent.min && got.extent.max == want.extent.max);
        near(nb_stats_mean(&got), nb_stats_mean(&want), 1e-14);
        near(nb_stats_std(&got), nb_stats_std(&want), 1e-14);
        near(nb_stats_kurtosis(&got), nb_stats_kurtosis(&want), 1e-13);
        near(got.moments.size, want.moments.size, 1e-13);
        assert_int_equal(got.outliers.beyond4, want.outliers.beyond4);
    }
}

static void a_value_that_is_no_number_shows_in_the_sum(void **state)
{
    (void)state;
    const float bad[2][3] = {{1, NAN, 2}, {INFINITY, 0, -INFINITY}};
    for (int i = 0; i < 2; i++) {
        nb_extent e = NB_EXTENT_NONE;
        nb_extent_add(&e, bad[i], 3, 1);
        assert_false(isfinite(e.sum));
    }
}

static void decibels_are_ten_logarithms(void **state)
{
    (void)state;
    near(nb_decibel(100, 1), 20, 1e-15);
    near(nb_decibel(1, 2), -3.010299956639812, 1e-15);
    assert_true(isinf(nb_decibel(1, 0)));
    assert_true(isnan(nb_decibel(0, 0)) && isnan(nb_decibel(0, 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_numpys),
        cmocka_unit_test(channels_and_parts_are_the_same_values),
        cmocka_unit_test(a_value_that_is_no_number_shows_in_the_sum),
        cmocka_unit_test(decibels_are_ten_logarithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
