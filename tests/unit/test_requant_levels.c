/* test_requant_levels.c - closing one channel: with levels, its codes stay levels, whatever its scale. */
#include "quant/requant.h"

#include "base/rng.h"
#include "kernels/rescale.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 12 };

static nb_requant_spec spec_of(const int8_t *level, int32_t n, double scale, double bias)
{
    return (nb_requant_spec){.scale = scale,
                             .bias = bias,
                             .out_scale = 0.05,
                             .x_hi = 255,
                             .x_zero = 30,
                             .y_zero = 100,
                             .y_hi = 255,
                             .level = level,
                             .n_levels = n};
}

static const int8_t symmetric[4] = {-64, -3, 3, 64}, lopsided[4] = {-64, -3, 3, 70}, with_zero[3] = {-9, 0, 5};

static void a_negative_scale_negates_weights_and_says_so(void **state)
{
    (void)state;
    int8_t w[4] = {-64, 3, 3, -3};
    nb_requant r;
    const nb_requant_spec s = spec_of(symmetric, 4, -0.001, 0.5);
    assert_int_equal(nb_requant_channel(&s, w, 4, &r), NB_REQUANT_DONE);
    assert_memory_equal(w, ((const int8_t[]){64, -3, -3, 3}), 4);
    assert_int_equal(r.bias, 500 - 30 * 61);
    assert_true(r.negated);
}

static void a_table_that_is_not_symmetric_is_negated_with_its_weights(void **state)
{
    (void)state;
    int8_t w[4] = {-64, 3, 70, -3};
    nb_requant r;
    const nb_requant_spec s = spec_of(lopsided, 4, -0.001, 0.5), same = spec_of(lopsided, 4, 0.001, 0.5);
    assert_int_equal(nb_requant_channel(&same, w, 4, &r), NB_REQUANT_DONE); /* its sign is as it should be */
    assert_false(r.negated);
    assert_int_equal(nb_requant_channel(&s, w, 4, &r), NB_REQUANT_DONE);
    assert_true(r.negated);
    assert_memory_equal(w, ((const int8_t[]){64, -3, -70, 3}), 4);
    assert_int_equal(r.bias, 500 + 30 * 6);
}

static void a_constant_channel_has_zero_weights_where_0_is_a_level(void **state)
{
    (void)state;
    int8_t w[4] = {-9, 5, 0, 5};
    nb_requant r;
    const nb_requant_spec s = spec_of(with_zero, 3, 0, 0.25);
    assert_int_equal(nb_requant_channel(&s, w, 4, &r), NB_REQUANT_DONE);
    assert_memory_equal(w, ((const int8_t[4]){0}), 4);
    assert_true(r.bias == 5 && r.mult == 1 << 30 && r.shift == 30);
}

static int32_t output(const nb_requant_spec *s, const int8_t *w, const nb_requant *r, const int32_t *x)
{
    int64_t acc = r->bias;
    for (int32_t i = 0; i < N; i++)
        acc += (int64_t)w[i] * x[i];
    assert_true(llabs(acc) <= r->bound);
    return nb_rescale((int32_t)acc, r->mult, r->shift, s->y_zero, s->y_lo, s->y_hi);
}

/* Inputs at the ends of their grid, where sums are largest, and others. */
static void without_a_level_0_a_constant_channel_is_constant_all_the_same(void **state)
{
    (void)state;
    nb_rng rng = nb_rng_make(5, 0);
    for (int32_t turn = 0; turn < 2000; turn++) {
        int8_t w[N], before[N];
        nb_requant r;
        const double bias = ((double)nb_rng_below(&rng, 30000) - 15000) * 0.001;
        const nb_requant_spec s = spec_of(turn % 2 ? lopsided : symmetric, 4, turn % 4 < 2 ? 0 : -1e-30, bias);
        for (int32_t i = 0; i < N; i++)
            w[i] = s.level[nb_rng_below(&rng, 4)];
        memcpy(before, w, sizeof w);
        assert_int_equal(nb_requant_channel(&s, w, N, &r), NB_REQUANT_DONE);
        assert_memory_equal(w, before, sizeof w);
        assert_true(r.mult == 1 << 30 && r.shift >= 30 && r.shift <= 62);
        const double code = nearbyint(bias / s.out_scale) + s.y_zero, want = code < 0 ? 0 : code > 255 ? 255 : code;
        for (int32_t k = 0; k < 8; k++) {
            int32_t x[N];
            for (int32_t i = 0; i < N; i++)
                x[i] = k == 0 ? 255 * (w[i] > 0) : k == 1 ? 255 * (w[i] < 0) : (int32_t)nb_rng_below(&rng, 256);
            assert_int_equal(output(&s, w, &r, x), (int32_t)want);
        }
    }
}

/* A constant of 2^26 times a unit that drowns the sums has no room in 31 bits. */
static void a_constant_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    int8_t w[N];
    nb_requant r;
    nb_requant_spec s = spec_of(symmetric, 4, 0, 3e6);
    s.y_lo = INT32_MIN;
    s.y_hi = INT32_MAX;
    s.y_zero = 0;
    memset(w, 64, sizeof w);
    assert_int_equal(nb_requant_channel(&s, w, N, &r), NB_REQUANT_TOO_LARGE);
    s.level = NULL;
    s.n_levels = 0;
    assert_int_equal(nb_requant_channel(&s, w, N, &r), NB_REQUANT_DONE);
    assert_true(r.bias == 60000000 && w[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_negative_scale_negates_weights_and_says_so),
        cmocka_unit_test(a_table_that_is_not_symmetric_is_negated_with_its_weights),
        cmocka_unit_test(a_constant_channel_has_zero_weights_where_0_is_a_level),
        cmocka_unit_test(without_a_level_0_a_constant_channel_is_constant_all_the_same),
        cmocka_unit_test(a_constant_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
