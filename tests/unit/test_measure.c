/* test_measure.c - clocks, median, argmax. */
#include "base/measure.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void clocks_go_on(void **state)
{
    (void)state;
    double (*const clocks[])(void) = {nb_now, nb_thread_seconds, nb_process_seconds};
    for (int32_t i = 0; i < 3; i++) {
        const double start = clocks[i]();
        double now = start;
        for (int32_t k = 0; k < 1000000000 && now < start + 1e-4; k++)
            now = clocks[i]();
        assert_true(now >= start + 1e-4);
    }
}

static void the_median_stands_in_the_middle(void **state)
{
    (void)state;
    double odd[] = {3, -1, 100}, even[] = {4, 1, 3, 2}, one[] = {7};
    assert_true(nb_median(odd, 3) == 3);
    assert_true(nb_median(even, 4) == 2.5);
    assert_true(nb_median(one, 1) == 7);
    assert_true(nb_median((double[]){3, 1, 2}, 3) == 2);
    assert_true(nb_median((double[]){4, 1, 2, 8}, 4) == 3);
}

static void the_first_of_equals_is_the_largest(void **state)
{
    (void)state;
    const float reals[] = {-2, 5, 5, NAN};
    const int32_t whole[] = {INT32_MIN, -3, INT32_MAX, INT32_MAX};
    assert_int_equal(nb_argmax_float(reals, 4), 1);
    assert_int_equal(nb_argmax_float(reals, 1), 0);
    assert_int_equal(nb_argmax_int(whole, 4), 2);
    assert_int_equal(nb_argmax_int(whole, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_go_on),
        cmocka_unit_test(the_median_stands_in_the_middle),
        cmocka_unit_test(the_first_of_equals_is_the_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
