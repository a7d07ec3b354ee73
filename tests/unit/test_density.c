/* test_density.c - fits and rounding noise against SciPy (tests/golden/make_profile.py), and against values that are drawn
 * and rounded. */
#include "analysis/density.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "golden/profile_golden.h"

enum { MOST = 256 };

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.17g, want %.17g", got, want);
}

/* n levels of a grid and the middles between them. */
static void grid(double low, double step, int n, double *level, double *edge)
{
    for (int i = 0; i < n; i++) {
        level[i] = low + step * i;
        edge[i] = low + step * (i + 0.5);
    }
}

static void the_best_fit_is_scipys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_drawn / sizeof *golden_drawn; i++) {
        const nb_stats s = nb_stats_of(golden_drawn[i].x, GOLDEN_VALUES, 1);
        const nb_density d = nb_density_fit(&s);
        assert_int_equal(d.fit, golden_drawn[i].fit);
        assert_int_equal(d.one_sided, golden_drawn[i].one_sided);
        near(d.center, golden_drawn[i].center, 1e-12);
        near(d.spread, golden_drawn[i].spread, 1e-12);
        near(d.criterion, golden_drawn[i].criterion, 1e-10);
        near(d.zeros, (double)golden_drawn[i].zeros / GOLDEN_VALUES, 1e-15);
    }
}

static void noise_is_that_of_numerical_integration(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_noise / sizeof *golden_noise; i++) {
        double level[MOST], edge[MOST];
        const nb_density d = {.fit = golden_noise[i].fit,
                              .one_sided = golden_noise[i].one_sided != 0,
                              .center = golden_noise[i].center,
                              .spread = golden_noise[i].spread,
                              .low = -INFINITY,
                              .high = INFINITY,
                              .zeros = golden_noise[i].zeros};
        grid(golden_noise[i].low, golden_noise[i].step, golden_noise[i].levels, level, edge);
        near(nb_density_noise(&d, level, edge, golden_noise[i].levels), golden_noise[i].noise, 1e-9);
    }
}

/* The i-th of n values: sizes are spread evenly over probabilities, so that tails have their share. */
static float drawn(const nb_density *d, int32_t i, int32_t n)
{
    const double u = (i + 0.5) / n, v = (double)(nb_mix(7, (uint64_t)i) >> 11) * 0x1p-53;
    double x = d->fit == NB_FIT_GAUSSIAN  ? sqrt(-2 * log(u)) * cos(6.283185307179586 * v)
               : d->fit == NB_FIT_LAPLACE ? (v < 0.5 ? log(u) : -log(u))
                                          : 2 * u - 1;
    return (float)(d->center + d->spread * (d->one_sided ? fabs(x) : x));
}

/* Squared error of n values on a grid, per value. */
static double measured(const float *x, int32_t n, double low, double step, int levels)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const double y = low + step * fmin(fmax(rint(((double)x[i] - low) / step), 0), levels - 1);
        sum += ((double)x[i] - y) * ((double)x[i] - y);
    }
    return sum / n;
}

/* At 3 to 8 bits, over all values and cut at the clip that costs least: the predicted noise is within 1 dB of the measured,
 * and the textbook's step^2 / 12 is where nothing is cut off, but for a Laplace's few bits. */
static void prediction_is_within_a_decibel_of_drawn_values(void **state)
{
    (void)state;
    enum { N = 60000 };
    static float x[N];
    for (int k = 0; k < 6; k++) {
        const bool one_sided = k >= 3;
        const nb_density of = {.fit = (nb_fit)(k % 3), .one_sided = one_sided, .spread = 0.4};
        for (int32_t i = 0; i < N; i++)
            x[i] = drawn(&of, i, N);
        const nb_stats s = nb_stats_of(x, N, 1);
        const nb_density d = nb_density_fit(&s);
        assert_int_equal(d.fit, of.fit);
        assert_int_equal(d.one_sided, of.one_sided);
        for (int bits = 3; bits <= 8; bits++)
            for (int cut = 0; cut < 2; cut++) {
                double level[MOST], edge[MOST], low = -fmax(-s.extent.min, s.extent.max), high = -low;
                const int intervals = one_sided ? (1 << bits) - 1 : (1 << bits) - 2;
                low = one_sided ? 0 : low;
                if (cut)
                    nb_density_clip(&d, intervals, &low, &high);
                const double step = (high - low) / intervals, got = measured(x, N, low, step, intervals + 1);
                grid(low, step, intervals + 1, level, edge);
                const double want = nb_density_noise(&d, level, edge, intervals + 1);
                if (!(fabs(nb_decibel(got, want)) < 1))
                    fail_msg("%s at %d bits: measured %g, predicted %g", nb_density_name(&d), bits, got, want);
                if (!cut && (d.fit != NB_FIT_LAPLACE || bits > 4))
                    assert_true(fabs(nb_decibel(got, step * step / 12)) < 1);
            }
    }
}

/* No end of the range is better than the one it names, by more than the formula's own error. */
static void the_clip_costs_least(void **state)
{
    (void)state;
    for (int k = 0; k < 6; k++) {
        const nb_density d = {
            .fit = (nb_fit)(k % 3), .one_sided = k >= 3, .spread = 2, .low = -INFINITY, .high = INFINITY};
        double low, high, level[MOST], edge[MOST], best = INFINITY;
        const int intervals = 30;
        nb_density_clip(&d, intervals, &low, &high);
        grid(low, (high - low) / intervals, intervals + 1, level, edge);
        const double at_clip = nb_density_noise(&d, level, edge, intervals + 1);
        for (double r = 0.3; r < 3; r += 0.01) {
            grid(r * low, r * (high - low) / intervals, intervals + 1, level, edge);
            best = fmin(best, nb_density_noise(&d, level, edge, intervals + 1));
        }
        assert_true(at_clip < 1.01 * best);
    }
}

/* A Gaussian's values up to one standard deviation: between 0 and 1, to either; by the integral of x^2 phi over [-1/2, 1/2] and of
 * (1 - |x|)^2 phi beyond, over the mass of [-1, 1]. */
static void what_is_not_reached_is_not_counted(void **state)
{
    (void)state;
    const double level[3] = {-1, 0, 1}, edge[2] = {-0.5, 0.5};
    const nb_density d = {.fit = NB_FIT_GAUSSIAN, .spread = 1, .low = -1, .high = 1};
    double sum = 0, mass = 0;
    enum { STEPS = 200000 };
    for (int i = 0; i < STEPS; i++) {
        const double x = -1 + 2 * (i + 0.5) / STEPS, f = exp(-x * x / 2), e = fabs(x) < 0.5 ? x : 1 - fabs(x);
        sum += e * e * f;
        mass += f;
    }
    near(nb_density_noise(&d, level, edge, 3), sum / mass, 1e-8);
}

static void values_that_are_all_the_same_have_no_density(void **state)
{
    (void)state;
    const float same[4] = {0.25f, 0.25f, 0.25f, 0.25f}, nothing[3] = {0};
    const double level[2] = {0, 1}, edge[1] = {0.5};
    nb_stats s = nb_stats_of(same, 4, 1);
    nb_density d = nb_density_fit(&s);
    assert_string_equal(nb_density_name(&d), "constant");
    near(nb_density_noise(&d, level, edge, 2), 0.0625, 1e-15);
    s = nb_stats_of(nothing, 3, 1);
    d = nb_density_fit(&s);
    assert_string_equal(nb_density_name(&d), "constant");
    assert_true(nb_density_noise(&d, level, edge, 2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_fit_is_scipys),
        cmocka_unit_test(noise_is_that_of_numerical_integration),
        cmocka_unit_test(prediction_is_within_a_decibel_of_drawn_values),
        cmocka_unit_test(the_clip_costs_least),
        cmocka_unit_test(what_is_not_reached_is_not_counted),
        cmocka_unit_test(values_that_are_all_the_same_have_no_density),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
