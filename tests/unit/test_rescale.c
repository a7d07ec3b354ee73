/* test_rescale.c - the one rounding integers ever see, against 128-bit arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/rescale.h"
#include "ref/ref_rescale.h"

static void same(int32_t acc, int32_t mult, int32_t shift, int32_t zero, int32_t lo, int32_t hi)
{
    const int32_t got = nb_rescale(acc, mult, shift, zero, lo, hi), want = ref_rescale(acc, mult, shift, zero, lo, hi);
    if (got != want)
        fail_msg("rescale(%d, %d, %d, %d, %d, %d) = %d, not %d", (int)acc, (int)mult, (int)shift, (int)zero, (int)lo,
                 (int)hi, (int)got, (int)want);
}

static void same_on_all_grids(int64_t acc, int32_t mult, int32_t shift)
{
    if (acc < INT32_MIN || acc > INT32_MAX)
        return;
    same((int32_t)acc, mult, shift, 0, INT32_MIN, INT32_MAX);
    same((int32_t)acc, mult, shift, -128, -128, 127);
    same((int32_t)acc, mult, shift, 255, 0, 255);
    same((int32_t)acc, mult, shift, 3, 0, 15);
}

static int32_t mult_at(nb_rng *r, int32_t i)
{
    const int32_t ends[] = {1 << 30, (1 << 30) + 1, INT32_MAX, INT32_MAX - 1, 3 << 29};
    return i < 5 ? ends[i] : (1 << 30) + (int32_t)(nb_rng_u32(r) >> 2);
}

static void ties_go_up_also_below_zero(void **state)
{
    (void)state;
    const int32_t half = 1 << 30; /* times 2^30 / 2^31 */
    const int32_t in[] = {5, 3, 1, -1, -3, -5}, want[] = {3, 2, 1, 0, -1, -2};
    for (int32_t i = 0; i < 6; i++)
        assert_int_equal(nb_rescale(in[i], half, 31, 0, -128, 127), want[i]);
}

static void clamping_comes_before_narrowing(void **state)
{
    (void)state;
    /* 2^31 * 2^31 / 2 does not fit in 32 bits: narrowed first it would wrap to something small. */
    assert_int_equal(nb_rescale(INT32_MAX, INT32_MAX, 1, 0, -128, 127), 127);
    assert_int_equal(nb_rescale(INT32_MIN, INT32_MAX, 1, 0, -128, 127), -128);
    assert_int_equal(nb_rescale(INT32_MIN, INT32_MAX, 31, 255, INT32_MIN, INT32_MAX), INT32_MIN + 1 + 255);
}

static void every_shift_agrees_with_128_bits_at_the_ends_and_around_zero(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(5, 0);
    for (int32_t shift = 1; shift <= 62; shift++)
        for (int32_t i = 0; i < 12; i++) {
            const int32_t mult = mult_at(&r, i);
            for (int32_t d = 0; d < 200; d++) {
                same_on_all_grids((int64_t)INT32_MIN + d, mult, shift);
                same_on_all_grids((int64_t)INT32_MAX - d, mult, shift);
                same_on_all_grids(d - 100, mult, shift);
            }
        }
}

static void every_shift_agrees_with_128_bits_next_to_ties(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(6, 0);
    const int64_t codes[] = {-1000, -129, -128, -127, -2, -1, 0, 1, 2, 14, 15, 126, 127, 128, 254, 255, 256, 1000000};
    for (int32_t shift = 1; shift <= 62; shift++)
        for (int32_t i = 0; i < 40; i++) {
            const int32_t mult = mult_at(&r, i);
            for (uint32_t k = 0; k < sizeof codes / sizeof *codes; k++) {
                /* acc * mult / 2^shift = code + 1/2; double holds 53 bits, so look a little around it */
                const double at = ((double)codes[k] + 0.5) * (double)((int64_t)1 << shift) / mult;
                for (int64_t d = -4; d <= 4; d++)
                    if (at > -2147483640.0 && at < 2147483640.0)
                        same_on_all_grids((int64_t)at + d, mult, shift);
            }
        }
}

static void powers_of_two_hit_every_tie_exactly(void **state)
{
    (void)state;
    for (int32_t shift = 31; shift <= 40; shift++) /* factor 2^30 / 2^shift: ties at odd multiples of 2^(shift-31) */
        for (int64_t k = -700; k <= 700; k++)
            for (int64_t d = -1; d <= 1; d++)
                same_on_all_grids((2 * k + 1) * ((int64_t)1 << (shift - 31)) + d, 1 << 30, shift);
}

static void a_sum_of_two_operands_is_rounded_once(void **state)
{
    (void)state;
    nb_rng r = nb_rng_make(7, 0);
    for (int32_t i = 0; i < 200000; i++) {
        const int32_t a = (int32_t)nb_rng_below(&r, 511) - 255, b = (int32_t)nb_rng_below(&r, 511) - 255;
        const int64_t sum = a * (int64_t)(nb_rng_u32(&r) >> 1) + b * (int64_t)(nb_rng_u32(&r) >> 1);
        const int32_t shift = 1 + (int32_t)nb_rng_below(&r, 62);
        assert_true(nb_rescale_wide(sum, shift) == ref_rescale_wide(sum, shift));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_go_up_also_below_zero),
        cmocka_unit_test(clamping_comes_before_narrowing),
        cmocka_unit_test(every_shift_agrees_with_128_bits_at_the_ends_and_around_zero),
        cmocka_unit_test(every_shift_agrees_with_128_bits_next_to_ties),
        cmocka_unit_test(powers_of_two_hit_every_tie_exactly),
        cmocka_unit_test(a_sum_of_two_operands_is_rounded_once),
    };
    return cmocka_run_group_tests_name("rescale", tests, NULL, NULL);
}
