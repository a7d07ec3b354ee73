/* test_schedule_constant.c - nothing happens to the learning rate. */
#include "plan_case.h"

static void the_learning_rate_stays(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: constant", 0), 1) && near(plan_lr("schedule: constant", 99), 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_learning_rate_stays)};
    return cmocka_run_group_tests_name("schedule_constant", tests, NULL, NULL);
}
