/* test_spread.c - alone all things are one's own; tests/e2e/ranks_work.sh has several ranks. */
#include "base/spread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void alone_all_things_are_ones_own_and_stay_what_they_are(void **state)
{
    (void)state;
    int32_t x[3] = {1, 2, 3};
    assert_int_equal(nb_spread_at(3, 0), 0);
    assert_int_equal(nb_spread_at(3, 1), 3);
    nb_spread_bring(2, &(nb_spread_row){x, sizeof *x, 2, 3}, 1);
    assert_int_equal(x[0], 1);
    assert_int_equal(x[2], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_all_things_are_ones_own_and_stay_what_they_are),
    };
    return cmocka_run_group_tests_name("spread", tests, NULL, NULL);
}
