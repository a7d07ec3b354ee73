/* test_requant.c - real scales to integers: what fits is exact, what does not becomes coarser, nothing overflows. */
#include "quant/requant.h"

#include "kernels/rescale.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"

enum { MANY = 76800 };

/* A relu's output, 8 bits, to an 8-bit grid. */
static nb_requant_spec spec(double scale, double bias, double out_scale)
{
    return (nb_requant_spec){
        .scale = scale, .bias = bias, .out_scale = out_scale, .x_hi = 255, .y_lo = INT32_MIN, .y_hi = INT32_MAX};
}

/* What the integers give for inputs that are all x, in reals. */
static double real_of(const nb_requant_spec *s, const nb_requant *r, const int8_t *w, int64_t n, int32_t x)
{
    int64_t sum = r->bias;
    for (int64_t i = 0; i < n; i++)
        sum += (int64_t)w[i] * x;
    assert_true(llabs((long long)sum) <= r->bound);
    return nearbyint(ldexp((double)sum * r->mult, -r->shift)) * s->out_scale;
}

static void a_floor_keeps_sums_and_bias_below_the_limit_however_weights_round(void **state)
{
    (void)state;
    static float w[MANY];
    nb_rng rng = nb_rng_make(1, 0);
    for (int32_t i = 0; i < 500; i++) {
        const int64_t n = i % 4 == 0 ? MANY - 100 * i : 1 + (int64_t)nb_rng_below(&rng, 3000);
        const int32_t lo = i % 3 == 2 ? -128 : 0, hi = i % 3 == 2 ? 127 : 255;
        const int32_t zero = i % 3 ? 0 : (int32_t)nb_rng_below(&rng, 256);
        double bias = i % 5 ? (double)nb_rng_normal(&rng) * ldexp(1, (int32_t)nb_rng_below(&rng, 40)) : 0;
        const bool equal = i % 2; /* all weights alike round alike: the worst there is */
        double total = 0;
        for (int64_t k = 0; k < n; k++) {
            w[k] = equal ? 1 : nb_rng_normal(&rng);
            total += fabs((double)w[k]);
        }
        if (i % 5 == 0) /* exactly as much bias as there is room for */
            bias = 0x1p30 * nb_scale_floor(lo, hi, zero, total, n, 0);
        const float s = (float)nb_scale_floor(lo, hi, zero, total, n, bias);
        int64_t size = 0, sum = 0;
        for (int64_t k = 0; k < n; k++) {
            const int64_t code = (int64_t)nearbyintf(w[k] / s);
            size += llabs((long long)code);
            sum += code;
        }
        assert_true(nb_sum_bound(lo, hi, zero, size, sum, llrint(bias / (double)s)) < NB_SUM_LIMIT);
        assert_true(nb_sum_bound(lo, hi, zero, size, -size, llrint(bias / (double)s)) < NB_SUM_LIMIT);
        assert_true(nb_sum_bound(lo, hi, zero, size, size, llrint(bias / (double)s)) < NB_SUM_LIMIT);
    }
}

static void sums_that_fit_by_their_codes_stay_as_they_are(void **state)
{
    (void)state;
    static int8_t w[MANY];
    for (int32_t i = 0; i < MANY; i++)
        w[i] = i == 7 ? 127 : (int8_t)(i % 41 - 20); /* 127 * 255 * 76800 would be beyond 2^31 */
    nb_requant r;
    nb_requant_spec s = spec(1e-6, 0.5, 0.01);
    assert_int_equal(nb_requant_channel(&s, w, MANY, &r), NB_REQUANT_DONE);
    assert_true(r.coarser == 1 && w[7] == 127 && w[0] == -20 && r.bias == 500000);
}

static void sums_that_do_not_fit_become_coarser(void **state)
{
    (void)state;
    static int8_t w[MANY];
    for (int32_t sign = -1; sign <= 1; sign += 2) {
        for (int32_t i = 0; i < MANY; i++)
            w[i] = (int8_t)(127 * sign);
        nb_requant r;
        nb_requant_spec s = spec(1e-9, 0.5, 1e-5);
        assert_int_equal(nb_requant_channel(&s, w, MANY, &r), NB_REQUANT_DONE);
        assert_true(r.coarser > 1.5 && r.bound < NB_SUM_LIMIT);
        const double want = sign * 127e-9 * MANY * 200 + 0.5;
        assert_float_equal(real_of(&s, &r, w, MANY, 200), want, 0.01 * fabs(want));
    }
}

/* The bias is 2^36 of the units that the weights bring: 10 products of up to 1e-4 of it still count. */
static void a_bias_beyond_32_bits_leaves_the_weights_what_its_own_precision_allows(void **state)
{
    (void)state;
    for (int32_t sign = -1; sign <= 1; sign += 2) {
        int8_t w[] = {127, -64, 100, 3, 90, 110, -30, 77, 126, 12};
        int64_t sum = 0;
        for (int32_t i = 0; i < 10; i++)
            sum += w[i];
        nb_requant r;
        nb_requant_spec s = spec(sign * 0x1p-36, 1, 0x1p-29);
        assert_int_equal(nb_requant_channel(&s, w, 10, &r), NB_REQUANT_DONE);
        assert_true(r.coarser >= 64 && r.coarser < 65 && r.bound < NB_SUM_LIMIT);
        /* each of the 10 codes is off by half a unit of 2^-30 at most */
        for (int32_t x = 0; x <= 255; x += 51)
            assert_float_equal(real_of(&s, &r, w, 10, x), 1 + sign * 0x1p-36 * (double)(sum * x), 0x1p-30 * 5.1 * 255);
    }
}

static void a_single_weight_keeps_what_it_is_worth(void **state)
{
    (void)state;
    nb_requant_spec s = spec(0x1p-30, 11.5, 0x1p-20); /* 11.5 * 2^30 units */
    for (int32_t sign = -1; sign <= 1; sign += 2) {
        int8_t w = (int8_t)(127 * sign);
        nb_requant r;
        assert_int_equal(nb_requant_channel(&s, &w, 1, &r), NB_REQUANT_DONE);
        assert_true(abs(w) >= 10 && abs(w) < 12);
        for (int32_t x = 0; x <= 255; x++)
            assert_float_equal(real_of(&s, &r, &w, 1, x), 11.5 + sign * 127 * 0x1p-30 * x, 0x1p-20);
    }
}

static void a_channel_without_input_to_speak_of_is_constant(void **state)
{
    (void)state;
    int8_t w[] = {127, -127};
    nb_requant r;
    nb_requant_spec s = spec(1e-30, 3, 0.5);
    assert_int_equal(nb_requant_channel(&s, w, 2, &r), NB_REQUANT_DONE);
    assert_true(w[0] == 0 && w[1] == 0 && real_of(&s, &r, w, 2, 255) == 3);
}

static void what_is_no_number_has_no_integers(void **state)
{
    (void)state;
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        int8_t w = 5;
        nb_requant r;
        nb_requant_spec of_scale = spec(bad[i], 1, 1), of_bias = spec(1, bad[i], 1);
        assert_int_equal(nb_requant_channel(&of_scale, &w, 1, &r), NB_REQUANT_TOO_LARGE);
        assert_int_equal(nb_requant_channel(&of_bias, &w, 1, &r), NB_REQUANT_TOO_LARGE);
        assert_int_equal(w, 5);
    }
}

/* An output whose grid is hardly anything beside one unit of the sum: 0 stays 0, all else is past its ends. */
static void a_multiplier_that_is_too_large_saturates_as_the_true_one_does(void **state)
{
    (void)state;
    int8_t w[2] = {1, -1};
    const nb_requant_spec s = {
        .scale = 0.018, .out_scale = 5e-12, .x_lo = 0, .x_hi = 255, .x_zero = 3, .y_zero = 100, .y_lo = 0, .y_hi = 255};
    nb_requant r;
    assert_int_equal(nb_requant_channel(&s, w, 2, &r), NB_REQUANT_DONE);
    assert_true(w[0] == 1 && w[1] == -1);
    for (int32_t a = 0; a < 256; a += 5)
        for (int32_t b = 0; b < 256; b += 3) {
            const int32_t code = nb_rescale(a - b + r.bias, r.mult, r.shift, s.y_zero, s.y_lo, s.y_hi);
            assert_int_equal(code, a == b ? 100 : a > b ? 255 : 0);
        }
    int32_t mult, shift;
    assert_false(nb_multiplier(0.018 / 5e-12, &mult, &shift));
    assert_false(nb_multiplier_or_most((double)INFINITY, &mult, &shift));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_floor_keeps_sums_and_bias_below_the_limit_however_weights_round),
        cmocka_unit_test(sums_that_fit_by_their_codes_stay_as_they_are),
        cmocka_unit_test(sums_that_do_not_fit_become_coarser),
        cmocka_unit_test(a_bias_beyond_32_bits_leaves_the_weights_what_its_own_precision_allows),
        cmocka_unit_test(a_single_weight_keeps_what_it_is_worth),
        cmocka_unit_test(a_channel_without_input_to_speak_of_is_constant),
        cmocka_unit_test(a_multiplier_that_is_too_large_saturates_as_the_true_one_does),
        cmocka_unit_test(what_is_no_number_has_no_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
