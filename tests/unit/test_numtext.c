/* test_numtext.c - numbers as text read back as the same number, short where they can be, with a point in any locale.
 */
#include "base/numtext.h"

#include "base/rng.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_float_reads_back_as_itself(void **state)
{
    (void)state;
    char buf[NB_NUMTEXT];
    nb_rng r = nb_rng_make(3, 1);
    for (int32_t i = 0; i < 20000; i++) {
        uint32_t bits = nb_rng_u32(&r);
        float v;
        memcpy(&v, &bits, sizeof v);
        if (v != v || v - v != 0)
            continue;
        assert_true(strtof(nb_float_text(buf, v), NULL) == v);
        assert_true((float)strtod(buf, NULL) == v); /* the way a JSON reader goes */
    }
}

static void every_double_reads_back_as_itself(void **state)
{
    (void)state;
    char buf[NB_NUMTEXT];
    nb_rng r = nb_rng_make(4, 1);
    for (int32_t i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)nb_rng_u32(&r) << 32 | nb_rng_u32(&r);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (v == v && v - v == 0)
            assert_true(strtod(nb_double_text(buf, v), NULL) == v);
    }
    assert_true(strtod(nb_double_text(buf, DBL_MAX), NULL) == DBL_MAX);
    assert_true(strtod(nb_double_text(buf, -DBL_TRUE_MIN), NULL) == -DBL_TRUE_MIN);
}

static void short_numbers_stay_short(void **state)
{
    (void)state;
    char buf[NB_NUMTEXT];
    assert_string_equal(nb_float_text(buf, 0.1f), "0.1");
    assert_string_equal(nb_float_text(buf, 0.0078125f), "0.0078125");
    assert_string_equal(nb_float_text(buf, 1), "1");
    assert_string_equal(nb_float_text(buf, FLT_MIN), "1.1754944e-38");
    assert_string_equal(nb_double_text(buf, 0.9213), "0.9213");
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    static const char *const with_commas[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "nl_NL.UTF-8"};
    char buf[NB_NUMTEXT];
    for (size_t i = 0; i < sizeof with_commas / sizeof *with_commas; i++)
        if (setlocale(LC_ALL, with_commas[i])) {
            assert_string_equal(nb_float_text(buf, 0.5f), "0.5");
            assert_string_equal(nb_double_text(buf, -2.5e-7), "-2.5e-07");
        }
    setlocale(LC_ALL, "C");
    assert_string_equal(nb_double_text(buf, -2.5e-7), "-2.5e-07");
}

static void a_share_is_the_same_percentage_however_it_was_computed(void **state)
{
    (void)state;
    char a[NB_NUMTEXT], b[NB_NUMTEXT];
    for (int n = 1; n <= 800; n++)
        for (int i = 0; i <= n; i++) {
            const long long up = ((long long)i * 20000 + n) / (2 * n); /* hundredths of a percent, ties up */
            snprintf(a, sizeof a, "%.2f", nb_percent((double)i / n));
            snprintf(b, sizeof b, "%lld.%02lld", up / 100, up % 100);
            assert_string_equal(a, b);
            snprintf(a, sizeof a, "%.2f", nb_shown(100.0 * i / n, 2));
            assert_string_equal(a, b);
        }
    assert_true(nb_shown(-0.125, 2) == -0.13 && nb_shown(1e300, 2) == 1e300 && isnan(nb_shown((double)NAN, 2)));
    assert_true(nb_shown(0.0625, 3) == 0.063 && nb_shown(2.5, 0) == 3);
}

static void one_of_a_noun_is_singular(void **state)
{
    (void)state;
    assert_string_equal(nb_plural(1), "");
    assert_string_equal(nb_plural(0), "s");
    assert_string_equal(nb_plural(2), "s");
}

static void plain_text_has_no_exponent_and_reads_back(void **state)
{
    (void)state;
    char buf[NB_NUMTEXT];
    assert_string_equal(nb_plain_text(buf, 100), "100");
    assert_string_equal(nb_plain_text(buf, -80), "-80");
    assert_string_equal(nb_plain_text(buf, 1e6), "1000000");
    assert_string_equal(nb_plain_text(buf, 97.5), "97.5");
    assert_string_equal(nb_plain_text(buf, 2.5e-5), "0.000025");
    assert_string_equal(nb_plain_text(buf, 0), "0");
    assert_string_equal(nb_plain_text(buf, 1e-9), "1e-09");
    const double hard = 1.0 / 61728; /* 1.62e-05 */
    assert_true(strtod(nb_plain_text(buf, hard), NULL) == hard && !strchr(buf, 'e'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_a_noun_is_singular),
        cmocka_unit_test(plain_text_has_no_exponent_and_reads_back),
        cmocka_unit_test(a_share_is_the_same_percentage_however_it_was_computed),
        cmocka_unit_test(every_float_reads_back_as_itself),
        cmocka_unit_test(every_double_reads_back_as_itself),
        cmocka_unit_test(short_numbers_stay_short),
        cmocka_unit_test(the_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
