/* test_rng.c - Philox against the known answers of its reference implementation, and the distributions drawn from it.
 */
#include "base/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* kat_vectors of Random123 1.14, lines "philox4x32 10". */
static void philox_gives_the_published_known_answers(void **state)
{
    (void)state;
    uint32_t out[4];
    nb_philox(out, 0, 0, 0);
    assert_int_equal(out[0], 0x6627e8d5u);
    assert_int_equal(out[1], 0xe169c58du);
    assert_int_equal(out[2], 0xbc57ac4cu);
    assert_int_equal(out[3], 0x9b00dbd8u);
    nb_philox(out, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    assert_int_equal(out[0], 0x408f276du);
    assert_int_equal(out[1], 0x41c83b0eu);
    assert_int_equal(out[2], 0xa20bc7c6u);
    assert_int_equal(out[3], 0x6d5451fdu);
    nb_philox(out, 0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu);
    assert_int_equal(out[0], 0xd16cfe09u);
    assert_int_equal(out[1], 0x94fdccebu);
    assert_int_equal(out[2], 0x5001e420u);
    assert_int_equal(out[3], 0x24126ea1u);
}

static void a_generator_walks_the_words_of_consecutive_counters(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(7, 9);
    for (uint64_t block = 0; block < 5; block++) {
        uint32_t want[4];
        nb_philox(want, 7, block, 9);
        for (int i = 0; i < 4; i++)
            assert_int_equal(nb_rng_u32(&r), want[i]);
    }
}

static void streams_and_seeds_differ(void **state)
{
    (void)state;
    nb_rng a = nb_rng_make(1, 1), b = nb_rng_make(1, 2), c = nb_rng_make(2, 1);
    uint32_t x = nb_rng_u32(&a), y = nb_rng_u32(&b), z = nb_rng_u32(&c);
    assert_true(x != y && y != z && x != z);
}

static void below_stays_in_range_and_hits_every_value_evenly(void **state)
{
    (void)state;
    enum { N = 6, DRAWS = 60000 };
    nb_rng r = nb_rng_make(3, 0);
    int count[N] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t v = nb_rng_below(&r, N);
        assert_true(v < N);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < N; i++)
        chi2 += pow(count[i] - DRAWS / N, 2) / (DRAWS / (double)N);
    assert_true(chi2 < 20.5); /* 5 degrees of freedom: p = 0.001 */
    assert_int_equal(nb_rng_below(&r, 1), 0);
}

/* With n = 3 * 2^30 a plain product would give every third value of the top quarter double weight. */
static void below_is_unbiased_where_a_plain_product_is_not(void **state)
{
    (void)state;
    enum { DRAWS = 30000 };
    nb_rng r = nb_rng_make(4, 0);
    int residue[3] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t v = nb_rng_below(&r, 3u << 30);
        assert_true(v < 3u << 30);
        residue[v % 3]++;
    }
    for (int i = 0; i < 3; i++)
        assert_true(abs(residue[i] - DRAWS / 3) < 330); /* 4 standard deviations */
}

static void uniform_lies_in_the_half_open_unit_interval_with_the_right_moments(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    nb_rng r = nb_rng_make(5, 0);
    double sum = 0, sum2 = 0;
    for (int i = 0; i < DRAWS; i++) {
        float u = nb_rng_uniform(&r);
        assert_true(u >= 0.0f && u < 1.0f);
        sum += u;
        sum2 += (double)u * u;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 0.004);
    assert_true(fabs(sum2 / DRAWS - 1.0 / 3) < 0.004);
}

static void normal_is_finite_with_mean_0_variance_1_and_kurtosis_3(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    nb_rng r = nb_rng_make(6, 0);
    double m1 = 0, m2 = 0, m4 = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = nb_rng_normal(&r);
        assert_true(isfinite(x));
        m1 += x;
        m2 += x * x;
        m4 += x * x * x * x;
    }
    assert_true(fabs(m1 / DRAWS) < 0.013);
    assert_true(fabs(m2 / DRAWS - 1) < 0.018);
    assert_true(fabs(m4 / DRAWS - 3) < 0.13);
    assert_int_equal(r.next, 2 * DRAWS);
}

static void mix_depends_on_both_arguments_and_their_order(void **state)
{
    (void)state;
    assert_int_not_equal(nb_mix(1, 2), nb_mix(2, 1));
    assert_int_not_equal(nb_mix(1, 2), nb_mix(1, 3));
    assert_int_not_equal(nb_mix(0, 0), 0);
    assert_int_not_equal(nb_mix(1, 2), nb_mix(2, 1) + 1);
}

/* Published test values of FNV-1a, 64 bits. */
static void text_hash_is_fnv_1a(void **state)
{
    (void)state;
    assert_int_equal(nb_hash_text(""), 0xcbf29ce484222325u);
    assert_int_equal(nb_hash_text("a"), 0xaf63dc4c8601ec8cu);
    assert_int_equal(nb_hash_text("foobar"), 0x85944171f73967e8u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_known_answers),
        cmocka_unit_test(a_generator_walks_the_words_of_consecutive_counters),
        cmocka_unit_test(streams_and_seeds_differ),
        cmocka_unit_test(below_stays_in_range_and_hits_every_value_evenly),
        cmocka_unit_test(below_is_unbiased_where_a_plain_product_is_not),
        cmocka_unit_test(uniform_lies_in_the_half_open_unit_interval_with_the_right_moments),
        cmocka_unit_test(normal_is_finite_with_mean_0_variance_1_and_kurtosis_3),
        cmocka_unit_test(mix_depends_on_both_arguments_and_their_order),
        cmocka_unit_test(text_hash_is_fnv_1a),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
