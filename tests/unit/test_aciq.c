/* test_aciq.c - clips and noise in closed form against SciPy (tests/golden/make_ranges.py), the published factors and
 * sampling. */
#include "quant/aciq.h"

#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "golden/aciq_golden.h"

static void near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("%.17g, want %.17g", got, want);
}

static void lambert_w_is_scipys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_lambert / sizeof *golden_lambert; i++)
        near(nb_lambert_w(golden_lambert[i][0]), golden_lambert[i][1], 1e-14);
}

static void clips_and_noise_are_those_of_numerical_integration(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof golden_clips / sizeof *golden_clips; i++) {
        const nb_clip_case c = {golden_clips[i].fit, golden_clips[i].one_sided, golden_clips[i].intervals};
        near(nb_clip_factor(&c), golden_clips[i].factor, 1e-6); /* a minimum is flat */
        near(nb_clip_noise(&c, nb_clip_factor(&c)), golden_clips[i].noise, 1e-9);
        near(nb_clip_noise(&c, 2), golden_clips[i].noise_at_2, 1e-9);
    }
}

/* Banner et al. 2019, and the tables that are copied from it. */
static void factors_are_the_published_ones(void **state)
{
    (void)state;
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    static const double laplace[] = {2.831, 3.897, 5.029, 6.205, 7.413, 9.897},
                        one_sided[] = {3.897, 5.029, 6.205, 7.413, 8.646, 11.163},
                        gaussian[] = {1.71063519, 2.15159277, 2.55913646, 2.93620062, 3.28691474, 3.92403714};
    for (int i = 0; i < 6; i++) {
        const double n = ldexp(1, bits[i]);
        assert_float_equal(nb_clip_factor(&(nb_clip_case){NB_FIT_LAPLACE, false, n}), laplace[i], 6e-4);
        assert_float_equal(nb_clip_factor(&(nb_clip_case){NB_FIT_LAPLACE, true, n}), one_sided[i], 6e-4);
        assert_float_equal(nb_clip_factor(&(nb_clip_case){NB_FIT_GAUSSIAN, false, n}), gaussian[i], 3e-6);
    }
}

/* The i-th of n standard ones of each: sizes are spread evenly over probabilities, so that tails have their share. */
static double drawn(nb_fit fit, int32_t i, int32_t n)
{
    const double u = (i + 0.5) / n, v = (double)(nb_mix(7, (uint64_t)i) >> 11) * 0x1p-53;
    if (fit == NB_FIT_LAPLACE)
        return v < 0.5 ? log(u) : -log(u);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void noise_is_that_of_quantized_samples(void **state)
{
    (void)state;
    enum { N = 200000 };
    for (int fit = 0; fit < 2; fit++)
        for (int one_sided = 0; one_sided < 2; one_sided++)
            for (int intervals = 15; intervals <= 63; intervals += 48) {
                const nb_clip_case c = {(nb_fit)fit, one_sided, intervals};
                const double clip = nb_clip_factor(&c), low = one_sided ? 0 : -clip, step = (clip - low) / intervals;
                double sum = 0;
                for (int32_t i = 0; i < N; i++) {
                    double x = drawn(c.fit, i, N);
                    x = one_sided ? fabs(x) : x;
                    const double y = low + step * fmin(fmax(rint((x - low) / step), 0), intervals);
                    sum += (x - y) * (x - y);
                }
                near(nb_clip_noise(&c, clip), sum / N, 0.05);
            }
}

static void the_likelier_distribution_is_chosen(void **state)
{
    (void)state;
    for (int fit = 0; fit < 2; fit++) {
        double size = 0, square = 0;
        for (int32_t i = 0; i < 5000; i++) {
            size += fabs(drawn((nb_fit)fit, i, 5000)) / 5000;
            square += drawn((nb_fit)fit, i, 5000) * drawn((nb_fit)fit, i, 5000) / 5000;
        }
        assert_int_equal(nb_fit_choose(size, sqrt(square)), fit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lambert_w_is_scipys),
        cmocka_unit_test(clips_and_noise_are_those_of_numerical_integration),
        cmocka_unit_test(factors_are_the_published_ones),
        cmocka_unit_test(noise_is_that_of_quantized_samples),
        cmocka_unit_test(the_likelier_distribution_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
