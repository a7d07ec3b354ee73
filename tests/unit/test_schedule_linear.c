/* test_schedule_linear.c - the straight line by hand. */
#include "plan_case.h"

static void it_falls_by_the_same_in_every_step(void **state)
{
    (void)state;
    assert_true(near(plan_lr("schedule: linear", 0), 1));
    assert_true(near(plan_lr("schedule: linear", 25), 0.75));
    assert_true(near(plan_lr("schedule: linear", 99), 0.01));
}

static void it_begins_after_the_warm_up_and_ends_at_final(void **state)
{
    (void)state;
    const char *keys = "warmup: 2, schedule: {name: linear, final: 0.2}";
    assert_true(near(plan_lr(keys, 9), 0.5));
    assert_true(near(plan_lr(keys, 20), 1));
    assert_true(near(plan_lr(keys, 60), 0.6));
    assert_true(near(plan_lr(keys, 99), 0.21));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_falls_by_the_same_in_every_step),
        cmocka_unit_test(it_begins_after_the_warm_up_and_ends_at_final),
    };
    return cmocka_run_group_tests_name("schedule_linear", tests, NULL, NULL);
}
